"""A Docker engine of the tests' own: Debian's packages, extracted and never installed, all its state in one folder.

It touches no firewall rule of the machine and can pull nothing: images that stand in for the real ones are made here.
Networks that tests make have bridges, names that resolve, and ports published on loopback; containers can't get out.
"""

import contextlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from docker import DockerClient

STAND_INS = Path(__file__).parent / "standins"
START_TIMEOUT_S = 60.0

# Bookworm has no compose plugin for its engine; trixie's is a static program.
TRIXIE = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main\n"


@dataclass(frozen=True)
class Engine:
    """A running engine; `environment` is what makes `docker` talk to it, `programs` holds what was extracted."""

    environment: Mapping[str, str]
    programs: Path

    def docker(self, *arguments: str, stdin: bytes = b"", **environment: str) -> str:
        """What `docker` writes to stdout."""
        environ = {**os.environ, **self.environment, **environment}
        done = subprocess.run(["docker", *arguments], capture_output=True, input=stdin, env=environ)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def client(self) -> "DockerClient":
        """The SDK's client; to be closed."""
        from docker import DockerClient

        return DockerClient(self.environment["DOCKER_HOST"], timeout=60)

    def listed(self, kind: str) -> set[str]:
        """Names of all containers, networks or volumes."""
        everything = ["--all"] if kind == "container" else []
        column = "{{.Names}}" if kind == "container" else "{{.Name}}"
        return set(self.docker(kind, "ls", *everything, "--format", column).split())

    @contextlib.contextmanager
    def new_image(
        self, tag: str, *, busybox: Path | None = None, bare: bool = False, **config: str
    ) -> Iterator["Root"]:
        """An image of one layer: what is added within the block. `config` are instructions of a Dockerfile.

        A `bare` image has no busybox: it brings a shell and tools of its own.

        The files go straight to the engine: no archive of them is ever kept.
        """
        changes = [part for key, value in config.items() for part in ("--change", f"{key.upper()} {value}")]
        command = ["docker", "import", *changes, "-", tag]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, env={**os.environ, **self.environment}
        ) as importing:
            assert importing.stdin is not None
            assert importing.stderr is not None
            try:
                with tarfile.open(fileobj=importing.stdin, mode="w|", bufsize=1 << 20) as archive:
                    yield Root(archive, None if bare else busybox or self.programs / "bin/busybox")
            except BrokenPipeError:  # docker has ended, and says why
                pass
            with contextlib.suppress(BrokenPipeError):
                importing.stdin.close()
            said = importing.stderr.read().decode()
            assert importing.wait() == 0, said

    def relabel(self, tag: str, architecture: str) -> None:
        """Let an image say that it is for another architecture: import records the engine's own, whatever is asked."""
        identity = self.docker("image", "inspect", "--format", "{{.Id}}", tag).strip().removeprefix("sha256:")
        (stored,) = self.programs.parent.glob(f"data/image/*/imagedb/content/sha256/{identity}")
        config = {**json.loads(stored.read_bytes()), "architecture": architecture}
        # The engine has the layers already, and reads none that it has.
        layers = ["layer.tar"] * len(config["rootfs"]["diff_ids"])
        manifest = [{"Config": "config.json", "RepoTags": [tag], "Layers": layers}]
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name, content in {"config.json": config, "manifest.json": manifest}.items():
                entry, encoded = tarfile.TarInfo(name), json.dumps(content).encode()
                entry.size = len(encoded)
                archive.addfile(entry, io.BytesIO(encoded))
        self.docker("load", stdin=buffer.getvalue())

    def build(self, tag: str, dockerfile: str) -> None:
        """An image built without context or network, as a variant of another one."""
        # BuildKit is no part of Debian's package.
        self.docker("build", "--tag", tag, "--network", "none", "-", stdin=dockerfile.encode(), DOCKER_BUILDKIT="0")


class Root:
    """The files of an image, with busybox for a shell and the usual tools, unless it is None."""

    def __init__(self, archive: tarfile.TarFile, busybox: Path | None) -> None:
        self._archive = archive
        self._names: set[str] = set()
        self._usr = "usr" if busybox is None else ""  # where a bare root has bin, lib and lib64, as Debian has
        if busybox is None:
            return
        for folder in ("bin", "etc", "lib", "run", "var", "var/lib"):
            self.folder(folder)
        self.folder("tmp", mode=0o1777)
        self.file("bin/busybox", busybox.read_bytes())
        applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
        for applet in sorted({*applets} - {"busybox"}):
            self.link(f"bin/{applet}", "busybox")

    def folder(self, name: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        """Add a folder."""
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, uid, gid
        self._add(entry)

    def link(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self._add(entry)

    def file(self, name: str, content: bytes, *, modified: float = 0.0) -> None:
        """Add a file that anybody may run."""
        entry = tarfile.TarInfo(name)
        entry.mode, entry.size, entry.mtime = 0o755, len(content), int(modified)
        self._add(entry, content)

    def _add(self, entry: tarfile.TarInfo, content: bytes = b"") -> None:
        """The engine takes no name twice, but programs share libraries, and Python packages share folders' files."""
        if entry.name not in self._names:
            self._names.add(entry.name)
            self._archive.addfile(entry, io.BytesIO(content))

    def tree(self, folder: Path, at: str = "") -> None:
        """Add all files and links below a folder."""
        for path in folder.rglob("*"):
            name = str(at / path.relative_to(folder))
            if path.is_symlink():
                self.link(name, str(path.readlink()))
            elif path.is_file():
                self.file(name, path.read_bytes(), modified=path.stat().st_mtime)

    def program(self, path: Path) -> None:
        """Add a program under bin/, and the libraries that it is linked with."""
        self.file(f"bin/{path.name}", path.read_bytes())
        self.libraries([path])

    def libraries(self, programs: Iterable[Path]) -> None:
        """Add what programs or libraries are linked with, where the loader looks for it."""
        linked = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True).stdout
        # "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)"; the loader itself is named by its path alone.
        found = {Path(word) for line in linked.splitlines() for word in line.split()[:3] if word.startswith("/")}
        for library in sorted(found):
            if library.is_file() and ".so" in library.name:
                at = library if library.parts[1] in ("lib", "lib64", "usr") else Path("/usr/lib", library.name)
                where = at.relative_to("/") if at.parts[1] == "usr" else Path(self._usr, at.relative_to("/"))
                self.file(str(where), library.read_bytes())


class CannotRun(Exception):
    """Why no engine can run on this machine."""


def unpack(folder: Path) -> Path:
    """The programs of an engine, extracted below `folder`. Raises CannotRun."""
    if os.getuid() != 0:
        raise CannotRun("only root may run a Docker engine")
    if shutil.which("apt-get") is None:
        raise CannotRun("its packages are Debian's, and there is no apt-get")
    programs = folder / "programs"
    try:
        extract(["docker.io"], programs, folder / "apt", dependencies=True)
        extract(["prometheus", "busybox-static"], programs, folder / "apt")
        extract(["docker-compose"], programs, folder / "apt-trixie", sources=TRIXIE)
    except subprocess.CalledProcessError as error:
        raise CannotRun(f"{' '.join(error.cmd[:2])} failed: {error.stderr.strip()[-300:]}") from None
    # Names resolve in a container by a rule of its own namespace, which the daemon sets with whatever is `iptables`.
    (programs / "usr/sbin/iptables").symlink_to("xtables-nft-multi")
    return programs


@contextlib.contextmanager
def running_engine(folder: Path, programs: Path | None = None) -> Iterator[Engine]:
    """An engine that ends, with its containers and files, when the block does. Raises CannotRun."""
    plugins = folder / "config" / "cli-plugins"
    plugins.mkdir(parents=True)
    programs = programs or unpack(folder)
    shutil.copy2(programs / "usr/libexec/docker/cli-plugins/docker-compose", plugins)
    libraries = ":".join(str(folder) for folder in programs.glob("usr/lib/*-linux-gnu"))
    of_daemon = {"LD_LIBRARY_PATH": libraries, "XTABLES_LIBDIR": f"{libraries}/xtables"}
    socket = f"unix://{folder}/docker.sock"
    environment = {
        "PATH": os.pathsep.join([str(programs / "usr/sbin"), str(programs / "usr/bin"), os.environ["PATH"]]),
        "DOCKER_HOST": socket,
        "DOCKER_CONFIG": str(folder / "config"),
    }
    (folder / "daemon.json").write_text("{}")
    command = ["dockerd", "--host", socket, "--config-file", str(folder / "daemon.json")]
    command += ["--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")]
    command += ["--pidfile", str(folder / "pid"), "--bridge", "none", "--iptables=false", "--ip6tables=false"]
    # Should it find a containerd of the machine, it keeps to names of its own.
    command += ["--containerd-namespace", "orchestrate-test", "--containerd-plugins-namespace", "orchestrate-test-p"]
    with (folder / "log").open("w") as log:
        daemon = subprocess.Popen(
            command, env={**os.environ, **environment, **of_daemon}, stdout=log, stderr=log, start_new_session=True
        )
    engine = Engine(environment, programs)
    try:
        _wait_for(engine, daemon, folder / "log")
        yield engine
    finally:
        if daemon.poll() is None:
            for container in engine.docker("container", "ls", "--all", "--quiet").split():
                engine.docker("container", "rm", "--force", "--volumes", container)
            engine.docker("network", "prune", "--force")  # a bridge outlives the daemon
        daemon.terminate()
        daemon.wait(60)
        _unmount(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _unmount(folder: Path) -> None:
    """The engine leaves the network namespace of the host mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        target = line.split()[1]
        if target.startswith(f"{folder}/"):
            subprocess.run(["umount", target], check=True)


def _wait_for(engine: Engine, daemon: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        asked = subprocess.run(
            ["docker", "version", "--format", "{{json .Server.Version}}"],
            capture_output=True,
            env={**os.environ, **engine.environment},
        )
        if asked.returncode == 0:
            assert json.loads(asked.stdout)
            return
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise CannotRun(f"dockerd doesn't start: {log.read_text()[-500:]}")
        time.sleep(0.25)


def extract(
    packages: Sequence[str],
    into: Path,
    state: Path,
    *,
    dependencies: bool = False,
    sources: str | None = None,
    architecture: str | None = None,
) -> None:
    """Unpack Debian packages, with those they need and this machine hasn't; apt's own state stays as it is.

    With an architecture, with all that they need: a root of its own.
    """
    archives = state / "archives"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    (state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    options = [
        "-o",
        f"Dir::State::lists={state / 'lists'}",
        "-o",
        f"Dir::Cache={state}",
        "-o",
        "APT::Sandbox::User=root",
        "-o",
        "DPkg::Lock::Timeout=300",
    ]
    if sources is not None:
        (state / "sources.list").write_text(sources)
        options += ["-o", f"Dir::Etc::sourcelist={state / 'sources.list'}", "-o", "Dir::Etc::sourceparts=/dev/null"]
    if architecture is not None:
        (state / "status").touch()
        options += ["-o", f"Dir::State::status={state / 'status'}"]
        options += ["-o", f"APT::Architecture={architecture}", "-o", f"APT::Architectures::={architecture}"]
    if not any((state / "lists").glob("*Packages*")):
        _run(["apt-get", "update", *options], state)
    before = set(archives.glob("*.deb"))
    if dependencies:
        install = ["apt-get", "install", "--download-only", "--yes", "--no-install-recommends"]
        _run([*install, *options, *packages], state)
    else:
        _run(["apt-get", "download", *options, *packages], archives)
    for package in sorted(set(archives.glob("*.deb")) - before):
        _run(["dpkg", "--extract", str(package), str(into)], state)


def _run(command: Sequence[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)


def _prometheus_image(engine: Engine, tag: str) -> None:
    """Debian's Prometheus in the place of the official image: the same paths, user and owner of the data folder."""
    with engine.new_image(tag, entrypoint='["/bin/prometheus"]', user="nobody", volume='["/prometheus"]') as root:
        root.folder("prometheus", mode=0o775, uid=65534, gid=65534)
        root.folder("etc/prometheus")
        root.program(engine.programs / "usr/bin/prometheus")


def _grafana_image(engine: Engine, tag: str) -> None:
    """A shell script in the place of Grafana, that reads what Grafana would: see tests/support/standins."""
    with engine.new_image(tag, entrypoint='["/run.sh"]', user="472") as root:
        for folder in ("datasources", "dashboards"):
            root.folder(f"etc/grafana/provisioning/{folder}", mode=0o777)
        root.folder("var/lib/grafana", mode=0o777, uid=472)
        root.file("run.sh", (STAND_INS / "grafana-run.sh").read_bytes())
        root.file("bin/grafana", (STAND_INS / "grafana-cli.sh").read_bytes())


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that has the images of docker-compose.yml; skips where none can run."""
    from tests.support.requirements import require

    with contextlib.ExitStack() as stack:
        try:
            started = stack.enter_context(running_engine(tmp_path_factory.mktemp("engine")))
        except CannotRun as reason:
            require("docker", False, str(reason))
            raise
        make = {"prometheus": _prometheus_image, "grafana": _grafana_image}
        for service, tag in image_names().items():
            make[service](started, tag)
        yield started


def image_names() -> dict[str, str]:
    """The images of docker-compose.yml by service."""
    import yaml

    document = yaml.safe_load((Path(__file__).parents[2] / "docker-compose.yml").read_text())
    return {name: service["image"] for name, service in document["services"].items()}
