"""The process of a native Prometheus, identified by its record or by its data folder."""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import psutil

from orchestrator.backends.live.ownership import process_alive
from orchestrator.filesystem import write_atomically
from orchestrator.logs import suppressed

_log = logging.getLogger(__name__)

STORAGE = "--storage.tsdb.path"
_LISTEN = "--web.listen-address"


@dataclass(frozen=True)
class Running:
    """The started process, with its port and a digest of its command and files."""

    pid: int
    started: float
    port: int
    command: tuple[str, ...]
    settings: str

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return the record that `write` wrote, or None if the file is missing or damaged."""
        try:
            record = cls(**json.loads(path.read_text()))
            return cls(int(record.pid), float(record.started), int(record.port), tuple(record.command), record.settings)
        except (OSError, ValueError, TypeError):
            _log.debug("no process in %s", path, exc_info=True)
            return None

    @classmethod
    def storing_into(cls, data: Path) -> Self | None:
        """Return a process that uses this data folder, with unknown settings, or None if there is none."""
        flag = f"{STORAGE}={data}"
        for process in psutil.process_iter(["pid", "cmdline", "create_time"]):
            command = tuple(process.info["cmdline"] or ())
            if flag in command:
                address = next((each for each in command if each.startswith(f"{_LISTEN}=")), "")
                with suppressed(_log, "reading the port of Prometheus", ValueError):
                    port = int(address.rpartition(":")[2])
                    return cls(process.info["pid"], process.info["create_time"], port, command, settings="")
        return None

    def write(self, path: Path) -> None:
        """Write the record atomically. Raises OSError."""
        write_atomically(path, json.dumps(asdict(self)))

    @property
    def alive(self) -> bool:
        """True if this process, and no other with the same pid, still runs."""
        if process_alive(self.pid, self.started):
            return True
        # Setting the clock changes all start times, but no other process stores into this home's folder.
        try:
            return tuple(psutil.Process(self.pid).cmdline()) == self.command
        except psutil.Error:
            # not logged: the process has ended, which is the answer.
            return False

    @property
    def url(self) -> str:
        """The process's URL."""
        return f"http://127.0.0.1:{self.port}"

    def end(self, kill_after_s: float) -> bool:
        """Terminate the process, and kill it if it doesn't end. Return whether it ran."""
        with suppressed(_log, f"ending process {self.pid}", psutil.NoSuchProcess):
            # psutil refuses to signal another process that got the pid since this line.
            process = psutil.Process(self.pid)
            if self.alive:
                process.terminate()
                try:
                    process.wait(kill_after_s)
                except psutil.TimeoutExpired:
                    _log.warning("process %d doesn't end: killing it", self.pid)
                    process.kill()
                    process.wait(kill_after_s)
                return True
        return False
