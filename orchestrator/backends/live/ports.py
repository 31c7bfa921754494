"""Free ports of this machine's loopback."""

import logging
import socket

from orchestrator.rayapi.environment import LOOPBACK

_log = logging.getLogger(__name__)


def free_ports(count: int) -> list[int]:
    """Return ports that are free now. All are taken at once so that they differ."""
    sockets = [socket.create_server((LOOPBACK, 0)) for _ in range(count)]
    ports = [taken.getsockname()[1] for taken in sockets]
    for taken in sockets:
        taken.close()
    return ports


def free_port_or(wanted: int) -> int:
    """Return the wanted port if it is free, else another one."""
    try:
        socket.create_server((LOOPBACK, wanted)).close()
    except OSError as error:
        (other,) = free_ports(1)
        _log.info("port %d is taken (%s): %d is used", wanted, error.strerror, other)
        return other
    return wanted
