"""The driver of a simulated workload: submits its groups as they arrive, and requests resources."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from orchestrator.model.group import Bundle, Group
from orchestrator.model.workload import Workload
from orchestrator.simulator.cluster import Cluster
from orchestrator.simulator.loop import EventLoop


class Submissions:
    """Submits a workload from `begin` on. `all_done()` is called when all of it has ended.

    `requested` are the bundles of the last request for resources. The end of the workload cancels it.
    """

    def __init__(
        self, workload: Workload, seed: int, loop: EventLoop, cluster: Cluster, all_done: Callable[[], None]
    ) -> None:
        self._workload = workload
        self._seed = seed
        self._loop = loop
        self._cluster = cluster
        self._all_done = all_done
        self._left = {group.name: group.count for group in workload.work}
        self.requested: Sequence[Bundle] = ()

    def begin(self, submission: float) -> None:
        """Schedule all that has a time; `submission` is that of the first task."""
        for group in self._workload.work:
            if group.after is None:
                self._schedule(group, submission + group.at_s)
        for request in self._workload.requests:
            self._loop.call_at(submission + request.at_s, partial(self._request, request.bundles))

    def _schedule(self, group: Group, start: float) -> None:
        for (offset, seconds), count in Counter(group.members(self._seed)).items():
            self._loop.call_at(start + offset, partial(self._cluster.submit, group, seconds, count))

    def _request(self, bundles: Sequence[Bundle]) -> None:
        if any(self._left.values()):
            self.requested = bundles

    def ended(self, group: Group, count: int) -> None:
        """Take note that members of a group have ended."""
        self._left[group.name] -= count
        if self._left[group.name]:
            return
        for other in self._workload.work:
            if other.after == group.name:
                self._schedule(other, self._loop.now)
        if not any(self._left.values()):
            self.requested = ()
            self._all_done()
