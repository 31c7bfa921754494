"""The reasons on the boards are those of `orchestrate explain`, though they are found while the trial runs."""

from collections import Counter
from collections.abc import Sequence

import pytest

from orchestrator.analysis.trial.explain import explain, explain_at
from orchestrator.metrics.exporter import Exporter
from orchestrator.model.events import Event, PhaseEvent
from orchestrator.model.latency import Delay, LaunchModel
from orchestrator.model.settings import Settings
from orchestrator.model.trial import Trial
from orchestrator.simulator.scored import simulate_and_score
from tests.support.builders import trial
from tests.support.scraped_exporter import Series, series

pytest.importorskip("ray")


def metric(tried: Trial, events: Sequence[Event], name: str, until: float) -> Series:
    """The values of a metric, scraped at a time of the trial."""
    exporter = Exporter("c0ffee00", clock=lambda: until)
    exporter.trial_started(1, 1, tried)
    for event in events:
        if event.t <= until:
            exporter.event(event)
    return series(exporter, name, f"{name}_total" if name == "launched_nodes" else None)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(autoscaler="v2", upscaling_speed=1, idle_timeout_minutes=0.5),
        Settings(autoscaler="v2", upscaling_speed=100, idle_timeout_minutes=0.5, max_concurrent_launches=2),
        Settings(autoscaler="v1", upscaling_speed=1, idle_timeout_minutes=0.5),
    ],
    ids=lambda settings: settings.label(),
)
@pytest.mark.parametrize("failure_rate", [0.0, 0.3])
def test_metrics_and_explanation_agree_on_each_launch_and_at_each_moment(
    settings: Settings, failure_rate: float
) -> None:
    plain = trial(tasks=40)
    launch = LaunchModel(request=Delay(mean_s=2), boot=Delay(mean_s=20), failure_rate=failure_rate)
    tried = plain.replace(backend="simulated", settings=settings, shape=plain.shape.replace(launch=launch))
    events = simulate_and_score(tried, timeout_s=5_000).events
    found = explain(tried, events)
    assert found is not None
    by_rules: Counter[tuple[str, ...]] = Counter()
    arch = {worker.name: worker.arch for worker in tried.shape.workers}
    for each in found.launches:
        by_rules[each.node_type, arch[each.node_type], ", ".join(each.rules)] += len(each.nodes)
    start = next(event.t for event in events if isinstance(event, PhaseEvent) and event.phase == "running")

    assert by_rules
    assert metric(tried, events, "launched_nodes", events[-1].t + 60) == by_rules
    for after in (3.0, 8.0, 21.0, 47.0):
        state = explain_at(tried, events, after)
        assert state is not None
        held = {key for key, value in metric(tried, events, "no_launch", start + after).items() if value}
        assert held == {(each.node_type, each.reason) for each in state.obstacles}
