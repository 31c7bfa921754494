"""Secrets that are planted in the environment and in addresses are looked for in all that commands write and start."""

import stat
import subprocess
from pathlib import Path

import psutil

from tests.support.orchestrate_command import BIN, clean_environment

PLANTED = "pl4nted-s3cret"
ENVIRONMENT = {
    "AWS_SECRET_ACCESS_KEY": f"{PLANTED}-aws",
    "ORCHESTRATE_GRAFANA_TOKEN": f"{PLANTED}-grafana",
    "ORCHESTRATE_METRICS_TOKEN": f"{PLANTED}-metrics",
    "ORCHESTRATE_PROMETHEUS_CREDENTIALS": f"user:{PLANTED}-prometheus",
}
COMMANDS = (
    ("simulate", "--upscaling-speed", "1", "--tasks", "8", "--parallel", "2", "--repeat", "2"),
    ("show", "@last", "--json"),
    ("report", "@last", "--to", "report.html"),
    ("export", "@last", "--to", "tables", "--format", "csv"),
    ("push", "@last", "--to", "http://127.0.0.1:1"),
    ("push", "@last", "--to", f"http://user:{PLANTED}-url@127.0.0.1:1"),
    ("dashboards", "push", "--url", f"http://user:{PLANTED}-url@127.0.0.1:1"),
    ("--ledger", f"postgresql://user:{PLANTED}-url@127.0.0.1:1/ledger", "list"),
    ("doctor",),
)


def _run(command: tuple[str, ...], folder: Path) -> tuple[str, list[str]]:
    """Return what a command prints, and the command lines of the processes that it starts."""
    environment = clean_environment(**ENVIRONMENT, ORCHESTRATE_LOG=f"debug:{folder / 'debug.log'}")
    started: set[str] = set()
    with subprocess.Popen(
        [str(BIN / "orchestrate"), *command],
        cwd=folder,
        env=environment,
        stdout=(folder / "said.txt").open("ab"),
        stderr=subprocess.STDOUT,
    ) as process:
        while process.poll() is None:
            for each in psutil.Process(process.pid).children(recursive=True):
                try:
                    started.add(" ".join(each.cmdline()))
                except psutil.Error:
                    continue  # it has ended
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
    return (folder / "said.txt").read_text(), sorted(started)


def test_a_planted_secret_is_in_no_output_file_or_command_line(tmp_path: Path) -> None:
    outcomes = {command: _run(command, tmp_path) for command in COMMANDS}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]

    assert [command for command, (said, started) in outcomes.items() if PLANTED in said + "\n".join(started)] == []
    assert [path for path in files if PLANTED.encode() in path.read_bytes()] == []
    assert {path.name for path in files} >= {"debug.log", "ledger.db", "report.html", "trials.csv"}
    assert any(started for _, started in outcomes.values()), "no process was seen"


def test_others_can_not_look_into_a_home(tmp_path: Path) -> None:
    _run(COMMANDS[0], tmp_path)

    assert stat.S_IMODE((tmp_path / ".orchestrate").stat().st_mode) == 0o700
