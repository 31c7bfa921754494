"""The log: complete in its file, quiet elsewhere, and without a secret anywhere."""

import logging
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import logs
from orchestrator.errors import InputError, SpecError
from orchestrator.inputs.secrets import take_secret
from orchestrator.logs import configure, hide, recording, redacted, suppressed

_log = logging.getLogger("orchestrator.tests")
HUNTER = "hunter2-nobody-may-see"


@pytest.fixture(autouse=True)
def _leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither secrets nor handlers outlive a test."""
    monkeypatch.setattr(logs, "_secrets", set())
    yield
    configure(0, {})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "orchestrate.log"


# The file of a run


def test_the_file_has_everything_with_utc_times(path: Path) -> None:
    with recording(path):
        _log.debug("detail")
        _log.warning("%d nodes", 3)
    detail, warning = path.read_text().splitlines()

    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z DEBUG   orchestrator\.tests \[MainThread\] detail", detail
    )
    assert warning.endswith("WARNING orchestrator.tests [MainThread] 3 nodes")


def test_times_are_those_of_utc_wherever_the_user_lives(path: Path) -> None:
    record = logging.makeLogRecord({"created": 0.25, "msecs": 250.0, "msg": "begin"})

    assert logs.RedactingFormatter().format(record).startswith("1970-01-01T00:00:00.250Z ")


@pytest.mark.parametrize("before", [None, 0o666])
def test_only_the_user_can_read_the_file(path: Path, before: int | None) -> None:
    if before is not None:
        path.touch()
        path.chmod(before)
    with recording(path):
        _log.info("x")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_second_run_appends(path: Path) -> None:
    for each in ("first", "second"):
        with recording(path):
            _log.info(each)

    assert [line.split()[-1] for line in path.read_text().splitlines()] == ["first", "second"]


def test_nothing_is_written_after_the_run(path: Path) -> None:
    before = logging.getLogger("orchestrator").handlers[:]
    with recording(path):
        _log.info("in it")
    _log.error("after it")

    assert "after it" not in path.read_text()
    assert logging.getLogger("orchestrator").handlers == before


def test_the_error_that_ends_a_run_is_in_the_file(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), recording(path):
        _ = 1 / 0

    assert "Traceback (most recent call last)" in path.read_text()
    assert "ZeroDivisionError: division by zero" in path.read_text()


def test_a_cause_that_users_are_spared_is_in_the_file(path: Path) -> None:
    def read() -> int:
        try:
            return int("seven")
        except ValueError:
            raise SpecError("my.yaml: tasks", "no number") from None

    with pytest.raises(SpecError), recording(path):
        read()

    assert "ValueError: invalid literal for int() with base 10: 'seven'" in path.read_text()


def test_a_file_that_can_not_be_written_does_not_keep_the_run_from_its_work(tmp_path: Path) -> None:
    with recording(tmp_path / "no" / "such" / "folder.log"):
        done = True

    assert done


def test_ctrl_c_is_no_error(path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), recording(path):
        raise KeyboardInterrupt

    assert path.read_text().endswith("interrupted\n")
    assert "Traceback" not in path.read_text()


# In somebody else's program


def test_a_program_that_configures_no_logging_sees_nothing() -> None:
    code = "import logging, orchestrator; logging.getLogger('orchestrator.x').error('boo')"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout == result.stderr == ""


def test_a_program_gets_the_same_records_during_a_run_as_before(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _log.debug("before")
    _log.warning("before")
    with recording(path):
        _log.debug("during")
        _log.warning("during")

    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "before"),
        ("WARNING", "during"),
    ]


# stderr, and the environment


@pytest.mark.parametrize(
    ("verbosity", "variable", "seen"),
    [
        (0, "", []),
        (1, "", ["INFO", "ERROR"]),
        (2, "", ["DEBUG", "INFO", "ERROR"]),
        (5, "", ["DEBUG", "INFO", "ERROR"]),
        (0, "debug", ["DEBUG", "INFO", "ERROR"]),
        (0, "ERROR", ["ERROR"]),
        (1, "error", ["INFO", "ERROR"]),
    ],
)
def test_what_is_on_stderr(verbosity: int, variable: str, seen: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    configure(verbosity, {"ORCHESTRATE_LOG": variable})
    for level in (logging.DEBUG, logging.INFO, logging.ERROR):
        _log.log(level, "something")

    assert [line.split()[1] for line in capsys.readouterr().err.splitlines()] == seen


def test_a_level_and_a_file_leave_stderr_alone(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(0, {"ORCHESTRATE_LOG": f"info:{path}"})
    _log.debug("detail")
    _log.info("news")

    assert [line.split()[-1] for line in path.read_text().splitlines()] == ["news"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("value", "problem"), [("loud", "'loud' is no level"), (":x.log", "'' is no level")])
def test_a_variable_that_can_not_be_used_is_refused(value: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as refused:
        configure(0, {"ORCHESTRATE_LOG": value})

    assert "debug, info, warning, error" in str(refused.value.hint)


def test_a_file_in_the_variable_that_can_not_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be written: No such file or directory"):
        configure(0, {"ORCHESTRATE_LOG": f"info:{tmp_path}/no/such.log"})


# Secrets


def test_secrets_from_the_environment_and_from_files_never_reach_the_log(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "token"
    file.write_text("from-a-file\n")
    take_secret("ORCHESTRATE_GRAFANA_TOKEN", "--token-file", None, "", {"ORCHESTRATE_GRAFANA_TOKEN": "from-a-variable"})
    take_secret("ORCHESTRATE_PROMETHEUS_CREDENTIALS", "--credentials-file", file, "", {})
    configure(
        2,
        {
            "ORCHESTRATE_LEDGER": f"postgresql+psycopg://ann:{HUNTER}@db/lab",
            "RAY_AUTH_TOKEN": "rays-own-token",
        },
    )

    def connect() -> None:
        _log.info("%s, %s", "from-a-file", {"header": "from-a-variable"})
        _log.debug("connecting with %s", HUNTER)
        try:
            raise ValueError("rays-own-token is refused")
        except ValueError:
            raise RuntimeError(f"password {HUNTER}") from None

    with pytest.raises(RuntimeError), recording(path):
        connect()
    said = path.read_text() + capsys.readouterr().err

    for secret in ("from-a-file", "from-a-variable", HUNTER, "rays-own-token"):
        assert secret not in said
    assert said.count("ValueError: [secret] is refused") == 2


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {HUNTER}",
        f"{{'Authorization': 'Basic {HUNTER}'}}",
        f"authorization={HUNTER}",
        f"sent with Bearer {HUNTER}",
        f"postgresql+psycopg://ann:{HUNTER}@db.example.com/lab",
        f"postgresql://db/lab?user=ann&password={HUNTER}&sslmode=require",
        f'{{"token": "{HUNTER}"}}',
        f"api_key='{HUNTER}'",
    ],
)
def test_what_looks_like_a_secret_is_hidden_although_nobody_named_it(text: str) -> None:
    assert HUNTER not in redacted(text)
    assert "[secret]" in redacted(text)


def test_what_stands_around_a_secret_stays() -> None:
    line = f"GET postgresql://ann:{HUNTER}@db/lab: no route to host"

    assert redacted(line) == "GET postgresql://[secret]@db/lab: no route to host"


@pytest.mark.parametrize("text", ["the token was refused", "http://127.0.0.1:9090/api", "secret: none", "a basic test"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert redacted(text) == text


def test_a_secret_is_hidden_in_urls_and_in_representations_too() -> None:
    hide("a/b'c")

    assert redacted("token a%2Fb%27c") == "token [secret]"
    assert redacted(f"header {'a/b' + chr(39) + 'c'!r}") == 'header "[secret]"'


def test_of_credentials_the_password_alone_is_hidden_too() -> None:
    hide(f"ann:{HUNTER}")

    assert redacted(f"{HUNTER} and ann:{HUNTER}, for ann") == "[secret] and [secret], for ann"


# Errors that are expected


def test_what_is_suppressed_is_logged(path: Path) -> None:
    with recording(path), suppressed(_log, "removing the folder", OSError):
        os.rmdir(path.parent / "none")

    assert "DEBUG   orchestrator.tests [MainThread] removing the folder: FileNotFoundError: " in path.read_text()


def test_another_error_is_not_suppressed() -> None:
    with pytest.raises(ValueError, match="x"), suppressed(_log, "trying", OSError):
        raise ValueError("x")


def test_a_program_without_handlers_prints_nothing_of_what_is_recorded(tmp_path: Path) -> None:
    program = (
        "import logging; from pathlib import Path; from orchestrator import logs\n"
        f"with logs.recording(Path({str(tmp_path / 'o.log')!r})):\n"
        "    logging.getLogger('orchestrator.observer').warning('the GCS is away')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert (done.stdout, done.stderr) == ("", "")
    assert "the GCS is away" in (tmp_path / "o.log").read_text()
