"""Submission of a job through Ray's jobs API: the stress job or a script, and a reader that follows its log."""

import asyncio
import json
import logging
import shlex
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.errors import WorkloadFailed
from orchestrator.model.group import Group
from orchestrator.model.workload import Workload
from orchestrator.rayapi.jobs import job_client
from orchestrator.workload.stress import MARK

_log = logging.getLogger(__name__)

Message = dict[str, Any]
# Linux takes arguments of up to 128 KiB, and quotes add to them.
_LONGEST_ARGUMENT = 100_000
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


def stress_entrypoint(workload: Workload, seed: int, address: str, python: str = sys.executable) -> str:
    """Return the shell command that runs the stress job on a head where this package is installed for `python`.

    `address` is the GCS as `host:port`. Don't pass `auto`: on a machine with several clusters, Ray may choose another
    one. Raises WorkloadFailed for a workload that is too long for a command.
    """
    request = json.dumps({**stress_request(workload, seed), "address": address})
    if len(request) > _LONGEST_ARGUMENT:
        raise WorkloadFailed(
            f"the workload takes {len(request)} characters, and a command holds {_LONGEST_ARGUMENT}",
            "describe it with fewer groups, requests or samples",
        )
    # In place of -P, which Python 3.10 refuses.
    return f"PYTHONSAFEPATH=1 {shlex.quote(python)} -m orchestrator.workload.stress {shlex.quote(request)}"


def stress_request(workload: Workload, seed: int) -> dict[str, Any]:
    """Return a workload as the stress job takes it: its groups with all their values, and its requests."""
    return {
        "groups": [_group(group) for group in workload.work],
        "requests": [
            {"at_s": request.at_s, "bundles": [bundle.resources for bundle in request.bundles]}
            for request in workload.requests
        ],
        "seed": seed,
    }


def _group(group: Group) -> dict[str, Any]:
    names = (
        "name", "of", "count", "cpus", "resources", "labels", "kind", "strategy", "at_s", "after",
        "arrival", "arrival_s", "waves", "arrival_parameters",
    )  # fmt: skip
    return {
        **{name: getattr(group, name) for name in names},
        "seconds": group.seconds.model_dump(),
        "bundles": [bundle.resources for bundle in group.bundles],
    }


class SubmittedJob:
    """One submitted job. Its log is copied to `log_path` as it grows, in a thread of its own.

    `what` names the job in messages. Raises WorkloadFailed if the jobs API refuses it.
    """

    what = "the job"

    def __init__(
        self, dashboard: str, entrypoint: str, log_path: Path, runtime_env: Mapping[str, Any] | None = None
    ) -> None:
        self._log_path = log_path
        try:
            self._client = job_client(dashboard)
            self.job_id: str = self._client.submit_job(
                entrypoint=entrypoint, runtime_env=None if runtime_env is None else dict(runtime_env)
            )
        except Exception as error:  # errors of requests, and Ray's RuntimeError and ConnectionError, mean the same here
            raise WorkloadFailed(f"Ray's jobs API at {dashboard} refused the job: {error}") from error
        self._thread = threading.Thread(target=self._follow, name="orchestrate-job-log", daemon=True)
        self._thread.start()

    def status(self) -> str:
        """Return Ray's name for the job's state: PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED.

        Returns UNKNOWN while the jobs API doesn't answer, as happens on a busy head; call again later.
        """
        try:
            return str(self._client.get_job_status(self.job_id).value)
        except Exception:  # requests' and Ray's own, which have no common base
            _log.debug("the jobs API gives no status", exc_info=True)
            return "UNKNOWN"

    def ended(self) -> bool:
        """Return whether the job has ended, successfully or not."""
        return self.status() in _ENDED

    def check(self) -> None:
        """Raise WorkloadFailed with Ray's reason if the job has failed or was stopped."""
        if self.status() in ("FAILED", "STOPPED"):
            raise WorkloadFailed(f"{self.what} failed: {self._reason()}", f"log: {self._log_path}")

    def _reason(self) -> str:
        try:
            message = self._client.get_job_info(self.job_id).message or ""
        except Exception as error:
            _log.warning("the jobs API gives no reason", exc_info=True)
            message = str(error)
        return (message.strip().splitlines() or ["Ray gives no reason"])[-1]

    def finish(self, timeout_s: float = 10.0) -> None:
        """Read the whole log again, so that nothing is missed if following it was interrupted."""
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise WorkloadFailed(f"{self.what} has ended, but its log doesn't", f"log: {self._log_path}")
        try:
            text = self._client.get_job_logs(self.job_id)
        except Exception as error:
            raise WorkloadFailed(f"the log of {self.what} can't be read: {error}") from error
        self._log_path.write_text(text)
        self._read_again(text.splitlines())

    def _follow(self) -> None:
        try:
            asyncio.run(self._tail())
        except Exception:  # `finish` reads what is missing
            _log.info("following the job's log broke off", exc_info=True)
            return

    async def _tail(self) -> None:
        rest = ""
        with self._log_path.open("w") as log:
            async for chunk in self._client.tail_job_logs(self.job_id):
                log.write(chunk)
                log.flush()
                *lines, rest = (rest + chunk).split("\n")
                for line in lines:
                    self._read(line)

    def _read(self, line: str) -> None:
        """Take a complete line of the log."""

    def _read_again(self, lines: Sequence[str]) -> None:
        """Take all lines of the log, after its end."""


class StressJob(SubmittedJob):
    """The stress job. Its reports are passed to `on_message`.

    `on_message` is called in the thread that follows the log, with the messages that `stress` describes.
    """

    what = "the stress job"

    def __init__(self, dashboard: str, entrypoint: str, log_path: Path, on_message: Callable[[Message], None]) -> None:
        self._on_message = on_message
        self._lines_seen = 0
        super().__init__(dashboard, entrypoint, log_path)

    def _read(self, line: str) -> None:
        self._lines_seen += 1
        if line.startswith(MARK):
            try:
                message = json.loads(line.removeprefix(MARK))
            except ValueError:
                _log.warning("a damaged line in the job's log: %.200r", line)
                return  # another process wrote into the line; validity will report its tasks as missing
            self._on_message(message)

    def _read_again(self, lines: Sequence[str]) -> None:
        for line in lines[self._lines_seen :]:
            self._read(line)


class ScriptJob(SubmittedJob):
    """The user's own script."""

    def submitted(self) -> float:
        """Return when the job was submitted, in UNIX seconds, as Ray recorded it. Raises WorkloadFailed."""
        return self._moment("start_time")

    def end(self) -> float:
        """Return when the job ended, in the same way."""
        return self._moment("end_time")

    def _moment(self, name: str) -> float:
        try:
            milliseconds = getattr(self._client.get_job_info(self.job_id), name)
        except Exception as error:  # requests' and Ray's own, which have no common base
            raise WorkloadFailed(f"Ray's jobs API gives no {name} of the job: {error}") from error
        if milliseconds is None:
            raise WorkloadFailed(f"Ray has no {name} of the job", f"log: {self._log_path}")
        return float(milliseconds) / 1000
