"""A Docker socket whose connections a test can cut, as when the daemon is restarted or its host goes away."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

CHUNK = 1 << 16


class CuttableSocket:
    """A Unix socket at `path` that forwards to another one until `cut()`."""

    def __init__(self, path: Path, behind: Path) -> None:
        self.path = path
        self._behind = behind
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(128)
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    @property
    def url(self) -> str:
        """For DOCKER_HOST."""
        return f"unix://{self.path}"

    def cut(self) -> None:
        """Drop all connections and refuse new ones; the file stays, as a killed daemon leaves it."""
        with self._lock:
            listener, self._listener = self._listener, None
            dropped = [*self._open, *([listener] if listener else [])]
            for end in dropped:
                with contextlib.suppress(OSError):  # the other side was faster
                    end.shutdown(socket.SHUT_RDWR)
            if listener is not None:
                listener.close()
            self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:  # cut
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(str(self._behind))
            except OSError:
                client.close()
                server.close()
                continue
            with self._lock:
                if self._listener is not listener:  # cut in the meantime
                    client.close()
                    server.close()
                    return
                self._open |= {client, server}
            threading.Thread(target=self._forward, args=[client, server], daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        answers = threading.Thread(target=_copy, args=[server, client], daemon=True)
        answers.start()
        _copy(client, server)
        answers.join()
        with self._lock:
            self._open -= {client, server}
        client.close()
        server.close()


def _copy(source: socket.socket, to: socket.socket) -> None:
    """Until the source ends; the other direction may go on, as while a build's context has been sent."""
    with contextlib.suppress(OSError):  # cut, or gone
        while chunk := source.recv(CHUNK):
            to.sendall(chunk)
    with contextlib.suppress(OSError):
        to.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def cuttable(path: Path, docker_host: str) -> Iterator[CuttableSocket]:
    """A socket at `path` in front of the engine at `docker_host` (unix://…), cut when the block ends."""
    made = CuttableSocket(path, Path(docker_host.removeprefix("unix://")))
    try:
        yield made
    finally:
        made.cut()
        path.unlink(missing_ok=True)
