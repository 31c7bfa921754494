"""A simulated sweep takes workload, cluster and latencies from a record."""

from pathlib import Path

import pytest

from orchestrator.cli.parsing import parse_workload_from
from orchestrator.errors import InputError
from orchestrator.lab.home import Home
from orchestrator.lab.planning import plan_sweep
from orchestrator.lab.workload_from import WorkloadFrom
from orchestrator.model.events import Event, NodeTypeEvent, SettingsEvent
from orchestrator.trace.file import TraceWriter
from tests.support.builders import T0, life, phase, task


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", "")


@pytest.fixture
def seen(tmp_path: Path) -> str:
    """An observation: a node of 2 CPUs came 10 s after its request, and ran two tasks."""
    types: list[Event] = [
        NodeTypeEvent(t=T0 - 5, node_type="head", is_head=True, resources={"CPU": 0}),
        NodeTypeEvent(t=T0 + 14, node_type="x86", resources={"CPU": 2, "memory": 8e9}),
    ]
    nodes = life("n1", requested=2, allocated=3, installing=9, running=12, idle=40, terminated=90)
    tasks = [task("n1", start, start + 10, resources={"CPU": 1.0}) for start in (13, 24)]
    settings = SettingsEvent(t=T0 - 5, in_force={"autoscaler": "v1"}, as_wanted=True)
    path = tmp_path / "seen.jsonl"
    with TraceWriter(path, context={"observed": "10.0.0.5:6379"}) as trace:
        for event in (settings, *types, *nodes, *tasks, phase(100, "done")):
            trace.emit(event)
    return str(path)


def test_a_sweep_replays_an_observation_on_its_cluster(home: Home, seen: str) -> None:
    plan, cluster = plan_sweep(
        home, None, {"backend": "simulated", "idle_timeout_minutes": [1, 5]}, (), WorkloadFrom(seen)
    )

    assert plan.workload.task_count == 2
    assert [trial.settings.label() for trial in plan.trials] == ["v1 idle=1", "v1 idle=5"]
    [worker] = plan.shape.workers
    assert (worker.name, worker.min_workers, worker.max_workers, worker.resources) == ("x86", 0, 1, {"CPU": 2})
    latencies = plan.shape.launch.latencies(0, "x86", 0)
    assert (latencies.request, latencies.boot, latencies.install) == (1, 6, 3)
    assert f"launch latencies are those met in {seen}" in plan.assumptions
    assert any("the limits are the fewest and the most nodes" in each for each in plan.assumptions)
    assert any("its upscaling_speed isn't known" in each for each in plan.assumptions)
    assert cluster.path.parent == home.root / "observed"


def test_another_workload_at_the_same_time_is_refused(home: Home, seen: str) -> None:
    with pytest.raises(InputError, match="brings its own workload, and tasks is another"):
        plan_sweep(home, None, {"backend": "simulated", "tasks": 5}, (), WorkloadFrom(seen))


@pytest.mark.parametrize(
    ("edits", "refusal"),
    [
        ((None, 2.0, None, None), "--scale-load is for --workload-from"),
        (("x", 0.0, None, None), "--scale-load: 0 isn't a factor"),
        (("x", None, "9-17", None), "--between: '9-17' isn't two times of day"),
        (("x", None, "09:00,09:00", None), "--between: '09:00,09:00' is no time at all"),
        (("x", None, None, "CPU"), "--only-shape: 'CPU' isn't a shape"),
        (("x", None, None, "CPU=nan"), "--only-shape: 'CPU=nan' isn't a shape"),
    ],
)
def test_edits_that_mean_nothing_are_refused(
    edits: tuple[str | None, float | None, str | None, str | None], refusal: str
) -> None:
    with pytest.raises(InputError) as refused:
        parse_workload_from(*edits)
    assert refused.value.message == refusal


def test_a_shape_is_read_in_any_order() -> None:
    wanted = parse_workload_from("x", None, None, "GPU=1.0, CPU=4")

    assert wanted is not None
    assert wanted.edits.only_shape == "CPU=4,GPU=1"
