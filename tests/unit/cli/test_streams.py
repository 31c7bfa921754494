"""Output where the terminal or the pipe can't write every character."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.ledgers import write_sweep


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_greek_letters_and_dashes_are_written_in_plain_characters(tmp_path: Path, encoding: str) -> None:
    write_sweep(tmp_path / "home", {1: [50.0, 51.0], 10: [40.0, 41.0]})
    trial_id = subprocess.run(
        [sys.executable, "-m", "orchestrator", "--home", str(tmp_path / "home"), "show", "@last"],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    ).stdout.decode(encoding)
    shown = subprocess.run(
        [sys.executable, "-m", "orchestrator", "--home", str(tmp_path / "home"), "recommend"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )

    assert "speed=10" in trial_id
    assert shown.returncode == 0, shown.stderr
    assert "theta" in shown.stdout.decode(encoding) + trial_id


def test_what_has_no_similar_character_becomes_a_question_mark() -> None:
    script = (
        "from orchestrator.cli.streams import let_every_character_be_written as let; let(); "
        "print('\\u03b8 \\u2026 \\u96ea')"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}
    )

    assert result.stdout == b"theta ... ?\n"
    assert result.stderr == b""


def test_a_stream_that_can_write_everything_is_left_as_it_is() -> None:
    script = "from orchestrator.cli.streams import let_every_character_be_written as let; let(); print('\\u03b8')"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, env={**os.environ, "PYTHONIOENCODING": "utf-8"}
    )

    assert result.stdout.decode() == "θ\n"


LIST = 'exec "$0" -m orchestrator --home "$1" list'


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_streams_that_are_closed_are_no_error_and_no_file_gets_their_number(tmp_path: Path, closed: str) -> None:
    write_sweep(tmp_path / "home", {1: [50.0]}).close()
    ran = subprocess.run(
        ["sh", "-c", f"{LIST} {closed}", sys.executable, str(tmp_path / "home")], capture_output=True, text=True
    )

    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert "speed" not in (tmp_path / "home" / "ledger.db").read_bytes()[:16].decode(errors="replace")
    assert ("c0ffee00" in ran.stdout) is ("1>&-" not in closed)


@pytest.mark.parametrize(
    "arguments", ["list", "show", "show --json", "--help", "--version", "report --format md --to -"]
)
def test_a_full_disk_behind_stdout_is_one_line(tmp_path: Path, arguments: str) -> None:
    write_sweep(tmp_path / "home", {1: [50.0]}).close()
    ran = subprocess.run(
        [
            "sh",
            "-c",
            f'exec "$0" -m orchestrator --home "$1" {arguments} >/dev/full',
            sys.executable,
            tmp_path / "home",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )

    assert ran.returncode == 3, ran.stderr
    assert [line for line in ran.stderr.splitlines() if line.startswith("error")] == [
        "error: there is no room left to write the output: No space left on device"
    ]
    assert "Exception" not in ran.stderr


def test_a_full_disk_behind_stderr_ends_nothing(tmp_path: Path) -> None:
    ran = subprocess.run(
        ["sh", "-c", f"{LIST} 2>/dev/full", sys.executable, str(tmp_path / "home")], stdout=subprocess.PIPE
    )

    assert ran.returncode == 0
