"""`--metrics-port`: serves the metrics of what runs, while it runs."""

import logging
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import InputError, MissingPrerequisite
from orchestrator.logs import suppressed

if TYPE_CHECKING:
    from orchestrator.lab.progress import Reporter
    from orchestrator.metrics.discovery import Target
    from orchestrator.metrics.exporter import Exporter

_log = logging.getLogger(__name__)


LOOPBACK = ("127.0.0.1", "localhost", "::1")
TOKEN_VARIABLE = "ORCHESTRATE_METRICS_TOKEN"


@dataclass(frozen=True)
class Access:
    """The address at which metrics are served, and the token that readers need; empty if they need none."""

    host: str = "127.0.0.1"
    token: str = field(default="", repr=False)


ANYBODY_HERE = Access()


def access(host: str | None, token_file: Path | None = None) -> Access:
    """Return what `--metrics-host` and `--metrics-token-file` say. Raises InputError."""
    from orchestrator.inputs.secrets import take_secret

    token, source = take_secret(TOKEN_VARIABLE, "--metrics-token-file", token_file, "write one line into it")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(f"{source} holds no token: that is one line of letters, digits and signs")
    return Access(host or "127.0.0.1", token)


@contextmanager
def serving(
    exporter: "Exporter",
    targets: "Callable[[], Iterable[Target]]",
    port: int | None,
    reporter: "Reporter",
    to: Access = ANYBODY_HERE,
) -> Iterator[None]:
    """Serve an exporter as `--metrics-port` says. A default port that is taken is no reason not to run a sweep."""
    from orchestrator.metrics.server import DEFAULT_PORT, MetricsServer

    if port == 0:
        yield
        return
    try:
        server = MetricsServer(
            exporter, targets, port=DEFAULT_PORT if port is None else port, host=to.host, token=to.token
        )
    except OSError as error:
        _log.warning("no metrics are served", exc_info=True)
        if port is not None:
            raise InputError(f"--metrics-port {port}: {error.strerror}", "choose another, or 0 for none") from None
        reporter.say(
            f"note: no metrics are served, port {DEFAULT_PORT}: {error.strerror}; another: --metrics-port PORT"
        )
        yield
        return
    with server:
        reporter.say(f"metrics: {server.url}/metrics")
        if to.host not in LOOPBACK:
            who = "who has the token can" if to.token else f"anybody who reaches it can (no {TOKEN_VARIABLE})"
            reporter.say(f"warning: {who} read the metrics, and they travel without encryption")
        try:
            yield
        finally:
            # Everything else is done: Ctrl-C here only means that the user doesn't wait for the last scrape.
            with suppressed(_log, "waiting for the last scrape", KeyboardInterrupt):
                exporter.end()


def check_port(port: int | None, host: str = "127.0.0.1") -> None:
    """Raise InputError for what is not a port, or none that can be listened on, before anything is begun."""
    if port is None or port == 0:
        return
    if not 0 < port < 65_536:
        raise InputError(f"--metrics-port: {port} is not a port", "one from 1 to 65535, or 0 for none")
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        raise InputError(f"--metrics-port {port}: {error.strerror}", "choose another, or 0 for none") from None


def check_default(port: int | None, option: str) -> int:
    """Return the port at which the bundled Prometheus configuration looks, if it is to be this one and is free.

    Raises InputError and MissingPrerequisite: elsewhere it would see nothing of this sweep, or another one.
    """
    from orchestrator.metrics.server import DEFAULT_PORT

    if port not in (None, DEFAULT_PORT):
        raise InputError(f"{option}: its Prometheus looks at port {DEFAULT_PORT} only", "leave --metrics-port out")
    try:
        socket.create_server(("127.0.0.1", DEFAULT_PORT)).close()
    except OSError as error:
        raise MissingPrerequisite(
            f"{option}: its Prometheus looks at port {DEFAULT_PORT}, which can't be had: {error.strerror}",
            f"does another sweep run? wait for its end, or see who listens: ss -ltnp 'sport = :{DEFAULT_PORT}'",
        ) from None
    return DEFAULT_PORT
