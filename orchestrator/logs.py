"""The package's log: its files, its format, and the secrets that it hides.

Each module logs to `logging.getLogger(__name__)`, below the logger `orchestrator`. A program that imports the package
sees nothing of it unless it configures logging. The command line and the runs of sweeps add handlers:

- `recording(path)` writes everything into a file while a sweep runs,
- `configure(verbosity)` writes to stderr (`-v`, `-vv`) and obeys ORCHESTRATE_LOG.

Each error that is caught is logged, or a comment that begins with "not logged" says why it isn't. A handler that raises
another error needs neither: where that error is logged, its cause is logged with it, even after `raise … from None`.
"""

import contextlib
import logging
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote, unquote

from orchestrator.errors import InputError
from orchestrator.plain_text import visible

VARIABLE = "ORCHESTRATE_LOG"
FILE_NAME = "orchestrate.log"
MASK = "[secret]"
_LEVELS = {name: getattr(logging, name.upper()) for name in ("debug", "info", "warning", "error")}
_FORMAT = "%(asctime)s %(levelname)-7s %(name)s [%(threadName)s] %(message)s"

_package = logging.getLogger("orchestrator")
_secrets: set[str] = set()
_lock = threading.RLock()

# Shapes of secrets that nobody has named: headers, users and passwords in URLs, values of some keys, Grafana's tokens.
_SHORTEST_SECRET = 3
_KEYS = r"(?:password|passwd|secret|token|api_?key)"
_SHAPES = (
    (re.compile(r"(?i)(authorization[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic|token)\s+)?)[^\s\"',}]+"), rf"\1{MASK}"),
    (re.compile(r"(?i)\b(bearer\s+)[\w.~+/=-]{8,}"), rf"\1{MASK}"),
    (re.compile(r"([a-z][\w+.-]*://)[^\s@\"'/?#]+:[^\s\"']*@"), rf"\1{MASK}@"),
    (re.compile(r"([a-z][\w+.-]*://)[^\s/@\"']+@"), rf"\1{MASK}@"),
    (re.compile(rf"(?i)({_KEYS}(?:\s*=\s*[\"']?|[\"']\s*:\s*[\"']))[^\s\"'&,;)}}\]]+"), rf"\1{MASK}"),
    (re.compile(r"\bgl(?:sa|c)_\w+"), MASK),
)


def hide(*secrets: str) -> None:
    """Replace these secrets in everything that is logged from now on. Of a URL, its password is the secret."""
    with _lock:
        for secret in secrets:
            for each in _passwords_in(secret):
                forms = (each, quote(each, safe=""), unquote(each), repr(each)[1:-1])
                _secrets.update(form for form in forms if len(form) >= _SHORTEST_SECRET)


def _passwords_in(secret: str) -> list[str]:
    """Return the secret parts of a secret: a word, `user:password`, or a URL in any spelling, wrong ones too."""
    before, at, _ = secret.rpartition("@")
    if not at:
        whole = [] if "://" in secret else [secret]
        found = [*whole, secret.partition(":")[2]] if ":" in secret and whole else whole
    else:
        # A password can hold any character, so it ends at the last @; where it begins is clear only after the user.
        user_and_password = before.partition("://")[2] or before
        found = [user_and_password.partition(":")[2], user_and_password.rpartition(":")[2]]
        found += [] if "://" in secret else [secret]
    return [*found, *re.findall(rf"(?i)[?&][^=&]*{_KEYS}[^=&]*=([^&]*)", secret)]


def redacted(text: str) -> str:
    """Return a text without the secrets that `hide` names, and without what looks like a secret."""
    with _lock:
        known = sorted(_secrets, key=len, reverse=True)  # a secret may hold another
    for secret in known:
        text = text.replace(secret, MASK)
    for shape, masked in _SHAPES:
        text = shape.sub(masked, text)
    return text


class RedactingFormatter(logging.Formatter):
    """Lines with UTC times and without secrets, in messages and tracebacks alike."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__(_FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text. Another handler may have cached a traceback that is neither whole nor redacted."""
        cached, record.exc_text = record.exc_text, None
        try:
            return visible(redacted(super().format(record)))
        finally:
            record.exc_text = cached

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the name that logging calls
        """Return the traceback with all causes, also those that `raise … from None` keeps from users."""
        whole = traceback.TracebackException(*ei)
        each: traceback.TracebackException | None = whole
        while each is not None:
            each.__suppress_context__ = False
            each = each.__cause__ or each.__context__
        return "".join(whole.format()).rstrip("\n")


class _OurHandler(logging.StreamHandler[TextIO]):
    """A handler that never fails what it watches."""

    def __init__(self, stream: TextIO, level: int) -> None:
        super().__init__(stream)
        self.setLevel(level)
        self.setFormatter(RedactingFormatter())

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name that logging calls
        """Drop the record: on a full disk the trace and the ledger report the problem to the user."""


class _StderrHandler(_OurHandler):
    """A handler for the present stderr, which a live view replaces while it draws."""

    def __init__(self, level: int) -> None:
        super().__init__(sys.stderr, level)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record to the present stderr."""
        self.stream = sys.stderr
        super().emit(record)


class _ParentHandler(logging.Handler):
    """Hands to the root logger what it would get without our handlers, which need a lower level."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass the record on, unless the program has no handler: logging would print it to stderr as a last resort."""
        root = logging.getLogger()
        if root.handlers:
            root.handle(record)


class _Attached:
    """Our handlers at the package's logger. A program's own logging gets no more and no less while they are there."""

    def __init__(self) -> None:
        self._handlers: list[logging.Handler] = []
        self._before: tuple[int, bool] = (logging.NOTSET, True)
        self._parent = _ParentHandler()

    def add(self, handler: logging.Handler) -> None:
        with _lock:
            if not self._handlers:
                self._before = _package.level, _package.propagate
                self._parent.setLevel(_package.getEffectiveLevel())
                if _package.propagate:
                    _package.addHandler(self._parent)
                _package.propagate = False
            self._handlers.append(handler)
            _package.addHandler(handler)
            _package.setLevel(min(each.level for each in (*self._handlers, self._parent)))

    def remove(self, handler: logging.Handler) -> None:
        with _lock:
            if handler not in self._handlers:
                return
            self._handlers.remove(handler)
            _package.removeHandler(handler)
            if self._handlers:
                _package.setLevel(min(each.level for each in (*self._handlers, self._parent)))
            else:
                _package.removeHandler(self._parent)
                _package.level, _package.propagate = self._before
                _package.setLevel(self._before[0])


_attached = _Attached()
_configured: list[_OurHandler] = []


@contextlib.contextmanager
def recording(path: Path) -> Iterator[None]:
    """Append all that the package logs to a file that only this user can read, until the block ends.

    An error that ends the block is logged with its traceback.
    """
    try:
        stream = _private_file(path)
    except OSError:
        # A full disk, for example: what the block itself writes fails as well, and the user hears of that.
        _package.warning("%s can't be written", path, exc_info=True)
        yield
        return
    handler = _OurHandler(stream, logging.DEBUG)
    _attached.add(handler)
    try:
        yield
    except KeyboardInterrupt:
        _package.info("interrupted")
        raise
    except BaseException:
        _package.exception("the run ends with an error")
        raise
    finally:
        _attached.remove(handler)
        # A full disk again: closing flushes.
        with suppressed(_package, f"closing {path}", OSError):
            stream.close()


def configure(verbosity: int, environment: Mapping[str, str] | None = None) -> None:
    """Log to stderr: warnings and news for 1 (`-v`), everything for 2 or more (`-vv`). ORCHESTRATE_LOG adds to it.

    Its value is a level for stderr, as in `debug`, or a level and a file, as in `debug:/tmp/orchestrate.log`.
    Raises InputError.
    """
    environment = os.environ if environment is None else environment
    levels = {1: logging.INFO, 2: logging.DEBUG}
    on_stderr = levels.get(min(verbosity, 2), logging.CRITICAL + 1)
    level, file = _read_variable(environment.get(VARIABLE, ""))
    for name in environment:
        if re.fullmatch(r"(ORCHESTRATE|RAY)_\w*(TOKEN|PASSWORD|CREDENTIALS|LEDGER)", name):
            hide(environment[name])
    for handler in _configured:
        _attached.remove(handler)
    _configured.clear()
    if level is not None and file:
        try:
            _configured.append(_OurHandler(_private_file(Path(file)), level))
        except OSError as error:
            raise InputError(f"{VARIABLE}: {file} can't be written: {error.strerror}") from None
    elif level is not None:
        on_stderr = min(on_stderr, level)
    if on_stderr <= logging.CRITICAL:
        _configured.append(_StderrHandler(on_stderr))
    for handler in _configured:
        _attached.add(handler)


def _read_variable(value: str) -> tuple[int | None, str]:
    name, _, file = value.strip().partition(":")
    if not name and not file:
        return None, ""
    if name.lower() not in _LEVELS:
        raise InputError(
            f"{VARIABLE}: {name!r} is no level",
            f"one of {', '.join(_LEVELS)}, or a level and a file: debug:orchestrate.log",
        )
    return _LEVELS[name.lower()], file


def _private_file(path: Path) -> TextIO:
    """Open a file to append to, which only this user can read; of a file that exists, the mode is changed."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.fchmod(descriptor, 0o600)
    return open(descriptor, "a", encoding="utf-8", errors="backslashreplace")


@contextlib.contextmanager
def suppressed(log: logging.Logger, doing: str, *errors: type[BaseException]) -> Iterator[None]:
    """Suppress errors that are expected here and change nothing, as `contextlib.suppress`; log them at level debug."""
    try:
        yield
    except errors as error:
        log.debug("%s: %s: %s", doing, type(error).__name__, error)
