"""The shape of a cluster that was only observed, as far as its trace shows it."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.analysis.trial.node_lives import NodeLife, node_lives, stacked
from orchestrator.model.arch import infer_arch
from orchestrator.model.cluster import ClusterShape, NodeType
from orchestrator.model.events import Event, NodeEvent, NodeTypeEvent

NO_WORKER = "worker"
"""The name of the worker type of a cluster in which no worker was seen."""


def observed_shape(events: Sequence[Event]) -> tuple[ClusterShape, tuple[str, ...]]:
    """Return the shape, and sentences about what it takes for granted. The events are in the order of `t`.

    Raises ValueError if the trace shows no node type.
    """
    types = {event.node_type: event for event in events if isinstance(event, NodeTypeEvent)}
    if not types:
        raise ValueError("the trace shows no node types")
    head = next((event for event in types.values() if event.is_head), None)
    if head is None:
        raise ValueError("the trace shows no head")
    by_type: dict[str, list[NodeLife]] = defaultdict(list)
    for life in node_lives(events):
        by_type[life.node_type].append(life)
    span = (events[0].t, max(event.t for event in events))
    limits = {name: _limits(lives, *span) for name, lives in by_type.items()}
    instance_types = {e.node_type: e.instance_type for e in events if isinstance(e, NodeEvent) and e.instance_type}
    workers = [
        _node_type(event, *limits.get(name, (0, 0)), instance_types)
        for name, event in types.items()
        if not event.is_head
    ]
    assumed = []
    if any(worker.max_workers for worker in workers):
        text = ", ".join(f"{worker.name} {worker.min_workers}-{worker.max_workers}" for worker in workers)
        assumed.append(f"the limits are the fewest and the most nodes that were there at once ({text})")
    if not workers:
        workers = [NodeType(name=NO_WORKER, arch="unknown")]
        assumed.append("no worker was seen, so the cluster can't scale")
    shape = ClusterShape(
        head=_node_type(head, 0, 0, instance_types),
        workers=tuple(workers),
        max_workers=sum(worker.max_workers for worker in workers),
    )
    return shape, tuple(assumed)


def _limits(lives: Iterable[NodeLife], begin: float, end: float) -> tuple[int, int]:
    """Return the fewest and the most nodes of a type at once."""
    lives = list(lives)
    alive = stacked((life.alive(end), 1.0) for life in lives)
    existing = stacked((life.billed(end), 1.0) for life in lives)
    fewest = min((value for t, value in zip(alive.times, alive.values, strict=True) if begin < t < end), default=None)
    first = alive.walk()(begin)
    return math.floor(first if fewest is None else min(first, fewest)), math.ceil(existing.maximum(begin, end)[0])


def _node_type(event: NodeTypeEvent, least: int, most: int, instance_types: Mapping[str, str]) -> NodeType:
    name, resources = event.node_type, {**event.resources}
    resources.setdefault("CPU", 0.0)
    instance_type = instance_types.get(name, "")
    return NodeType(
        name=name,
        arch=infer_arch(name=name, instance_type=instance_type, labels=event.labels, resources=resources),
        instance_type=instance_type,
        resources=resources,
        labels=dict(event.labels),
        min_workers=min(least, most),
        max_workers=most,
    )
