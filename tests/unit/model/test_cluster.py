"""The cluster shape: its limits, what fits on a node, and how settings change it."""

from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from orchestrator.model.cluster import ClusterShape, NodeType
from orchestrator.model.settings import Settings
from tests.support.strategies import NOT_A_COUNT, NOT_FINITE, settings, shapes


def _node_type(name: str = "worker", **more: Any) -> NodeType:
    return NodeType.model_validate({"name": name, "arch": "x86_64", "resources": {"CPU": 8}, "max_workers": 4, **more})


def _shape(*workers: NodeType, max_workers: int = 16) -> ClusterShape:
    return ClusterShape(head=NodeType(name="head", arch="x86_64"), workers=workers, max_workers=max_workers)


@pytest.mark.parametrize("key", ["min_workers", "max_workers"])
@pytest.mark.parametrize("value", [*NOT_A_COUNT, 10**9, None])
def test_a_node_type_refuses_a_limit_that_is_no_sensible_count(key: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=key):
        _node_type(**{key: value})


@pytest.mark.parametrize("amount", [*NOT_FINITE, -1, 10**400, "eight", None, []])
def test_a_node_type_refuses_a_resource_that_is_no_finite_amount(amount: Any) -> None:
    with pytest.raises(ValidationError, match="CPU"):
        _node_type(resources={"CPU": amount})


def test_a_node_type_refuses_more_cpus_than_any_machine_has() -> None:
    with pytest.raises(ValidationError, match="CPU"):
        _node_type(resources={"CPU": 1e308})


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"arch": "riscv64"}, {"arch": "amd64"}, {"labels": {"a": 1}}, {"x": 1}]
)
def test_a_node_type_refuses_empty_names_other_archs_and_unknown_keys(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _node_type(**wrong)


def test_a_node_type_refuses_a_minimum_above_its_maximum_by_name() -> None:
    with pytest.raises(ValidationError, match="arm: min_workers 5 is above max_workers 4"):
        _node_type("arm", min_workers=5)


@pytest.mark.parametrize("wrong", [{"workers": []}, {"max_workers": -1}, {"max_workers": 10**9}, {"tail": {}}])
def test_a_shape_refuses_no_workers_wrong_totals_and_unknown_keys(wrong: dict[str, Any]) -> None:
    document = {**_shape(_node_type()).model_dump(), **wrong}

    with pytest.raises(ValidationError):
        ClusterShape.model_validate(document)


@given(shapes())
def test_a_shape_survives_json(shape: ClusterShape) -> None:
    assert shape == ClusterShape.model_validate_json(shape.model_dump_json())


@pytest.mark.parametrize(
    ("resources", "fits"),
    [
        ({}, True),
        ({"CPU": 8}, True),
        ({"CPU": 8.001}, False),
        ({"CPU": 1, "Graviton": 1}, False),
        ({"CPU": 1, "Graviton": 0}, True),
        ({"Intel": 1}, True),
    ],
)
def test_a_task_fits_where_an_empty_node_has_enough_of_everything(resources: dict[str, float], fits: bool) -> None:
    node_type = _node_type(resources={"CPU": 8, "Intel": 1})

    assert fits == node_type.fits(resources, {})


@pytest.mark.parametrize(
    ("labels", "fits"), [({}, True), ({"zone": "a"}, True), ({"zone": "b"}, False), ({"spot": "yes"}, False)]
)
def test_a_task_fits_where_the_node_carries_all_its_labels(labels: dict[str, str], fits: bool) -> None:
    assert fits == _node_type(labels={"zone": "a", "tier": "gold"}).fits({"CPU": 1}, labels)


def test_a_node_type_without_cpus_has_none() -> None:
    assert 0.0 == _node_type(resources={}).cpus


def test_the_most_cpus_are_those_of_all_types_where_the_total_allows() -> None:
    assert 4 * 8 + 2 * 2 == _shape(_node_type(), _node_type("small", resources={"CPU": 2}, max_workers=2)).max_cpus


def test_the_most_cpus_under_a_tight_total_come_from_the_largest_type() -> None:
    small, large = _node_type("small", resources={"CPU": 2}), _node_type("large", resources={"CPU": 8}, max_workers=2)

    assert 2 * 8 + 1 * 2 == _shape(small, large, max_workers=3).max_cpus


@given(shapes())
def test_the_cluster_never_has_fewer_cpus_at_most_than_at_least(shape: ClusterShape) -> None:
    assert shape.baseline_cpus <= shape.max_cpus


@given(shapes())
def test_the_most_cpus_stay_within_each_limit(shape: ClusterShape) -> None:
    assert shape.max_cpus <= sum(worker.max_workers * worker.cpus for worker in shape.workers)
    assert shape.max_cpus <= shape.max_workers * max(worker.cpus for worker in shape.workers)


def test_the_baseline_counts_the_minimum_of_each_worker_type() -> None:
    shape = _shape(_node_type("x86", min_workers=1), _node_type("arm", min_workers=2))

    assert {"x86": 1, "arm": 2} == shape.baseline
    assert 3 * 8 == shape.baseline_cpus


def test_a_node_type_is_found_by_name_and_the_head_too() -> None:
    shape = _shape(_node_type("x86"))

    assert "x86_64" == getattr(shape.node_type("x86"), "arch", None)
    assert shape.head == shape.node_type("head")
    assert shape.node_type("arm") is None


def test_settings_without_worker_limits_leave_the_shape_as_it_is() -> None:
    shape = _shape(_node_type())

    assert shape is shape.with_settings(Settings(upscaling_speed=5))


def test_worker_limits_of_settings_go_to_every_type_and_to_the_total() -> None:
    shape = _shape(_node_type("x86"), _node_type("arm")).with_settings(Settings(min_workers=2, max_workers=6))

    assert [(2, 6), (2, 6)] == [(worker.min_workers, worker.max_workers) for worker in shape.workers]
    assert 12 == shape.max_workers


def test_a_minimum_alone_leaves_the_maxima_as_they_are() -> None:
    shape = _shape(_node_type(), max_workers=3).with_settings(Settings(min_workers=2))

    assert [(2, 4)] == [(worker.min_workers, worker.max_workers) for worker in shape.workers]
    assert 3 == shape.max_workers


def test_a_minimum_above_a_types_maximum_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="arm: min_workers 9 is above max_workers 4"):
        _shape(_node_type("arm")).with_settings(Settings(min_workers=9))


def test_a_maximum_below_a_types_minimum_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="arm: min_workers 2 is above max_workers 1"):
        _shape(_node_type("arm", min_workers=2)).with_settings(Settings(max_workers=1))


def test_minima_that_exceed_the_total_together_are_refused() -> None:
    """Such a cluster could never reach its baseline."""
    shape = _shape(_node_type("x86"), _node_type("arm"), max_workers=4)

    with pytest.raises(ValueError, match="max_workers"):
        shape.with_settings(Settings(min_workers=4))


@given(shapes(), settings())
def test_a_shape_under_settings_is_a_valid_shape(shape: ClusterShape, changed: Settings) -> None:
    try:
        under = shape.with_settings(changed)
    except ValidationError:
        return

    assert under == ClusterShape.model_validate(under.model_dump())
    assert [worker.name for worker in shape.workers] == [worker.name for worker in under.workers]


def test_the_largest_worker_limit_of_settings_gives_a_valid_shape_too() -> None:
    shape = _shape(_node_type("x86"), _node_type("arm")).with_settings(Settings(max_workers=10_000))

    assert shape == ClusterShape.model_validate_json(shape.model_dump_json())


def test_a_shape_is_described_in_one_line() -> None:
    shape = _shape(_node_type("x86", min_workers=1, instance_type="m7i.2xlarge"), _node_type("other", arch="unknown"))

    assert "x86 1-4 x 8 CPU (x86_64, m7i.2xlarge) + other 0-4 x 8 CPU (unknown)" == shape.describe()


@pytest.mark.parametrize(
    ("resources", "slots"),
    [
        ({"CPU": 1}, 8),
        ({"CPU": 3}, 2),
        ({"CPU": 8.1}, 0),
        ({"CPU": 0.1}, 80),
        ({"CPU": 1, "Graviton": 0.1}, 3),
        ({"CPU": 1, "Intel": 0.1}, 0),
        ({"CPU": 0, "Graviton": 0.1}, 3),
        ({"CPU": 0}, None),
        ({}, None),
        ({"CPU": 0.00001}, 80_000),
    ],
)
def test_slots_are_the_tasks_that_one_node_runs_at_once(resources: dict[str, float], slots: int | None) -> None:
    node_type = _node_type(resources={"CPU": 8, "Graviton": 0.3}, labels={"zone": "a"})

    assert node_type.slots(resources, {}) == slots
    assert node_type.slots(resources, {"zone": "a"}) == slots
    assert node_type.slots(resources, {"zone": "b"}) == 0
