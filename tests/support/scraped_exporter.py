"""An exporter fed with events, and what a scrape of it gets, for the tests of its parts."""

from collections.abc import Iterable
from typing import Any

from prometheus_client import parser
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.registry import CollectorRegistry

from orchestrator.metrics.exporter import Exporter
from orchestrator.model.events import Event, NodeEvent
from orchestrator.model.prices import Prices
from orchestrator.model.snapshot import Snapshot
from orchestrator.observer.node_tracker import NodeTraits
from orchestrator.observer.observer import Observer
from tests.support.builders import (
    T0,
    baseline,
    life,
    trial,
)

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
PRICES = Prices(usd_per_hour={"m7i.large": 0.36, "m8g.xlarge": 0.72})
INSTANCE_TYPES = {"x86": "m7i.large", "arm": "m8g.xlarge"}
X86, ARM = ("x86", "x86_64"), ("arm", "arm64")
WHOLE = {"requested": 2.0, "allocated": 3.5, "installing": 8.0, "running": 20.0}

Series = dict[tuple[str, ...], float]


class Clock:
    """Time that a test moves, in seconds after `T0`."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return T0 + self.now


class EmptyCluster:
    """A cluster without a node, at `T0`; an exception is raised in its place."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def poll(self) -> Snapshot:
        if self.error is not None:
            raise self.error
        return Snapshot(t=T0)


def exporter_of(*given: Event | list[Event], now: float = 0.0, **options: Any) -> Exporter:
    """An exporter of a trial that has had these events, asked at `T0 + now`."""
    exporter = Exporter("c0ffee00", **{"clock": Clock(now), **options})
    exporter.trial_started(1, 1, trial(upscaling_speed=5))
    feed(exporter, *given)
    return exporter


def feed(exporter: Exporter, *given: Event | list[Event]) -> None:
    for group in given:
        for event in group if isinstance(group, list) else [group]:
            exporter.event(event)


def families(exporter: Exporter) -> dict[str, Metric]:
    """The families by their name without prefix."""
    return {family.name.removeprefix("orchestrator_"): family for family in exporter.collect()}


def series(exporter: Exporter, name: str, sample: str | None = None) -> Series:
    """The values of a family's samples of this name, by their labels' values; the trial's ids are left out."""
    found = families(exporter).get(name)
    wanted = f"orchestrator_{sample or name}"
    return {
        tuple(value for label, value in each.labels.items() if label not in ("sweep_id", "trial_id")): each.value
        for each in (found.samples if found is not None else ())
        if each.name == wanted
    }


def present(found: Series) -> Series:
    """Those that aren't 0."""
    return {labels: value for labels, value in found.items() if value}


def in_states(exporter: Exporter) -> Series:
    """How many nodes are in which state, by node type and state."""
    return {(node_type, state): value for (node_type, _, state), value in present(series(exporter, "nodes")).items()}


def registry_of(exporter: Exporter) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(exporter)
    return registry


def exposed(exporter: Exporter, accept: str = "") -> str:
    """What a scrape gets."""
    encode, _ = choose_encoder(accept)
    return encode(registry_of(exporter)).decode()


def parsed(exporter: Exporter, accept: str = "") -> dict[str, Metric]:
    """What a scrape gets, read by prometheus-client."""
    read = parse_openmetrics if accept else parser.text_string_to_metric_families
    return {family.name: family for family in read(exposed(exporter, accept))}


def watched_cluster(*, errors: int = 0) -> Observer:
    """An observer that has looked once, in 3 ms, after so many failures."""
    view = EmptyCluster(ConnectionError("GCS"))
    observer = Observer(view, lambda *_: NodeTraits("x86_64"), host=None, clock=Clock())
    for _ in range(errors):
        observer.step()
    view.error = None
    observer.step()
    observer.statistics.poll_histogram.observe(0.003)
    return observer


def priced(given: Iterable[Event]) -> list[Event]:
    """The events with the instance types that have a price."""
    return [
        event.model_copy(update={"instance_type": INSTANCE_TYPES[event.node_type]})
        if isinstance(event, NodeEvent)
        else event
        for event in given
    ]


def costs(exporter: Exporter) -> Series:
    return series(exporter, "cost_dollars", "cost_dollars_total")


LIVES = priced(
    [
        baseline("b1"),
        baseline("b2", node_type="arm"),
        *life("short", requested=1, allocated=2, installing=5, running=9, draining=20, terminated=25),
        *life("long", "arm", requested=1, allocated=3, installing=6, running=10, idle=200),
        *life("refused", requested=4, failed=12),
        *life("never", "arm", requested=4, allocated=7, failed=30),
        *life("crashed", allocated=30, running=40, failed=300),
        *life("crashed", terminated=400),
        *life("b1", terminated=600),
    ]
)
