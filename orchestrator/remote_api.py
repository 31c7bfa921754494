"""HTTP to a server of the user, for Grafana and Prometheus alike: addresses, retries, and one clear error per problem.

No error shows a secret, even if a proxy quotes the request in its error page.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from orchestrator.errors import InputError, MissingPrerequisite, OrchestrateError

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from tenacity import RetryCallState

TOO_MANY_REQUESTS = 429
USER_AGENT = "orchestrate"
_MAX_MESSAGE = 300

_Answer = TypeVar("_Answer")


class Unreachable(MissingPrerequisite):
    """No such server answers at this address: nothing listens, it is too slow, its certificate isn't trusted."""


class ForeignAnswer(Unreachable):
    """Another server or a proxy answers in place of the wanted one, for example with a sign-in page."""


class Transient(Exception):
    """A failure worth another attempt. `error` is raised if there is none; `after_s` is what the server asks for."""

    def __init__(self, error: OrchestrateError, after_s: float | None = None) -> None:
        super().__init__()
        self.error = error
        self.after_s = after_s


def parse_address(text: str, option: str, example: str, how_to_credentials: str) -> str:
    """Return the address of a server without the last slash. Raises InputError, which shows no password."""
    try:
        parts = urlsplit(text.strip())
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise InputError(f"{option}: not a URL", f"for example {option} {example}") from None
    if parts.username is not None or parts.password is not None:
        raise InputError(f"{option}: the URL may not hold a user or a password", how_to_credentials)
    if parts.scheme not in ("http", "https") or not host or any(each.isspace() for each in parts.netloc):
        raise InputError(f"{option}: {text!r} is not a URL", f"for example {option} {example}")
    if parts.query or parts.fragment:
        raise InputError(f"{option}: {text!r} has more than host and path", "leave out what follows ? or #")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def travels_openly(address: str) -> bool:
    """Return whether a secret would go over a network without encryption."""
    parts = urlsplit(address)
    return parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1")


def send(
    request: Callable[[], _Answer],
    *,
    attempts: int,
    sleep: Callable[[float], None],
    longest_pause_s: float,
    within_s: float | None = None,
) -> _Answer:
    """Return the answer of a request, after several attempts if it raises `Transient`.

    `within_s` bounds the time of all attempts. Raises the error of the last attempt.
    """
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_after_delay, wait_exponential

    growing = wait_exponential(multiplier=0.5, max=longest_pause_s)

    def pause_s(state: "RetryCallState") -> float:
        failed = state.outcome.exception() if state.outcome is not None else None
        asked = failed.after_s if isinstance(failed, Transient) else None
        return growing(state) if asked is None else asked

    stop = stop_after_attempt(attempts)
    retrying = Retrying(
        retry=retry_if_exception_type(Transient),
        stop=stop if within_s is None else stop | stop_after_delay(within_s),
        wait=pause_s,
        sleep=sleep,
        reraise=True,
    )
    try:
        return retrying(request)
    except Transient as transient:
        raise transient.error from None


@dataclass(frozen=True)
class Server:
    """A server of the user: its kind, such as "Grafana", and its address; errors about it show none of its secrets."""

    kind: str
    url: str
    secrets: tuple[str, ...] = field(default=(), repr=False)
    mask: str = "[secret]"
    how_to_start: str = "is it up?"

    def clean(self, text: str) -> str:
        """Return the text as one short line, without the secrets."""
        for secret in self.secrets:
            text = text.replace(secret, self.mask) if secret else text
        text = " ".join(text.split())
        return text if len(text) <= _MAX_MESSAGE else text[:_MAX_MESSAGE] + "…"

    def excerpt(self, text: str) -> str:
        """Return what to quote of an error page."""
        return "a web page" if is_web_page(text) else self.clean(text)

    def failure(self, error: Exception, timeout_s: float) -> Exception:
        """Return the meaning of an exception of `requests`: a `Transient` if another attempt may help."""
        from requests.exceptions import JSONDecodeError, SSLError, Timeout, TooManyRedirects

        if isinstance(error, JSONDecodeError):
            return self.foreign(error.doc)
        if isinstance(error, TooManyRedirects):
            response = error.response
            return self.redirects("" if response is None else response.headers.get("Location", ""))
        if isinstance(error, Timeout):
            message = f"{self.url} didn't answer within {timeout_s:g} s"
            return Transient(Unreachable(message, "is it overloaded? try again"))
        cause = self.clean(cause_of(error))
        if isinstance(error, SSLError):
            return Unreachable(
                f"no trusted connection to {self.url}: {cause}",
                "for a private authority name its certificate in REQUESTS_CA_BUNDLE; is it http:// perhaps?",
            )
        return Transient(Unreachable(f"no {self.kind} answers at {self.url}: {cause}", self.how_to_start))

    def redirects(self, location: str) -> Unreachable:
        """Return the error for a redirect. Its query isn't shown, since it may hold secrets."""
        parts = urlsplit(location)
        target = f"{parts.scheme}://{parts.hostname}{parts.path}" if parts.hostname else parts.path or "elsewhere"
        return Unreachable(f"{self.url} redirects to {target}", "give the URL where it leads to")

    def foreign(self, answer: object) -> ForeignAnswer:
        """Return the error for an answer that another server, or a proxy, must have given."""
        if isinstance(answer, str):
            found = "a web page" if is_web_page(answer) else "text" if answer.strip() else "nothing"
        else:
            found = "JSON of another shape"
        return ForeignAnswer(
            f"{self.url} answers, but isn't a {self.kind}: it answers with {found}",
            "is the URL right, with its path? does a proxy ask you to sign in?",
        )

    def checked(self, answer: object, shape: type[_Answer]) -> _Answer:
        """Return an answer if it has the shape. Raises ForeignAnswer."""
        from pydantic import ValidationError

        of: Any = shape
        try:
            found: _Answer = _adapter(of).validate_python(answer)
        except ValidationError:
            raise self.foreign(answer) from None
        return found


@cache
def _adapter(shape: Any) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(shape)


def is_web_page(text: str) -> bool:
    """Return whether a body is HTML."""
    return "<html" in text[:2000].lower() or "<!doctype html" in text[:2000].lower()


def cause_of(error: BaseException) -> str:
    """Return the message of the operating system, or of TLS, from below the layers that wrap it."""
    seen: BaseException | None = error
    found = type(error).__name__
    for _ in range(10):
        if seen is None:
            break
        if isinstance(seen, OSError) and seen.strerror:
            found = seen.strerror
        reason = getattr(seen, "reason", None) or next((each for each in seen.args if _is_error(each)), None)
        seen = reason if isinstance(reason, BaseException) else seen.__cause__ or seen.__context__
    return found


def _is_error(argument: object) -> bool:
    return isinstance(argument, BaseException)
