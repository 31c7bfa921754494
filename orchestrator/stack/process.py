"""The process of a native Prometheus: known by its record, or by the folder that it stores into."""

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
    """The process that was started: where it listens, and a digest of all that it was started with."""

    pid: int
    started: float
    port: int
    command: tuple[str, ...]
    settings: str

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """What `write` wrote; None if the file is missing or damaged."""
        try:
            record = cls(**json.loads(path.read_text()))
            return cls(int(record.pid), float(record.started), int(record.port), tuple(record.command), record.settings)
        except (OSError, ValueError, TypeError):
            _log.debug("no process in %s", path, exc_info=True)
            return None

    @classmethod
    def storing_into(cls, data: Path) -> Self | None:
        """A process that has this folder for its metrics, whose settings nobody wrote down; None if there is none."""
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
        """Whole or not at all. Raises OSError."""
        write_atomically(path, json.dumps(asdict(self)))

    @property
    def alive(self) -> bool:
        """Whether that very process still runs."""
        if process_alive(self.pid, self.started):
            return True
        # All start times move when the clock is set, but nobody else stores into this home's folder.
        try:
            return tuple(psutil.Process(self.pid).cmdline()) == self.command
        except psutil.Error:
            # not logged: the process has ended, which is the answer.
            return False

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def end(self, kill_after_s: float) -> bool:
        """End that process, by force if it doesn't by itself; returns whether it ran."""
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
