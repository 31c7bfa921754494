"""Asks Prometheus and Grafana over HTTP whether they are ready."""

import base64
import http.client
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

_TIMEOUT_S = 5.0
_LINE_LENGTH = 300

Fetch = Callable[[str, str | None], tuple[int, bytes]]
"""Status and body of a URL, asked with Grafana's admin password if one is given; status 0 if nobody answers."""


class WrongPassword(Exception):
    """Grafana knows another password than the file holds: its volume is older than the file."""


def fetch(url: str, password: str | None = None) -> tuple[int, bytes]:
    """The real one; a proxy that the environment names is for the world outside, not for 127.0.0.1."""
    request = urllib.request.Request(url)
    if password is not None:
        request.add_header("Authorization", f"Basic {base64.b64encode(f'admin:{password}'.encode()).decode()}")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""
    except (OSError, http.client.HTTPException):  # the latter: who listens there doesn't speak HTTP
        return 0, b""


def answers(ask: Fetch, url: str) -> bool:
    """Whether a URL answers 200."""
    return ask(url, None)[0] == HTTPStatus.OK


def missing_dashboards(ask: Fetch, grafana: str, password: str, wanted: set[str]) -> set[str]:
    """The uids that Grafana's search doesn't find. Raises WrongPassword."""
    status, body = ask(f"{grafana}/api/search?type=dash-db&limit=5000", password)
    if status == HTTPStatus.UNAUTHORIZED:
        raise WrongPassword
    if status != HTTPStatus.OK:
        return wanted
    try:
        return wanted - {str(found["uid"]) for found in json.loads(body)}
    except (ValueError, TypeError, KeyError):
        return wanted


def dashboard_uids(folder: Path) -> set[str]:
    """The uids of the dashboards in a folder."""
    return {str(json.loads(file.read_text())["uid"]) for file in sorted(folder.glob("*.json"))}


def is_taken(port: int) -> bool:
    """Whether somebody listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        # As Go's servers do: connections of an earlier one that still linger are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def last_words(said: str) -> str:
    """The line of a service's log that tells most of why it isn't ready."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if "err" in line.lower()] or lines or ["nothing"]
    return telling[-1][:_LINE_LENGTH]
