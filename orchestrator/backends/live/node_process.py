"""The process that holds a Ray node, on this machine or in a container.

Run it as `python -m orchestrator.backends.live.node_process OPTIONS.json`.

It starts the node's processes as its own children in its own session, says `ready`, and ends with them: when one of
them dies the others go too, and on SIGTERM all do. So a node is one process to its parent, whatever Ray makes of it.
"""

import contextlib
import json
import os
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from types import FrameType

from orchestrator.rayapi.node import NodeOptions, start_node

try:
    import psutil
except ImportError:
    # not logged: an image without psutil has the one that Ray brings.
    import_module("ray")
    import psutil


READY = "ready"
GRACE_S = 3.0
_POLL_S = 0.25


def session_members(session: int) -> list[psutil.Process]:
    """Return the live processes of a session, without its leader and without zombies."""
    members = []
    for pid in psutil.pids():
        try:
            if pid != session and os.getsid(pid) == session:
                process = psutil.Process(pid)
                if process.status() != psutil.STATUS_ZOMBIE:
                    members.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            # not logged: the process has ended.
            continue
    return members


def end_session(session: int, grace_s: float) -> None:
    """End every member of a session: the raylet first, so that it takes leave of the GCS, then the rest by force."""
    deadline = time.monotonic() + grace_s
    raylets = [process for process in session_members(session) if _name(process) == "raylet"]
    for raylet in raylets:
        _signal(raylet, signal.SIGTERM)
    psutil.wait_procs(raylets, timeout=max(0.0, deadline - time.monotonic()))
    while members := session_members(session):
        for process in members:
            _signal(process, signal.SIGKILL)
        psutil.wait_procs(members, timeout=0.5)


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        # not logged: the process has ended.
        return ""


def _signal(process: psutil.Process, number: int) -> None:
    # not logged: the process has ended.
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


class _Stop(BaseException):
    """SIGTERM arrived."""


def _raise_stop(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Stop


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
    return f": {lines[-1]}" if lines else ""


def main(options_file: str) -> int:
    """Hold the node that the file describes until it ends; return 0 after SIGTERM or a drain."""
    signal.signal(signal.SIGTERM, _raise_stop)
    try:
        options = NodeOptions(**json.loads(Path(options_file).read_text()))
        dead = start_node(options)
        print(READY, flush=True)
        while not (codes := dead()):
            time.sleep(_POLL_S)
        logs = Path(options.temp_dir) / "session_latest" / "logs"
        ended = (f"{name} ({code}){_last_line(logs / f'{name}.err')}" for name, code in codes.items())
        print("ended: " + ", ".join(ended), file=sys.stderr, flush=True)
        grace = 0.0
        return max(map(abs, codes.values()))
    except _Stop:
        # not logged: the way to end.
        grace = GRACE_S
        return 0
    except BaseException:
        grace = 0.0
        raise
    finally:
        end_session(os.getpid(), grace)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
