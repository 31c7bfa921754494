"""Fits a cloud's latencies to what recorded traces show, by node type."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.analysis.trial.node_lives import NodeLife, node_lives
from orchestrator.model.events import Event
from orchestrator.model.latency import MAX_SAMPLES, Delay, LaunchModel, StageOverrides

_STAGES = ("request", "boot", "install")


def stage_samples(traces: Iterable[Sequence[Event]]) -> dict[str, dict[str, list[float]]]:
    """Measured seconds as `{node_type: {stage: [...]}}`, from the nodes that were launched in the traces and ran."""
    samples: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for events in traces:
        for life in node_lives(events):
            for stage, seconds in (launch_stages(life) or {}).items():
                samples[life.node_type][stage].append(seconds)
    return {node_type: dict(stages) for node_type, stages in samples.items()}


def launch_stages(life: NodeLife) -> dict[str, float] | None:
    """Return how long one node's request, boot and install took (s, ≥ 0); None if its launch wasn't recorded.

    If the trace doesn't show when the machine had booted, all from its allocation to Ray counts as `boot`.
    """
    seconds = life.stage_seconds()
    if "launch" not in seconds:
        return None
    if "boot" not in seconds or "install" not in seconds:
        seconds["boot"] = seconds["launch"] - seconds.get("request", 0.0)
        seconds["install"] = 0.0
    return {stage: max(0.0, round(seconds.get(stage, 0.0), 6)) for stage in _STAGES}


def fitted(launch: LaunchModel, node_types: Iterable[str], traces: Iterable[Sequence[Event]]) -> LaunchModel:
    """Return the launch model with the measured latencies of each node type in place of its own.

    Raises ValueError if the traces show no launch of one of `node_types`.
    """
    samples = stage_samples(traces)
    if missing := [node_type for node_type in node_types if node_type not in samples]:
        measured = ", ".join(sorted(samples)) or "none"
        raise ValueError(f"no launch of a {missing[0]} was recorded there; launched were: {measured}")
    return with_samples(launch, {node_type: samples[node_type] for node_type in node_types})


def with_samples(launch: LaunchModel, samples: Mapping[str, Mapping[str, list[float]]]) -> LaunchModel:
    """Return the launch model with measured latencies of some node types, as `stage_samples` gives them."""
    overrides = {}
    for node_type, measured in samples.items():
        stages = {
            stage: Delay(distribution="empirical", samples=tuple(values[:MAX_SAMPLES]))
            for stage, values in measured.items()
        }
        overrides[node_type] = StageOverrides(**stages, terminate=launch.stages(node_type)[3])
    return launch.replace(node_types={**launch.node_types, **overrides})
