"""A client of Prometheus' API for queries and remote write. It never shows credentials."""

import base64
import logging
import time
from collections.abc import Callable, Mapping, MutableMapping
from email.utils import parsedate_to_datetime
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypeVar

from typing_extensions import TypedDict

from orchestrator.errors import InputError, MissingPrerequisite
from orchestrator.inputs.secrets import take_secret
from orchestrator.remote_api import TOO_MANY_REQUESTS, USER_AGENT, Server, Transient, is_web_page, send

if TYPE_CHECKING:
    import requests

_log = logging.getLogger(__name__)

CREDENTIALS_VARIABLE = "ORCHESTRATE_PROMETHEUS_CREDENTIALS"
HOW_TO_CREDENTIALS = f"put user:password, or a bearer token, into {CREDENTIALS_VARIABLE} or a file (--credentials-file)"
TIMEOUT_S = 60.0
ATTEMPTS = 4
# A longer requested pause is an error.
LONGEST_WAIT_S = 60.0

_LONGEST_PAUSE_S = 8.0
_WINDOW = "storage.tsdb.out_of_order_time_window"
_MOVE = "or let the trials end now: --end-now"
# Messages for samples that the server will never accept, whatever the status: 2.42 answers the first with 500.
_FOR_GOOD = {
    "too old sample": f"make {_WINDOW} in its prometheus.yml longer, {_MOVE}",
    "out of bounds": f"set {_WINDOW} in its prometheus.yml, as in the stack's, {_MOVE}",
    "out of order": f"it has later samples of these trials; set {_WINDOW} in its prometheus.yml, {_MOVE}",
    "duplicate sample": f"it has other values at the same times: did the trials run again? {_MOVE}",
}

_Kind = TypeVar("_Kind")


class _Series(TypedDict):
    metric: dict[str, str]


class InstantSeries(_Series):
    """One series of an instant query: its labels, and UNIX seconds with the value."""

    value: tuple[float, float]


class RangeSeries(_Series):
    """One series of a range query: its labels, and UNIX seconds with each value."""

    values: list[tuple[float, float]]


class _Answer(TypedDict):
    status: Literal["success", "error"]
    error: NotRequired[str]
    data: NotRequired[dict[str, Any]]


def take_credentials(file: Path | None = None, environment: MutableMapping[str, str] | None = None) -> str:
    """Return `user:password` or a token from a file or the environment, and delete it there; empty if there is none.

    Raises InputError, which never quotes the content.
    """
    found, source = take_secret(CREDENTIALS_VARIABLE, "--credentials-file", file, HOW_TO_CREDENTIALS, environment)
    if not found.isprintable() or (":" not in found and (" " in found or not found.isascii())):
        raise InputError(f"{source} holds no credentials: they must be one line", HOW_TO_CREDENTIALS)
    return found


class Prometheus:
    """A client that sends requests to one Prometheus, and turns each problem into one error with the user's next step.

        prometheus = Prometheus("http://127.0.0.1:9090", take_credentials())
        prometheus.at("up", time.time())

    The client retries a request if the connection broke or the server was busy or failed (429, 5xx), as the
    specification of remote write requires, so requests must be idempotent. Raises MissingPrerequisite if retries don't
    help or no Prometheus answers, and InputError if it refuses the request. Not thread-safe.
    """

    def __init__(
        self,
        url: str,
        credentials: str = "",
        *,
        attempts: int = ATTEMPTS,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = url
        self._server = Server(
            "Prometheus",
            url,
            _secrets(credentials),
            "[credentials]",
            "check that it runs; to start your own: orchestrate stack up",
        )
        self._credentials = credentials
        self._attempts = attempts
        self._sleep = sleep
        self._clock = clock

    def at(self, expression: str, t: float) -> list[InstantSeries]:
        """Return the series of an instant query at `t`, UNIX seconds."""
        return self._ask("query", {"query": expression, "time": str(t)}, InstantSeries)

    def over(self, expression: str, begin: float, end: float, step_s: float) -> list[RangeSeries]:
        """Return the series of a range query."""
        query = {"query": expression, "start": str(begin), "end": str(end), "step": str(step_s)}
        return self._ask("query_range", query, RangeSeries)

    def write(self, body: bytes) -> None:
        """Send one request of remote write 1.0."""
        headers = {
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "snappy",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
        }
        answer = self._send("write", body, headers)
        if answer.status_code == HTTPStatus.NOT_FOUND:
            raise MissingPrerequisite(
                f"the Prometheus at {self.url} doesn't accept samples",
                "start it with --web.enable-remote-write-receiver",
            )
        if not answer.ok:
            raise InputError(
                f"the Prometheus at {self.url} refuses the samples: {self._server.excerpt(answer.text)}",
                next((hint for words, hint in _FOR_GOOD.items() if words in answer.text), None),
            )
        if is_web_page(answer.text):  # of a proxy: nothing was written
            raise self._server.foreign(answer.text)

    def _ask(self, path: str, query: Mapping[str, str], shape: type[_Kind]) -> list[_Kind]:
        response = self._send(path, query, {})
        try:
            answer = self._server.checked(response.json(), _Answer)
        except ValueError:
            raise self._server.foreign(response.text) from None
        if answer["status"] == "error":
            problem = self._server.clean(answer.get("error", "it doesn't say why"))
            raise InputError(f"the Prometheus at {self.url} can't evaluate a query: {problem}")
        return self._server.checked(answer.get("data", {}).get("result"), list[shape])  # type: ignore[valid-type]

    def _send(self, path: str, body: Any, headers: Mapping[str, str]) -> "requests.Response":
        return send(
            lambda: self._once(path, body, headers),
            attempts=self._attempts,
            sleep=self._sleep,
            longest_pause_s=_LONGEST_PAUSE_S,
        )

    def _once(self, path: str, body: Any, headers: Mapping[str, str]) -> "requests.Response":
        from requests.exceptions import RequestException

        try:
            # A redirected POST becomes a GET, which would look like success but write nothing.
            answer = self._session.post(
                f"{self.url}/api/v1/{path}", body, headers=headers, timeout=TIMEOUT_S, allow_redirects=False
            )
        except RequestException as error:
            raise self._server.failure(error, TIMEOUT_S) from None
        self._look_at(answer)
        return answer

    def _look_at(self, answer: "requests.Response") -> None:
        """Raise the error for a status that means the same for every request."""
        status = answer.status_code
        if 300 <= status < 400:
            raise self._server.redirects(answer.headers.get("Location", ""))
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            if self._credentials:
                raise InputError(f"{self.url} refuses the credentials ({status})", HOW_TO_CREDENTIALS)
            raise MissingPrerequisite(f"{self.url} asks for credentials ({status})", HOW_TO_CREDENTIALS)
        if (status >= 500 or status == TOO_MANY_REQUESTS) and not any(words in answer.text for words in _FOR_GOOD):
            said = self._server.excerpt(answer.text)
            error = MissingPrerequisite(
                f"the Prometheus at {self.url} is busy, or has failed ({status}): {said}",
                "try again later; samples already written are kept",
            )
            after_s = self._after(answer)
            if after_s is not None and after_s > LONGEST_WAIT_S:
                raise error
            raise Transient(error, after_s)

    def _after(self, answer: "requests.Response") -> float | None:
        """Return the pause in seconds that the server requests as a number or a date, or None."""
        said = answer.headers.get("Retry-After", "").strip()
        if said.isdecimal():
            return float(said)
        try:
            return max(0.0, parsedate_to_datetime(said).timestamp() - self._clock())
        except ValueError:
            _log.debug("Retry-After can't be read", exc_info=True)
            return None

    @cached_property
    def _session(self) -> "requests.Session":
        import requests
        from requests.auth import HTTPBasicAuth

        session = requests.Session()
        session.headers["User-Agent"] = USER_AGENT
        user, colon, password = self._credentials.partition(":")
        if colon:
            session.auth = HTTPBasicAuth(user.encode(), password.encode())
        elif self._credentials:
            session.auth = self._bear  # a header would give way to a .netrc
        return session

    def _bear(self, request: "requests.PreparedRequest") -> "requests.PreparedRequest":
        request.headers["Authorization"] = f"Bearer {self._credentials}"
        return request


def _secrets(credentials: str) -> tuple[str, ...]:
    """Return the forms of the credentials that an answer could quote."""
    return (credentials, credentials.partition(":")[2], base64.b64encode(credentials.encode()).decode())
