"""Ray's own autoscaler in virtual time: real Ray code, no cluster."""

import copy
import importlib
import inspect
import math
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from ray.autoscaler._private.autoscaler import StandardAutoscaler

from orchestrator.analysis.trial.score import score
from orchestrator.errors import BaselineNotReached, InputError, MissingPrerequisite, TrialFailed, TrialTimedOut
from orchestrator.model.cluster import ClusterShape, NodeType
from orchestrator.model.events import Event, FaultEvent, NodeEvent, NoteEvent, PhaseEvent, TaskEvent
from orchestrator.model.fault import Fault
from orchestrator.model.latency import Delay, LaunchModel, NodeLatencies
from orchestrator.model.ray_latencies import RayModel
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.settings import AutoscalerVersion, Settings
from orchestrator.model.trial import Trial
from orchestrator.model.workload import Workload
from orchestrator.rayapi.virtual import fastpaths
from orchestrator.rayapi.virtual.patching import replaced_names
from orchestrator.rayapi.virtual.session import AutoscalerRaised
from orchestrator.simulator.simulation import Latencies, simulate
from orchestrator.simulator.trace_recorder import SUBMISSION
from tests.support.orchestrate_command import clean_environment

BOTH: tuple[AutoscalerVersion, ...] = ("v1", "v2")
HEAD = NodeType(name="head", arch="x86_64", resources={"CPU": 0, "Intel": 1})
SEED_LAUNCH = LaunchModel(
    request=Delay(mean_s=2.5), boot=Delay(distribution="lognormal", mean_s=77.5, sigma=0.2), terminate=Delay(mean_s=7)
)
AT_AN_UPDATE = RayModel(demand_lag=Delay(), submit_phase=0.0)

SEED_WORKLOAD = Workload()
DEFAULT_MODEL = RayModel()

# Older ones give up when a machine is gone by the time that its updater is done: a cloud has no address for it then.
V1_DOES_WITHOUT_AN_ADDRESS = "if node_ip:" in inspect.getsource(StandardAutoscaler.process_completed_updates)
both_versions = pytest.mark.parametrize("version", BOTH)


def shape(
    launch: LaunchModel = SEED_LAUNCH, model: RayModel = DEFAULT_MODEL, *, most: int = 8, least: int = 1
) -> ClusterShape:
    """The seed's cluster: two types of `least` to `most` nodes with 8 CPUs each."""
    limits = {"min_workers": least, "max_workers": most}
    x86 = NodeType(name="x86", arch="x86_64", resources={"CPU": 8, "Intel": 1}, **limits)
    arm = NodeType(name="arm", arch="arm64", resources={"CPU": 8, "Graviton": 1}, **limits)
    return ClusterShape(head=HEAD, workers=(x86, arm), max_workers=2 * most, launch=launch, simulation=model)


def trial(
    cluster: ClusterShape, version: AutoscalerVersion, workload: Workload = SEED_WORKLOAD, seed: int = 0, **knobs: Any
) -> Trial:
    return Trial(
        backend="simulated",
        settings=Settings(**{"autoscaler": version, "idle_timeout_minutes": 1, **knobs}),
        shape=cluster,
        workload=workload,
        seed=seed,
    )


def run(
    one: Trial, *, timeout_s: float = 20_000, latencies: Latencies | None = None, plain: bool = False
) -> list[Event]:
    events: list[Event] = []
    simulate(one, events.append, timeout_s=timeout_s, latencies=latencies, plain=plain)
    return events


def lines(events: Sequence[Event]) -> list[str]:
    return [event.model_dump_json() for event in events]


def card(one: Trial, events: Sequence[Event]) -> Scorecard:
    return score(one, sorted(events, key=lambda event: event.t))


def nodes(events: Sequence[Event], *states: str) -> list[NodeEvent]:
    return [event for event in events if isinstance(event, NodeEvent) and event.state in states]


def last_phase(events: Sequence[Event]) -> str:
    return [event.phase for event in events if isinstance(event, PhaseEvent)][-1]


SMALL = Workload(tasks=40, seconds=30)


# What Ray decides


@pytest.mark.parametrize(
    ("version", "speed", "times"),
    [
        ("v2", 1, [140, 140, 150, 140, 155, 130, 145, 120, 135, 125]),
        ("v2", 10, [115, 115, 130, 115, 140, 110, 125, 95, 115, 105]),
        ("v1", 1, [175, 185, 185, 190, 180, 170, 200, 155, 170, 145]),
        ("v1", 10, [115, 115, 125, 115, 135, 100, 120, 95, 115, 100]),
    ],
)
def test_the_time_to_16_nodes_is_what_an_independent_prototype_found(
    version: AutoscalerVersion, speed: float, times: list[int]
) -> None:
    model = RayModel(demand_lag=Delay(), submit_phase=0.999999, node_updaters=True)

    def seconds_to_peak(seed: int) -> int:
        rng, mu = random.Random(seed), math.log(77.5) - 0.02
        for _baseline_node in range(2):
            rng.lognormvariate(mu, 0.2)

        def latencies(_node_type: str, _index: int) -> NodeLatencies:
            launch = rng.lognormvariate(mu, 0.2)
            return NodeLatencies(2.5, 0.3 * launch, 0.7 * launch)

        one = trial(shape(LaunchModel(), model), version, seed=seed, upscaling_speed=speed)
        found = card(one, run(one, latencies=latencies))
        assert found.valid
        assert found.peak_nodes == 16
        assert found.time_to_peak_s is not None
        # The prototype looked at the cluster once in each update.
        return math.ceil(found.time_to_peak_s / 5 - 1e-3) * 5

    assert [seconds_to_peak(seed) for seed in range(10)] == times


def test_v2_rejects_the_target_utilization_fraction() -> None:
    with pytest.raises(ValidationError, match="v2 autoscaler rejects target_utilization_fraction"):
        Settings(autoscaler="v2", target_utilization_fraction=0.1)


def test_v1_acts_on_a_target_of_a_tenth_as_on_speed_9() -> None:
    by_target = run(trial(shape(), "v1", seed=3, target_utilization_fraction=0.1))
    by_speed = run(trial(shape(), "v1", seed=3, upscaling_speed=9))
    slow = run(trial(shape(), "v1", seed=3, upscaling_speed=1))

    every = ("requested", "allocated", "installing", "running", "idle", "draining", "terminated", "failed")
    assert lines(nodes(by_target, *every)) == lines(nodes(by_speed, *every)) != lines(nodes(slow, *every))


# What can be computed by hand


@both_versions
@pytest.mark.parametrize(("updaters", "until_nodes_run"), [(False, 5), (True, 10)])
def test_without_latencies_the_makespan_is_the_list_scheduling_bound(
    version: AutoscalerVersion, updaters: bool, until_nodes_run: float
) -> None:
    """512 tasks of 120 s on 128 CPUs take 480 s, and all nodes run one update later; two, if updaters start Ray."""
    model = RayModel(demand_lag=Delay(), submit_phase=0.0, node_updaters=updaters)
    knobs: dict[str, Any] = {"upscaling_speed": 1000, "max_concurrent_launches": 1000, "max_launch_batch": 1000}
    one = trial(shape(LaunchModel(), model, least=0), version, **knobs)

    found = card(one, run(one))

    assert (found.makespan_s, found.peak_nodes) == (until_nodes_run + 480, 16)


@both_versions
def test_the_first_node_runs_a_request_and_a_boot_after_an_update(version: AutoscalerVersion) -> None:
    launch = LaunchModel(request=Delay(mean_s=3), boot=Delay(mean_s=41))
    one = trial(shape(launch, AT_AN_UPDATE), version)

    events = run(one)

    [first, *_] = nodes(events, "requested")
    assert first.t == SUBMISSION + 5
    assert card(one, events).time_to_first_node_s == 5 + 3 + 41


@both_versions
def test_node_seconds_are_the_sum_over_the_nodes_events(version: AutoscalerVersion) -> None:
    one = trial(shape(), version, seed=5)
    events = run(one)
    begins = {event.node: event.t for event in nodes(events, "allocated")}
    begins |= {e.node: SUBMISSION for e in nodes(events, "idle") if e.cause == "baseline" and not e.is_head}
    ends = {event.node: event.t for event in nodes(events, "terminated", "failed")}
    back_at_baseline = max(ends.values())

    total = sum(ends.get(node, back_at_baseline) - begin for node, begin in begins.items())

    assert len(begins) >= 16
    assert card(one, events).node_seconds.total == pytest.approx(total, abs=1e-3)


# Clouds that refuse


@both_versions
def test_a_cluster_without_arm_capacity_grows_on_x86(version: AutoscalerVersion) -> None:
    one = trial(shape(SEED_LAUNCH.model_copy(update={"capacity": {"arm": 1}})), version)

    events = run(one)

    used = {event.node: event.node_type for event in nodes(events, "running", "idle") if not event.is_head}
    assert last_phase(events) == "done"
    assert Counter(used.values()) == {"x86": 8, "arm": 1}
    assert card(one, events).peak_nodes == 9


@both_versions
def test_a_partial_grant_ends_too(version: AutoscalerVersion) -> None:
    """Under v2 the rest of the request stays REQUESTED until its timeout."""
    one = trial(shape(SEED_LAUNCH.model_copy(update={"capacity": {"arm": 3, "x86": 6}})), version)

    events = run(one)

    assert last_phase(events) == "done"
    assert card(one, events).peak_nodes == 9


def test_tasks_that_need_a_label_bring_nodes_that_have_it() -> None:
    cluster = shape(most=4)
    x86, arm = cluster.workers
    labelled = cluster.model_copy(update={"workers": (x86, arm.model_copy(update={"labels": {"zone": "a"}}))})

    events = run(trial(labelled, "v2", Workload(tasks=100, seconds=60, labels={"zone": "a"})))

    assert {event.node_type for event in nodes(events, "requested")} == {"arm"}
    assert {event.node_type for event in events if isinstance(event, TaskEvent)} == {"arm"}


# Faults on purpose


def with_faults(*faults: str, **more: Any) -> Workload:
    return Workload.model_validate({"faults": faults, **more})


def hits(events: Sequence[Event]) -> list[tuple[float, str, str]]:
    return [(event.t - SUBMISSION, event.kind, event.node) for event in events if isinstance(event, FaultEvent)]


@both_versions
def test_a_killed_node_fails_at_its_second_and_the_autoscaler_replaces_it(version: AutoscalerVersion) -> None:
    one = trial(shape(), version, with_faults("kill@60:arm", "kill@300"))

    events = run(one)

    found = hits(events)
    assert [(t, kind) for t, kind, _ in found] == [(60, "kill"), (300, "kill")]
    failed = [(event.t - SUBMISSION, event.node, event.cause) for event in nodes(events, "failed")]
    assert failed == [(t, node, "fault") for t, _, node in found]
    assert nodes(events, "failed")[0].node_type == "arm"
    undisturbed = card(one, run(trial(shape(), version)))
    disturbed = card(one, events)
    assert disturbed.valid
    assert (disturbed.launches, disturbed.node_failures) == (undisturbed.launches + 2, 2)
    assert disturbed.peak_nodes == 16
    assert (disturbed.makespan_s or 0) > (undisturbed.makespan_s or 0)


@both_versions
def test_the_tasks_of_a_killed_node_run_again(version: AutoscalerVersion) -> None:
    one = trial(shape(), version, with_faults("kill@60"))

    events = run(one)

    [(_, _, killed)] = hits(events)
    [fault] = [event for event in events if isinstance(event, FaultEvent)]
    ray_id = next(event.ray_node_id for event in nodes(events, "failed") if event.node == killed)
    ended = [event for event in events if isinstance(event, TaskEvent)]
    assert fault.tasks == 8
    assert sum(task.count for task in ended) == 512
    assert not [task for task in ended if task.node == ray_id]


@both_versions
def test_spot_interruptions_take_nodes_back_until_the_last_task_has_ended(version: AutoscalerVersion) -> None:
    one = trial(shape(), version, with_faults("spot@12/h:x86"))

    events = run(one)

    found, last = hits(events), max(event.t for event in events if isinstance(event, TaskEvent)) - SUBMISSION
    assert len(found) > 3
    assert all(kind == "spot" and t <= last for t, kind, _ in found)
    assert {(event.node_type, event.cause) for event in nodes(events, "failed")} == {("x86", "spot_interruption")}
    assert last_phase(events) == "done"
    assert card(one, events).valid


@both_versions
def test_a_fault_waits_for_a_node_of_its_type(version: AutoscalerVersion) -> None:
    events = run(trial(shape(least=0), version, with_faults("kill@0:arm", tasks=100)))

    [(t, _, node)] = hits(events)
    first = next(event for event in nodes(events, "running") if event.node_type == "arm")
    assert (t, node) == (first.t - SUBMISSION, first.node)


@both_versions
def test_a_node_may_be_lost_before_the_autoscaler_knows_that_it_has_joined(version: AutoscalerVersion) -> None:
    cluster = shape(model=RayModel(node_updaters=True), least=0, most=1)
    lost = trial(cluster, version, with_faults("kill@0", tasks=1, seconds=3))
    if version == "v1" and not V1_DOES_WITHOUT_AN_ADDRESS:
        with pytest.raises(AutoscalerRaised, match="AssertionError: IP should be known"):
            run(lost)
        return
    events = run(lost)

    [(t, _, node)] = hits(events)
    assert t == next(event.t - SUBMISSION for event in nodes(events, "running") if event.node == node)
    assert last_phase(events) == "done"


@both_versions
def test_a_fault_for_which_there_is_no_time_is_a_note(version: AutoscalerVersion) -> None:
    events = run(trial(shape(most=2), version, with_faults("kill@80000", tasks=40, seconds=30)))

    assert hits(events) == []
    assert [event.kind for event in events if isinstance(event, NoteEvent)] == ["fault_missed"]
    assert last_phase(events) == "done"


@both_versions
def test_the_same_seed_meets_the_same_faults_and_another_one_others(version: AutoscalerVersion) -> None:
    workload = with_faults("spot@6/h", "kill@100")
    first, again, other = (run(trial(shape(), version, workload, seed=seed)) for seed in (4, 4, 5))

    assert lines(first) == lines(again)
    assert hits(first) != hits(other)


@pytest.mark.parametrize("fault", ["pause@3+1", "partition@3"])
def test_what_the_simulator_does_not_know_is_refused(fault: str) -> None:
    with pytest.raises(InputError, match="the simulator has no"):
        run(trial(shape(), "v2", with_faults("kill@1", fault)))


# The shortcuts


@st.composite
def trials(draw: st.DrawFn) -> Trial:
    """Trials that end soon: interruptions are rare, and never met where a node takes long to come back."""

    def pick(*values: Any) -> Any:
        return draw(st.sampled_from(values))

    spot = pick(0, 0, 0, 2)
    launch = LaunchModel(
        request=Delay(mean_s=pick(0, 2.5)),
        boot=Delay(distribution="lognormal", mean_s=pick(5, 20) if spot else pick(5, 40, 80), sigma=0.3),
        install=Delay(mean_s=pick(0, 7)),
        terminate=Delay(mean_s=pick(0, 3, 11)),
        failure_rate=0 if spot else pick(0, 0, 0.3),
        capacity={} if spot else pick({}, {"arm": 1}, {"x86": 2, "arm": 3}),
        spot_interruptions_per_hour=spot,
        seed=draw(st.integers(0, 99)),
    )
    model = RayModel(
        demand_lag=Delay(mean_s=pick(0, 1.3, 6)),
        worker_start=Delay(mean_s=pick(0, 1)),
        node_updaters=draw(st.booleans()),
    )
    workers = tuple(
        NodeType(
            name=name,
            arch=arch,
            resources={"CPU": pick(1, 4, 8), custom: 1},
            labels=pick({}, {}, {"zone": "a"}),
            min_workers=pick(0, 1),
            max_workers=pick(1, 4, 6),
        )
        for name, arch, custom in (("x86", "x86_64", "Intel"), ("arm", "arm64", "Graviton"))
    )
    cluster = ClusterShape(head=HEAD, workers=workers, max_workers=pick(2, 5, 12), launch=launch, simulation=model)
    workload = Workload(
        tasks=pick(1, 40, 100),
        seconds=pick(3, 20, 50),
        cpus=pick(0.5, 1),
        resources=pick({}, {}, {"Graviton": 0.3}),
        labels=pick({}, {}, {}, {"zone": "a"}),
        arrival=pick("burst", "poisson", "waves"),
        arrival_s=200,
        faults=pick(
            (), (), (Fault(kind="kill", at_s=30),), (Fault(kind="spot", per_hour=4), Fault(kind="kill", at_s=90))
        ),
    )
    return trial(
        cluster,
        pick(*BOTH),
        workload,
        seed=draw(st.integers(0, 99)),
        upscaling_speed=pick(0.2, 1, 5, 20),
        idle_timeout_minutes=pick(0.1, 1),
        max_concurrent_launches=pick(2, 10, 50),
        max_launch_batch=pick(1, 5),
    )


@settings(
    deadline=None,
    max_examples=25,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(trials())
def test_the_shortcuts_change_no_event(one: Trial) -> None:
    def outcome(plain: bool) -> tuple[list[str], str]:
        events: list[Event] = []
        try:
            with pytest.MonkeyPatch.context() as patch:
                # Six hours of every update would take too long where the baseline is never reached again.
                patch.setattr("orchestrator.simulator.simulation._SETTLE_S", 900.0)
                simulate(one, events.append, timeout_s=1000, plain=plain)
        except TrialFailed as failed:
            return lines(events), repr(failed)
        except AutoscalerRaised as raised:
            if V1_DOES_WITHOUT_AN_ADDRESS or "IP should be known" not in raised.message:
                raise
            return lines(events), repr(raised)
        return lines(events), "done"

    assert outcome(plain=False) == outcome(plain=True)


v1_resources = st.fixed_dictionaries(
    {"CPU": st.sampled_from([0, 1, 4, 7.9])}, optional={"Graviton": st.sampled_from([0.3, 1.0])}
)
v1_demand = st.fixed_dictionaries({"CPU": st.sampled_from([0, 0.5, 1])}, optional={"Graviton": st.just(0.3)})


@given(
    st.lists(v1_resources | st.just({}), max_size=5),
    st.lists(v1_demand, max_size=3) | st.builds(lambda demand, count: [demand] * count, v1_demand, st.integers(0, 30)),
    st.booleans(),
    st.booleans(),
)
def test_demands_are_packed_as_ray_packs_them(
    nodes: list[dict[str, float]], demands: list[dict[str, float]], strict_spread: bool, twice: bool
) -> None:
    real = importlib.import_module("ray.autoscaler._private.resource_demand_scheduler").get_bin_pack_residual
    listed = nodes * 2 if twice else nodes
    before = copy.deepcopy(listed)

    assert fastpaths.pack(real, listed, demands, strict_spread) == real(listed, demands, strict_spread)
    assert listed == before


# Determinism and isolation


@both_versions
def test_processes_with_different_hash_seeds_write_the_same_bytes(version: AutoscalerVersion) -> None:
    one = trial(shape(), version, seed=7)
    code = (
        "import sys\n"
        "from orchestrator.model.trial import Trial\n"
        "from orchestrator.simulator.simulation import simulate\n"
        "trial = Trial.model_validate_json(sys.argv[1])\n"
        "simulate(trial, lambda event: print(event.model_dump_json()), timeout_s=20000)\n"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, one.model_dump_json()],
            stdout=subprocess.PIPE,
            env=clean_environment(PYTHONHASHSEED=seed),
        )
        for seed in ("1", "2")
    ]
    first, second = (process.communicate(timeout=60)[0] for process in running)

    assert [process.returncode for process in running] == [0, 0]
    assert first == second
    assert len(first) > 10_000


def rays_time() -> Any:
    """The `time` that Ray's scheduler sees."""
    return importlib.import_module("ray.autoscaler.v2.scheduler").time


@both_versions
def test_ray_is_as_before_once_a_simulation_has_ended(version: AutoscalerVersion) -> None:
    during: list[bool] = []
    simulate(
        trial(shape(most=2), version, SMALL),
        lambda _: during.append(bool(replaced_names()) and rays_time() is not time),
        timeout_s=20_000,
    )

    assert all(during)
    assert during
    assert replaced_names() == []
    assert rays_time() is time


@both_versions
def test_ray_is_as_before_once_a_simulation_has_failed(version: AutoscalerVersion) -> None:
    events: list[Event] = []

    with pytest.raises(TrialTimedOut, match="longer than 30 virtual s"):
        simulate(trial(shape(), version), events.append, timeout_s=30)

    assert last_phase(events) == "failed"
    assert replaced_names() == []
    assert rays_time() is time


def test_another_thread_sees_real_time_while_a_simulation_runs() -> None:
    elsewhere: list[float] = []
    inside: list[float] = []

    def emit(_event: Event) -> None:
        if not elsewhere:
            thread = threading.Thread(target=lambda: elsewhere.append(rays_time().time()))
            thread.start()
            thread.join()
            inside.append(rays_time().time())

    simulate(trial(shape(most=2), "v2", SMALL), emit, timeout_s=20_000)

    assert elsewhere[0] == pytest.approx(time.time(), abs=60)
    assert inside[0] < SUBMISSION


def test_simulations_in_two_threads_are_as_alone() -> None:
    wanted = {version: trial(shape(), version, seed=2) for version in BOTH}
    found: dict[str, list[str]] = {}
    threads = [
        threading.Thread(target=lambda version=version, one=one: found.update({version: lines(run(one))}))
        for version, one in wanted.items()
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == {version: lines(run(one)) for version, one in wanted.items()}
    assert replaced_names() == []


def test_a_simulation_inside_another_one_is_refused() -> None:
    one = trial(shape(most=2), "v2", SMALL)

    def emit(_event: Event) -> None:
        run(one)

    with pytest.raises(RuntimeError, match="inside another one"):
        simulate(one, emit, timeout_s=100)

    assert replaced_names() == []


# What goes wrong


@pytest.mark.parametrize("unsupported", ["2.49.1", "2.61.0"])
def test_a_ray_whose_insides_are_unknown_is_refused_by_name(unsupported: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.rayapi.version.version", lambda _: unsupported)

    with pytest.raises(MissingPrerequisite, match=unsupported.replace(".", r"\.")):
        run(trial(shape(), "v2"))


def fails_at(state: str, version: AutoscalerVersion) -> None:
    """A simulation whose `emit` fails when a launched node enters `state`."""

    def emit(event: Event) -> None:
        if isinstance(event, NodeEvent) and event.state == state and event.cause != "baseline":
            raise ValueError("the disk is full")

    simulate(trial(shape(most=2), version, Workload(tasks=40, seconds=100)), emit, timeout_s=5000)


@both_versions
def test_an_error_inside_an_update_is_not_swallowed(version: AutoscalerVersion) -> None:
    """Ray drains a node in the midst of an update; it would log the error and go on."""
    with pytest.raises(AutoscalerRaised, match="ValueError: the disk is full") as caught:
        fails_at("draining", version)

    assert isinstance(caught.value.__cause__, ValueError)
    assert replaced_names() == []


@pytest.mark.parametrize(
    ("state", "version"),
    [("requested", "v1"), ("requested", "v2"), ("allocated", "v1"), ("allocated", "v2")],
)
def test_an_error_inside_a_launch_is_not_swallowed(state: str, version: AutoscalerVersion) -> None:
    with pytest.raises((AutoscalerRaised, ValueError), match="the disk is full"):
        fails_at(state, version)


@both_versions
def test_demand_that_a_joining_node_takes_is_seen_to_be_gone(version: AutoscalerVersion) -> None:
    """Without a lag as with one: stale demand would keep the cluster from ever coming back to its baseline."""
    for lag in (0.0, 1.5):
        cluster = shape(model=RayModel(demand_lag=Delay(mean_s=lag)), least=0)
        events = run(trial(cluster, version, Workload(tasks=1, seconds=3)))

        assert last_phase(events) == "done"


@both_versions
def test_a_baseline_that_the_cloud_cannot_give_fails_the_trial_and_says_so(version: AutoscalerVersion) -> None:
    events: list[Event] = []
    cluster = shape(LaunchModel(capacity={"arm": 0}))
    with pytest.raises(BaselineNotReached, match=r"nodes are \{'x86': 1\}"):
        simulate(trial(cluster, version, SMALL), events.append, timeout_s=1000)

    assert last_phase(events) == "failed"
    assert [node.node_type for node in nodes(events, "idle")] == ["head", "x86"]
