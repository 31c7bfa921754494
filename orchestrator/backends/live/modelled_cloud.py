"""A cloud of real nodes with modelled latencies: it answers, boots, and refuses as a `LaunchModel` says.

Only the `Machine` of a node knows whether it is processes or a container. Every event of a node's life goes into the
cluster's journal with its time.
"""

import contextlib
import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from orchestrator.backends.live.cloud import CannotStart, CloudNode, LaunchRequest, Machine, MachineLost
from orchestrator.backends.live.cluster_dir import ClusterFiles
from orchestrator.errors import MissingPrerequisite
from orchestrator.model.cluster import ClusterShape
from orchestrator.model.latency import LaunchModel, NodeLatencies
from orchestrator.rayapi.virtual.world import LaunchRefused, no_capacity, request_failed

_log = logging.getLogger(__name__)

NODE_ID_BYTES = 28
# A cloud that closes waits no longer than this for machines that don't end.
CLOSE_S = 20.0
# A guard against requests that aren't Ray's. Ray's own may exceed the limits while a node still ends.
SLACK = 2


class ModelledCloud:
    """Makes nodes with `make`, `starts` of them at a time. `changed` is called after each change of the list.

    `make` may raise CannotStart. `failure` is an error after which no node can go on. `limit` bounds requests that may
    come from others than Ray's autoscaler.
    """

    def __init__(
        self,
        files: ClusterFiles,
        launch: LaunchModel,
        make: Callable[[CloudNode], Machine],
        *,
        starts: int,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._files = files
        self._launch = launch
        self._make = make
        self._changed = changed
        self._lock = threading.Lock()
        # More starts at once than cores make each so slow that Ray may give a node up.
        self._starts = threading.Semaphore(starts)
        self._requested: Counter[tuple[str, str]] = Counter()
        self._calls: Counter[tuple[str, str]] = Counter()
        self._nodes: dict[str, CloudNode] = {}
        # These and the nodes that are out of the list but not at their end yet.
        self._existing: set[CloudNode] = set()
        self._one_ended = threading.Condition(self._lock)
        self._closed = False
        self._asked: Counter[str] = Counter()
        self._limits: Counter[str] | None = None
        self._limit = 0
        self.failure: MachineLost | MissingPrerequisite | OSError | None = None

    def limit(self, shape: ClusterShape) -> None:
        """From now on allow `SLACK` times as many nodes as the shape's `max_workers`, of each type and in all.

        Ray keeps to those itself, and may ask for a node while another one ends: what it asks for is always allowed.
        What was allowed for an earlier shape still is, since nodes of that time may live.
        """
        limits = Counter({worker.name: SLACK * worker.max_workers for worker in shape.launchable})
        with self._lock:
            self._limits = limits | (self._limits or Counter())
            self._limit = max(self._limit, SLACK * shape.max_workers)

    def nodes(self) -> Mapping[str, CloudNode]:
        """See `Cloud.nodes`."""
        with self._lock:
            return dict(self._nodes)

    def create(self, request: LaunchRequest) -> None:
        """See `Cloud.create`. As EC2 with a minimum of one, give as many as there are, or refuse if there are none."""
        node_type, count = request.node_type, request.count
        with self._asking(node_type, count):
            trial, seed = self._files.read_trial()
            with self._lock:
                # The n-th node of a type in a trial meets the same luck in every trial with the same seed.
                first, call = self._requested[trial, node_type], self._calls[trial, node_type] + 1
                self._requested[trial, node_type] += count
                self._calls[trial, node_type] = call
            latencies = [self._launch.latencies(seed, node_type, index) for index in range(first, first + count)]
            nodes = [_new_node(request) for _ in range(count)]
            for node in nodes:
                self._journal("requested", node)
            time.sleep(max(latency.request for latency in latencies))
            if trial and self._launch.call_fails(seed, node_type, call):  # the baseline of a trial is no part of it
                self._refuse(nodes, request_failed())
            granted = self._grant(nodes)
            if not granted:
                self._refuse(nodes, no_capacity(node_type))
            for node in nodes[granted:]:
                self._journal("failed", node, detail=no_capacity(node_type).description)
            for node, latency in zip(nodes[:granted], latencies, strict=False):
                self._journal("allocated", node)
                threading.Thread(target=self._live, args=(node, latency), daemon=True).start()
            self._changed()

    @contextlib.contextmanager
    def _asking(self, node_type: str, count: int) -> Iterator[None]:
        """Count a request while it waits for its answer. Raises LaunchRefused beyond the limits.

        Such a request leaves no trace in the journal, since there may be any number of them.
        """
        with self._lock:
            if self._limits is not None:
                living = Counter(node.node_type for node in self._nodes.values()) + self._asked
                if living[node_type] + count > self._limits[node_type] or living.total() + count > self._limit:
                    raise no_capacity(node_type)
            self._asked[node_type] += count
        try:
            yield
        finally:
            with self._lock:
                self._asked[node_type] -= count

    def _grant(self, nodes: list[CloudNode]) -> int:
        """Let as many of these nodes of one type exist as there is capacity for; return their number."""
        node_type = nodes[0].node_type
        with self._lock:
            existing = sum(node.node_type == node_type for node in self._existing)
            granted = 0 if self._closed else self._launch.granted(node_type, len(nodes), existing)
            self._existing.update(nodes[:granted])
            self._nodes.update({node.node_id: node for node in nodes[:granted]})
        return granted

    def _refuse(self, nodes: list[CloudNode], answer: LaunchRefused) -> None:
        for node in nodes:
            self._journal("failed", node, detail=answer.description)
        raise answer

    def terminate(self, node_id: str) -> None:
        """See `Cloud.terminate`."""
        if (node := self._pop(node_id)) is not None:
            self._journal("terminating", node)
            self._end(node, by_force=False)

    def reclaim(self, node_id: str, cause: str, detail: str) -> bool:
        """Take back a machine for a `cause`, which the trace names. Return False if there is no such node."""
        if (node := self._pop(node_id)) is None:
            return False
        self._journal("failed", node, cause=cause, detail=detail)
        self._end(node, by_force=True)
        return True

    def close(self) -> None:
        """End all machines by force and make no more. Return when they have ended, or after CLOSE_S seconds."""
        with self._lock:
            self._closed = True
            self._nodes.clear()
            existing = list(self._existing)
        for node in existing:
            self._end(node, by_force=True)
        with self._one_ended:
            self._one_ended.wait_for(lambda: not self._existing, CLOSE_S)

    def _pop(self, node_id: str) -> CloudNode | None:
        with self._lock:
            node = self._nodes.pop(node_id, None)
        if node is not None:
            self._changed()
        return node

    def _end(self, node: CloudNode, *, by_force: bool) -> None:
        node.ending.set()
        if (machine := node.machine) is not None:
            threading.Thread(target=machine.kill if by_force else machine.end, daemon=True).start()

    # The life of a node, in a thread of its own

    def _live(self, node: CloudNode, latencies: NodeLatencies) -> None:
        try:
            self._boot_and_run(node, latencies.boot)
        except (MachineLost, OSError) as error:  # a full disk, say: the journal would miss something
            _log.exception("node %s was lost", node.node_id)
            self.failure = error
        finally:
            with self._one_ended:
                self._existing.remove(node)
                self._one_ended.notify_all()

    def _boot_and_run(self, node: CloudNode, boot_s: float) -> None:
        if node.ending.wait(boot_s):
            self._journal("terminated", node)
            return
        node.booted = True
        self._changed()
        self._journal("installing", node)  # the wait for a free core is part of it
        with self._starts:
            try:
                machine = node.machine = self._make(node)
                if node.ending.is_set():  # since before there was a machine
                    machine.end()
                started = machine.start()
            except CannotStart as error:
                _log.warning("node %s can't start", node.node_id, exc_info=True)
                if isinstance(error.__cause__, MissingPrerequisite) and not node.ending.is_set():
                    self.failure = error.__cause__
                self._give_up(node, str(error))
                return
        if started:
            node.ip = machine.address()
            self._changed()
            self._journal("started", node)
        code = machine.wait()
        if not started:
            self._give_up(node, machine.last_words() or f"exit code {code}")
            return
        # As in a cloud, a machine whose Ray has ended (drained, or killed) exists until the autoscaler ends it.
        if not node.ending.is_set():
            self._journal("ray_ended", node, code=code, detail=machine.last_words())
            node.ending.wait()
        self._journal("terminated", node)

    def _give_up(self, node: CloudNode, why: str) -> None:
        if self._pop(node.node_id) is not None:
            self._journal("failed", node, detail=why)
        else:  # it was ended meanwhile, which is the reason
            self._journal("terminated", node)

    def _journal(self, event: str, node: CloudNode, **more: Any) -> None:
        self._files.append_journal({"event": event, "node": node.node_id, "node_type": node.node_type, **more})


def _new_node(request: LaunchRequest) -> CloudNode:
    node_id = secrets.token_hex(NODE_ID_BYTES)
    return CloudNode(node_id, request.node_type, request.tags, request.resources, request.labels)
