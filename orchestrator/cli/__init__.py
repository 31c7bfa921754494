"""The command line: commands parse, call and print. `main` turns every error into one or two lines and an exit code."""

import errno
import logging
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from orchestrator.errors import OrchestrateError
from orchestrator.extras import DISTRIBUTION, extra_of
from orchestrator.logs import redacted
from orchestrator.plain_text import visible

_log = logging.getLogger(__name__)


def main() -> NoReturn:
    """Run the command in `sys.argv`; ends the process with the exit codes that the design lists."""
    from orchestrator.cli import streams

    streams.open_missing_streams()
    streams.let_every_character_be_written()
    streams.forgive_stderr()
    import typer

    from orchestrator.cli.app import app

    # Typer carries its own copy of click, or uses click itself: its public exceptions lead to the right classes.
    usage_error: type[typer.BadParameter] = typer.BadParameter.__base__  # type: ignore[assignment]
    _end_cleanly_on_signals()
    try:
        arguments = sys.argv[1:] or ["--help"]
        code = app(arguments, standalone_mode=False, prog_name="orchestrate", auto_envvar_prefix="ORCHESTRATE")
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except OrchestrateError as error:
        _log.debug("exit code %d", error.exit_code, exc_info=True)
        _fail(error.message, error.hint, error.exit_code)
    except usage_error as error:
        _log.debug("exit code 2", exc_info=True)
        command = error.ctx.command_path if error.ctx else "orchestrate"
        problem = error.format_message().replace(": Value error, ", ": ")  # of Typer's own words for a wrong choice
        _fail(problem, f"see {command} --help", 2)
    except (KeyboardInterrupt, typer.Abort):
        _log.debug("interrupted", exc_info=True)
        _fail("interrupted; what was started has been removed", None, 130)
    except BrokenPipeError:
        # not logged: the reader (`| head`) has gone, and stderr may be the same pipe.
        streams.give_up_stdout()
        sys.exit(0)
    except ModuleNotFoundError as error:
        extra = extra_of(error.name or "")
        if extra is None:
            _fail_by_fault(error)
        _log.debug("exit code 3", exc_info=True)
        _fail(f"{error.name} isn't installed", f"pip install '{DISTRIBUTION}[{extra}]'", 3)
    except MemoryError:
        _log.debug("exit code 3", exc_info=True)
        _fail("there isn't enough memory for this", None, 3)
    except OSError as error:
        _log.debug("a file can't be used", exc_info=True)
        streams.give_up_stdout()
        told = _problem_of_files(error)
        if told is not None:
            _fail(*told)
        _fail_by_fault(error)
    except Exception as error:  # not logged: `_fail_by_fault` logs it
        _fail_by_fault(error)


# Errors of the file system that its user can do something about.
_OF_FILES = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENOENT,
    errno.EEXIST,
    errno.ENXIO,
    errno.ETXTBSY,
    errno.EMFILE,
    errno.ENFILE,
    errno.EIO,
    errno.ESTALE,
    errno.EFBIG,
)


def _problem_of_files(error: OSError) -> tuple[str, str | None, int] | None:
    """Return message, hint and exit code for an error of the file system; None if it must be a fault of ours."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"there is no room left to write {_place(error)}: {error.strerror}", "make room; df -h shows where", 3
    if error.errno in _OF_FILES and (error.filename is not None or error.errno == errno.EIO):
        return f"{_place(error)} can't be used: {error.strerror}", None, 2
    return None


def _place(error: OSError) -> str:
    return "the output" if error.filename is None else os.fsdecode(error.filename)


def _fail_by_fault(error: Exception) -> NoReturn:
    _log.exception("this is a fault in orchestrate")
    _fail(f"this is a fault in orchestrate: {type(error).__name__}: {error}", _write_crash_report(), 1)


def _write_crash_report() -> str:
    """Put the traceback that is being handled into a file; returns where it is."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="orchestrate-crash-", suffix=".txt", delete=False) as report:
        report.write(redacted(traceback.format_exc()))
    return f"please report it with {report.name}"


def _fail(message: str, hint: str | None, code: int) -> NoReturn:
    print(f"error: {_one_line(message)}", file=sys.stderr)
    if hint:
        print(f"hint: {_one_line(hint)}", file=sys.stderr)
    sys.exit(code)


def _one_line(text: str) -> str:
    """Return a text that may hold words of others, for a terminal: one line, without secrets."""
    return visible(redacted(" ".join(text.split())))


def _end_cleanly_on_signals() -> None:
    """Ctrl-C, SIGTERM and SIGHUP all interrupt once; a second one can't break the cleaning up."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(each) is not signal.SIG_IGN:  # as nohup leaves SIGHUP
            signal.signal(each, interrupt)
