"""Find and end the processes of local clusters, and no others.

Every process of a cluster inherits a marker in its environment. Some of Ray's processes overwrite their environment
with their title; those are found by the session that they share with a marked one, since every node process leads a
session of its own.
"""

import contextlib
import os
import time
from pathlib import Path

import psutil

MARKER = "ORCHESTRATE_CLUSTER"
HOME_MARKER = "ORCHESTRATE_CLUSTER_HOME"
# In the midst of `exec` a process shows no environment. So long after it does, unless it is one of the kernel's.
EXEC_S = 0.02


def marker_environment(cluster_id: str, home: Path) -> dict[str, str]:
    """Return the variables that mark the processes of a cluster. Children of Ray's processes inherit them."""
    return {MARKER: cluster_id, HOME_MARKER: str(home.resolve())}


def find_marked(home: Path, cluster_id: str | None = None) -> list[psutil.Process]:
    """Return the live processes of the clusters of `home`, or of one of them, without the calling process."""
    owner = str(home.resolve())
    sessions: dict[int, list[psutil.Process]] = {}
    marked: list[psutil.Process] = []
    marked_sessions: set[int] = set()
    environments: list[tuple[psutil.Process, int, dict[str, str]]] = []
    for process in psutil.process_iter():
        # not logged: processes of the whole machine end, and many aren't ours to read.
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.uids().real != os.getuid():  # anybody can write our marker into an environment
                continue
            session = os.getsid(process.pid)
            sessions.setdefault(session, []).append(process)
            environments.append((process, session, process.environ()))
    if not all(seen for _, _, seen in environments):
        time.sleep(EXEC_S)
    for process, session, seen in environments:
        environment = seen or _environment(process)
        if environment.get(HOME_MARKER) == owner and cluster_id in (None, environment.get(MARKER)):
            marked.append(process)
            marked_sessions.add(session)
    # A node process leads its session. If a foreign process leads it, such as a shell, the marked one is only a guest.
    # Session 0 is led from outside the PID namespace: the kernel's own processes are in it, or a whole container's.
    pids = {process.pid for process in marked}
    strangers = {0, os.getsid(0)}
    led_by_us = {session for session in marked_sessions - strangers if session in pids or not _lives(session)}
    members = [process for session in led_by_us for process in sessions[session]]
    return sorted({*marked, *members}, key=lambda process: process.pid)


def _environment(process: psutil.Process) -> dict[str, str]:
    """Return a process's environment; empty if it is gone, can't be read, or has none, as the kernel's own."""
    try:
        return dict(process.environ())
    except (psutil.Error, OSError):
        # not logged: processes of the whole machine end, and many aren't ours to read.
        return {}


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        # not logged: it is the answer.
        return False


def end_marked(home: Path, cluster_id: str | None = None, *, within_s: float = 8.0) -> int:
    """Kill all of a cluster, or of all clusters of `home`, until none is left; return the number of processes."""
    deadline, ended = time.monotonic() + within_s, 0
    while (found := find_marked(home, cluster_id)) and time.monotonic() < deadline:
        for process in found:
            # not logged: it has ended, as it should.
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(found, timeout=5)
        ended += len(found)
    return ended
