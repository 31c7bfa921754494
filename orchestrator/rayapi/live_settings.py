"""The settings of a live autoscaler: find its object in the process, read it, and compare it with a trial."""

import gc
import sys
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.model.cluster import ClusterShape
from orchestrator.model.settings import Settings, config_settings, monitor_settings, settings

# Ray's autoscaler classes, and how each stores its provider. During its construction an autoscaler has no provider.
_AUTOSCALERS: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("ray.autoscaler.v2.autoscaler", "Autoscaler"): lambda v2: getattr(
        getattr(v2, "_cloud_instance_provider", None), "v1_provider", None
    ),
    ("ray.autoscaler._private.autoscaler", "StandardAutoscaler"): lambda v1: getattr(v1, "provider", None),
}


def autoscaler_of(provider: Any) -> Any:
    """Return the live autoscaler that uses this NodeProvider, or None before it is built and outside Ray's monitor.

    A process may contain other autoscalers, for example those of another provider or of a simulation.
    """
    provider_of = {
        getattr(sys.modules[module], name): held
        for (module, name), held in _AUTOSCALERS.items()
        if module in sys.modules
    }
    return next(
        (
            thing
            for thing in gc.get_objects()
            if type(thing) in provider_of and provider_of[type(thing)](thing) is provider
        ),
        None,
    )


def settings_in_force(autoscaler: Any) -> dict[str, Any]:
    """Return the current settings of a live autoscaler, read from the object itself and not from a file.

    Keys: `autoscaler`, `upscaling_speed` (the effective one), `idle_timeout_minutes`, `max_workers`, `node_types`
    (name → `[min, max]`), and the limits that Ray read from the monitor's environment.
    """
    if type(autoscaler).__name__ == "Autoscaler":
        config = autoscaler._config_reader.get_cached_autoscaling_config()
        return _in_force("v2", config.get_raw_config_mutable(), config.get_upscaling_speed())
    return _in_force("v1", autoscaler.config, autoscaler.resource_demand_scheduler.upscaling_speed)


def _in_force(autoscaler: str, config: Mapping[str, Any], upscaling_speed: float) -> dict[str, Any]:
    from ray.autoscaler._private import constants

    head, known = config.get("head_node_type"), settings()
    return {
        "autoscaler": autoscaler,
        "upscaling_speed": float(upscaling_speed),
        **{name: config.get(name) for name in _plain_config_settings()},
        "max_workers": config.get("max_workers"),
        "node_types": {
            name: [node_type.get("min_workers", 0), node_type.get("max_workers", 0)]
            for name, node_type in config.get("available_node_types", {}).items()
            if name != head
        },
        **{name: getattr(constants, known[name].environment) for name in monitor_settings()},
    }


def _plain_config_settings() -> list[str]:
    """Return the settings of a cluster config that Ray acts on as they are: it makes one speed of the others."""
    return [name for name in config_settings() if name not in ("upscaling_speed", "target_utilization_fraction")]


def differences(in_force: dict[str, Any], chosen: Settings, shape: ClusterShape) -> list[str]:
    """Return the settings in force that differ from the trial's, as readable phrases; empty if all match."""
    wanted: dict[str, Any] = {
        **{name: getattr(chosen, name) for name in ("autoscaler", *monitor_settings(), *_plain_config_settings())},
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
