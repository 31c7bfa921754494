"""Free ports of this machine's loopback."""

import socket

from orchestrator.rayapi.environment import LOOPBACK


def free_ports(count: int) -> list[int]:
    """Return ports that are free now. All are taken at once so that they differ."""
    sockets = [socket.create_server((LOOPBACK, 0)) for _ in range(count)]
    ports = [taken.getsockname()[1] for taken in sockets]
    for taken in sockets:
        taken.close()
    return ports
