"""The fit to a machine: never larger than the file, always every type, and within what cores and memory hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model.cluster import ClusterShape, NodeType
from orchestrator.sweeps.fit import (
    FITTED_TASK_SECONDS,
    FITTED_WAVES_OF_TASKS,
    MEMORY_SHARE,
    NODE_BYTES,
    NODES_PER_CORE,
    SLOT_BYTES,
    SLOTS_PER_CORE,
    Machine,
    fit_shape,
    fitted_workload,
)
from tests.support.strategies import machines, shapes

GIB = 2**30
HUGE = Machine(cores=4096, memory=2**50)


def _experiment() -> ClusterShape:
    """The shape of the experiment on EC2."""
    workers = (
        NodeType(name="x86", arch="x86_64", resources={"CPU": 8, "Intel": 1}, min_workers=1, max_workers=8),
        NodeType(name="arm", arch="arm64", resources={"CPU": 8, "Graviton": 1}, min_workers=1, max_workers=8),
    )
    return ClusterShape(head=NodeType(name="head", arch="x86_64"), workers=workers, max_workers=16)


def _nodes(shape: ClusterShape) -> int:
    return min(shape.max_workers, sum(worker.max_workers for worker in shape.workers))


def _bytes(shape: ClusterShape) -> float:
    return _nodes(shape) * NODE_BYTES + shape.max_cpus * SLOT_BYTES


@given(shapes(), machines())
def test_the_fit_is_never_larger_than_the_file_in_any_respect(shape: ClusterShape, machine: Machine) -> None:
    fitted = fit_shape(shape, machine)

    assert fitted.max_workers <= shape.max_workers
    assert fitted.max_cpus <= shape.max_cpus
    assert fitted.baseline_cpus <= shape.baseline_cpus
    for small, large in zip(fitted.workers, shape.workers, strict=True):
        assert small.min_workers <= large.min_workers
        assert small.max_workers <= large.max_workers
        assert small.resources.keys() == large.resources.keys()
        assert all(amount <= large.resources[name] for name, amount in small.resources.items())


@given(shapes(), machines())
def test_every_node_type_keeps_at_least_one_node(shape: ClusterShape, machine: Machine) -> None:
    assert all(worker.max_workers >= 1 for worker in fit_shape(shape, machine).workers)


@given(shapes(), machines())
def test_a_node_with_cpus_keeps_at_least_one(shape: ClusterShape, machine: Machine) -> None:
    fitted = fit_shape(shape, machine)

    assert [worker.cpus > 0 for worker in shape.workers] == [worker.cpus > 0 for worker in fitted.workers]


@given(shapes(), machines())
def test_the_fit_is_a_valid_shape_whose_minima_fit_its_total(shape: ClusterShape, machine: Machine) -> None:
    fitted = fit_shape(shape, machine)

    assert fitted == ClusterShape.model_validate(fitted.model_dump())
    assert sum(fitted.baseline.values()) <= fitted.max_workers


@given(shapes(), machines())
def test_names_archs_labels_head_and_latencies_stay_as_they_are(shape: ClusterShape, machine: Machine) -> None:
    fitted = fit_shape(shape, machine)

    assert (shape.head, shape.launch) == (fitted.head, fitted.launch)
    for small, large in zip(fitted.workers, shape.workers, strict=True):
        assert (large.name, large.arch, large.labels) == (small.name, small.arch, small.labels)


@given(shapes(), machines())
def test_there_are_no_more_nodes_than_the_cores_can_start(shape: ClusterShape, machine: Machine) -> None:
    """Except for the one node of each type, without which a type couldn't be measured at all."""
    assert _nodes(fit_shape(shape, machine)) <= max(len(shape.workers), NODES_PER_CORE * machine.cores)


@given(shapes(), st.integers(4, 256))
def test_there_are_no_more_task_slots_than_the_cores_can_start(shape: ClusterShape, cores: int) -> None:
    """At least one a node; from four cores on every type of these shapes has room for its own node."""
    fitted = fit_shape(shape, Machine(cores=cores, memory=HUGE.memory))

    assert fitted.max_cpus <= max(_nodes(fitted), SLOTS_PER_CORE * cores)


@given(st.integers(1, 64))
def test_more_cores_never_give_a_smaller_cluster(cores: int) -> None:
    one, more = (fit_shape(_experiment(), Machine(count, 64 * GIB)) for count in (cores, cores + 1))

    assert one.max_workers <= more.max_workers


@pytest.mark.parametrize("memory", [0, 1, GIB])
def test_a_machine_without_free_memory_gets_the_smallest_cluster(memory: int) -> None:
    fitted = fit_shape(_experiment(), Machine(cores=2, memory=memory))

    assert [(1, 1), (1, 1)] == [(worker.min_workers, worker.max_workers) for worker in fitted.workers]
    assert 2 == fitted.max_workers


@pytest.mark.parametrize("gib", [4, 8, 16, 32])
def test_on_two_cores_the_cluster_stays_within_its_share_of_memory(gib: int) -> None:
    assert _bytes(fit_shape(_experiment(), Machine(cores=2, memory=gib * GIB))) <= MEMORY_SHARE * gib * GIB


@pytest.mark.parametrize("gib", [4, 8, 16])
def test_on_many_cores_the_cluster_stays_within_its_share_of_memory(gib: int) -> None:
    assert _bytes(fit_shape(_experiment(), Machine(cores=64, memory=gib * GIB))) <= MEMORY_SHARE * gib * GIB


def test_with_more_types_than_the_machine_holds_nodes_the_slots_still_fit() -> None:
    worker = _experiment().workers[0]
    types = NODES_PER_CORE + 5
    workers = tuple(worker.model_copy(update={"name": f"worker_{index}"}) for index in range(types))
    shape = _experiment().model_copy(update={"workers": workers, "max_workers": 100})
    fitted = fit_shape(shape, Machine(cores=1, memory=GIB))

    assert fitted.max_cpus <= max(types, SLOTS_PER_CORE)


def test_a_machine_that_is_large_enough_runs_the_file_as_it_is() -> None:
    assert _experiment() == fit_shape(_experiment(), HUGE)


@given(shapes(), machines())
def test_fitting_twice_changes_nothing_more(shape: ClusterShape, machine: Machine) -> None:
    """A fit may grant CPUs by the nodes it leaves over, but never more than it had."""
    once = fit_shape(shape, machine)
    twice = fit_shape(once, machine)

    assert twice.max_workers <= once.max_workers
    assert twice.max_cpus <= once.max_cpus


@given(shapes(), machines())
def test_the_fitted_workload_fills_the_whole_cluster_several_times(shape: ClusterShape, machine: Machine) -> None:
    fitted = fit_shape(shape, machine)
    workload = fitted_workload(fitted)

    assert FITTED_TASK_SECONDS == workload.seconds
    assert max(1, int(fitted.max_cpus)) * FITTED_WAVES_OF_TASKS == workload.tasks


def test_a_cluster_without_cpus_gets_a_workload_all_the_same() -> None:
    worker = NodeType(name="storage", arch="unknown", max_workers=1)
    shape = ClusterShape(head=NodeType(name="head", arch="x86_64"), workers=(worker,), max_workers=1)

    assert FITTED_WAVES_OF_TASKS == fitted_workload(shape).tasks


def test_the_largest_cluster_that_a_file_may_describe_gets_a_workload_too() -> None:
    worker = NodeType(name="large", arch="x86_64", resources={"CPU": 192}, max_workers=10_000)
    shape = ClusterShape(head=NodeType(name="head", arch="x86_64"), workers=(worker,), max_workers=10_000)

    assert fitted_workload(shape).tasks >= 1


def test_a_machine_is_described_by_cores_and_memory() -> None:
    assert "2 cores, 22 GiB free" == Machine(cores=2, memory=22 * GIB).describe()


def test_a_machine_of_one_core_is_described_in_the_singular() -> None:
    assert "1 core, 2 GiB free" == Machine(cores=1, memory=2 * GIB).describe()
