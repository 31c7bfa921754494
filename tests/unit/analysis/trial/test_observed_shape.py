"""The shape of an observed cluster: its types from their first nodes, its limits from the numbers of nodes."""

import pytest

from orchestrator.analysis.trial.observed_shape import observed_shape
from orchestrator.model.events import Event, NodeTypeEvent
from tests.support.builders import T0, baseline, life, phase


def node_type(name: str, *, is_head: bool = False, **resources: float) -> NodeTypeEvent:
    return NodeTypeEvent(t=T0 - 1, node_type=name, is_head=is_head, resources=resources, labels={})


def ordered(*events: Event) -> list[Event]:
    return sorted(events, key=lambda event: event.t)


def test_limits_are_the_fewest_and_the_most_nodes_at_once() -> None:
    nodes = [
        baseline("n1"),
        *life("n2", requested=1, running=5, terminated=50),
        *life("n3", requested=6, running=9, terminated=20),
    ]
    shape, assumed = observed_shape(
        ordered(node_type("head", is_head=True), node_type("x86", CPU=2, Intel=1), *nodes, phase(60, "done"))
    )

    [worker] = shape.workers
    assert (worker.name, worker.min_workers, worker.max_workers) == ("x86", 1, 3)
    assert worker.resources == {"CPU": 2.0, "Intel": 1.0}
    assert worker.arch == "x86_64"
    assert shape.head.cpus == 0
    assert assumed == ("the limits are the fewest and the most nodes that were there at once (x86 1-3)",)


def test_a_cluster_without_workers_cannot_scale() -> None:
    shape, assumed = observed_shape(ordered(node_type("head", is_head=True, CPU=4), phase(60, "done")))

    assert (shape.max_workers, shape.head.cpus) == (0, 4)
    assert assumed == ("no worker was seen, so the cluster can't scale",)


def test_a_trace_without_node_types_has_no_shape() -> None:
    with pytest.raises(ValueError, match="shows no node types"):
        observed_shape(ordered(phase(60, "done")))
