"""Takes workload, cluster and launch latencies of a simulated sweep from a recorded trial or an observation."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import InputError
from orchestrator.filesystem import is_file, write_atomically
from orchestrator.lab.home import Home
from orchestrator.lab.overrides import SpecOverrides
from orchestrator.model.base import content_hash
from orchestrator.private_files import make_private_folder
from orchestrator.replay.history import Edits, History, read_history, replayed

if TYPE_CHECKING:
    from orchestrator.inputs.cluster_config import ClusterFile
    from orchestrator.model.cluster import ClusterShape, NodeType

_OF_WORKLOADS = ("job", "tasks", "seconds", "cpus", "resources", "labels", "kind", "arrival", "arrival_parameters")
_OTHERS_OF_WORKLOADS = ("arrival_s", "waves", "groups")


@dataclass(frozen=True)
class WorkloadFrom:
    """A recorded workload to simulate: the id or the file of its trace, and edits."""

    source: str
    edits: Edits = field(default_factory=Edits)


@dataclass(frozen=True)
class Recorded:
    """The parts of a sweep that a record gives: overrides of its spec, measured latencies, and assumptions."""

    source: str
    history: History
    overrides: SpecOverrides
    assumptions: tuple[str, ...]

    def with_latencies(self, cluster: "ClusterFile") -> "ClusterFile":
        """Return the cluster file with the launch latencies met then, for node types of which a launch was recorded."""
        from orchestrator.analysis.trial.latencies import stage_samples, with_samples

        shape = cluster.shape
        samples = stage_samples([self.history.events])
        types = [worker.name for worker in shape.launchable if worker.max_workers]
        met = {name: samples[name] for name in types if name in samples}
        if not met:
            assumed = cluster.launch_text or "launch latencies are those of the cluster file"
            return replace(cluster, launch_text=f"{self.source} shows no launch: {assumed}")
        others = [name for name in types if name not in met]
        text = f"launch latencies are those met in {self.source}"
        if others:
            text += f"; of {', '.join(others)} it shows none: {cluster.launch_text or 'those of the cluster file'}"
        return replace(cluster, shape=shape.replace(launch=with_samples(shape.launch, met)), launch_text=text)


def take_workload(home: Home, wanted: WorkloadFrom, overrides: SpecOverrides) -> Recorded:
    """Return the recorded workload, and the cluster's shape unless `overrides` name a file. Raises InputError."""
    given = [name for name in (*_OF_WORKLOADS, *_OTHERS_OF_WORKLOADS) if overrides.get(name) is not None]
    if given:
        raise InputError(f"--workload-from brings its own workload, and {given[0]} is another", "leave one of them out")
    history = read_history(_trace_of(home, wanted.source))
    workload = replayed(history, wanted.edits, wanted.source)
    assumed = [f"{wanted.source}: {each}" for each in workload.assumptions]
    taken: SpecOverrides = {**overrides, "groups": workload.groups}
    known = _known_settings(history)
    if overrides.get("autoscaler") is None and known.get("autoscaler") is not None:
        taken["autoscaler"] = known["autoscaler"]
    if overrides.get("cluster") is None:
        shape, more = _shape(history, wanted.source)
        assumed += [f"{wanted.source}: {each}" for each in more]
        assumed += _unknown_settings(known, wanted.source, overrides)
        taken["cluster"] = _write_cluster_file(home, shape, known, needs_memory=_needs_memory(history))
    return Recorded(wanted.source, history, taken, tuple(assumed))


def _trace_of(home: Home, source: str) -> Path:
    """Return the one trace of an id or a path. Raises InputError."""
    if is_file(source):
        return Path(source)
    sweep, trial = home.ledger().find(source)
    records = sweep.trials if trial is None else (trial,)
    traces = [record.trace for record in records if record.trace]
    if not sweep.trials and (trace := sweep.environment.get("trace")):
        traces = [str(trace)]
    if not traces:
        raise InputError(
            f"--workload-from: nothing was recorded of {source!r} yet", "list all sweeps: orchestrate list"
        )
    if len(traces) > 1:
        raise InputError(
            f"--workload-from: {source!r} has {len(traces)} trials", f"name one: orchestrate show {source}"
        )
    return Path(traces[0])


def _known_settings(history: History) -> dict[str, Any]:
    if history.trial is None:
        return {name: value for name, value in history.settings.items() if name in _SETTINGS_OF_A_FILE}
    return {name: getattr(history.trial.settings, name) for name in _SETTINGS_OF_A_FILE}


_SETTINGS_OF_A_FILE = ("autoscaler", "upscaling_speed", "idle_timeout_minutes")


def _unknown_settings(known: dict[str, Any], source: str, overrides: SpecOverrides) -> Sequence[str]:
    unknown = [name for name in _SETTINGS_OF_A_FILE[1:] if known.get(name) is None and overrides.get(name) is None]
    return [f"{source}: its {' and '.join(unknown)} isn't known: Ray's default is taken"] if unknown else []


def _needs_memory(history: History) -> bool:
    return any("memory" in needs.limiting for needs in history.needs)


def _shape(history: History, source: str) -> "tuple[ClusterShape, tuple[str, ...]]":
    from orchestrator.analysis.trial.observed_shape import observed_shape

    if history.trial is not None:
        return history.trial.shape, ()
    try:
        shape, assumed = observed_shape(history.events)
    except ValueError as error:
        raise InputError(f"{source}: {error}", "give the cluster's file: --cluster FILE") from None
    if shape.max_workers == 0:
        raise InputError(f"{source}: no worker was seen, so nothing scaled", "give the cluster's file: --cluster FILE")
    return shape, assumed


def _write_cluster_file(home: Home, shape: "ClusterShape", known: dict[str, Any], *, needs_memory: bool) -> Path:
    """Write the shape in Ray's own format, named by its content, and return the path. Raises InputError."""
    import yaml

    recorded = {name: known[name] for name in _SETTINGS_OF_A_FILE[1:] if known.get(name) is not None}
    provider: dict[str, Any] = {"disable_node_updaters": not shape.simulation.node_updaters}
    for name, model in (("launch", shape.launch), ("simulation", shape.simulation)):
        if dumped := model.model_dump(mode="json", exclude_defaults=True):
            provider[name] = dumped
    document = {
        "cluster_name": "recorded",
        "max_workers": shape.max_workers,
        **recorded,
        "provider": provider,
        "head_node_type": shape.head.name,
        "available_node_types": {
            each.name: _section(each, needs_memory=needs_memory) for each in (shape.head, *shape.workers)
        },
    }
    path = home.root / "observed" / f"cluster-{content_hash(document)}.yaml"
    home.make()
    try:
        make_private_folder(path.parent)
        write_atomically(path, yaml.safe_dump(document, sort_keys=False))
    except OSError as error:
        raise InputError(f"{path} can't be written: {error.strerror}", "choose another home with --home") from None
    return path


def _section(node_type: "NodeType", *, needs_memory: bool) -> dict[str, Any]:
    resources = {
        name: int(amount) if amount == int(amount) else amount
        for name, amount in node_type.resources.items()
        if name != "memory" or needs_memory
    }
    return {
        "node_config": {"InstanceType": node_type.instance_type} if node_type.instance_type else {},
        "resources": resources,
        **({"labels": dict(node_type.labels)} if node_type.labels else {}),
        "min_workers": node_type.min_workers,
        "max_workers": node_type.max_workers,
        **({"priority": node_type.priority} if node_type.priority else {}),
        **({"idle_timeout_s": node_type.idle_timeout_s} if node_type.idle_timeout_s is not None else {}),
    }
