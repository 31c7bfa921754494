"""Reads a sweep spec: a YAML file, flags on top of it, one model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import InputError, SpecError
from orchestrator.inputs.yaml_file import read_yaml_mapping
from orchestrator.model.spec import SweepSpec


def read_spec(path: Path | None, flags: Mapping[str, Any]) -> SweepSpec:
    """The spec in `path`, if any, with `flags` (nested like the file) on top. Raises SpecError or InputError."""
    document = read_yaml_mapping(path) if path is not None else {}
    if path is not None:
        _validated(document, str(path))
    return _validated(_merged(document, flags), None)  # what is wrong now is a flag's fault


def _validated(document: Mapping[str, Any], source: str | None) -> SweepSpec:
    try:
        return SweepSpec.model_validate(document)
    except ValidationError as error:
        key, problem = explain(error)
        if source is None:
            raise InputError(f"{key.removeprefix('settings.')}: {problem}") from None
        raise SpecError(f"{source}: {key}", problem) from None


def explain(error: ValidationError) -> tuple[str, str]:
    """Key and problem of the first fault, in words for people."""
    fault = error.errors()[0]
    key = ".".join(part for part in fault["loc"] if isinstance(part, str)) or "spec"
    if fault["type"] == "extra_forbidden":
        return key, "unknown key"
    problem = fault["msg"].removeprefix("Value error, ")
    given = fault.get("input")
    shown = "" if isinstance(given, dict | list) or given is None else f", not {given!r:.60}"
    return key, problem[0].lower() + problem[1:] + shown


def _merged(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """`top` over `base`, mappings merged, keys of `top` that are None left out."""
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        if isinstance(value, Mapping):
            merged[key] = _merged(below if isinstance(below, Mapping) else {}, value)
        elif value is not None:
            merged[key] = value
    return {key: value for key, value in merged.items() if value != {}}
