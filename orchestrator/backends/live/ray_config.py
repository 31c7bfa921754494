"""Render the cluster config that Ray's monitor reads, from the user's file, the trial's shape and its settings.

Only the keys that an autoscaler decides by are taken from the user's file. Its provider, credentials, commands and file
mounts belong to another cloud: Ray never sees them, so a sweep can't reach that cloud.
"""

import copy
from collections.abc import Mapping
from typing import Any

import yaml

from orchestrator.model.cluster import ClusterShape
from orchestrator.model.settings import RAYS_IDLE_TIMEOUT_MINUTES, Settings, config_settings

# Ray's minimum is 75 MB; the stress job stores nothing.
OBJECT_STORE_BYTES = 80_000_000

_DECISIVE_KEYS = (*config_settings(), "head_node_type")
_DECISIVE_KEYS_OF_A_TYPE = ("resources", "labels", "min_workers", "max_workers", "priority", "idle_timeout_s")

# Ray's monitor fails without these keys.
_NEEDED_KEYS: dict[str, Any] = {
    "auth": {},
    "file_mounts": {},
    **{
        key: []
        for key in (
            "cluster_synced_files",
            "initialization_commands",
            "setup_commands",
            "head_setup_commands",
            "worker_setup_commands",
            "head_start_ray_commands",
            "worker_start_ray_commands",
        )
    },
}


def render_config(
    raw: dict[str, Any], shape: ClusterShape, settings: Settings, cluster_id: str, provider: Mapping[str, Any]
) -> str:
    """Return the YAML for Ray.

    `shape` already carries the settings' worker limits. `provider` names the backend's own node provider (`module`) and
    holds what that provider needs.
    """
    config = {**_NEEDED_KEYS, **{key: raw[key] for key in _DECISIVE_KEYS if key in raw}}
    config["cluster_name"] = f"orchestrate-{cluster_id}"
    sections = {name: _node_type(section or {}) for name, section in raw["available_node_types"].items()}
    for node_type in (shape.head, *shape.workers):
        sections[node_type.name]["resources"] = {name: int(amount) for name, amount in node_type.resources.items()}
    config = with_settings({**config, "available_node_types": sections}, shape, settings)
    config["provider"] = {
        "type": "external",
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
        "launch": shape.launch.model_dump(mode="json"),
        "head_node_type": shape.head.name,
        "object_store_memory": OBJECT_STORE_BYTES,
        **provider,
    }
    return yaml.safe_dump(config, sort_keys=False)


def with_settings(config: Mapping[str, Any], shape: ClusterShape, settings: Settings) -> dict[str, Any]:
    """Return the config with the settings and the shape's limits in it, and nothing else changed."""
    changed = copy.deepcopy(dict(config))
    changed["max_workers"] = shape.max_workers
    changed |= {name: value for name in config_settings() if (value := getattr(settings, name)) is not None}
    if settings.autoscaler == "v1":  # it raises KeyError without an idle timeout
        changed.setdefault("idle_timeout_minutes", RAYS_IDLE_TIMEOUT_MINUTES)
    if settings.target_utilization_fraction is not None:
        changed.pop("upscaling_speed", None)  # v1 reads the fraction only where no speed is set
    for node_type in (shape.head, *shape.workers):
        section = changed["available_node_types"][node_type.name]
        section["min_workers"], section["max_workers"] = node_type.min_workers, node_type.max_workers
    return changed


def _node_type(section: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: copy.deepcopy(section[key]) for key in _DECISIVE_KEYS_OF_A_TYPE if key in section}
    return {**kept, "node_config": {}}
