"""Stand-ins for Ray's official image, assembled from this machine's own files: its Python, and the Ray of this venv."""

import compileall
import contextlib
import ensurepip
import importlib.metadata
import importlib.util
import re
import shutil
import sys
import sysconfig
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.docker_engine import Engine, Root

PROJECT = "ray-orchestrate"
RAY_VERSION = importlib.metadata.version("ray")
PYTHON_TAG = f"{sys.version_info.major}{sys.version_info.minor}"
OFFICIAL = f"rayproject/ray:{RAY_VERSION}-py{PYTHON_TAG}"
OTHER_RAY, OTHER_RAY_VERSION = "other-ray:test", "2.44.1"
OTHER_PYTHON, OTHER_PYTHON_VERSION = "other-python:test", "3.9.23"

# Where the official image has its Python, and where this one has the Python that its virtual environment stands on.
HOME = "home/ray/anaconda3"
BASE = "opt/python"
VERSIONED = f"python{sysconfig.get_python_version()}"

# What no node of a cluster loads, and would double the size.
LEFT_OUT_OF_RAY = ("ray/jars/", "ray/rllib/")
LEFT_OUT_OF_PYTHON = "config- ensurepip idlelib lib2to3 site-packages dist-packages test tkinter turtledemo"


@pytest.fixture(scope="session")
def ray_engine(engine: Engine) -> Engine:
    """The engine, with a stand-in for Ray's official image under its name, and those that are to be refused."""
    ray_image(engine)
    other_ray_image(engine)
    other_python_image(engine)
    return engine


def ray_image(engine: Engine, tag: str = OFFICIAL) -> None:
    """Ray with its dashboard under `tag`, on the Python that the tests run on, byte-compiled."""
    with like_official(engine, tag, f"/{BASE}/bin/{VERSIONED}") as root:
        root.program(Path("/bin/bash"))
        root.libraries([*add_python(root), *add_packages(root, "ray[default]")])


def python_image(engine: Engine, tag: str, wheel: Path) -> None:
    """Stands in for an official Python image: pip, what `wheel` requires installed, and `wheel` to be installed.

    Root runs it, `useradd` works, and pip asks no index.
    """
    staged = f"{tag.replace(':', '-')}-staged:test"
    with like_official(engine, staged, f"/{BASE}/bin/{VERSIONED}") as root:
        root.program(Path("/bin/bash"))
        useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin")
        assert useradd is not None
        root.program(Path(useradd))
        root.file("etc/login.defs", b"UID_MIN 1000\nUSERGROUPS_ENAB yes\n")
        root.file("etc/shadow", b"")
        root.file("etc/gshadow", b"")
        root.file(f"wheels/{wheel.name}", wheel.read_bytes())
        (pip,) = (Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl")
        with zipfile.ZipFile(pip) as archive:
            for name in archive.namelist():
                root.file(f"{site_packages()}/{name}", archive.read(name))
        root.file(
            f"{HOME}/bin/pip", f"#!/{HOME}/bin/python\nfrom pip._internal.cli.main import main\nmain()\n".encode()
        )
        root.libraries([*add_python(root), *add_packages(root, PROJECT, itself=False)])
    engine.build(tag, f"FROM {staged}\nUSER 0\nENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels PIP_ROOT_USER_ACTION=ignore\n")


@contextlib.contextmanager
def like_official(engine: Engine, tag: str, python: str, *, busybox: Path | None = None) -> Iterator[Root]:
    """An image with the user, paths and environment of the official one; add `python`, and Ray to its site_packages.

    Its Python is a virtual environment on `python`, which finds packages alike with every Python: Debian's own calls
    the folder dist-packages.
    """
    path = f"/{HOME}/bin:/usr/local/bin:/usr/bin:/bin:/sbin"
    environment = f"PATH={path} HOME=/home/ray LANG=C.UTF-8 LC_ALL=C.UTF-8"
    config = {"env": environment, "user": "1000", "workdir": "/home/ray", "cmd": '["bash"]'}
    with engine.new_image(tag, busybox=busybox, bare=False, **config) as root:
        root.file("etc/passwd", b"root:x:0:0::/root:/bin/bash\nray:x:1000:100::/home/ray:/bin/bash\n")
        root.file("etc/group", b"root:x:0:\nusers:x:100:\n")
        root.folder("home")
        root.folder("home/ray", uid=1000, gid=100)
        base = Path(python)
        root.file(f"{HOME}/pyvenv.cfg", f"home = {base.parent}\ninclude-system-site-packages = false\n".encode())
        for name in ("python", "python3", base.name):
            root.link(f"{HOME}/bin/{name}", python)
        script = f"#!/{HOME}/bin/python\nimport sys\nfrom ray.scripts.scripts import main\nsys.exit(main())\n"
        root.file(f"{HOME}/bin/ray", script.encode())
        yield root


def site_packages(version: str = VERSIONED) -> str:
    """Where packages are, for a Python named python3.11."""
    return f"{HOME}/lib/{version}/site-packages"


def other_ray_image(engine: Engine) -> None:
    """The same under OTHER_RAY, but its Ray says that it is another version."""
    package = f"/{site_packages()}/ray"
    engine.build(
        OTHER_RAY,
        f"FROM {OFFICIAL}\nUSER 0\n"
        f"RUN sed -i 's/{re.escape(RAY_VERSION)}/{OTHER_RAY_VERSION}/' {package}/_version.py"
        f" {package}-{RAY_VERSION}.dist-info/METADATA"
        f" && mv {package}-{RAY_VERSION}.dist-info {package}-{OTHER_RAY_VERSION}.dist-info\nUSER 1000\n",
    )


def other_python_image(engine: Engine) -> None:
    """The same under OTHER_PYTHON, but its Python says that it is another version."""
    numbers = OTHER_PYTHON_VERSION.replace(".", ", ")
    says = (
        "import sys, collections;"
        "kind = collections.namedtuple('version_info', 'major minor micro releaselevel serial');"
        f"sys.version_info = kind({numbers}, 'final', 0);"
        f"sys.version = '{OTHER_PYTHON_VERSION} ' + sys.version.split(' ', 1)[1]"
    )
    engine.build(
        OTHER_PYTHON,
        f'FROM {OFFICIAL}\nUSER 0\nRUN echo "{says}" > /{site_packages()}/other.pth\nUSER 1000\n',
    )


def add_python(root: Root) -> list[Path]:
    """The Python that this virtual environment stands on; what is linked with libraries is returned."""
    executable = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    root.file(f"{BASE}/bin/{VERSIONED}", executable.read_bytes())
    standard = Path(sysconfig.get_path("stdlib"))
    left_out = tuple(LEFT_OUT_OF_PYTHON.split())
    files = [path.relative_to(standard) for path in standard.rglob("*") if path.is_file()]
    kept = [file for file in files if not file.parts[0].startswith(left_out) and file.suffix != ".pyc"]
    return [executable, *_add_files(root, standard, kept, f"{BASE}/lib/{VERSIONED}")]


def add_packages(root: Root, requirement: str, at: str = "", *, itself: bool = True) -> list[Path]:
    """A package of this virtual environment and all that it requires; what is linked with libraries is returned.

    Without the package `itself`, only what it requires.
    """
    linked = []
    for distribution in required(Requirement(requirement))[0 if itself else 1 :]:
        files = [Path(file) for file in distribution.files or () if not str(file).startswith(("..", *LEFT_OUT_OF_RAY))]
        kept = [file for file in files if "tests" not in file.parts and file.suffix not in (".map", ".pyc")]
        site = Path(str(distribution.locate_file("")))
        linked += _add_files(root, site, kept, at or site_packages())
    return linked


def required(requirement: Requirement) -> list[importlib.metadata.Distribution]:
    """What is installed of a requirement and of all that it requires in turn, each once."""
    found: dict[str, importlib.metadata.Distribution] = {}
    asked: set[tuple[str, str]] = set()

    def ask(wanted: Requirement) -> None:
        for extra in {"", *wanted.extras} - {extra for name, extra in asked if name == wanted.name}:
            asked.add((wanted.name, extra))
            distribution = found.setdefault(wanted.name.lower(), importlib.metadata.distribution(wanted.name))
            for each in map(Requirement, distribution.requires or ()):
                if each.marker is None or each.marker.evaluate({"extra": extra}):
                    ask(each)

    ask(requirement)
    return list(found.values())


def _add_files(root: Root, source: Path, files: Iterable[Path], target: str) -> list[Path]:
    """Files by their names below `source`, with their bytecode; programs and libraries among them are returned.

    Without bytecode a raylet may miss the 30 s that Ray gives it to register.
    """
    linked = []
    for file in files:
        path = source / file
        content = path.read_bytes()
        modified = path.stat().st_mtime  # which the bytecode is held against
        root.file(f"{target}/{file}", content, modified=modified)
        if content.startswith(b"\x7fELF"):
            linked.append(path)
        if path.suffix == ".py" and compileall.compile_file(path, quiet=2):
            cached = Path(importlib.util.cache_from_source(str(path)))
            root.file(f"{target}/{cached.relative_to(source)}", cached.read_bytes())
    return linked
