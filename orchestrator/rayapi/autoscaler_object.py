"""Find the live autoscaler's object in Ray's monitor and read its settings.

This module is also copied to heads elsewhere: it needs nothing of this package, and Python 3.10.
"""

import gc
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

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


def read_settings(autoscaler: Any, config_keys: Iterable[str], constants: Mapping[str, str]) -> dict[str, Any]:
    """Return the current settings of a live autoscaler, read from the object itself and not from a file.

    Keys: `autoscaler`, `upscaling_speed` (the effective one), `config_keys` of the cluster config, `max_workers`,
    `node_types` (name → `[min, max]`), and `constants`: names of settings with the constants that Ray read from the
    monitor's environment.
    """
    if type(autoscaler).__name__ == "Autoscaler":
        live = autoscaler._config_reader.get_cached_autoscaling_config()
        version, config, speed = "v2", live.get_raw_config_mutable(), live.get_upscaling_speed()
    else:
        version, config = "v1", autoscaler.config
        speed = autoscaler.resource_demand_scheduler.upscaling_speed
    from ray.autoscaler._private import constants as of_ray

    head = config.get("head_node_type")
    return {
        "autoscaler": version,
        "upscaling_speed": float(speed),
        **{key: config.get(key) for key in config_keys},
        "max_workers": config.get("max_workers"),
        "node_types": {
            name: [node_type.get("min_workers", 0), node_type.get("max_workers", 0)]
            for name, node_type in config.get("available_node_types", {}).items()
            if name != head
        },
        **{name: getattr(of_ray, constant) for name, constant in constants.items()},
    }
