"""Keys of a cluster file that decide: heads that run tasks, types with their own rules, labels, extreme timeouts."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.analysis.trial.score import score
from orchestrator.model.cluster import ClusterShape, NodeType
from orchestrator.model.events import Event, NodeEvent, TaskEvent
from orchestrator.model.latency import Delay, LaunchModel
from orchestrator.model.ray_latencies import RayModel
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.settings import AutoscalerVersion, Settings
from orchestrator.model.trial import Trial
from orchestrator.model.workload import Workload
from orchestrator.simulator.simulation import simulate
from tests.support.orchestrate_command import Orchestrate

BOTH: tuple[AutoscalerVersion, ...] = ("v1", "v2")
both_versions = pytest.mark.parametrize("version", BOTH)
LAUNCH = LaunchModel(request=Delay(mean_s=3), boot=Delay(mean_s=60))
MODEL = RayModel(submit_phase=0.0)


def head(cpus: float = 0, **more: Any) -> NodeType:
    return NodeType(name="head", arch="x86_64", resources={"CPU": cpus}, **more)


def worker(name: str = "worker", *, cpus: float = 8, **more: Any) -> NodeType:
    return NodeType(name=name, arch="x86_64", **{"resources": {"CPU": cpus}, "max_workers": 8, **more})


def cluster(of_head: NodeType, *workers: NodeType, most: int = 8) -> ClusterShape:
    return ClusterShape(head=of_head, workers=workers, max_workers=most, launch=LAUNCH, simulation=MODEL)


def run(
    shape: ClusterShape,
    workload: Workload,
    version: AutoscalerVersion = "v2",
    *,
    plain: bool = False,
    minutes: float | None = 1,
    **knobs: Any,
) -> tuple[Scorecard, list[Event]]:
    """Simulate one trial."""
    chosen = Settings(autoscaler=version, **{"upscaling_speed": 10, "idle_timeout_minutes": minutes, **knobs})
    trial = Trial(backend="simulated", settings=chosen, shape=shape, workload=workload)
    events: list[Event] = []
    simulate(trial, events.append, timeout_s=5000, plain=plain)
    card = score(trial, events)
    assert card.valid, card.invalid_because
    return card, events


def ran_on(events: list[Event]) -> dict[str, int]:
    """Return the number of tasks that each node type ran."""
    counts: dict[str, int] = {}
    for event in events:
        if isinstance(event, TaskEvent):
            counts[event.node_type] = counts.get(event.node_type, 0) + event.count
    return counts


def launched(events: list[Event]) -> list[str]:
    """Return the types of the launched nodes, in order."""
    return [event.node_type for event in events if isinstance(event, NodeEvent) and event.state == "requested"]


# Heads that run tasks


@both_versions
def test_tasks_that_fit_on_the_head_need_no_worker(version: AutoscalerVersion) -> None:
    card, events = run(cluster(head(8), worker()), Workload(tasks=8, seconds=30), version)

    assert (30.0, 0, {"head": 8}) == (card.makespan_s, card.launches, ran_on(events))
    assert card.cpu_utilisation == pytest.approx(1.0)
    assert (0.0, 0.0) == (card.theta_u, card.theta_o)


@both_versions
def test_the_head_takes_its_part_of_many_tasks(version: AutoscalerVersion) -> None:
    card, events = run(cluster(head(8), worker()), Workload(tasks=64, seconds=120), version)

    assert ({"head": 8, "worker": 56}, 7) == (ran_on(events), card.launches)
    assert card.makespan_s is not None
    assert 180 < card.makespan_s < 230
    assert card.cpu_utilisation is not None
    assert card.cpu_utilisation <= 1.0


@both_versions
def test_a_head_that_lacks_what_a_task_needs_counts_for_nothing(version: AutoscalerVersion) -> None:
    with_cpus, without = (
        run(
            cluster(head(cpus), worker(resources={"CPU": 8, "Graviton": 1})),
            Workload(tasks=16, seconds=30, resources={"Graviton": 0.1}),
            version,
        )[0]
        for cpus in (8, 0)
    )

    assert with_cpus == without


def test_the_shortcuts_of_the_simulator_decide_as_ray_does_with_a_busy_head() -> None:
    shape = cluster(head(6, max_workers=2), worker(cpus=2, max_workers=3), most=4)
    workload = Workload(tasks=60, seconds=20)

    assert run(shape, workload)[1] == run(shape, workload, plain=True)[1]


@both_versions
def test_workers_of_the_heads_type_are_launched(version: AutoscalerVersion) -> None:
    shape = ClusterShape(head=head(4, max_workers=3), workers=(), max_workers=3, launch=LAUNCH, simulation=MODEL)
    card, events = run(shape, Workload(tasks=16, seconds=60), version)

    assert (["head"] * 3, 3) == (launched(events), card.launches)
    assert {"head": 16} == ran_on(events)
    assert card.scale_down_s is not None
    assert card.scale_down_s < 90


@both_versions
def test_tasks_that_need_no_cpu_run_on_any_head(version: AutoscalerVersion) -> None:
    card, events = run(cluster(head(0), worker()), Workload(tasks=20, seconds=10, cpus=0), version)

    assert (10.0, 0, {"head": 20}) == (card.makespan_s, card.launches, ran_on(events))


# What the autoscaler sees


@both_versions
@pytest.mark.parametrize("boot_s", [58, 60.5, 61.5])
def test_tasks_that_nodes_have_just_taken_call_for_no_other_node(version: AutoscalerVersion, boot_s: float) -> None:
    """The autoscaler looks each 5 s, also between the nodes' start and the moment when it sees what they run."""
    shape = cluster(head(), worker(cpus=1)).replace(
        launch=LaunchModel(request=Delay(mean_s=3), boot=Delay(mean_s=boot_s)),
        simulation=RayModel(submit_phase=0.0, demand_lag=Delay(mean_s=1.5)),
    )
    card, _ = run(shape, Workload(tasks=2, seconds=30), version)

    assert 2 == card.launches


# Rules of a node type


def test_v2_ends_the_nodes_of_a_type_after_its_own_idle_timeout() -> None:
    own, everywhere = (
        run(cluster(head(), worker(idle_timeout_s=seconds)), Workload(tasks=16, seconds=30), minutes=5)[0].scale_down_s
        for seconds in (30, None)
    )

    assert own is not None
    assert everywhere is not None
    assert 30 < own < 45
    assert 300 < everywhere < 315


def test_v1_ignores_the_idle_timeout_of_a_type() -> None:
    own, everywhere = (
        run(cluster(head(), worker(idle_timeout_s=seconds)), Workload(tasks=16, seconds=30), "v1", minutes=5)[0]
        for seconds in (30, None)
    )

    assert own == everywhere


def test_v1_without_an_idle_timeout_ends_idle_nodes_after_rays_five_minutes() -> None:
    card, _ = run(cluster(head(), worker()), Workload(tasks=8, seconds=30), "v1", minutes=None)

    assert card.scale_down_s is not None
    assert 300 < card.scale_down_s < 315


def test_v2_prefers_the_type_with_the_higher_priority() -> None:
    for first, second in ((1, 0), (0, 1)):
        shape = cluster(head(), worker("a", priority=first), worker("b", priority=second))
        _, events = run(shape, Workload(tasks=16, seconds=30))

        assert {"a" if first else "b"} == set(launched(events))


@both_versions
def test_an_idle_timeout_of_zero_ends_a_node_at_the_next_update(version: AutoscalerVersion) -> None:
    card, _ = run(cluster(head(), worker()), Workload(tasks=8, seconds=30), version, minutes=0)

    assert card.scale_down_s is not None
    assert card.scale_down_s <= 15


@both_versions
def test_a_very_long_idle_timeout_is_waited_for(version: AutoscalerVersion) -> None:
    card, _ = run(cluster(head(), worker()), Workload(tasks=8, seconds=30), version, minutes=99_999_999)

    assert card.scale_down_s == pytest.approx(60 * 99_999_999, abs=30)


# Label selectors

LABELLED = (
    worker("od", labels={"market": "on-demand", "zone": "a"}),
    worker("sp", labels={"market": "spot", "zone": "b"}),
    worker("bare"),
)


@pytest.mark.parametrize(
    ("selectors", "able"),
    [
        ({"market": "spot"}, {"sp"}),
        ({"market": "!spot"}, {"od", "bare"}),
        ({"market": "in(spot,on-demand)"}, {"sp", "od"}),
        ({"market": "!in(spot,on-demand)"}, {"bare"}),
        ({"market": "!spot", "zone": "a"}, {"od"}),
    ],
)
def test_tasks_run_only_where_their_selectors_are_satisfied(selectors: dict[str, str], able: set[str]) -> None:
    _, events = run(cluster(head(8), *LABELLED), Workload(tasks=8, seconds=5, labels={**selectors, "zone2": "!x"}))

    assert ran_on(events).keys() <= able | ({"head"} if "bare" in able else set())


def test_selectors_that_the_head_does_not_satisfy_keep_tasks_off_it() -> None:
    card, events = run(cluster(head(8), *LABELLED), Workload(tasks=8, seconds=30, labels={"market": "spot"}))

    assert ({"sp": 8}, 1) == (ran_on(events), card.launches)


def test_running_nodes_carry_the_labels_that_ray_adds() -> None:
    shape = cluster(head(8), worker("a", min_workers=1, max_workers=1), worker("b", min_workers=1, max_workers=1))
    _, events = run(shape, Workload(tasks=4, seconds=5, labels={"ray.io/node-group": "b"}))

    assert {"b": 4} == ran_on(events)


# The command

HEADED = """
cluster_name: headed
max_workers: 8
upscaling_speed: 1.0
provider: {launch: {request: {mean_s: 3}, boot: {mean_s: 60}, install: {mean_s: 0}}}
head_node_type: head
available_node_types:
  head: {resources: {CPU: %d}, node_config: {}}
  worker: {min_workers: 0, max_workers: 8, resources: {CPU: 8}, node_config: {}%s}
"""


def simulated(orchestrate: Orchestrate, folder: Path, text: str, *options: str) -> Any:
    (folder / "cluster.yaml").write_text(text)
    result = orchestrate("simulate", "--cluster", str(folder / "cluster.yaml"), *options, "--json", "-")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout), result.stderr


def test_the_command_runs_tasks_on_the_head_and_says_so(orchestrate: Orchestrate, tmp_path: Path) -> None:
    """H06."""
    document, said = simulated(orchestrate, tmp_path, HEADED % (8, ""), "--tasks", "64", "--task-seconds", "120")
    (trial,) = document["trials"]

    assert "Ray runs tasks on the head, too (head, 8 at once)" in said
    assert trial["scorecard"]["makespan_s"] == pytest.approx(220, abs=10)


def test_the_command_says_that_v1_ignores_keys_of_a_type(orchestrate: Orchestrate, tmp_path: Path) -> None:
    """H07."""
    text = HEADED % (0, ", idle_timeout_s: 30, priority: 2")
    options = ("--autoscaler", "v1,v2", "--tasks", "16", "--task-seconds", "30")
    document, said = simulated(orchestrate, tmp_path, text, *options)
    v1, v2 = (trial["scorecard"]["scale_down_s"] for trial in document["trials"])

    assert "the v1 autoscaler ignores idle_timeout_s of worker" in said
    assert "the v1 autoscaler ignores priority of worker" in said
    assert v1 > 300
    assert v2 == pytest.approx(40, abs=5)


def test_the_command_takes_selectors_of_a_spec(orchestrate: Orchestrate, tmp_path: Path) -> None:
    """H09."""
    labelled = ", labels: {market: spot}}\n  od: {max_workers: 4, resources: {CPU: 8}, node_config: {}"
    (tmp_path / "cluster.yaml").write_text(HEADED % (0, labelled))
    spec = "backend: simulated\ncluster: %s\nworkload: {tasks: 16, seconds: 30, labels: {market: '!spot'}}\n"
    (tmp_path / "spec.yaml").write_text(spec % (tmp_path / "cluster.yaml"))
    result = orchestrate("simulate", "--spec", str(tmp_path / "spec.yaml"), "--json", "-")
    assert result.returncode == 0, result.stderr
    (trial,) = json.loads(result.stdout)["trials"]

    assert {"od"} == set(trial["scorecard"]["node_seconds"]["by_type"])


def test_a_label_that_the_autoscaler_does_not_know_is_refused_with_the_way_out(
    orchestrate: Orchestrate, tmp_path: Path
) -> None:
    (tmp_path / "cluster.yaml").write_text(HEADED % (0, ""))
    spec = "backend: simulated\ncluster: %s\nworkload: {tasks: 4, seconds: 5, labels: {ray.io/node-group: worker}}\n"
    (tmp_path / "spec.yaml").write_text(spec % (tmp_path / "cluster.yaml"))
    result = orchestrate("simulate", "--spec", str(tmp_path / "spec.yaml"))

    assert result.returncode == 2
    assert "add them under available_node_types.worker.labels" in result.stderr


def test_nodes_that_stay_for_ever_are_refused(orchestrate: Orchestrate, tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text(HEADED % (0, ""))
    result = orchestrate(
        "simulate", "--cluster", str(tmp_path / "cluster.yaml"), "--idle-timeout-minutes", "1e12", "--tasks", "4"
    )

    assert result.returncode == 2
    assert "set at most 1e+09 minutes" in result.stderr
