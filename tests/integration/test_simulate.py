"""`orchestrate simulate` as a user runs it: the same faces as a real sweep, the same bytes each time, clear errors."""

import json
from pathlib import Path

import pytest

from orchestrator.model.events import FaultEvent
from orchestrator.model.spec import SweepSpec
from orchestrator.trace.file import read_trace
from tests.support.orchestrate_command import Orchestrate

pytestmark = pytest.mark.quick

CLUSTER = Path(__file__).parents[2] / "cluster" / "simulated.yaml"


def _traces(orchestrate: Orchestrate) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in orchestrate.home.glob("sweeps/*/*.jsonl")}


def test_a_simulated_sweep_ends_in_the_ledger_like_any_other(orchestrate: Orchestrate) -> None:
    result = orchestrate("simulate", "--upscaling-speed", "1,10", "--autoscaler", "v1,v2", "--json", "-")
    document = json.loads(result.stdout)

    assert result.returncode == 0, result.stderr
    assert document["backend"] == "simulated"
    assert [trial["scorecard"]["valid"] for trial in document["trials"]] == [True] * 4
    assert [trial["scorecard"]["launches"] for trial in document["trials"]] == [14] * 4
    assert orchestrate.json("show", "@last") == document


def test_the_same_seed_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    first, second = Orchestrate(tmp_path / "one"), Orchestrate(tmp_path / "two")
    options = ("--autoscaler", "v1,v2", "--arrival", "poisson", "--repeat", "2", "--seed", "7")
    assert first("simulate", *options).returncode == 0
    assert second("sweep", "--backend", "simulated", *options).returncode == 0

    assert len(_traces(first)) == 4
    assert _traces(first) == _traces(second)


def test_latencies_come_from_a_recorded_sweep(orchestrate: Orchestrate) -> None:
    assert orchestrate("simulate", "--seed", "3").returncode == 0
    recorded = read_trace(next(iter(orchestrate.home.glob("sweeps/*/*.jsonl"))))
    result = orchestrate("simulate", "--boot-from", "@last", "--json", "-")
    (trial,) = json.loads(result.stdout)["trials"]
    replayed = read_trace(Path(trial["trace"]))

    assert recorded.trial is not None
    assert replayed.trial is not None
    assert replayed.trial.shape.launch.node_types.keys() == {"x86_worker_node", "arm_worker_node"}
    assert replayed.trial.shape.launch.node_types["arm_worker_node"].boot != recorded.trial.shape.launch.boot
    assert trial["scorecard"]["valid"]


def test_faults_are_in_the_trace_the_table_and_the_report_with_the_command_that_repeats_them(
    orchestrate: Orchestrate, tmp_path: Path
) -> None:
    faults = ("--fault", "kill@60", "--fault", "spot@4/h")
    assert orchestrate("simulate", "--autoscaler", "v1,v2", "--tasks", "128", *faults).returncode == 0
    trials = orchestrate.json("show")["trials"]
    assert orchestrate("report", "--format", "md", "--to", str(tmp_path / "report.md")).returncode == 0
    report = (tmp_path / "report.md").read_text()

    for trial in trials:
        hits = [event for event in read_trace(Path(trial["trace"])).events if isinstance(event, FaultEvent)]
        assert trial["scorecard"]["valid"]
        assert trial["scorecard"]["faults"] == len(hits) > 0
        assert [hit.detail for hit in hits].count("kill@60") == 1
        assert f"kill of {next(hit.node for hit in hits if hit.kind == 'kill')} at 60.0 s" in report
    assert "--fault kill@60 --fault spot@4/h" in report


def test_a_dry_run_predicts_and_starts_nothing(orchestrate: Orchestrate) -> None:
    result = orchestrate("sweep", "--upscaling-speed", "1,5,10", "--fit", "none", "--dry-run")

    assert result.returncode == 0, result.stderr
    assert "prediction of the simulator" in result.stdout
    assert "predicted to be indistinguishable: v2 speed=5 idle=0.25, v2 speed=10 idle=0.25" in result.stdout
    assert list(orchestrate.home.glob("sweeps/*")) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--tasks", "1000000000"), "workload.tasks"),
        (("--boot-from", "nothing"), "no sweep or trial begins with 'nothing'"),
        (("--boot-from", str(CLUSTER)), "no trace"),
        (("--target-utilization-fraction", "0.5"), "v2 autoscaler rejects it"),
        (("--timeout", "-1"), "--timeout"),
        (("--fault", "kill"), "--fault 'kill': write a fault as kill@20"),
        (("--fault", "pause@20+5"), "pause@20+5: the simulated backend can't cause a pause"),
        (("--fault", "kill@20:gpu"), "'gpu' is not a worker type"),
    ],
)
def test_bad_input_is_one_clear_error(orchestrate: Orchestrate, options: tuple[str, ...], said: str) -> None:
    result = orchestrate("simulate", *options)

    assert result.returncode == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 2


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("mean_s: 23.5", "mean_s: -1", "provider.launch.boot.mean_s"),
        ("mean_s: 23.5", "mean_s: .nan", "provider.launch.boot.mean_s"),
        ("{distribution: constant, mean_s: 2.5}", "{distribution: empirical, samples: []}", "provider.launch.request"),
        ("mean_s: 1.0}     # until the autoscaler", "mean_s: .inf}   #", "provider.simulation.demand_lag.mean_s"),
        ("seed: 0", "capacity: {spark_worker_node: 1}", "spark_worker_node"),
        ("seed: 0", "failure_rate: 2", "provider.launch.failure_rate"),
        ("seed: 0", "launch_rate: 2", "provider.launch.launch_rate: unknown key"),
    ],
)
def test_a_wrong_latency_is_named_with_file_and_key(
    orchestrate: Orchestrate, tmp_path: Path, old: str, new: str, key: str
) -> None:
    file = tmp_path / "cluster.yaml"
    text = CLUSTER.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    result = orchestrate("simulate", "--cluster", str(file))

    assert result.returncode == 2
    assert str(file) in result.stderr
    assert key in result.stderr


def test_a_trial_that_can_never_end_fails_and_the_others_go_on(orchestrate: Orchestrate, tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(
        CLUSTER.read_text()
        .replace("seed: 0", "capacity: {arm_worker_node: 0}")
        .replace("min_workers: 1", "min_workers: 0")
    )
    options = (
        "--cluster",
        str(file),
        "--task-resources",
        "Graviton=0.1",
        "--timeout",
        "10m",
        "--upscaling-speed",
        "1,5",
    )
    result = orchestrate("simulate", *options)

    assert result.returncode == 1
    assert result.stdout.count("the tasks took longer than 600 virtual s; 512 of 512 still wait for a node") == 2


def test_a_spec_may_name_the_simulated_backend() -> None:
    assert SweepSpec(backend="simulated").backend == "simulated"


def test_verbose_shows_the_log_on_stderr_and_the_sweep_keeps_all_of_it(orchestrate: Orchestrate) -> None:
    quiet = orchestrate("simulate", "--upscaling-speed", "1")
    verbose = orchestrate("-v", "simulate", "--upscaling-speed", "2")
    logs = [path.read_text() for path in orchestrate.home.glob("sweeps/*/orchestrate.log")]

    assert " INFO " not in quiet.stderr
    assert " INFO    orchestrator.sweeps.runner " in verbose.stderr
    assert len(logs) == 2
    assert all(" ends: valid\n" in log for log in logs)
