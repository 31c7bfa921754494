"""The way to reproduce a sweep: the exact command, from the spec as planned, and other dependencies."""

import logging
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestrator.backends import registry
from orchestrator.errors import SpecError
from orchestrator.inputs.launch_profiles import MEASURED
from orchestrator.inputs.yaml_file import read_yaml_mapping
from orchestrator.model.latency import LaunchModel
from orchestrator.model.settings import option_settings
from orchestrator.model.spec import SweepSpec, WorkloadOverrides
from orchestrator.model.workload import parameters
from orchestrator.sweeps.ledger import SweepRecord
from orchestrator.sweeps.runner import assumptions_of

_log = logging.getLogger(__name__)

_SPEC_FILE = "sweep.yaml"


@dataclass(frozen=True)
class Repeat:
    """The command; the YAML of the spec file that it reads, where options can't say it all; what else has to agree."""

    command: str
    spec: str
    notes: tuple[str, ...]


def repeat(record: SweepRecord, cluster: Path | None = None) -> Repeat | None:
    """Return the way to repeat a sweep; None without a spec. `cluster` is the cluster file of that time."""
    if not record.spec:
        return None
    spec = SweepSpec.model_validate(record.spec)
    options = _options(spec)
    text = ""
    if options is None:
        document = _without_defaults(spec.model_dump(mode="json"), SweepSpec().model_dump(mode="json"))
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
        options = ["--spec", _SPEC_FILE]
    return Repeat(shlex.join(["orchestrate", "sweep", *options]), text, tuple(_notes(record, spec, cluster)))


def _options(spec: SweepSpec) -> list[str] | None:
    """Return the spec as options of `orchestrate sweep`, but for what is their default; None if they can't say it."""
    workload, default = spec.workload, SweepSpec()
    resources = workload.resources or {}
    if workload.groups or workload.requests or workload.labels or any(set(name) & set("=, ") for name in resources):
        return None
    axes = {name: values for name, values in dict(spec.settings).items() if values != getattr(default.settings, name)}
    own = option_settings()
    named: dict[str, Any] = {f"--{name.replace('_', '-')}": _listed(axes[name]) for name in own if name in axes}
    job = workload.job
    told = {
        "--backend": (spec.backend, default.backend),
        "--cluster": (spec.cluster, None),
        "--image": (spec.image, None),
        "--launch-profile": (spec.launch_profile, None),
        "--instance-types-from": (spec.instance_types_from, default.instance_types_from),
        "--fit": (spec.fit, default.fit),
        **{
            each.option: (_arrival(workload) if name == "arrival" else getattr(workload, name), None)
            for name, each in parameters().items()
            if each.option
        },
        "--job": (job and job.entrypoint, None),
        "--working-dir": (job and job.working_dir, None),
        "--runtime-env": (job and job.runtime_env, None),
        "--repeat": (spec.repeat, default.repeat),
        "--order": (spec.order, default.order),
        "--seed": (spec.seed, default.seed),
        "--isolation": (spec.isolation, default.isolation),
        "--prices": (spec.prices, default.prices),
        "--timeout": (spec.timeout_s, None),
        "--name": (spec.name, default.name),
    }
    named |= {option: _number(value) for option, (value, usual) in told.items() if value != usual}
    pairs = [word for name, value in resources.items() for word in ("--task-resources", f"{name}={_number(value)}")]
    pairs += [word for fault in workload.faults or () for word in ("--fault", str(fault))]
    others = [
        word for name, values in axes.items() if name not in own for word in ("--set", f"{name}={_listed(values)}")
    ]
    return [word for option, value in named.items() for word in (option, value)] + pairs + others


def _notes(record: SweepRecord, spec: SweepSpec, cluster: Path | None) -> list[str]:
    notes = []
    versions = ", ".join(
        f"{name} {record.environment[name]}" for name in ("orchestrate", "ray") if name in record.environment
    )
    if versions:
        notes.append(f"with the same versions: {versions}")
    if spec.cluster is not None:
        notes.append(f"with the cluster file {spec.cluster} as it was" + (f": {cluster}" if cluster else ""))
    if spec.workload.job is not None and spec.workload.job.content:
        notes.append(f"with the files of the job as they were, whose hash is {spec.workload.job.content}")
    kind = registry.find(spec.backend)
    if kind is not None and kind.runs_here and spec.fit == "machine":
        notes.append("on a machine of the same size: the shape is fitted to it, and --fit none takes the file's own")
    if _latencies_were_measured(record, cluster):
        notes.append(
            "with --boot-from and the same traces: the latencies here were measured ones, which a spec doesn't "
            "hold; the first line of each trace does"
        )
    if record.trials:
        first = record.trials[0].trial.trial_id
        notes.append(f"the same experiment has the same trial ids, which --dry-run prints first: {first}, …")
    return notes


def _latencies_were_measured(record: SweepRecord, cluster: Path | None) -> bool:
    """Return true if the trials' latencies aren't those of their cluster file, nor of a launch profile."""
    if any(each.startswith(MEASURED) for each in assumptions_of(record)):
        return True
    if cluster is None or not record.trials or record.spec.get("launch_profile"):
        return False
    try:
        section = read_yaml_mapping(cluster).get("provider", {}).get("launch")
        if section is None:
            return False
        return LaunchModel.model_validate(section) != record.trials[0].trial.shape.launch
    except (SpecError, ValueError, AttributeError):
        _log.debug("the cluster file can't be compared", exc_info=True)
        return False


def _without_defaults(document: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    kept = {}
    for name, value in document.items():
        usual = defaults.get(name)
        if isinstance(value, dict) and isinstance(usual, dict):
            value, usual = _without_defaults(value, usual), {}
        if value != usual:
            kept[name] = value
    return kept


def _arrival(workload: WorkloadOverrides) -> str | None:
    """Return the pattern with the parameters of its own, as an option takes them."""
    own = ",".join(f"{name}={_number(value)}" for name, value in (workload.arrival_parameters or {}).items())
    return f"{workload.arrival}:{own}" if own else workload.arrival


def _listed(values: tuple[Any, ...]) -> str:
    return ",".join(_number(value) for value in values)


def _number(value: Any) -> str:
    """As short as is exact: 5.0 as 5."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else str(value)
