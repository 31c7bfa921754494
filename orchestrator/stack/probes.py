"""HTTP probes that check whether Prometheus and Grafana are ready."""

import json
import logging
import socket
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

_log = logging.getLogger(__name__)

_TIMEOUT_S = 5.0
_LINE_LENGTH = 300

Fetch = Callable[[str, str | None], tuple[int, bytes]]
"""Returns status and body of a URL, for Grafana's admin password if one is given; status 0 if nothing answers."""


class WrongPassword(Exception):
    """Grafana's password isn't the one in the file: its volume is older than the file."""


def fetch(url: str, password: str | None = None) -> tuple[int, bytes]:
    """Return status and body of a URL; an error status has no body. Proxies of the environment aren't used."""
    import requests
    from requests.auth import HTTPBasicAuth

    with requests.Session() as session:
        session.trust_env = False  # neither proxies, which are for the world outside 127.0.0.1, nor a .netrc
        if password is not None:
            session.auth = HTTPBasicAuth(b"admin", password.encode())
        try:
            answer = session.get(url, timeout=_TIMEOUT_S)
        except (requests.RequestException, OSError):  # also of a server that doesn't speak HTTP
            _log.debug("no answer from %s", url, exc_info=True)
            return 0, b""
    return answer.status_code, answer.content if answer.ok else b""


def answers(ask: Fetch, url: str) -> bool:
    """Return whether a URL answers 200."""
    return ask(url, None)[0] == HTTPStatus.OK


def missing_dashboards(ask: Fetch, grafana: str, password: str, wanted: set[str]) -> set[str]:
    """Return the uids that Grafana's search doesn't find. Raises WrongPassword."""
    status, body = ask(f"{grafana}/api/search?type=dash-db&limit=5000", password)
    if status == HTTPStatus.UNAUTHORIZED:
        raise WrongPassword
    if status != HTTPStatus.OK:
        return wanted
    try:
        return wanted - {str(found["uid"]) for found in json.loads(body)}
    except (ValueError, TypeError, KeyError):
        _log.debug("the search of Grafana answers something else", exc_info=True)
        return wanted


def dashboard_uids(folder: Path) -> set[str]:
    """Return the uids of the dashboards in a folder."""
    return {str(json.loads(file.read_text())["uid"]) for file in sorted(folder.glob("*.json"))}


def is_taken(port: int) -> bool:
    """Return whether a process listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        # As Go's servers do: lingering connections of an earlier server are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            # not logged: it is the answer.
            return True
    return False


def last_words(said: str) -> str:
    """Return the line of a service's log that best explains why it isn't ready."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if "err" in line.lower()] or lines or ["nothing"]
    return telling[-1][:_LINE_LENGTH]
