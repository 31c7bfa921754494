"""`orchestrate` as a process that a fault strikes, forked from this one so that no Ray has to be imported."""

import contextlib
import importlib
import os
import pkgutil
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import orchestrator

TIMEOUT_S = 60.0
CALLS = (
    *("write", "pwrite64", "fsync", "fdatasync", "ftruncate", "rename", "unlink", "unlinkat", "mkdir", "openat"),
    "fcntl",
)
"""The system calls that are points: each that changes a file, opens one or takes a lock."""
WRITES = ("write", "pwrite64", "ftruncate", "mkdir", "openat")
"""Those that a full disk can fail."""
DOCUMENTED = {0, 1, 2, 3, 4, 5, 130}
"""The exit codes that the README lists."""


def preload() -> None:
    """Import all modules now, once for all commands to come."""
    for module in pkgutil.walk_packages(orchestrator.__path__, "orchestrator."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, negative for a signal, and all that it said."""

    code: int
    said: str

    def complaint(self, *, signals: Sequence[int] = ()) -> str | None:
        """Return what is wrong with its end; None for a documented exit code and clear words."""
        if self.code < 0 and -self.code in signals:
            return None
        for bad in ("Traceback (most recent call last)", "this is a fault in orchestrate"):
            if bad in self.said:
                return f"{bad}: {self.said[-600:]}"
        if self.code not in DOCUMENTED:
            return f"exit code {self.code}: {self.said[-600:]}"
        if raw := sorted({character for character in self.said if ord(character) < 32 and character not in "\n\t\r"}):
            return f"raw control characters {raw}"
        return None


class Command:
    """A forked `orchestrate` with a home; it waits for `go`, so that a fault can be prepared."""

    def __init__(
        self,
        home: Path,
        *arguments: str,
        memory: int | None = None,
    ) -> None:
        self.arguments = ("--home", str(home), *arguments)
        home.parent.mkdir(parents=True, exist_ok=True)
        self.output = home.parent / f"{home.name}.said"
        self._strace: subprocess.Popen[bytes] | None = None
        self._calls: Path | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._become(memory)
        os.waitpid(self.pid, os.WUNTRACED)

    def _become(self, memory: int | None) -> NoReturn:
        try:
            os.setsid()
            nothing, file = (
                os.open(os.devnull, os.O_RDONLY),
                os.open(self.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
            )
            for number, opened in enumerate((nothing, file, file)):
                os.dup2(opened, number)
            os.environ.update(TMPDIR=str(self.output.parent), COLUMNS="200")
            if memory is not None:
                resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
            sys.argv = ["orchestrate", *self.arguments]
            os.kill(os.getpid(), signal.SIGSTOP)
            from orchestrator.cli import main

            main()
        except SystemExit as ended:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
            os._exit(ended.code if isinstance(ended.code, int) else int(ended.code is not None))
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(70)
        os._exit(0)

    def under_strace(self, calls: Sequence[str], faults: Sequence[str] = (), paths: Sequence[Path] = ()) -> None:
        """Note these system calls; some go wrong as strace's `--inject` says, such as `write:error=EIO:when=3`."""
        self._calls = self.output.with_suffix(".calls")
        injected = [f"--inject={fault}" for fault in faults]
        named = [part for path in paths for part in ("-P", str(path))]
        traced = f"trace={','.join(calls)}"
        command = ["strace", "-qq", "-o", str(self._calls), "-e", traced, *injected, *named, "-p", str(self.pid)]
        self._strace = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while "\nTracerPid:\t0\n" in Path(f"/proc/{self.pid}/status").read_text():
            if self._strace.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("strace can't attach: may this user trace processes?")
            time.sleep(0.002)

    def go(self) -> "Command":
        """Let it run."""
        os.kill(self.pid, signal.SIGCONT)
        return self

    def wait(self, timeout_s: float = TIMEOUT_S) -> Ended:
        """Wait for its end, and end it if it takes too long: its code is that of SIGXCPU then."""
        deadline, status = time.monotonic() + timeout_s, 0
        while True:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                break
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGXCPU)
                deadline += timeout_s
            time.sleep(0.002)
        if self._strace is not None:
            self._strace.wait(20)
        said = self.output.read_text(errors="replace") if self.output.exists() else ""
        return Ended(os.waitstatus_to_exitcode(status), said)

    def calls_made(self) -> list[str]:
        """Return the names of the traced system calls that it made, in order."""
        assert self._calls is not None
        lines = self._calls.read_text(errors="replace").splitlines()
        return [name for line in lines if (name := line.partition("(")[0]).isidentifier()]


def run(home: Path, *arguments: str, timeout_s: float = TIMEOUT_S, memory: int | None = None) -> Ended:
    """Run a command to its end without a fault."""
    return Command(home, *arguments, memory=memory).go().wait(timeout_s)


def can_trace() -> bool:
    """Whether strace is here."""
    return shutil.which("strace") is not None
