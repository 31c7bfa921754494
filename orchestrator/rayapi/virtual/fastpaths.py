"""Shortcuts for Ray's code in a simulation: the same decisions at the same virtual times, in less real time.

No shortcut changes a decision. They skip copies that nobody modifies and parse each input once. They show Ray's v2
scheduler one node of each kind and as many tasks as a node can hold, where Ray would iterate over all of them. In v1, a
node that can't hold a task isn't tried again for an identical task. `plain=True` runs without the shortcuts, and tests
compare the two modes.
"""

import copy
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from orchestrator.model.cluster import ClusterShape
from orchestrator.rayapi.virtual.session import Replacement, Session, active_session
from orchestrator.rayapi.virtual.world import World


def most_tasks(world: World, least: int = 0) -> dict[object, int]:
    """Return for each kind of task the most that could run at once, plus one: more demand can't change a decision.

    Where tasks differ, each number is at least `least`, because v1 stops to read the demand after so many tasks.
    """
    every = world.all_needs()
    least = least if len(every) > 1 else 0
    return {needs.key: max(least, _most(world.shape, needs.limiting)) for needs in every}


def _most(shape: ClusterShape, needs: dict[str, float]) -> int:
    if not needs:
        return 1
    # Labels are left out: they can only reduce the number.
    slots = shape.head.slots(needs, {}) or 0
    slots += sum(worker.max_workers * (worker.slots(needs, {}) or 0) for worker in shape.launchable)
    return slots + 1


@contextmanager
def enabled(session: Session, wanted: bool) -> Iterator[None]:
    """Use the shortcuts below within this context."""
    session.fast = wanted
    try:
        yield
    finally:
        session.fast = False


def _fast(stand_in: Any) -> Any:
    """Return a replacement that calls `stand_in(real, *args)` while shortcuts are enabled, else the original."""

    def replace(real: Any) -> Any:
        def dispatch(*args: Any, **more: Any) -> Any:
            session = active_session()
            if session is None or not session.fast:
                return real(*args, **more)
            return stand_in(real, *args, **more)

        return dispatch

    return replace


def replacements() -> Iterator[Replacement]:
    """Yield the replacements for the shortcuts. Names that the installed Ray lacks are skipped."""
    import ray.autoscaler._private.autoscaler as v1
    import ray.autoscaler._private.resource_demand_scheduler as v1_scheduler
    import ray.autoscaler.v2.autoscaler as autoscaler
    import ray.autoscaler.v2.scheduler as scheduler
    from ray.autoscaler.v2.utils import ResourceRequestUtil

    yield scheduler.SchedulingNode, "__deepcopy__", _copied_node(scheduler)
    yield scheduler.ResourceDemandScheduler.ScheduleContext, "get_nodes", _fast(lambda real, context: [*context._nodes])
    yield scheduler.ResourceDemandScheduler, "_sched_best_node", _fast(_best_node)
    yield scheduler, "sorted", lambda _real: _sorted
    if hasattr(scheduler, "_collect_unique_resource_shapes"):
        yield scheduler, "_collect_unique_resource_shapes", _fast(_unique_shapes)
    yield ResourceRequestUtil, "ungroup_by_count", _fast(_ungroup)
    yield autoscaler, "get_cluster_resource_state", _fast(_unserialised_state)
    for module in (v1, v1_scheduler):
        yield module, "get_bin_pack_residual", _fast(pack)


# The state of the GCS and of the instance manager: parsed once


def _unserialised_state(real: Any, gcs: Any) -> Any:
    return gcs.state() if hasattr(gcs, "state") else real(gcs)


def remember_node_types(config: Any) -> None:
    """Compute the node types once: the config doesn't change, so each update would compute the same."""
    configs = config.get_node_type_configs()
    config.get_node_type_configs = lambda: configs


def remember_instances(manager: Any) -> None:
    """Rebuild the instance manager's state only after a change, and parse only the instances that changed."""
    from ray.core.generated.instance_manager_pb2 import GetInstanceManagerStateReply, Instance, StatusCode

    storage = manager._instance_storage
    parsed: dict[str, tuple[int, Any]] = {}
    latest: list[Any] = [None, -1]

    def get_instance_manager_state(request: Any) -> Any:
        version = storage._storage.get_version()
        if latest[1] == version:
            return latest[0]
        reply = GetInstanceManagerStateReply()
        reply.status.code = StatusCode.OK
        reply.state.version = version
        for key, (data, entry_version) in storage._storage._tables[storage._table_name].items():
            known = parsed.get(key)
            if known is None or known[0] != entry_version:
                instance = Instance()
                instance.ParseFromString(data)
                instance.version = entry_version
                parsed[key] = (entry_version, instance)
        reply.state.instances.extend([parsed[key][1] for key in storage._storage._tables[storage._table_name]])
        latest[:] = reply, version
        return reply

    manager.get_instance_manager_state = get_instance_manager_state


# The scheduler: one node of each kind, as many requests as a node can hold


class _Repeated:
    """The same request `count` times, without a list that contains it `count` times."""

    def __init__(self, request: Any, count: int) -> None:
        self.request = request
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Any]:
        for _ in range(self.count):
            yield self.request

    def first(self, count: int) -> list[Any]:
        return [self.request] * min(count, self.count)


def _ungroup(real: Any, groups: Any) -> Any:
    groups = list(groups)
    if len(groups) == 1 and groups[0].count and any(need > 0 for need in groups[0].request.resources_bundle.values()):
        return _Repeated(groups[0].request, groups[0].count)
    return real(groups)


def _sorted(items: Any, **how: Any) -> Any:
    return items if isinstance(items, _Repeated) else sorted(items, **how)


def _unique_shapes(real: Any, requests: Any) -> Any:
    return real(requests.first(1) if isinstance(requests, _Repeated) else requests)


def _copied_node(scheduler: Any) -> Any:
    node_class = scheduler.SchedulingNode

    def replace(_real: Any) -> Any:
        def deepcopy_node(node: Any, memo: dict[int, Any]) -> Any:
            session = active_session()
            if session is None or not session.fast:
                twin = object.__new__(type(node))
                memo[id(node)] = twin
                twin.__dict__.update(copy.deepcopy(node.__dict__, memo))
                return twin
            return _copy_node(node, node_class)

        return deepcopy_node

    return replace


def _copy_node(node: Any, node_class: Any) -> Any:
    """Return a copy that shares what Ray's scheduler never changes: strings, numbers, messages."""
    twin = object.__new__(node_class)
    state = twin.__dict__
    state.update(node.__dict__)
    state["total_resources"] = dict(node.total_resources)
    state["labels"] = dict(node.labels)
    state["available_resources_for_sched"] = {k: dict(v) for k, v in node.available_resources_for_sched.items()}
    requests = copy.copy(node.sched_requests)
    for source, scheduled in requests.items():
        requests[source] = list(scheduled)
    state["sched_requests"] = requests
    return twin


@dataclass(frozen=True, slots=True)
class _Choice:
    """The kind that Ray chose, the number of requests it scheduled, and the remaining amounts of their resources."""

    kind: Any
    scheduled: int
    free: dict[str, float]


class _Kinds:
    """A list of nodes in Ray's order, grouped by kind. Nodes of one kind are equal in everything that Ray compares."""

    def __init__(self, nodes: Any, source: Any) -> None:
        self._source = source
        self._next = 0
        self._members: dict[Any, deque[tuple[int, Any]]] = {}
        # Ray's choice by its input: the kinds of the first nodes in order, and the number of requests.
        self.choices: dict[tuple[Any, ...], _Choice] = {}
        for node in nodes:
            self.append(node)

    def append(self, node: Any) -> None:
        self._members.setdefault(self._kind(node), deque()).append((self._next, node))
        self._next += 1

    def _kind(self, node: Any) -> Any:
        source = self._source
        return (
            node.node_type,
            node.node_kind,
            getattr(node, "priority", 0),
            _content(node.total_resources),
            _content(node.get_available_resources(source)),
            frozenset(node.labels.items()),
            len(node.get_sched_requests(source)),
        )

    def __len__(self) -> int:
        return sum(len(members) for members in self._members.values())

    def __iter__(self) -> Iterator[Any]:
        everything = [entry for members in self._members.values() for entry in members]
        return (node for _, node in sorted(everything, key=itemgetter(0)))

    def kinds(self) -> tuple[Any, ...]:
        """Return the kinds, in the order of their first nodes."""
        heads = [(members[0][0], kind) for kind, members in self._members.items() if members]
        return tuple(kind for _, kind in sorted(heads, key=itemgetter(0)))

    def first(self, kind: Any) -> Any:
        """Return the first node of a kind."""
        return self._members[kind][0][1]

    def pop_first(self, kind: Any) -> Any:
        return self._members[kind].popleft()[1]


def _content(resources: dict[str, float]) -> frozenset[tuple[str, float]]:
    """Return resources without a node's own `node:ADDRESS`, which no task of a simulation requests."""
    return frozenset((k, v) for k, v in resources.items() if not k.startswith("node:") or k.startswith("node:__"))


def _best_node(real: Any, requests: Any, nodes: Any, source: Any, *more: Any) -> Any:
    """Return Ray's choice among the first nodes of each kind, for more requests than any of them can hold."""
    if not isinstance(requests, _Repeated):
        return real(requests, nodes, source, *more)
    if not isinstance(nodes, _Kinds):
        nodes = _Kinds(nodes, source)
    kinds = nodes.kinds()
    needs = {name: need for name, need in requests.request.resources_bundle.items() if need > 0}
    most = max((_fitting(nodes.first(kind), needs, source) for kind in kinds), default=0)
    shown = min(len(requests), most + 2)
    if (choice := nodes.choices.get((*kinds, shown))) is not None:
        # Nodes of one kind are equal in all of Ray's inputs here, so Ray would compute the same result again.
        node = copy.deepcopy(nodes.pop_first(choice.kind))
        node.get_available_resources(source).update(choice.free)
        node.get_sched_requests(source).extend(requests.first(choice.scheduled))
    else:
        firsts = [nodes.first(kind) for kind in kinds]
        node, remaining, left = real(requests.first(shown), [*firsts], source, *more)
        if node is None:
            return None, requests, nodes
        # `node` is a copy of Ray's choice. Ray has removed the original from the list.
        kind = next(kind for kind, first in zip(kinds, firsts, strict=True) if not any(first is each for each in left))
        nodes.pop_first(kind)
        free = node.get_available_resources(source)
        choice = _Choice(kind, shown - len(remaining), {name: free[name] for name in needs})
        nodes.choices[(*kinds, shown)] = choice
    return node, _Repeated(requests.request, len(requests) - choice.scheduled), nodes


def _fitting(node: Any, needs: dict[str, float], source: Any) -> int:
    """Return an upper bound of the number of requests that fit a node."""
    free = node.get_available_resources(source)
    return min(int(free.get(name, 0.0) / need + 1e-6) for name, need in needs.items())


# v1: identical demands are packed in one pass over the nodes


def pack(real: Any, nodes: Any, demands: Any, strict_spread: bool = False) -> tuple[list[Any], list[Any]]:
    """Place each demand on the first node that fits, as Ray's `get_bin_pack_residual` does.

    Returns the demands that fit no node, and the nodes afterwards. A node that doesn't fit a demand doesn't fit the
    next identical demand either, because nodes only fill up.
    """
    first = demands[0] if demands else {}
    alike = all(demand is first or demand == first for demand in demands)
    # Ray places nothing on a node without resources, and doesn't continue with the next node.
    if strict_spread or not alike or not all(nodes):
        return real(nodes, demands, strict_spread)  # type: ignore[no-any-return]
    import ray.autoscaler._private.resource_demand_scheduler as scheduler

    # As in Ray's deep copy, a node that is listed twice remains one object.
    copies = {id(node): copy.copy(node) for node in nodes}
    nodes = [copies[id(node)] for node in nodes]
    placed = 0
    for node in nodes:
        while placed < len(demands) and scheduler._fits(node, first):
            scheduler._inplace_subtract(node, first)
            placed += 1
    return demands[placed:], nodes
