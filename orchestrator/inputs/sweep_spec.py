"""Reads a sweep spec: a YAML file, flags on top of it, one model."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import InputError, SpecError
from orchestrator.inputs.problems import first_problem
from orchestrator.inputs.yaml_file import read_yaml_mapping
from orchestrator.model.spec import SweepSpec


def read_spec(path: Path | None, flags: Mapping[str, Any], backends: Collection[str]) -> SweepSpec:
    """Return the spec in `path`, if any, with `flags` (nested like the file) on top.

    `backends` are the names that a spec may use. Raises SpecError for the file and InputError for the flags.
    """
    document = read_yaml_mapping(path) if path is not None else {}
    if path is not None:
        _validated(document, str(path), backends)
    return _validated(_merged(document, flags), None, backends)  # what is wrong now is a flag's fault


def unknown_backend(name: str, known: Collection[str]) -> tuple[str, str]:
    """Return the message for a backend that isn't one of the known ones, and the hint."""
    meant = get_close_matches(name, known, n=1)
    others = f"there are {', '.join(known)}"
    return f"there is no backend {name!r}", f"did you mean {meant[0]}? {others}" if meant else others


def _validated(document: Mapping[str, Any], source: str | None, backends: Collection[str]) -> SweepSpec:
    try:
        spec = SweepSpec.model_validate(document)
        if spec.backend not in backends:
            problem, hint = unknown_backend(spec.backend, backends)
            raise InputError(problem, hint) if source is None else SpecError(f"{source}: backend", problem, hint)
        return spec
    except ValidationError as error:
        first = first_problem(error)
        key = first.key or "spec"
        if source is None:
            raise InputError(f"{key.removeprefix('settings.')}: {first.message}") from None
        raise SpecError(f"{source}: {key}", first.message) from None


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
