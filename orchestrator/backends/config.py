"""Renders the cluster config that Ray's monitor reads: the user's file, with the trial's shape and settings in it."""

import copy
from collections.abc import Mapping
from typing import Any

import yaml

from orchestrator.model.settings import Settings
from orchestrator.model.shape import ClusterShape

# Ray's minimum is 75 MB; the stress job stores nothing.
OBJECT_STORE_BYTES = 80_000_000

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
    """The YAML for Ray. `shape` already carries the settings' worker limits; `provider` is what its section lacks."""
    config = {**_NEEDED_KEYS, **copy.deepcopy(raw)}
    config["cluster_name"] = f"orchestrate-{cluster_id}"
    config["max_workers"] = shape.max_workers
    if settings.idle_timeout_minutes is not None:
        config["idle_timeout_minutes"] = settings.idle_timeout_minutes
    if settings.upscaling_speed is not None:
        config["upscaling_speed"] = settings.upscaling_speed
    if settings.target_utilization_fraction is not None:
        # v1 reads it only where no speed is set.
        config.pop("upscaling_speed", None)
        config["target_utilization_fraction"] = settings.target_utilization_fraction
    for node_type in shape.workers:
        section = config["available_node_types"][node_type.name]
        section["resources"] = {name: int(amount) for name, amount in node_type.resources.items()}
        section["min_workers"], section["max_workers"] = node_type.min_workers, node_type.max_workers
    config["provider"] = {
        **config["provider"],
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
        "launch": shape.launch.model_dump(mode="json"),
        "head_node_type": shape.head.name,
        "object_store_memory": OBJECT_STORE_BYTES,
        **provider,
    }
    return yaml.safe_dump(config, sort_keys=False)
