"""The settings of a live autoscaler: read them from its object, and compare them with those of a trial."""

from typing import Any

from orchestrator.model.cluster import ClusterShape
from orchestrator.model.settings import Settings, config_settings, monitor_settings, settings
from orchestrator.rayapi.autoscaler_object import autoscaler_of, read_settings

__all__ = ["autoscaler_of", "config_keys", "differences", "monitor_constants", "settings_in_force"]


def settings_in_force(autoscaler: Any) -> dict[str, Any]:
    """Return the current settings of a live autoscaler, see `autoscaler_object.read_settings`."""
    return read_settings(autoscaler, config_keys(), monitor_constants())


def monitor_constants() -> dict[str, str]:
    """Return Ray's constant for each setting that its monitor reads from the environment."""
    known = settings()
    return {name: known[name].environment for name in monitor_settings()}


def config_keys() -> list[str]:
    """Return the settings of a cluster config that Ray acts on as they are: it makes one speed of the others."""
    return [name for name in config_settings() if name not in ("upscaling_speed", "target_utilization_fraction")]


def differences(in_force: dict[str, Any], chosen: Settings, shape: ClusterShape) -> list[str]:
    """Return the settings in force that differ from the trial's, as readable phrases; empty if all match."""
    wanted: dict[str, Any] = {
        **{name: getattr(chosen, name) for name in ("autoscaler", *monitor_settings(), *config_keys())},
        "node_types": {worker.name: [worker.min_workers, worker.max_workers] for worker in shape.workers},
        "max_workers": shape.max_workers,
        "upscaling_speed": chosen.effective_upscaling_speed,
    }
    return [
        f"{key} is {in_force.get(key)}, not {value}"
        for key, value in wanted.items()
        if value is not None and not _same(in_force.get(key), value)
    ]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float | int) and isinstance(other, float | int):
        return abs(one - other) <= 1e-5 * max(1.0, abs(other))
    return bool(one == other)
