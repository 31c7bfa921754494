"""The command line as a user meets it: one or two lines and exit code 2 for bad input, help for everything."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from orchestrator.cli.app import app
from orchestrator.replay.prediction import Foresight
from tests.support.command_line import Run, signal_handlers_kept

ROOT = Path(__file__).parents[3]
COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _keep_signal_handlers() -> Iterator[None]:
    with signal_handlers_kept():
        yield


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Calls `orchestrate` in this process, in a folder and with a home of its own."""
    monkeypatch.chdir(tmp_path)
    # The prediction of a dry run needs Ray: tests/integration/test_simulate.py has it.
    monkeypatch.setattr("orchestrator.replay.prediction.foresee", lambda plan: Foresight((), ()))
    return Run(monkeypatch, capsys)


BAD = {
    "speed 0": ["--upscaling-speed", "0"],
    "speed -1": ["--upscaling-speed", "-1"],
    "speed abc": ["--upscaling-speed", "abc"],
    "speed with a gap": ["--upscaling-speed", "1,,5"],
    "speed empty": ["--upscaling-speed", ""],
    "speed nan": ["--upscaling-speed", "nan"],
    "speed inf": ["--upscaling-speed", "inf"],
    "speed huge": ["--upscaling-speed", "1e300"],
    "idle nan": ["--idle-timeout-minutes", "nan"],
    "tasks 0": ["--tasks", "0"],
    "tasks -5": ["--tasks", "-5"],
    "tasks a word": ["--tasks", "many"],
    "tasks 10^9": ["--tasks", "1000000000"],
    "seconds nan": ["--task-seconds", "nan"],
    "seconds inf": ["--task-seconds", "inf"],
    "cpus negative": ["--task-cpus", "-1"],
    "cpus too many": ["--task-cpus", "64"],
    "resource nobody has": ["--task-resources", "GPUs=1"],
    "resource without amount": ["--task-resources", "Graviton"],
    "repeat 0": ["--repeat", "0"],
    "repeat huge": ["--repeat", "100000"],
    "order": ["--order", "sideways"],
    "isolation": ["--isolation", "none"],
    "backend": ["--backend", "moon"],
    "autoscaler": ["--autoscaler", "v3"],
    "fraction under v2": ["--target-utilization-fraction", "0.8"],
    "fraction above 1": ["--target-utilization-fraction", "1.5", "--autoscaler", "v1"],
    "unknown setting": ["--set", "speed=1"],
    "setting without value": ["--set", "min_workers"],
    "min above max": ["--set", "min_workers=3", "--set", "max_workers=1"],
    "timeout": ["--timeout", "soon"],
    "missing spec": ["--spec", "nowhere.yaml"],
    "folder as spec": ["--spec", "."],
    "missing cluster": ["--cluster", "nowhere.yaml"],
    "json into nowhere": ["--json", "nowhere/result.json"],
    "json into a folder": ["--json", "."],
    "metrics port -1": ["--metrics-port", "-1"],
    "metrics port 65536": ["--metrics-port", "65536"],
    "metrics port a word": ["--metrics-port", "http"],
    "metrics port 1.5": ["--metrics-port", "1.5"],
    "metrics port empty": ["--metrics-port", ""],
    "stack of a simulation": ["--backend", "simulated", "--stack"],
    "stack and another metrics port": ["--stack", "--metrics-port", "39477"],
    "stack without metrics": ["--stack", "--metrics-port", "0"],
    "resume and dry run": ["--resume", "@last"],
    "image without containers": ["--image", "lab/ray"],
    "image for the simulator": ["--image", "lab/ray", "--backend", "simulated"],
    "unknown option": ["--bogus"],
    "option without value": ["--spec"],
}


@pytest.mark.parametrize("arguments", BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_or_two_lines_and_exit_code_2(run: Run, arguments: list[str]) -> None:
    code, out, err = run("sweep", *arguments, "--dry-run")

    assert code == 2, err
    assert out == ""
    assert err.startswith("error: ")
    assert len(err.splitlines()) <= 2
    assert not Path(".orchestrate").exists()


@pytest.mark.parametrize("image", [[], ["--image", "lab/ray"]])
def test_without_an_engine_a_sweep_in_containers_says_so_and_leaves_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, image: list[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'docker.sock'}")
    code, out, err = run("sweep", "--backend", "docker", "--upscaling-speed", "1", *image)

    assert code == 3, err
    assert "Traceback" not in out + err
    assert [line for line in err.splitlines() if "error: " in line] == [
        f"error: there is no Docker engine: {tmp_path / 'docker.sock'} doesn't exist"
    ]
    assert not Path(".orchestrate").exists()


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
@pytest.mark.parametrize(
    ("old", "new", "refusal"),
    [
        ("memory: 4g", "memory: lots", "available_node_types.head_node.node_config.memory: expected a size"),
        ("memory: 4g", "nonsense: 1", "available_node_types.head_node.node_config.nonsense: unknown key"),
        ("# dashboard_port: 8265", "dashboard_port: 0", "provider.dashboard_port: expected a port"),
    ],
)
def test_a_wrong_container_is_said_before_anybody_looks_for_an_engine(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: list[str], old: str, new: str, refusal: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'docker.sock'}")
    text = (ROOT / "cluster/docker.yaml").read_text()
    Path("mine.yaml").write_text(text.replace(old, new))
    code, out, err = run("sweep", "--backend", "docker", "--cluster", "mine.yaml", *options)

    assert (code, out) == (2, ""), err
    assert f"error: mine.yaml: {refusal}" in err


def test_a_sweep_in_containers_can_be_planned_without_an_engine(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'docker.sock'}")
    code, out, err = run("sweep", "--backend", "docker", "--upscaling-speed", "1,5", "--dry-run")

    assert code == 0, err
    assert out.splitlines()[0].split()[:2] == ["backend", "docker,"]


@pytest.mark.parametrize("port", ["-1", "65536", "http", ""])
def test_observe_refuses_what_is_no_port(run: Run, port: str) -> None:
    code, out, err = run("observe", "--address", "127.0.0.1:1", "--metrics-port", port)

    assert code == 2, err
    assert out == ""
    assert "--metrics-port" in err
    assert len(err.splitlines()) <= 2


SPECS = {
    "empty": (b"", "empty.yaml: the file is empty"),
    "binary": (b"\x00\xff\xfe\x80abc", "binary.yaml: not a text file"),
    "unknown": (b"workload:\n  taskz: 4\n", "unknown.yaml: workload.taskz: unknown key"),
    "nan": (b"settings:\n  upscaling_speed: .nan\n", "nan.yaml: settings.upscaling_speed"),
    "list": (b"- 1\n- 2\n", "list.yaml: expected keys and values"),
    "syntax": (b"name: [1\n", "syntax.yaml:2: not valid YAML"),
    "yes": (b"repeat: yes\n", "yes.yaml: repeat"),
}


@pytest.mark.parametrize("name", SPECS)
def test_a_bad_spec_file_is_named_with_its_key(run: Run, name: str) -> None:
    content, problem = SPECS[name]
    Path(f"{name}.yaml").write_bytes(content)
    code, _, err = run("sweep", "--spec", f"{name}.yaml")

    assert code == 2
    assert problem in err
    assert len(err.splitlines()) <= 2


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (("min_workers: 1\n    max_workers: 8", "min_workers: 9\n    max_workers: 8"), "min_workers 9 is above"),
        (("head_node_type: head_node", "head_node_type: nobody"), "head_node_type"),
        (("max_workers: 16", "max_workers: sixteen"), "max_workers"),
        (("distribution: lognormal", "distribution: weibull"), "provider.launch.boot.distribution"),
    ],
)
def test_a_bad_cluster_file_is_named_with_its_key(run: Run, edit: tuple[str, str], problem: str) -> None:
    Path("c.yaml").write_text((ROOT / "cluster" / "local.yaml").read_text().replace(*edit))
    code, _, err = run("sweep", "--cluster", "c.yaml", "--dry-run")

    assert code == 2
    assert "c.yaml" in err
    assert problem in err


def test_a_dry_run_prints_the_plan_and_starts_nothing(run: Run) -> None:
    code, out, _ = run("sweep", "--upscaling-speed", "1,5,10", "--repeat", "2", "--dry-run")

    assert code == 0
    assert out.count("  speed=") == 6
    assert "3 settings x 2" in out
    assert not Path(".orchestrate").exists()


def test_the_full_experiment_can_be_asked_for(run: Run) -> None:
    code, out, _ = run("sweep", "--fit", "none", "--tasks", "512", "--task-seconds", "120", "--dry-run")

    assert code == 0
    assert "x86_worker_node 1-8 x 8 CPU" in out
    assert "512 tasks x 120 s x 1 CPU" in out


def test_an_option_can_come_from_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATE_SWEEP_UPSCALING_SPEED", "7")
    code, out, _ = run("sweep", "--dry-run")

    assert code == 0
    assert "v2 speed=7" in out


def test_an_empty_ledger_says_what_to_do_next(run: Run) -> None:
    assert run("list")[2].startswith("no sweeps yet")
    assert json.loads(run("list", "--json")[1]) == []

    code, _, err = run("show", "@last")
    assert code == 2
    assert "hint: run one" in err


def test_status_without_a_cluster_is_a_missing_prerequisite(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    code, _, err = run("status")

    assert code == 3
    assert "no Ray cluster runs here" in err


def test_clean_with_nothing_to_clean_makes_no_home(run: Run) -> None:
    code, out, _ = run("clean")

    assert code == 0
    assert out == "nothing to clean\n"
    assert not Path(".orchestrate").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_examples_and_stands_in_the_readme(run: Run, command: str) -> None:
    code, out, _ = run(command, "--help")

    assert code == 0
    assert "Examples:" in out
    assert f"orchestrate {command}" in (ROOT / "README.md").read_text()


def test_help_loads_nothing_heavy() -> None:
    heavy = ["ray", "sqlalchemy", "psutil", "yaml", "jsonschema"]
    code = f"import sys; import orchestrator.cli.app; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "[]"


def readme_commands() -> list[str]:
    """The `orchestrate sweep` lines of the README."""
    lines = (ROOT / "README.md").read_text().splitlines()
    return [line.removeprefix("$ ") for line in lines if line.removeprefix("$ ").startswith("orchestrate sweep")]


@pytest.mark.parametrize("line", readme_commands())
def test_the_readmes_sweeps_can_be_planned(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str
) -> None:
    monkeypatch.chdir(ROOT)
    words = [word for word in line.split()[1:] if word != "--dry-run"]
    arguments = [str(tmp_path / word) if word.endswith(".json") else word for word in words]
    code, _, err = run(*arguments, "--dry-run")

    assert code == 0, err


def test_without_a_stdout_a_command_runs_and_prints_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "orchestrator", "--home", str(tmp_path), "clean"]
    result = subprocess.run(["/bin/sh", "-c", 'exec "$@" >&-', "sh", *command], capture_output=True, text=True)

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
