"""Ray for arm64 under emulation, and for x86-64 with the same Python: Debian's packages and Ray's wheels, unpacked."""

import compileall
import contextlib
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.docker_engine import CannotRun, Engine, extract
from tests.support.ray_images import LEFT_OUT_OF_RAY, RAY_VERSION, like_official, site_packages

BINFMT = Path("/proc/sys/fs/binfmt_misc")
ENTRY = BINFMT / "qemu-aarch64"
UNREGISTER = "-1"
PYTHON = "3.11"  # bookworm's
ARM64_IMAGE = f"rayproject/ray:{RAY_VERSION}-py311-aarch64"
X86_64_IMAGE = f"debian-ray:{RAY_VERSION}-py311"  # the official name is taken by the Python that the tests run on
WHEELS = {"arm64": "aarch64-manylinux_2_28", "amd64": "x86_64-manylinux_2_28"}


@dataclass(frozen=True)
class MixedEngine:
    """An engine that runs both architectures; Ray and Python agree to the last digit in its two images."""

    engine: Engine
    x86_64: str = X86_64_IMAGE
    arm64: str = ARM64_IMAGE


@pytest.fixture(scope="session")
def mixed_engine(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MixedEngine]:
    """Skips where arm64 can't be emulated, and where nobody has the minutes that it takes: make test-arm64."""
    from tests.support.requirements import require

    if "ORCHESTRATE_TEST_ARM64" not in os.environ:
        pytest.skip("emulated nodes take minutes to start: make test-arm64")
    folder = tmp_path_factory.mktemp("arm64")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(emulation(folder))
            debian_ray_image(engine, X86_64_IMAGE, "amd64", folder / "amd64")
            debian_ray_image(engine, ARM64_IMAGE, "arm64", folder / "arm64")
        except CannotRun as reason:
            require("qemu", False, str(reason))
            raise
        yield MixedEngine(engine)


@contextlib.contextmanager
def emulation(folder: Path) -> Iterator[None]:
    """This machine runs arm64 programs within the block, in containers too; then it is as before. Raises CannotRun."""
    if platform.machine() != "x86_64":
        raise CannotRun("the emulator that is unpacked here runs on x86-64")
    if "binfmt_misc" not in Path("/proc/filesystems").read_text() or not BINFMT.is_dir():
        raise CannotRun("this kernel has no binfmt_misc")
    with contextlib.ExitStack() as undo:
        try:
            if not (BINFMT / "register").exists():
                mount = ["mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)]
                subprocess.run(mount, check=True, capture_output=True)
                undo.callback(subprocess.run, ["umount", str(BINFMT)], check=True)
            if left_by_killed_test():
                ENTRY.write_text(UNREGISTER)
            if not ENTRY.exists():
                with _unpacking():
                    extract(["qemu-user-static"], folder, folder / "apt")
                rule = (folder / "usr/lib/binfmt.d/qemu-aarch64.conf").read_text().strip()
                (BINFMT / "register").write_text(rule.replace(":/usr/libexec/", f":{folder}/usr/libexec/"))
                undo.callback(ENTRY.write_text, UNREGISTER)
            elif "F" not in registered("flags:"):
                # F: the emulator was opened when it was registered, so that it is there whatever a process has as root.
                raise CannotRun("this machine's emulator (qemu-user binfmt) isn't registered with F, for containers")
        except (OSError, subprocess.CalledProcessError) as error:
            raise CannotRun(f"no emulator can be registered: {error}") from None
        yield


def registered(key: str) -> str:
    """What the registration of an arm64 emulator says of `interpreter` or `flags:`; empty if there is none."""
    lines = ENTRY.read_text().splitlines() if ENTRY.exists() else []
    return next((line.removeprefix(f"{key} ") for line in lines if line.startswith(f"{key} ")), "")


def left_by_killed_test() -> bool:
    """Whether arm64 programs go to an emulator in a folder of tests that is gone."""
    interpreter = registered("interpreter")
    return "/pytest-of-" in interpreter and not Path(interpreter).exists()


def debian_ray_image(engine: Engine, tag: str, architecture: str, folder: Path) -> None:
    """Debian's Python and PyPI's Ray for Debian's name of an architecture, like the official image."""
    system, packages = folder / "system", folder / "packages"
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(__file__).parents[2] / ".tools/bin"), os.environ["PATH"]]))
    if uv is None:
        raise CannotRun("wheels of another architecture need uv: make setup")
    install = [uv, "pip", "install", "--target", str(packages), "--python-version", PYTHON]
    install += ["--python-platform", WHEELS[architecture], "--only-binary", ":all:", f"ray[default]=={RAY_VERSION}"]
    with _unpacking():
        needed = [f"python{PYTHON}", "libstdc++6", "bash", "busybox-static"]
        extract(needed, system, folder / "apt", dependencies=True, architecture=architecture)
        subprocess.run(install, check=True, capture_output=True, text=True)
    for left_out in LEFT_OUT_OF_RAY:
        shutil.rmtree(packages / left_out)
    for sources in (system, packages):
        compileall.compile_dir(sources, quiet=2, workers=0)
    with like_official(engine, tag, f"/usr/bin/python{PYTHON}", busybox=system / "bin/busybox") as root:
        root.tree(system)
        root.tree(packages, site_packages(f"python{PYTHON}"))
    engine.relabel(tag, architecture)
    shutil.rmtree(folder)


@contextlib.contextmanager
def _unpacking() -> Iterator[None]:
    try:
        yield
    except subprocess.CalledProcessError as error:
        raise CannotRun(f"{' '.join(map(str, error.cmd[:3]))} failed: {error.stderr.strip()[-300:]}") from None
