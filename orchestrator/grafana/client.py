"""A Grafana reached through its API: the address, the token, which is never shown, and what its answers mean."""

import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from orchestrator.errors import InputError, MissingPrerequisite, OrchestrateError
from orchestrator.inputs.secrets import take_secret

if TYPE_CHECKING:
    from grafana_client.api import GrafanaApi

TOKEN_VARIABLE = "ORCHESTRATE_GRAFANA_TOKEN"
TIMEOUT_S = 10.0
ATTEMPTS = 3
HOW_TO_TOKEN = (
    f"put a service account's token into {TOKEN_VARIABLE}; its role: Admin for dashboards push (an Editor needs"
    " --skip datasource), Editor for --annotate"
)

_MAX_MESSAGE = 300
TOO_MANY_REQUESTS = 429

_Answer = TypeVar("_Answer")


class Unreachable(MissingPrerequisite):
    """No Grafana answers at this address: nothing listens, it is too slow, its certificate isn't trusted."""


class WrongToken(InputError):
    """Grafana doesn't know the token, or it has expired: no other request would fare better."""


class RequestRefused(OrchestrateError):
    """Grafana answered one request with an error; `status` is HTTP's. Others may go well."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Transient(Exception):
    """Worth another try; `error` is what it comes to if that fails, too."""

    def __init__(self, error: OrchestrateError) -> None:
        super().__init__()
        self.error = error


def take_token(file: Path | None = None, environment: MutableMapping[str, str] | None = None) -> str:
    """The token from a file, else from the environment, and out of that: no process started later inherits it.

    Raises InputError, which never quotes what was found.
    """
    token, source = take_secret(TOKEN_VARIABLE, "--token-file", file, HOW_TO_TOKEN, environment)
    if not token:
        raise InputError("no token for Grafana", HOW_TO_TOKEN)
    if not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(f"{source} holds no token: that is one line of letters, digits and signs", HOW_TO_TOKEN)
    return token


def parse_address(
    text: str,
    option: str = "--url",
    example: str = "https://grafana.example.com",
    how_to_credentials: str = HOW_TO_TOKEN,
) -> str:
    """A server's address without the last slash. Raises InputError; a password in it isn't shown."""
    try:
        parts = urlsplit(text.strip())
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise InputError(f"{option}: not a URL", f"for example {option} {example}") from None
    if parts.username is not None or parts.password is not None:
        raise InputError(f"{option}: no user or password may stand in the URL", how_to_credentials)
    if parts.scheme not in ("http", "https") or not host or any(each.isspace() for each in parts.netloc):
        raise InputError(f"{option}: {text!r} is not a URL", f"for example {option} {example}")
    if parts.query or parts.fragment:
        raise InputError(f"{option}: {text!r} has more than host and path", "leave out what follows ? or #")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def travels_openly(address: str) -> bool:
    """Whether the token would go over a network without encryption."""
    parts = urlsplit(address)
    return parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1")


class Grafana:
    """Sends requests to one Grafana, and turns each fault into one of the errors above.

        grafana = Grafana("https://grafana.example.com", take_token())
        folder = grafana.find(lambda api: api.folder.get_folder("orchestrate"))

    A request may be sent again if the connection broke or Grafana had a fault of its own (5xx): the caller sees to it
    that doing something twice does no harm. For one thread at a time.
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
        self.url = parse_address(address)
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
        """The version of the Grafana that answers. Raises Unreachable if none does."""
        try:
            health = self.send(lambda api: api.client.GET("/health"))
        except RequestRefused as refused:
            raise Unreachable(f"{self.url} is no Grafana that works: {refused.message}", "is the URL right?") from None
        if not isinstance(health, dict) or not {"version", "database"} & set(health):
            raise Unreachable(f"{self.url} answers, but isn't a Grafana", "is the URL right, with its path?")
        return str(health.get("version", "unknown"))

    def find(self, request: "Callable[[GrafanaApi], _Answer]") -> _Answer | None:
        """The answer, or None if there is no such thing (404)."""
        try:
            return self.send(request)
        except RequestRefused as refused:
            if refused.status == 404:
                return None
            raise

    def send(self, request: "Callable[[GrafanaApi], _Answer]", attempts: int | None = None) -> _Answer:
        """The answer, after this number of attempts at most. Raises Unreachable, WrongToken or RequestRefused."""
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_after_delay, wait_exponential

        retrying = Retrying(
            retry=retry_if_exception_type(_Transient),
            stop=stop_after_attempt(attempts or self._attempts) | stop_after_delay(2 * self._timeout_s),
            wait=wait_exponential(multiplier=0.5, max=4),
            sleep=self._sleep,
            reraise=True,
        )
        try:
            answer: _Answer = retrying(self._once, request)
        except _Transient as transient:
            raise transient.error from None
        return answer

    def _once(self, request: "Callable[[GrafanaApi], _Answer]") -> _Answer:
        from grafana_client.client import GrafanaException
        from requests.exceptions import JSONDecodeError, RequestException, SSLError, Timeout, TooManyRedirects

        try:
            return request(self._connected())
        except Timeout:
            raise _Transient(
                Unreachable(f"{self.url} didn't answer within {self._timeout_s:g} s", "is it overloaded? try again")
            ) from None
        except GrafanaException as error:
            raise self._meaning(error.status_code, error.message, error.response) from None
        except SSLError as error:
            raise Unreachable(
                f"no trusted connection to {self.url}: {self._clean(_cause(error))}",
                "for a private authority name its certificate in REQUESTS_CA_BUNDLE; is it http:// perhaps?",
            ) from None
        except TooManyRedirects as error:
            raise Unreachable(f"{self.url} redirects{_target(error)}", "give the URL where it leads to") from None
        except JSONDecodeError:
            raise RequestRefused(0, f"{self.url} answers with something that isn't Grafana's") from None
        except RequestException as error:
            raise _Transient(
                Unreachable(f"no Grafana answers at {self.url}: {self._clean(_cause(error))}", "is it up?")
            ) from None

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
                user_agent="orchestrate",
            )
            # A redirected POST becomes a GET: what looks like success would have changed nothing.
            self._api.client.s.max_redirects = 0
        return self._api

    def _meaning(self, status: int, message: str, response: Any) -> Exception:
        if isinstance(response, dict) and response.get("message"):
            message = str(response["message"])
        elif "<html" in message.lower():
            message = "a web page"
        message = self._clean(message)
        if status == 401:
            return WrongToken(f"{self.url} refuses the token (401): {message}", HOW_TO_TOKEN)
        if status == 403:
            return RequestRefused(status, f"no permission (403): {message}")
        refused = RequestRefused(status, f"{message} ({status})" if message else f"HTTP {status}")
        return _Transient(refused) if status >= 500 or status == TOO_MANY_REQUESTS else refused

    def _clean(self, text: str) -> str:
        """One short line, without the token: a proxy may quote the request in its error page."""
        text = " ".join(text.replace(self._token, "[token]").split())
        return text if len(text) <= _MAX_MESSAGE else text[:_MAX_MESSAGE] + "…"


def _cause(error: BaseException) -> str:
    """What the operating system said, from below the layers that wrap it."""
    seen: BaseException | None = error
    found = type(error).__name__
    for _ in range(10):
        if seen is None:
            break
        if isinstance(seen, OSError) and seen.strerror:
            found = seen.strerror
        reason = getattr(seen, "reason", None) or next((each for each in seen.args if _wraps(each)), None)
        seen = reason if isinstance(reason, BaseException) else seen.__cause__ or seen.__context__
    return found


def _wraps(argument: object) -> bool:
    return isinstance(argument, BaseException)


def _target(error: Any) -> str:
    """Where a redirect leads: ` to HOST`; without the query, which may hold secrets."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    parts = urlsplit(str(headers.get("Location", "")))
    return (
        f" to {parts.scheme}://{parts.hostname}{parts.path}" if parts.hostname else f" to {parts.path or 'elsewhere'}"
    )
