"""The image of a machine: Debian with sshd and sudo, and the tests' own Python and Ray, as baked into an AMI."""

import subprocess
from pathlib import Path

from tests.support.docker_engine import Engine, extract
from tests.support.ray_images import BASE, VERSIONED, add_packages, add_python

MACHINE = "ec2-machine:test"
USERS = ("ec2-user", "ubuntu")
FILES = Path(__file__).parent / "machine"
VENV = "opt/ray"
PACKAGES = "openssh-server rsync sudo procps bash coreutils util-linux mawk debianutils base-passwd base-files passwd"
MORE = "libc-bin grep sed tar findutils login libstdc++6"
SSHD = "UsePAM no\nUseDNS no\nMaxStartups 100\nMaxSessions 100\nPasswordAuthentication no\nClientAliveInterval 15\n"


def machine_image(engine: Engine, folder: Path, tag: str = MACHINE) -> str:
    """Make the image unless the engine has it, and return its tag."""
    if engine.docker("image", "ls", "--quiet", tag).strip():
        return tag
    system = folder / "system"
    architecture = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout
    packages = [*PACKAGES.split(), *MORE.split()]
    extract(packages, system, folder / "apt", dependencies=True, architecture=architecture.strip())
    subprocess.run([FILES / "finish_root.sh", system], check=True)
    with engine.new_image(f"{tag}-base", bare=True) as root:
        for name in ("run", "home", "root", "var/log", "var/run"):
            root.folder(name)
        root.folder("tmp", mode=0o1777)
        for program in ("boot", "shutdown", "dnf"):
            root.file(f"usr/local/sbin/{program}", (FILES / program).read_bytes())
        root.file("usr/local/bin/pip", (FILES / "pip").read_bytes())
        root.file(f"{VENV}/pyvenv.cfg", f"home = /{BASE}/bin\ninclude-system-site-packages = false\n".encode())
        for name in ("python", "python3", VERSIONED):
            root.link(f"{VENV}/bin/{name}", f"/{BASE}/bin/{VERSIONED}")
            # A link would lose the virtual environment.
            root.file(f"usr/local/bin/{name}", f'#!/bin/bash\nexec /{VENV}/bin/{name} "$@"\n'.encode())
        script = f"#!/{VENV}/bin/python\nimport sys\nfrom ray.scripts.scripts import main\nsys.exit(main())\n"
        root.file(f"{VENV}/bin/ray", script.encode())
        root.link("usr/local/bin/ray", f"/{VENV}/bin/ray")
        root.file("etc/ssh/sshd_config.d/machine.conf", SSHD.encode())
        linked = add_python(root)
        for requirement in ("ray[default]", "boto3", "packaging"):
            linked += add_packages(root, requirement, f"{VENV}/lib/{VERSIONED}/site-packages")
        root.tree(system)
        root.libraries(linked)
    # A password that matches nothing: sshd refuses a locked account.
    users = "".join(
        f" && useradd --password '*' --create-home --shell /bin/bash {user}"
        f" && echo '{user} ALL=(ALL) NOPASSWD:ALL' > /etc/sudoers.d/{user} && chmod 440 /etc/sudoers.d/{user}"
        for user in USERS
    )
    engine.build(
        tag,
        f"FROM {tag}-base\n"
        f"RUN ldconfig && chmod 4755 /usr/bin/sudo{users}\n"
        "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
        'CMD ["/usr/local/sbin/boot"]\n',
    )
    return tag
