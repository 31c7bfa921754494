"""A cluster config in Ray's format for a simulated autoscaler, built from a cluster shape and settings."""

from typing import Any

from orchestrator.model.cluster import ClusterShape, NodeType
from orchestrator.model.settings import RAYS_IDLE_TIMEOUT_MINUTES, Settings, config_settings
from orchestrator.rayapi.virtual import provider


def simulated_config(shape: ClusterShape, settings: Settings, key: str) -> dict[str, Any]:
    """Return the config. `key` distinguishes simulations in Ray's cache of providers."""
    config: dict[str, Any] = {
        "cluster_name": "simulated",
        "max_workers": shape.max_workers,
        "provider": {
            "type": "external",
            "module": f"{provider.__name__}.{provider.SimulatedProvider.__name__}",
            "simulation": key,
            "disable_node_updaters": not shape.simulation.node_updaters,
            "disable_launch_config_check": True,
            "use_internal_ips": True,
        },
        "auth": {"ssh_user": "nobody"},
        "head_node_type": shape.head.name,
        "available_node_types": {node_type.name: _node_type(node_type) for node_type in (shape.head, *shape.workers)},
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "initialization_commands": [],
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
    }
    for name in config_settings():
        if (value := getattr(settings, name)) is not None:
            config[name] = value
    if settings.autoscaler == "v1":  # it raises KeyError without an idle timeout
        config.setdefault("idle_timeout_minutes", RAYS_IDLE_TIMEOUT_MINUTES)
    return config


def _node_type(node_type: NodeType) -> dict[str, Any]:
    return {
        "resources": {
            name: int(value) if value == int(value) else value for name, value in node_type.resources.items()
        },
        "labels": dict(node_type.labels),
        "node_config": {},
        "min_workers": node_type.min_workers,
        "max_workers": node_type.max_workers,
        # Older versions of Ray reject keys that they don't know.
        **({"priority": node_type.priority} if node_type.priority else {}),
        **({} if node_type.idle_timeout_s is None else {"idle_timeout_s": node_type.idle_timeout_s}),
    }
