"""From a spec to trials: which there are, in which order, and what is refused before anything starts."""

import time
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import InputError
from orchestrator.inputs.cluster_config import ClusterFile
from orchestrator.model.cluster import ClusterShape
from orchestrator.model.spec import MAX_TRIALS, SweepSpec
from orchestrator.model.trial import Trial
from orchestrator.sweeps.fit import Machine
from orchestrator.sweeps.plan import ONE_BURST, Plan, make_plan
from tests.support.builders import ARM, HEAD, SHAPE, X86
from tests.support.strategies import machines, shapes

LARGE = Machine(cores=64, memory=256 * 2**30)
SMALL = Machine(cores=1, memory=2**30)


def plan(
    *,
    shape: ClusterShape = SHAPE,
    speed: float | None = None,
    idle: float | None = None,
    machine: Machine = LARGE,
    workload: dict[str, Any] | None = None,
    spec: dict[str, Any] | None = None,
    **axes: Any,
) -> Plan:
    """The plan of a spec with these axes; the shape isn't fitted to a machine unless the spec says so."""
    document = {"fit": "none", "settings": axes, "workload": workload or {}, **(spec or {})}
    cluster = ClusterFile(Path("local.yaml"), {}, shape, upscaling_speed=speed, idle_timeout_minutes=idle)
    return make_plan(SweepSpec.model_validate(document), cluster, machine)


def refusal(**options: Any) -> InputError:
    with pytest.raises(InputError) as refused:
        plan(**options)

    assert refused.value.exit_code == 2
    assert len(refused.value.message.splitlines()) == 1
    return refused.value


def labels(found: Plan) -> list[str]:
    return [trial.label() for trial in found.trials]


def speeds(trials: tuple[Trial, ...]) -> list[float | None]:
    return [trial.settings.upscaling_speed for trial in trials]


# Which trials


def test_each_value_of_an_axis_is_a_trial() -> None:
    found = plan(upscaling_speed=[1, 5, 10], idle_timeout_minutes=0.25)

    assert labels(found) == ["v2 speed=1 idle=0.25", "v2 speed=5 idle=0.25", "v2 speed=10 idle=0.25"]


def test_axes_are_crossed() -> None:
    found = plan(autoscaler=["v1", "v2"], upscaling_speed=[1, 5], idle_timeout_minutes=[1, 2], max_launch_batch=[1, 5])

    assert len(found.trials) == 2 * 2 * 2 * 2
    assert len(set(found.settings)) == 16


def test_knobs_that_nobody_sweeps_are_those_of_the_cluster_file() -> None:
    (trial,) = plan(speed=3.0, idle=2.0).trials

    assert (trial.settings.upscaling_speed, trial.settings.idle_timeout_minutes) == (3.0, 2.0)


def test_what_the_cluster_file_does_not_say_is_rays_default() -> None:
    (trial,) = plan().trials

    assert (trial.settings.upscaling_speed, trial.settings.idle_timeout_minutes) == (None, 5.0)


def test_a_sweep_stands_above_the_cluster_file() -> None:
    found = plan(speed=3.0, upscaling_speed=[1, 5])

    assert speeds(found.trials) == [1.0, 5.0]


def test_limits_of_workers_change_the_trials_shape() -> None:
    (small, large) = plan(max_workers=[1, 3]).trials

    assert [worker.max_workers for worker in small.shape.workers] == [1, 1]
    assert (small.shape.max_workers, large.shape.max_workers) == (2, 6)


def test_the_workload_is_the_specs_and_else_the_stress_jobs() -> None:
    assert plan(workload={"tasks": 7}).workload.tasks == 7
    assert plan(workload={"tasks": 7}).workload.seconds == 120.0


# Repeats


def test_repeats_of_all_settings_have_the_same_seeds() -> None:
    found = plan(upscaling_speed=[1, 5], spec={"repeat": 3, "seed": 100})
    by_repeat = Counter((trial.repeat, trial.seed) for trial in found.trials)

    assert by_repeat == {(1, 100): 2, (2, 101): 2, (3, 102): 2}


def test_all_trials_have_ids_of_their_own() -> None:
    found = plan(upscaling_speed=[1, 5, 10], autoscaler=["v1", "v2"], spec={"repeat": 4})

    assert len({trial.trial_id for trial in found.trials}) == len(found.trials) == 24


def test_the_same_spec_is_the_same_plan() -> None:
    options: dict[str, Any] = {"upscaling_speed": [1, 5], "spec": {"repeat": 2, "order": "random"}}

    assert plan(**options) == plan(**options)


# Order


def test_grid_order_runs_each_repeat_of_everything_before_the_next() -> None:
    found = plan(upscaling_speed=[1, 5], idle_timeout_minutes=1, spec={"repeat": 2})

    assert labels(found) == ["v2 speed=1 idle=1", "v2 speed=5 idle=1", "v2 speed=1 idle=1 #2", "v2 speed=5 idle=1 #2"]


def blocks(found: Plan, size: int) -> list[tuple[Trial, ...]]:
    return [found.trials[start : start + size] for start in range(0, len(found.trials), size)]


def ids(trials: tuple[Trial, ...]) -> set[str]:
    return {trial.trial_id for trial in trials}


def test_random_order_shuffles_within_each_repeat() -> None:
    axis = list(range(1, 21))
    grid = plan(upscaling_speed=axis, spec={"repeat": 3})
    shuffled = plan(upscaling_speed=axis, spec={"repeat": 3, "order": "random"})
    orders = [tuple(speeds(block)) for block in blocks(shuffled, 20)]

    assert [{trial.repeat for trial in block} for block in blocks(shuffled, 20)] == [{1}, {2}, {3}]
    assert [ids(block) for block in blocks(shuffled, 20)] == [ids(block) for block in blocks(grid, 20)]
    assert len(set(orders)) == 3
    assert tuple(speeds(grid.trials[:20])) not in orders


def test_random_order_is_another_with_another_seed() -> None:
    one, other = (plan(upscaling_speed=list(range(1, 21)), spec={"order": "random", "seed": n}) for n in (0, 1))

    assert speeds(one.trials) != speeds(other.trials)


def test_trials_that_can_share_a_cluster_follow_one_another() -> None:
    found = plan(upscaling_speed=[1, 5], max_concurrent_launches=[1, 10], spec={"repeat": 2})
    launches = [trial.settings.max_concurrent_launches for trial in found.trials]

    assert launches == [1, 1, 10, 10, 10, 10, 1, 1]
    assert len(ids(found.trials)) == 8


def test_trials_with_clusters_of_their_own_keep_the_order_of_the_grid() -> None:
    found = plan(upscaling_speed=[1, 5], max_concurrent_launches=[1, 10], spec={"isolation": "fresh"})

    assert [trial.settings.max_concurrent_launches for trial in found.trials] == [1, 10, 1, 10]


# target_utilization_fraction


def test_a_fraction_under_v2_alone_is_refused_with_a_way_out() -> None:
    error = refusal(target_utilization_fraction=[0.5, 0.8])

    assert error.message.startswith("target_utilization_fraction: ")
    assert error.hint is not None
    assert "--autoscaler v1" in error.hint


def test_fractions_are_tried_under_v1() -> None:
    found = plan(autoscaler="v1", target_utilization_fraction=[0.5, 0.8])

    assert [trial.settings.target_utilization_fraction for trial in found.trials] == [0.5, 0.8]
    assert speeds(found.trials) == [None, None]
    assert found.notes == ()


def test_under_both_versions_v2_is_tried_with_the_speed_of_the_cluster_file_and_a_note_says_so() -> None:
    found = plan(speed=3.0, autoscaler=["v1", "v2"], target_utilization_fraction=[0.5])

    assert [(t.settings.autoscaler, t.settings.upscaling_speed) for t in found.trials] == [("v1", None), ("v2", 3.0)]
    (note,) = found.notes
    assert "v1 only" in note
    assert "cluster file's upscaling_speed" in note


def test_fractions_stand_beside_speeds_not_on_top_of_them() -> None:
    found = plan(autoscaler=["v1", "v2"], upscaling_speed=[1, 5], target_utilization_fraction=[0.5])

    assert [(t.settings.autoscaler, t.settings.upscaling_speed) for t in found.trials] == [
        ("v1", 1.0),
        ("v1", 5.0),
        ("v1", None),
        ("v2", 1.0),
        ("v2", 5.0),
    ]


def test_a_fraction_is_not_tried_with_the_speed_of_the_cluster_file() -> None:
    (trial,) = plan(speed=3.0, autoscaler="v1", target_utilization_fraction=0.5).trials

    assert trial.settings.effective_upscaling_speed == 1.0


# Fit


def test_a_shape_that_is_too_large_is_fitted_and_a_note_says_so() -> None:
    found = plan(machine=SMALL, spec={"fit": "machine"})

    assert found.shape.max_workers < SHAPE.max_workers
    assert any("--fit none" in note for note in found.notes)


def test_a_machine_that_is_too_small_for_the_file_as_it_is_is_a_warning() -> None:
    (warning,) = plan(machine=SMALL).warnings

    assert warning.startswith(
        "this machine (1 core, 1 GiB free) is too small for the shape: it can run about 2 workers"
    )
    assert plan(machine=LARGE).warnings == ()
    assert plan(machine=SMALL, spec={"backend": "simulated"}).warnings == ()
    assert plan(machine=SMALL, spec={"fit": "machine"}).warnings == ()


def test_one_burst_is_an_assumption_where_idle_timeouts_are_compared() -> None:
    waves = {"arrival": "waves", "arrival_s": 60}

    assert ONE_BURST in plan(idle_timeout_minutes=[1, 5]).assumptions
    assert ONE_BURST not in plan(idle_timeout_minutes=[1]).assumptions
    assert ONE_BURST not in plan(idle_timeout_minutes=[1, 5], workload=waves).assumptions


def test_fitted_or_not_is_the_users_choice() -> None:
    found = plan(machine=SMALL)

    assert found.shape == SHAPE
    assert found.notes == ()


@given(shapes(), machines())
@settings(max_examples=20)
def test_a_fitted_plan_is_never_larger_than_the_file(shape: ClusterShape, machine: Machine) -> None:
    try:
        found = plan(shape=shape, machine=machine, spec={"fit": "machine"})
    except InputError:
        return  # a shape none of whose types has a CPU

    assert found.shape.max_workers <= shape.max_workers
    assert found.shape.max_cpus <= shape.max_cpus


# What is refused


@pytest.mark.parametrize(
    "workload", [{"cpus": 5}, {"resources": {"TPU": 1}}, {"resources": {"Intel": 2}}, {"labels": {"zone": "a"}}]
)
def test_a_task_that_no_node_type_can_ever_run_is_refused(workload: dict[str, Any]) -> None:
    error = refusal(workload=workload)

    assert error.message.startswith("no node type can ever run a task that needs ")
    assert error.hint is not None
    assert "arm" in error.hint


def test_memory_is_refused_where_a_node_may_have_more_than_the_file_says() -> None:
    sized = ARM.replace(resources={**ARM.resources, "memory": 2**30})
    workload = {"resources": {"memory": 2**20}}
    error = refusal(shape=SHAPE.replace(workers=(X86, sized)), workload=workload)

    assert "the cluster file doesn't say how much x86 has" in error.message
    assert "available_node_types.x86.resources" in (error.hint or "")
    assert plan(shape=SHAPE.replace(workers=(sized,)), workload=workload).trials


def test_a_task_that_needs_two_kinds_of_node_at_once_is_refused() -> None:
    assert "1 Intel" in refusal(workload={"resources": {"Intel": 1, "Graviton": 1}}).message


def test_a_task_for_one_of_the_node_types_is_planned() -> None:
    assert plan(workload={"cpus": 4, "resources": {"Graviton": 0.5}}).workload.cpus == 4


def test_a_task_for_a_node_type_of_which_there_may_be_none_is_refused() -> None:
    shape = ClusterShape(head=HEAD, workers=(X86, ARM.model_copy(update={"max_workers": 0})), max_workers=3)

    assert "1 Graviton" in refusal(shape=shape, workload={"resources": {"Graviton": 1}}).message


def test_more_workers_at_least_than_at_most_are_refused() -> None:
    assert "min_workers 5 is above max_workers 2" in refusal(min_workers=5, max_workers=2).message


def test_more_workers_at_least_than_the_file_allows_are_refused() -> None:
    assert "min_workers 5 is above max_workers 3" in refusal(min_workers=5).message


def test_a_baseline_above_the_clusters_limit_is_refused() -> None:
    shape = ClusterShape(head=HEAD, workers=(X86, ARM), max_workers=4)

    assert "max_workers 4" in refusal(shape=shape, min_workers=3).message


def test_no_worker_at_all_is_refused() -> None:
    assert "no node type can ever run a task" in refusal(min_workers=0, max_workers=0).message


# Too many


def test_too_many_repeats_are_refused() -> None:
    error = refusal(upscaling_speed=list(range(1, 20)), spec={"repeat": 1000})

    assert f"more than {MAX_TRIALS} trials" in error.message


def test_exactly_as_many_trials_as_allowed_are_planned() -> None:
    found = plan(upscaling_speed=list(range(1, 11)), spec={"repeat": 1000}, machine=LARGE)

    assert len(found.trials) == MAX_TRIALS


def test_too_many_settings_are_refused() -> None:
    error = refusal(upscaling_speed=list(range(1, 201)), idle_timeout_minutes=list(range(1, 201)))

    assert f"more than {MAX_TRIALS} " in error.message


def test_too_many_combinations_are_refused_without_building_them() -> None:
    axis = list(range(1, 71))
    tracemalloc.start()
    try:
        began = time.process_time()
        refusal(upscaling_speed=[1], idle_timeout_minutes=axis, max_launch_batch=axis, update_interval_s=axis)
        took, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 40_000_000, f"{peak} bytes, {took:.1f} s"  # 343,000 combinations


# Any spec


@given(
    st.lists(st.floats(0.1, 100), min_size=1, max_size=4),
    st.lists(st.sampled_from(["v1", "v2"]), min_size=1, max_size=2),
    st.lists(st.floats(0.01, 1), max_size=2),
    st.integers(1, 3),
    st.sampled_from(["grid", "random"]),
)
def test_every_setting_is_tried_once_in_each_repeat(
    tried: list[float], versions: list[str], fractions: list[float], repeat: int, order: str
) -> None:
    axes: dict[str, Any] = {"upscaling_speed": tried, "autoscaler": versions}
    if fractions and "v1" in versions:
        axes["target_utilization_fraction"] = fractions
    found = plan(**axes, spec={"repeat": repeat, "order": order})
    counts = Counter((trial.settings, trial.repeat) for trial in found.trials)

    assert set(counts.values()) == {1}
    assert len(counts) == len(found.settings) * repeat
    assert [trial.repeat for trial in found.trials] == sorted(trial.repeat for trial in found.trials)


# Faults


@pytest.mark.parametrize("fault", ["kill@20", "pause@20+5", "partition@20+5", "spot@12/h"])
def test_a_local_node_has_no_faults_and_who_has_is_told(fault: str) -> None:
    refused = refusal(workload={"faults": [fault]})

    assert refused.message.startswith(f"{fault}: the local backend can't")
    assert "--backend docker" in (refused.hint or "")


@pytest.mark.parametrize("fault", ["pause@20+5", "partition@20+5"])
def test_a_simulated_node_is_not_paused_or_cut_off(fault: str) -> None:
    refused = refusal(workload={"faults": ["kill@3", fault]}, spec={"backend": "simulated"})

    assert refused.message.startswith(f"{fault}: the simulated backend can't")
    assert refused.hint == "use --backend docker"


def test_faults_are_part_of_each_trial_and_of_its_id() -> None:
    with_faults = plan(workload={"faults": ["kill@3:arm", "spot@2/h"]}, spec={"backend": "simulated"}).trials
    without = plan(spec={"backend": "simulated"}).trials

    assert [str(fault) for fault in with_faults[0].workload.faults] == ["kill@3:arm", "spot@2/h"]
    assert with_faults[0].trial_id != without[0].trial_id


@pytest.mark.parametrize("node_type", ["gpu", "head"])
def test_a_fault_of_no_worker_type_is_refused_with_those_there_are(node_type: str) -> None:
    refused = refusal(workload={"faults": [f"kill@3:{node_type}"]}, spec={"backend": "simulated"})

    assert f"'{node_type}' is not a worker type" in refused.message
    assert refused.hint == "use one of x86, arm"


# The docker backend


def test_a_docker_cluster_is_fitted_to_the_machine_as_a_local_one_is() -> None:
    local, docker = (plan(machine=SMALL, spec={"backend": name, "fit": "machine"}) for name in ("local", "docker"))

    assert docker.shape == local.shape != SHAPE
    assert docker.workload == local.workload
    assert docker.notes == local.notes


def test_the_plan_says_what_is_started_and_that_the_files_provider_is_not_used() -> None:
    raw = {"provider": {"type": "aws", "region": "us-east-1"}}
    cluster = ClusterFile(Path("my.yaml"), raw, SHAPE, upscaling_speed=None, idle_timeout_minutes=None)
    planned = make_plan(SweepSpec.model_validate({"fit": "none"}), cluster, LARGE)

    assert planned.starts == "local: Ray processes on this machine; provider aws of my.yaml is not used"


def test_a_docker_cluster_need_not_be_fitted() -> None:
    assert plan(machine=SMALL, spec={"backend": "docker", "fit": "none"}).shape == SHAPE


def test_every_fault_can_be_caused_in_containers() -> None:
    faults = ["kill@3", "pause@4+2", "partition@5+2:arm", "spot@2/h"]
    (trial,) = plan(workload={"faults": faults}, spec={"backend": "docker"}).trials

    assert [str(fault) for fault in trial.workload.faults] == faults


@pytest.mark.parametrize("backend", ["local", "simulated"])
def test_an_image_is_refused_where_there_are_no_containers(backend: str) -> None:
    refused = refusal(spec={"backend": backend, "image": "lab/ray"})

    assert (refused.message, refused.hint) == ("--image is for containers", "add --backend docker")


def test_the_image_makes_no_other_trial() -> None:
    """It says where Ray comes from: its version is held to be the same, so trials stay comparable."""
    with_image = plan(spec={"backend": "docker", "image": "lab/ray"})
    without = plan(spec={"backend": "docker"})

    assert [trial.trial_id for trial in with_image.trials] == [trial.trial_id for trial in without.trials]
    assert with_image.spec.image == "lab/ray"
