"""The command line: commands parse, call and print. `main` turns every error into one or two lines and an exit code."""

import logging
import signal
import sys
from types import FrameType
from typing import NoReturn

from orchestrator.errors import OrchestrateError
from orchestrator.logs import redacted

_log = logging.getLogger(__name__)


def main() -> NoReturn:
    """Run the command in `sys.argv`; ends the process with the exit codes that the design lists."""
    import typer

    from orchestrator.cli.app import app
    from orchestrator.cli.streams import let_every_character_be_written

    let_every_character_be_written()
    # Typer carries its own copy of click, or uses click itself: its public exceptions lead to the right classes.
    usage_error: type[typer.BadParameter] = typer.BadParameter.__base__  # type: ignore[assignment]
    _end_cleanly_on_signals()
    try:
        arguments = sys.argv[1:] or ["--help"]
        code = app(arguments, standalone_mode=False, prog_name="orchestrate", auto_envvar_prefix="ORCHESTRATE")
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
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
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
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    if hint:
        print(f"hint: {' '.join(hint.split())}", file=sys.stderr)
    sys.exit(code)


def _end_cleanly_on_signals() -> None:
    """Ctrl-C, SIGTERM and SIGHUP all interrupt once; a second one can't break the cleaning up."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(each) is not signal.SIG_IGN:  # as nohup leaves SIGHUP
            signal.signal(each, interrupt)
