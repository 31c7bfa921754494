"""The values of a sweep spec one by one, as options and keyword arguments give them."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from pydantic import BaseModel

from orchestrator.errors import InputError
from orchestrator.model.fault import Fault
from orchestrator.model.group import Group, ResourcesRequest
from orchestrator.model.settings import AutoscalerVersion
from orchestrator.model.spec import Axes, Fit, InstanceTypesFrom, Isolation, Order, SweepSpec, WorkloadOverrides
from orchestrator.model.workload import TaskKind


class SpecOverrides(TypedDict, total=False):
    """The keys of a sweep spec without its sections; they override a spec file. None means not given.

    A setting takes one value or several. `docs/spec.md` explains each key.
    """

    name: str | None
    backend: str | None
    cluster: str | Path | None
    image: str | None
    launch_profile: str | None
    instance_types_from: InstanceTypesFrom | None
    fit: Fit | None

    autoscaler: AutoscalerVersion | Sequence[AutoscalerVersion] | None
    upscaling_speed: float | Sequence[float] | None
    idle_timeout_minutes: float | Sequence[float] | None
    target_utilization_fraction: float | Sequence[float] | None
    max_concurrent_launches: int | Sequence[int] | None
    max_launch_batch: int | Sequence[int] | None
    update_interval_s: int | Sequence[int] | None
    min_workers: int | Sequence[int] | None
    max_workers: int | Sequence[int] | None

    job: str | Mapping[str, str] | None
    tasks: int | None
    seconds: float | None
    cpus: float | None
    resources: Mapping[str, float] | None
    labels: Mapping[str, str] | None
    kind: TaskKind | None
    arrival: str | None
    arrival_parameters: Mapping[str, float] | None
    arrival_s: float | None
    waves: int | None
    faults: Sequence[Fault | str] | None
    groups: Sequence[Group | Mapping[str, Any]] | None
    requests: Sequence[ResourcesRequest | Mapping[str, Any]] | None

    repeat: int | None
    order: Order | None
    seed: int | None
    isolation: Isolation | None
    prices: str | Path | None
    timeout_s: float | None


_SECTIONS: dict[str, type[BaseModel]] = {"settings": Axes, "workload": WorkloadOverrides}


def spec_document(overrides: SpecOverrides) -> dict[str, Any]:
    """Return the overrides that were given as a document, nested like a spec file. Raises InputError for others."""
    document: dict[str, Any] = {section: {} for section in _SECTIONS}
    for name, value in overrides.items():
        if value is not None:
            _section(document, name)[name] = _plain(value)
    return document


def _section(document: dict[str, Any], name: str) -> dict[str, Any]:
    for section, model in _SECTIONS.items():
        if name in model.model_fields:
            found: dict[str, Any] = document[section]
            return found
    top = SweepSpec.model_fields.keys() - _SECTIONS.keys()
    if name in top:
        return document
    known = sorted({*top, *(key for model in _SECTIONS.values() for key in model.model_fields)})
    close = difflib.get_close_matches(name.removeprefix("task_"), known, n=1)
    raise InputError(
        f"a sweep has no parameter {name!r}", f"did you mean {close[0]}?" if close else f"it has {', '.join(known)}"
    )


def _plain(value: Any) -> Any:
    """Return sequences as lists, arrays of other libraries too, and paths as text."""
    if isinstance(value, str | Mapping | int | float):
        return value
    if hasattr(value, "tolist"):
        return value.tolist()
    return list(value) if hasattr(value, "__iter__") else str(value)
