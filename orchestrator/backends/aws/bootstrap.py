"""The cluster config that Ray's launcher gets: the user's own, with our tags, key, security group, lease and token.

Pure functions of values; `cluster` makes in the account what they name.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.aws.cluster_file import HEAD_PROFILE, is_spot, subnets_of
from orchestrator.aws.tags import ON_LAUNCH, Mark
from orchestrator.backends.aws.lease import USER_DATA, Lease
from orchestrator.backends.live.ray_config import with_settings
from orchestrator.model.cluster import ClusterShape
from orchestrator.model.settings import Settings
from orchestrator.rayapi.live_settings import config_keys, monitor_constants

KIT = "$HOME/.orchestrate"
"""The folder on every machine with the token, the lease and modules for Ray. Nothing there may change: v1 would set all
workers up again."""

OUT = "$HOME/.orchestrate-out"
"""The folder on the head for its messages to this machine."""

RENEWED = f"{OUT}/lease"

# Not imported here: Ray reads its token when it is loaded.
_PROVIDER = "orchestrator.rayapi.aws_provider.NotingAwsProvider"

# Ray fills these in only for `type: aws`.
_DEFAULTS: Mapping[str, Any] = {
    "docker": {},
    "file_mounts": {},
    "file_mounts_sync_continuously": False,
    **{
        key: []
        for key in (
            "cluster_synced_files",
            "rsync_exclude",
            "rsync_filter",
            "initialization_commands",
            "setup_commands",
            "head_setup_commands",
            "worker_setup_commands",
        )
    },
}


@dataclass(frozen=True)
class Made:
    """The parts of the account and of this machine that were made for one cluster."""

    name: str
    mark: Mark
    region: str
    subnets: tuple[str, ...]
    key: Path
    security_group: str
    kit: Path
    lease: Lease
    metrics_ports: Mapping[str, int]


def launch_config(raw: Mapping[str, Any], shape: ClusterShape, settings: Settings, made: Made) -> dict[str, Any]:
    """Return the config for Ray's launcher. `raw` is the user's file, with images in place of their parameters."""
    config = {**copy.deepcopy(_DEFAULTS), **with_settings(raw, shape, settings)}
    config["cluster_name"] = made.name
    for commands in ("head_setup_commands", "worker_setup_commands"):
        config[commands] = _without_first(config[commands], config["setup_commands"])
    config["provider"] = _provider(config["provider"], made)
    config["auth"] = {**config.get("auth", {}), "ssh_private_key": str(made.key)}
    config["file_mounts"] = {**config["file_mounts"], _home(KIT): str(made.kit)}
    for node_type in config["available_node_types"].values():
        node_type["node_config"] = _node_config(node_type.get("node_config") or {}, made)
    # Without a profile, Ray makes one with full access to EC2 and S3.
    head = config["available_node_types"][config["head_node_type"]]["node_config"]
    head.setdefault("IamInstanceProfile", {"Name": HEAD_PROFILE})
    token = {
        "TZ": "UTC",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": f"{KIT}/ray_token",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    head = {
        **token,
        **settings.monitor_environment(),
        "PYTHONPATH": f"{KIT}/lib",
        "RAY_prestart_worker_first_driver": "0",
        "AUTOSCALER_METRIC_PORT": str(made.metrics_ports["autoscaler"]),
        "DASHBOARD_METRIC_PORT": str(made.metrics_ports["dashboard"]),
    }
    config["head_start_ray_commands"] = [
        f"mkdir -p {OUT} && touch {RENEWED} {OUT}/settings.jsonl {OUT}/journal.jsonl",
        made.lease.begin("head", RENEWED, KIT),
        *_exporting(head, config.get("head_start_ray_commands") or ()),
    ]
    config["worker_start_ray_commands"] = [
        made.lease.begin("worker", "$RAY_HEAD_IP", KIT),
        *_exporting(token, config.get("worker_start_ray_commands") or ()),
    ]
    return config


def _without_first(commands: Sequence[str], common: Sequence[str]) -> list[str]:
    """Return commands without those for all nodes at their beginning: Ray has put them there, and would once more."""
    return list(commands[len(common) :] if list(commands[: len(common)]) == list(common) else commands)


def _provider(provider: Mapping[str, Any], made: Made) -> dict[str, Any]:
    ours = ("launch", "simulation", "lease_minutes", "ssh_from")
    return {
        **{key: value for key, value in provider.items() if key not in ours},
        "type": "external",
        "module": _PROVIDER,
        "region": made.region,
        "cache_stopped_nodes": False,
        "orchestrate": {
            "folder": _home(OUT),
            "config_keys": config_keys(),
            "constants": monitor_constants(),
            "ray_start": f"{KIT}/lease.sh worker",
        },
    }


def _node_config(node: Mapping[str, Any], made: Made) -> dict[str, Any]:
    changed = copy.deepcopy(dict(node))
    changed["KeyName"] = made.name
    if interfaces := changed.get("NetworkInterfaces"):  # EC2 wants groups and subnets there, and nowhere else then
        for interface in interfaces:
            interface["Groups"] = [*interface.get("Groups", ()), made.security_group]
            interface.setdefault("SubnetId", made.subnets[0])
    else:
        changed["SecurityGroupIds"] = [*changed.get("SecurityGroupIds", ()), made.security_group]
        if not subnets_of([changed]):
            changed["SubnetIds"] = list(made.subnets)
    changed["InstanceInitiatedShutdownBehavior"] = "terminate"
    metadata = {"HttpPutResponseHopLimit": 1, **changed.get("MetadataOptions", {})}
    changed["MetadataOptions"] = {**metadata, "HttpTokens": "required"}
    tagged = (*ON_LAUNCH, "spot-instances-request") if is_spot(changed) else ON_LAUNCH
    changed["TagSpecifications"] = _merged(changed.get("TagSpecifications", ()), made.mark.specifications(*tagged))
    changed["UserData"] = _with_user_data(changed.get("UserData", ""))
    return changed


def _merged(theirs: Iterable[Mapping[str, Any]], ours: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return tag specifications with one entry for each resource type, as EC2 requires. Ours win."""
    tags: dict[str, dict[str, str]] = {}
    for specification in (*theirs, *ours):
        of_type = tags.setdefault(specification["ResourceType"], {})
        of_type |= {tag["Key"]: tag["Value"] for tag in specification["Tags"]}
    return [
        {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in found.items()]}
        for kind, found in tags.items()
    ]


def _with_user_data(theirs: str) -> str:
    """Return user data that begins with our timer. `problem_of_user_data` refuses what can't be continued."""
    return USER_DATA + "".join(line + "\n" for line in theirs.splitlines() if not line.startswith("#!"))


def problem_of_user_data(theirs: str) -> str | None:
    """Return why a timer can't be added to user data: None for none, and for a script for a shell."""
    first = theirs.partition("\n")[0].strip()
    if not theirs or first in ("#!/bin/bash", "#!/bin/sh", "#!/usr/bin/env bash"):
        return None
    return f"only scripts for bash can be continued, and this begins with {first[:40]!r}"


def _exporting(variables: Mapping[str, str], commands: Iterable[str]) -> list[str]:
    exported = "".join(f"export {name}={value}; " for name, value in variables.items())
    return [exported + command for command in commands]


def _home(path: str) -> str:
    """Return a path for Ray, which expands `~` and no variable."""
    return path.replace("$HOME", "~")
