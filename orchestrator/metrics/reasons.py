"""Reasons of a running trial: for nodes that come and for others that don't, as `orchestrate explain` words them."""

from collections import Counter
from collections.abc import Iterable, Mapping

from orchestrator.analysis.trial.node_lives import NodeLife
from orchestrator.analysis.trial.scaling_rules import SAME_UPDATE_S, FailedLaunches, Moment, launch_rules, obstacles
from orchestrator.model.arch import Arch
from orchestrator.model.events import NodeEvent
from orchestrator.model.trial import Trial

Values = dict[tuple[str, ...], float]


class Reasons:
    """The launches of a trial so far by their rules, and the present reasons why no other node comes."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._launched: Counter[tuple[str, ...]] = Counter()
        self._failed: dict[str, FailedLaunches] = {}
        self._seen: set[tuple[str, str]] = set()
        self._before: Moment | None = None  # just before the update whose requests arrive now
        self._requests: list[NodeEvent] = []

    def arrives(self, event: NodeEvent, pending: Mapping[str, int], living: Iterable[NodeLife]) -> None:
        """Take in the first event of a node; `living` are the other nodes. Baseline nodes count for nothing."""
        if event.cause == "baseline":
            return
        t = _entered(event)
        if self._before is None or t - self._before.t >= SAME_UPDATE_S:
            self._finish_update()
            self._before = self._moment(t, pending, living)
        self._requests.append(event)

    def fails(self, event: NodeEvent) -> None:
        """Take in the end of a launch that failed."""
        earlier = self._failed.get(event.node_type, FailedLaunches())
        self._failed[event.node_type] = earlier.and_one(event.t, event.detail)

    def at(
        self, now: float, pending: Mapping[str, int], living: Iterable[NodeLife], *, active: bool
    ) -> tuple[Values, Values]:
        """Return the launched nodes by type, arch and rules, and the reasons by type: 1 for those that hold now."""
        if self._before is not None and (not active or now - self._before.t >= SAME_UPDATE_S):
            self._finish_update()
        holding: set[tuple[str, str]] = set()
        if active:
            found = obstacles(self._trial, self._moment(now, pending, living))
            holding = {(each.node_type, each.reason) for each in found}
        self._seen |= holding
        launched: Values = {key: float(count) for key, count in self._launched.items()}
        return launched, {key: float(key in holding) for key in sorted(self._seen)}

    def _moment(self, t: float, pending: Mapping[str, int], living: Iterable[NodeLife]) -> Moment:
        return Moment.of(t, pending, ((life, life.state, life.since) for life in living), dict(self._failed))

    def _finish_update(self) -> None:
        """Count the requests of an update by the rules that set their number."""
        if self._before is None:
            return
        arch: dict[str, Arch] = {event.node_type: event.arch for event in self._requests}
        requested = Counter(event.node_type for event in self._requests)
        of_minimum = {event.node_type for event in self._requests if event.cause == "min_workers"}
        for node_type, rules, _ in launch_rules(self._trial, self._before, requested, of_minimum):
            self._launched[node_type, arch[node_type], ", ".join(rules)] += requested[node_type]
        self._before, self._requests = None, []


def _entered(event: NodeEvent) -> float:
    return event.t if event.since is None else event.since
