"""`orchestrate dashboards`: building, checking, and the address under which trials lie over each other."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli.app import app
from orchestrator.errors import InputError, MissingPrerequisite
from orchestrator.grafana.boards.build import build_all, write_all
from orchestrator.grafana.boards.compare import ComparedTrial, address
from orchestrator.stack.services import Service, Status
from orchestrator.stack.stack import Stack
from orchestrator.sweeps.ledger import Ledger
from orchestrator.trace.file import TraceWriter
from tests.support.builders import phase, trial

BUILT = build_all()


def test_help_loads_no_dashboard() -> None:
    code = (
        "import sys; sys.argv = ['orchestrate', '--help']\n"
        "from orchestrator.cli import main\n"
        "try: main()\n"
        "except SystemExit: print([m for m in sys.modules if m.startswith(('orchestrator.grafana', 'grafana_'))])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "dashboards" in result.stdout
    assert result.stdout.splitlines()[-1] == "[]"


def test_build_writes_what_check_accepts(tmp_path: Path) -> None:
    built = CliRunner().invoke(app, ["dashboards", "build", "--to", str(tmp_path / "new" / "folder")])
    checked = CliRunner().invoke(app, ["dashboards", "check", "--in", str(tmp_path / "new" / "folder")])

    assert built.exit_code == 0
    assert len(built.stdout.splitlines()) == len(BUILT)
    assert (checked.exit_code, checked.stdout) == (0, "")


def test_check_names_each_file_that_differs(tmp_path: Path) -> None:
    write_all(tmp_path)
    (tmp_path / "trial.json").write_text("{}\n")
    (tmp_path / "nodes.json").write_bytes(b"\xff\xfe")  # no text at all
    (tmp_path / "sweep.json").unlink()
    (tmp_path / "mine.json").write_text("{}\n")
    checked = CliRunner().invoke(app, ["dashboards", "check", "--in", str(tmp_path)])

    assert checked.exit_code == 1
    assert [line.removeprefix(f"{tmp_path}/") for line in checked.stdout.splitlines()] == [
        "mine.json: not built by orchestrate",
        "nodes.json: differs from what the code builds",
        "sweep.json: missing",
        "trial.json: differs from what the code builds",
    ]


def compare(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["--home", str(home), "dashboards", "compare", *arguments])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Its sweep `5f2a` has one trial of 40 s and one of 100 s; another sweep, `9c9c`, is simulated."""
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    for sweep_id, backend in (("5f2a", "local"), ("9c9c", "simulated")):
        trials = [trial(upscaling_speed=speed) for speed in (1, 10)]
        ledger.add_sweep(sweep_id, trials, name="", backend=backend, spec={}, environment={})
        for each, lasts in zip(trials, (40.0, 100.0), strict=True):
            path = tmp_path / sweep_id / f"{each.trial_id}.jsonl"
            ledger.start_trial(sweep_id, each.trial_id, str(path))
            with TraceWriter(path, trial=each) as trace:
                trace.emit(phase(-10, "preparing"))
                trace.emit(phase(0, "running"))
                trace.emit(phase(lasts, "done"))
    return tmp_path


SLOW, FAST = (trial(upscaling_speed=speed).trial_id for speed in (1, 10))


def runs(monkeypatch: pytest.MonkeyPatch, *services: Service) -> None:
    monkeypatch.setattr(Stack, "status", lambda _stack: Status(services, Path("password")))


def test_compare_prints_where_the_stacks_grafana_shows_the_trials(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs(monkeypatch, Service("grafana", "grafana", "running", "healthy", "http://127.0.0.1:3001"))
    printed = compare(home, f"5f2a/{SLOW}", f"5f2a/{FAST}")
    compared = [ComparedTrial("5f2a", SLOW, 40.0), ComparedTrial("5f2a", FAST, 100.0)]

    assert (printed.exit_code, printed.output) == (0, address("http://127.0.0.1:3001", compared) + "\n")


def test_a_sweep_stands_for_its_trials(home: Path) -> None:
    url = ("--url", "https://grafana.example.com/")

    assert compare(home, "5f2a", *url).output == compare(home, f"5f2a/{SLOW}", f"5f2a/{FAST}", *url).output


def test_compare_asks_no_docker_for_another_grafana(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Stack, "status")
    printed = compare(home, f"5f2a/{SLOW}", f"5f2a/{FAST}", "--url", "https://grafana.example.com/")

    assert printed.output.startswith("https://grafana.example.com/d/orchestrate-compare?var-sweep_id=5f2a&var-base=")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["5f2a", f"5f2a/{FAST}"], "one trial appears twice"),
        (["5f2a", "9c9c"], "is simulated, and Prometheus hasn't seen it"),
        ([f"9c9c/{SLOW}", f"9c9c/{FAST}"], "is simulated, and Prometheus hasn't seen it"),
        ([f"5f2a/{SLOW}"], "you can compare 2 to 4 trials, not 1"),
        ([f"5f2a/{SLOW}", f"5f2a/{SLOW}"], "one trial appears twice"),
        ([f"5f2a/{SLOW}", "5f2a/none"], "none"),
    ],
    ids=["a sweep and its trial", "a sweep not pushed", "not pushed", "one trial", "one trial twice", "no trial"],
)
def test_compare_says_what_it_cant_compare(home: Path, arguments: list[str], problem: str) -> None:
    found = compare(home, *arguments, "--url", "http://127.0.0.1:3000")

    assert isinstance(found.exception, InputError)
    assert problem in str(found.exception)


def test_compare_needs_a_grafana(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs(monkeypatch, Service("prometheus", "/usr/bin/prometheus", "running", "healthy", "http://127.0.0.1:9090"))
    found = compare(home, f"5f2a/{SLOW}", f"5f2a/{FAST}")

    assert isinstance(found.exception, MissingPrerequisite)
    assert "orchestrate stack up" in str(found.exception.hint)
