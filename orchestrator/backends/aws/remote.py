"""SSH to a head: commands, files followed from the byte where they broke off, and tunnels that are dug again.

Each ssh process holds the read end of a pipe whose other end is ours: it ends with us, also after `kill -9`.
"""

import contextlib
import logging
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from orchestrator.errors import ClusterFailed
from orchestrator.logs import suppressed

_log = logging.getLogger(__name__)

_AGAIN_S = 0.5
_COMMAND_S = 30.0
_END_S = 5.0
_LONGEST = 300
# A connection over which nothing comes back for 30 s is dead.
_OPTIONS = {
    "StrictHostKeyChecking": "accept-new",
    "IdentitiesOnly": "yes",
    "BatchMode": "yes",
    "LogLevel": "ERROR",
    "ConnectTimeout": "10",
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "6",
    "ExitOnForwardFailure": "yes",
}
# The remote command ends when its standard input does: when this process has ended, or the connection.
_UNTIL_EOF = "cat >/dev/null"


@dataclass(frozen=True)
class Login:
    """A user at an address, with the private key. `known_hosts` keeps the host's key from its first use on."""

    user: str
    address: str
    key: Path
    known_hosts: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, *options: str) -> list[str]:
        """Return the command line of ssh up to its destination."""
        given = {**_OPTIONS, "UserKnownHostsFile": str(self.known_hosts)}
        words = [word for name, value in given.items() for word in ("-o", f"{name}={value}")]
        return ["ssh", "-i", str(self.key), *words, *options, f"{self.user}@{self.address}"]


class Remote:
    """A machine behind SSH until `close`. Streams and tunnels begin again by themselves when the network breaks."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._children: set[subprocess.Popen[bytes]] = set()
        self._threads: list[threading.Thread] = []

    def run(self, command: str, stdin: bytes = b"", timeout_s: float = _COMMAND_S) -> str:
        """Run a command and return its output. Raises ClusterFailed if it fails or the machine doesn't answer."""
        what = f"ssh {self._login.user}@{self._login.address} {command[:60]!r}"
        with self._child([*self._login.command(), command], subprocess.PIPE) as child:
            try:
                out, err = child.communicate(stdin, timeout_s)
            except subprocess.TimeoutExpired:
                child.kill()
                raise ClusterFailed(f"{what}: no answer within {timeout_s:g} s") from None
        if child.returncode:
            raise ClusterFailed(f"{what}: {err.decode(errors='replace').strip()[-_LONGEST:]}")
        return out.decode(errors="replace")

    def follow(self, there: str, here: Path) -> None:
        """Append to the file `here` as the file `there` grows, from the byte on that `here` lacks."""
        here.touch()

        def once() -> None:
            offset = here.stat().st_size + 1
            tail = f"tail -c +{offset} -s 0.2 -F {there} 2>/dev/null & {_UNTIL_EOF}; kill $!"
            with here.open("ab") as out, self._child([*self._login.command(), tail], out) as child:
                child.wait()

        self._keep(once, f"orchestrate-tail-{here.name}")

    def forward(self, ports: Mapping[int, int], socks: int | None = None) -> None:
        """Forward ports of this machine's loopback to those of the head's; `socks` is the port of a SOCKS proxy."""
        tunnels = [word for here, there in ports.items() for word in ("-L", f"127.0.0.1:{here}:127.0.0.1:{there}")]
        proxy = ["-D", f"127.0.0.1:{socks}"] if socks is not None else []

        def once() -> None:
            command = [*self._login.command(*tunnels, *proxy), _UNTIL_EOF]
            with self._child(command, subprocess.DEVNULL) as child:
                child.wait()

        self._keep(once, "orchestrate-tunnel")

    def close(self) -> None:
        """End every ssh process; safe to call twice."""
        self._closing.set()
        with self._lock:
            children = list(self._children)
        for child in children:
            with suppressed(_log, "ending ssh", ProcessLookupError):
                child.kill()
        for thread in self._threads:
            thread.join(_END_S)

    def _keep(self, once: Callable[[], None], name: str) -> None:
        """Do something in a thread, again and again until `close`."""

        def again() -> None:
            while not self._closing.is_set():
                with suppressed(_log, name, ClusterFailed):
                    once()
                if not self._closing.wait(_AGAIN_S):
                    _log.info("%s to %s has ended, and begins again", name, self._login.address)

        thread = threading.Thread(target=again, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    @contextlib.contextmanager
    def _child(self, command: Sequence[str], out: IO[bytes] | int) -> "Iterator[subprocess.Popen[bytes]]":
        """Run ssh until the block ends."""
        with self._lock:
            if self._closing.is_set():
                raise ClusterFailed("the connection to the head is being closed")
            child: subprocess.Popen[bytes] = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.PIPE if out == subprocess.PIPE else subprocess.DEVNULL,
                env=dict(self._login.environment),
                start_new_session=True,
            )
            self._children.add(child)
        try:
            with child:
                try:
                    yield child
                finally:
                    if child.poll() is None:
                        child.kill()
        finally:
            with self._lock:
                self._children.discard(child)
