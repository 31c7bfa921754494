"""A client of Grafana's API that hides the token and translates each answer into a result or an error."""

import time
from collections.abc import Callable, MutableMapping
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from orchestrator.errors import InputError, OrchestrateError
from orchestrator.grafana.answers import Health
from orchestrator.inputs.secrets import take_secret
from orchestrator.remote_api import (
    TOO_MANY_REQUESTS,
    USER_AGENT,
    Server,
    Transient,
    Unreachable,
    parse_address,
    send,
)

if TYPE_CHECKING:
    from grafana_client.api import GrafanaApi

    _Request = Callable[[GrafanaApi], Any]

TOKEN_VARIABLE = "ORCHESTRATE_GRAFANA_TOKEN"
TIMEOUT_S = 10.0
ATTEMPTS = 3
HOW_TO_TOKEN = (
    f"put a service account's token into {TOKEN_VARIABLE}; its role: Admin for dashboards push (an Editor needs"
    " --skip datasource), Editor for --annotate"
)

_LONGEST_PAUSE_S = 4.0

_Answer = TypeVar("_Answer")


class WrongToken(InputError):
    """The error for an unknown or expired token. All further requests would fail, too."""


class RequestRefused(OrchestrateError):
    """The error for one refused request, with the HTTP `status`. Other requests may succeed."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def take_token(file: Path | None = None, environment: MutableMapping[str, str] | None = None) -> str:
    """Return the token from a file or from the environment, and delete it there, so that no child process inherits it.

    Raises InputError, which never quotes the content.
    """
    token, source = take_secret(TOKEN_VARIABLE, "--token-file", file, HOW_TO_TOKEN, environment)
    if not token:
        raise InputError("no token for Grafana", HOW_TO_TOKEN)
    if not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(f"{source} holds no token: a token is one line of letters, digits and signs", HOW_TO_TOKEN)
    return token


def grafana_address(text: str, option: str = "--url") -> str:
    """Return the address of a Grafana without a trailing slash. Raises InputError, which shows no password."""
    return parse_address(text, option, "https://grafana.example.com", HOW_TO_TOKEN)


class Grafana:
    """A client that sends requests to one Grafana, and turns each problem into one error.

        grafana = Grafana("https://grafana.example.com", take_token())
        folder = grafana.find(lambda api: api.folder.get_folder("orchestrate"), Folder)

    The client retries a request if the connection broke or Grafana failed (429, 5xx), so requests must be idempotent.
    Not thread-safe.
    """

    def __init__(
        self,
        address: str,
        token: str,
        *,
        timeout_s: float = TIMEOUT_S,
        attempts: int = ATTEMPTS,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = grafana_address(address)
        self._server = Server("Grafana", self.url, (token,), "[token]")
        self._token = token
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._sleep = sleep
        self._api: GrafanaApi | None = None

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        api, self._api = self._api, None
        if api is not None:
            api.client.s.close()

    def __enter__(self) -> "Grafana":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check(self) -> str:
        """Return the version of Grafana. Raises Unreachable if no Grafana answers."""
        try:
            health = self.send(lambda api: api.client.GET("/health"), Health)
        except RequestRefused as refused:
            raise Unreachable(f"{self.url} is not a working Grafana: {refused.message}", "is the URL right?") from None
        if not {"version", "database"} & set(health):
            raise self._server.foreign(health)
        return health.get("version") or "unknown"

    def find(self, request: "_Request", shape: type[_Answer]) -> _Answer | None:
        """Return the answer, or None if the object doesn't exist (404). Raises the errors of `send`."""
        try:
            return self.send(request, shape)
        except RequestRefused as refused:
            if refused.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def write(self, request: "_Request") -> None:
        """Send a request and ignore its answer, if it comes from Grafana. Raises the errors of `send`."""
        answer = self._answer(request)
        if answer is not None:
            self._server.checked(answer, dict[str, Any])

    def send(self, request: "_Request", shape: type[_Answer], attempts: int | None = None) -> _Answer:
        """Return the answer, after at most this number of attempts.

        Raises Unreachable, ForeignAnswer for an answer of an unknown form, WrongToken or RequestRefused.
        """
        return self._server.checked(self._answer(request, attempts), shape)

    def _answer(self, request: "_Request", attempts: int | None = None) -> Any:
        return send(
            lambda: self._once(request),
            attempts=attempts or self._attempts,
            sleep=self._sleep,
            longest_pause_s=_LONGEST_PAUSE_S,
            within_s=2 * self._timeout_s,
        )

    def _once(self, request: "_Request") -> Any:
        from grafana_client.client import GrafanaException
        from requests.exceptions import RequestException

        try:
            return request(self._connected())
        except GrafanaException as error:
            raise self._meaning(error.status_code, error.message, error.response) from None
        except RequestException as error:
            raise self._server.failure(error, self._timeout_s) from None

    def _connected(self) -> "GrafanaApi":
        if self._api is None:
            from grafana_client.api import GrafanaApi

            parts = urlsplit(self.url)
            self._api = GrafanaApi(
                self._token,
                protocol=parts.scheme,
                host=f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or "",
                port=parts.port,
                url_path_prefix=f"{parts.path.lstrip('/')}/" if parts.path else "",
                timeout=self._timeout_s,
                user_agent=USER_AGENT,
            )
            # A redirected POST becomes a GET, which would look like success but change nothing.
            self._api.client.s.max_redirects = 0
        return self._api

    def _meaning(self, status: int, message: object, response: Any) -> Exception:
        if isinstance(response, dict) and response.get("message"):
            message = response["message"]
        said = self._server.excerpt(str(message))
        if status == HTTPStatus.UNAUTHORIZED:
            return WrongToken(f"{self.url} refuses the token (401): {said}", HOW_TO_TOKEN)
        if status == HTTPStatus.FORBIDDEN:
            return RequestRefused(status, f"no permission (403): {said}")
        refused = RequestRefused(status, f"{said} ({status})" if said else f"HTTP {status}")
        return Transient(refused) if status >= 500 or status == TOO_MANY_REQUESTS else refused
