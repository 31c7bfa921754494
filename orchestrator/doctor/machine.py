"""Questions about the machine itself, for sweeps on local nodes and for the simulator."""

import os
import platform
import shutil
import stat
import tempfile
from functools import partial
from pathlib import Path

from orchestrator.backends import registry
from orchestrator.backends.cleanup import find_abandoned
from orchestrator.backends.live.ownership import TOKEN_NAME
from orchestrator.backends.live.ray_config import OBJECT_STORE_BYTES
from orchestrator.errors import MissingPrerequisite
from orchestrator.inputs.cluster_config import read_cluster_file
from orchestrator.rayapi.version import ray_version, require_supported_ray
from orchestrator.readiness import Finding, Question
from orchestrator.sweeps.fit import MEMORY_SHARE, NODE_BYTES, SLOT_BYTES, fit_shape, this_machine

_SHM = Path("/dev/shm")
# Traces are small, but Ray's logs aren't; Ray itself gives up on a disk that is 95 % full.
_LOW_DISK_BYTES = 2 * 10**9
_FULL_DISK_BYTES = 10**8
_RAYS_DISK_SHARE = 0.95


def machine_questions(home: Path) -> list[Question]:
    """Return the questions about the machine, for state kept in `home`."""
    return [
        Question("Python", ("sweep", "simulate"), python),
        Question("Ray", ("sweep", "simulate"), ray),
        Question("cores and memory", ("sweep",), cores_and_memory),
        Question("home", ("sweep", "simulate"), partial(home_folder, home)),
        Question("disk", ("sweep", "simulate"), partial(disk, home)),
        Question("/dev/shm", ("sweep",), shared_memory),
        Question("token", ("sweep", registry.DOCKER.name), partial(token, home)),
        Question("leftovers", ("sweep", registry.DOCKER.name), partial(leftovers, home)),
    ]


def python() -> Finding:
    """Return the version. An unsupported one couldn't have run this far."""
    return Finding("ok", f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")


def ray() -> Finding:
    """Return the version, with a warning if the project isn't tested with it."""
    version = ray_version()
    try:
        require_supported_ray()
    except MissingPrerequisite as error:
        # not logged: the finding says it.
        return Finding("warning", error.message, error.hint or "")
    return Finding("ok", f"Ray {version}")


def cores_and_memory() -> Finding:
    """Return the size of the machine, and the built-in cluster as `--fit machine` shapes it."""
    machine = this_machine()
    if machine.memory * MEMORY_SHARE < NODE_BYTES + SLOT_BYTES:
        return Finding(
            "warning",
            f"{machine.describe()}: too little for a worker node",
            "end what needs much memory: ps -e --sort=-rss",
        )
    shape = fit_shape(read_cluster_file(registry.LOCAL.default_cluster()).shape, machine)
    return Finding("ok", f"{machine.describe()}; --fit machine: {shape.describe()}")


def home_folder(home: Path) -> Finding:
    """Return whether the home can be written, or made."""
    existing = _existing(home)
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return Finding(
            "missing", f"{existing} can't be written", "choose another home with --home, or ORCHESTRATE_HOME"
        )
    return Finding("ok", str(home) if home.exists() else f"{home} will be made at first use")


def disk(home: Path) -> Finding:
    """Return the free space for traces in the home, and for Ray's own files in the temporary folder."""
    places = {place.stat().st_dev: place for place in (Path(tempfile.gettempdir()), _existing(home))}
    findings = []
    for place in places.values():
        usage = shutil.disk_usage(place)
        detail = f"{usage.free / 2**30:.1f} GiB free at {place}"
        hint = "make room, or move: --home for traces, TMPDIR for Ray's files"
        if usage.free < _FULL_DISK_BYTES:
            findings.append(Finding("missing", detail, hint))
        elif usage.free < _LOW_DISK_BYTES or usage.used > _RAYS_DISK_SHARE * usage.total:
            findings.append(Finding("warning", f"{detail}, {usage.used / usage.total:.0%} used", hint))
        else:
            findings.append(Finding("ok", detail))
    order = ("missing", "warning", "ok")
    worst = min(findings, key=lambda finding: order.index(finding.state))
    return Finding(worst.state, "; ".join(finding.detail for finding in findings), worst.hint)


def shared_memory(folder: Path = _SHM) -> Finding:
    """Return the free space for Ray's object stores. Each local node has its own."""
    if not folder.is_dir():
        return Finding("warning", f"there is no {folder}: Ray keeps its object stores in /tmp, which is slow")
    free = shutil.disk_usage(folder).free
    nodes = int(free // OBJECT_STORE_BYTES)
    wanted = 1 + fit_shape(read_cluster_file(registry.LOCAL.default_cluster()).shape, this_machine()).max_workers
    detail = f"{free / 2**20:.0f} MiB free, enough for {nodes} nodes"
    if nodes < wanted:
        return Finding(
            "warning",
            f"{detail}, and {wanted} are wanted",
            "in a container: start it with --shm-size=1g; else remount it",
        )
    return Finding("ok", detail)


def token(home: Path) -> Finding:
    """Return who can read Ray's token, which lets them run programs as this user on its clusters."""
    path = home / TOKEN_NAME
    if not path.exists():
        return Finding("ok", "it will be made at first use")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return Finding("warning", f"others can read {path} (mode {mode:04o})", f"chmod 600 {path}")
    return Finding("ok", f"only this user can read {path}")


def leftovers(home: Path) -> Finding:
    """Return the clusters that killed runs left."""
    found = find_abandoned(home)
    if (problem := found.problem()) is not None:
        return Finding("warning", problem.message, problem.hint or "")
    if not found.clusters:
        return Finding("ok", "killed runs left nothing")
    left = "; ".join(f"{each.cluster_id}: {each.orphan.describe()}" for each in found.clusters)
    return Finding("warning", f"clusters without an owner: {left}", "orchestrate clean")


def _existing(path: Path) -> Path:
    """Return the path itself, or its nearest parent that exists."""
    # Path.exists raises for what is in a closed folder.
    return next(each for each in (path, *path.parents) if os.path.exists(each))
