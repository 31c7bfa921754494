"""What is asked over HTTP: whatever listens there, the answer is a status."""

import socket
import threading
from collections.abc import Iterator

import pytest

from orchestrator.stack.probes import fetch


@pytest.fixture(params=[b"SSH-2.0-OpenSSH_9.2\r\n", b"\x16\x03\x01garbage", b""])
def stranger(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of somebody who doesn't speak HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(request.param)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/-/ready"
        thread.join()


def test_who_does_not_speak_http_is_as_nobody(stranger: str) -> None:
    assert fetch(stranger) == (0, b"")
