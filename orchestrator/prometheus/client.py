"""A Prometheus reached through its API: asked and written to, again where that helps; credentials are never shown."""

import base64
import time
from collections.abc import Callable, Mapping, MutableMapping
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import InputError, MissingPrerequisite, OrchestrateError
from orchestrator.inputs.secrets import take_secret

if TYPE_CHECKING:
    import requests
    from tenacity import RetryCallState

CREDENTIALS_VARIABLE = "ORCHESTRATE_PROMETHEUS_CREDENTIALS"
HOW_TO_CREDENTIALS = f"put user:password, or a bearer token, into {CREDENTIALS_VARIABLE} or a file (--credentials-file)"
TIMEOUT_S = 60.0
ATTEMPTS = 4
# A server that wants to be left alone for longer is told of, not waited for.
LONGEST_WAIT_S = 60.0

_MAX_MESSAGE = 300
_TOO_MANY_REQUESTS = 429
_WINDOW = "storage.tsdb.out_of_order_time_window"
_MOVE = "or let the trials end now: --end-now"
# What the server says of samples that it will never take, whatever the status: 2.42 calls the first a fault of its own.
_FOR_GOOD = {
    "too old sample": f"make {_WINDOW} in its prometheus.yml longer, {_MOVE}",
    "out of bounds": f"set {_WINDOW} in its prometheus.yml, as the stack's has it, {_MOVE}",
    "out of order": f"it has later samples of these trials; set {_WINDOW} in its prometheus.yml, {_MOVE}",
    "duplicate sample": f"it has other values at the same times: have the trials run again since? {_MOVE}",
}


class _Transient(Exception):
    """Worth another try, after so many seconds if the server says so; `error` is what it comes to in the end."""

    def __init__(self, error: OrchestrateError, after_s: float | None = None) -> None:
        super().__init__()
        self.error = error
        self.after_s = after_s


def take_credentials(file: Path | None = None, environment: MutableMapping[str, str] | None = None) -> str:
    """`user:password` or a token from a file, else from the environment, and out of that; empty if there are none.

    Raises InputError, which never quotes what was found.
    """
    found, source = take_secret(CREDENTIALS_VARIABLE, "--credentials-file", file, HOW_TO_CREDENTIALS, environment)
    if not found.isprintable() or (":" not in found and (" " in found or not found.isascii())):
        raise InputError(f"{source} holds no credentials: those are one line", HOW_TO_CREDENTIALS)
    return found


class Prometheus:
    """Sends requests to one Prometheus, and turns each fault into an error with the user's next step.

        prometheus = Prometheus("http://127.0.0.1:9090", take_credentials())
        prometheus.at("up", time.time())

    A request is sent again if the connection broke or the server was busy or had a fault of its own (429, 5xx), as the
    specification of remote write wants it: doing it twice has to do no harm. Then MissingPrerequisite is raised, as for
    one that isn't there; InputError if it refuses what was sent. For one thread at a time.
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
        self._credentials = credentials
        self._attempts = attempts
        self._sleep = sleep
        self._clock = clock

    def at(self, expression: str, t: float) -> list[dict[str, Any]]:
        """The series of an instant query at `t`, UNIX seconds, as the API has them."""
        return self._ask("query", {"query": expression, "time": str(t)})

    def over(self, expression: str, begin: float, end: float, step_s: float) -> list[dict[str, Any]]:
        """The series of a range query."""
        return self._ask(
            "query_range", {"query": expression, "start": str(begin), "end": str(end), "step": str(step_s)}
        )

    def write(self, body: bytes) -> None:
        """Send one request of remote write 1.0."""
        headers = {
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "snappy",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
        }
        answer = self._send("write", body, headers)
        if answer.status_code == 404:
            raise MissingPrerequisite(
                f"the Prometheus at {self.url} takes no samples", "start it with --web.enable-remote-write-receiver"
            )
        if not answer.ok:
            said = self._said(answer)
            raise InputError(
                f"the Prometheus at {self.url} refuses the samples: {said}",
                next((hint for words, hint in _FOR_GOOD.items() if words in answer.text), None),
            )

    def _ask(self, path: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        answer = self._send(path, query, {})
        try:
            body = answer.json()
            if body["status"] == "success":
                return body["data"]["result"]  # type: ignore[no-any-return]
            problem = self._clean(str(body["error"]))
        except (ValueError, KeyError, TypeError):
            raise MissingPrerequisite(
                f"{self.url} answers, but isn't a Prometheus", "is the URL right, with its path?"
            ) from None
        raise InputError(f"the Prometheus at {self.url} can't evaluate a query: {problem}")

    def _send(self, path: str, body: Any, headers: Mapping[str, str]) -> "requests.Response":
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

        retrying = Retrying(
            retry=retry_if_exception_type(_Transient),
            stop=stop_after_attempt(self._attempts),
            wait=_wait,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(self._once, path, body, headers)
        except _Transient as transient:
            raise transient.error from None

    def _once(self, path: str, body: Any, headers: Mapping[str, str]) -> "requests.Response":
        from requests.exceptions import RequestException, SSLError, Timeout

        try:
            # A redirected POST becomes a GET: what looks like success would have written nothing.
            answer = self._session.post(
                f"{self.url}/api/v1/{path}", body, headers=headers, timeout=TIMEOUT_S, allow_redirects=False
            )
        except SSLError as error:
            raise MissingPrerequisite(
                f"no trusted connection to {self.url}: {self._clean(_cause(error))}",
                "for a private authority name its certificate in REQUESTS_CA_BUNDLE; is it http:// perhaps?",
            ) from None
        except Timeout:
            raise _Transient(
                MissingPrerequisite(f"{self.url} didn't answer within {TIMEOUT_S:g} s", "is it overloaded? try again")
            ) from None
        except RequestException as error:
            raise _Transient(
                MissingPrerequisite(
                    f"no Prometheus answers at {self.url}: {self._clean(_cause(error))}",
                    "is it up? one of your own: orchestrate stack up",
                )
            ) from None
        self._look_at(answer)
        return answer

    def _look_at(self, answer: "requests.Response") -> None:
        """Raise what a status means whichever request it answers."""
        status = answer.status_code
        if 300 <= status < 400:
            raise MissingPrerequisite(f"{self.url} redirects ({status})", "give the URL where it leads to")
        if status in (401, 403) and self._credentials:
            raise InputError(f"{self.url} refuses the credentials ({status})", HOW_TO_CREDENTIALS)
        if status in (401, 403):
            raise MissingPrerequisite(f"{self.url} asks for credentials ({status})", HOW_TO_CREDENTIALS)
        if (status >= 500 or status == _TOO_MANY_REQUESTS) and not any(words in answer.text for words in _FOR_GOOD):
            error = MissingPrerequisite(
                f"the Prometheus at {self.url} is busy, or has a fault of its own ({status}): {self._said(answer)}",
                "try again later: what it has taken already stays",
            )
            after_s = self._after(answer)
            if after_s is not None and after_s > LONGEST_WAIT_S:
                raise error
            raise _Transient(error, after_s)

    def _after(self, answer: "requests.Response") -> float | None:
        """In how many seconds the server wants to be asked again, if it says so: a number or a date."""
        said = answer.headers.get("Retry-After", "").strip()
        if said.isdecimal():
            return float(said)
        try:
            return max(0.0, parsedate_to_datetime(said).timestamp() - self._clock())
        except ValueError:
            return None

    @cached_property
    def _session(self) -> "requests.Session":
        import requests
        from requests.auth import HTTPBasicAuth

        session = requests.Session()
        session.headers["User-Agent"] = "orchestrate"
        user, colon, password = self._credentials.partition(":")
        if colon:
            session.auth = HTTPBasicAuth(user.encode(), password.encode())
        elif self._credentials:
            session.auth = self._bear  # as a header it would give way to a .netrc
        return session

    def _bear(self, request: "requests.PreparedRequest") -> "requests.PreparedRequest":
        request.headers["Authorization"] = f"Bearer {self._credentials}"
        return request

    def _said(self, answer: "requests.Response") -> str:
        return "a web page" if "<html" in answer.text.lower() else self._clean(answer.text)

    def _clean(self, text: str) -> str:
        """One short line, without the credentials: a proxy may quote the request in its error page."""
        encoded = base64.b64encode(self._credentials.encode()).decode()
        for secret in (self._credentials, self._credentials.partition(":")[2], encoded):
            text = text.replace(secret, "[credentials]") if secret else text
        return " ".join(text.split())[:_MAX_MESSAGE]


def _wait(state: "RetryCallState") -> float:
    from tenacity import wait_exponential

    failed = state.outcome.exception() if state.outcome is not None else None
    if isinstance(failed, _Transient) and failed.after_s is not None:
        return failed.after_s
    return wait_exponential(multiplier=0.5, max=8)(state)


def _cause(error: Exception) -> str:
    reason = getattr(error.args[0], "reason", error.args[0]) if error.args else error
    return str(reason).rpartition(": ")[2]
