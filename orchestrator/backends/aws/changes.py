"""The difference between a user's cluster file and the one that a sweep launches, as the lines of a diff."""

import difflib
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from orchestrator.aws.cluster_file import with_versions
from orchestrator.aws.tags import Mark
from orchestrator.backends.aws.bootstrap import Made, launch_config
from orchestrator.backends.aws.lease import Lease
from orchestrator.inputs.cluster_config import ClusterFile
from orchestrator.inputs.yaml_file import read_yaml_as_ray
from orchestrator.model.settings import Settings
from orchestrator.rayapi.version import ray_version

_CONTEXT = 2
_WIDTH = 10_000


def changes(cluster: ClusterFile) -> Sequence[str]:
    """Return a unified diff from the cluster file to the config that Ray's launcher gets.

    Names that a sweep makes have a placeholder, such as CLUSTER; images are looked up by the sweep.
    """
    theirs, _ = read_yaml_as_ray(cluster.path, lambda documents: None)
    python = ".".join(platform.python_version_tuple()[:2])
    raw = with_versions(cluster.raw, ray=ray_version(), python=python)
    ours = launch_config(raw, cluster.shape, _settings(cluster), _made(cluster))
    before, after = _lines(theirs), _lines(_without_the_obvious(ours, theirs))
    diff = difflib.unified_diff(before, after, str(cluster.path), "launched", n=_CONTEXT, lineterm="")
    return [line.rstrip() for line in diff]


def _settings(cluster: ClusterFile) -> Settings:
    speed, idle = cluster.upscaling_speed, cluster.idle_timeout_minutes
    return Settings(upscaling_speed=speed, **({} if idle is None else {"idle_timeout_minutes": idle}))


def _made(cluster: ClusterFile) -> Made:
    mark = Mark("CLUSTER", "SWEEP", "USER@HOST PID TIME", datetime.max.replace(tzinfo=UTC))
    return Made(
        name="orchestrate-CLUSTER",
        mark=mark,
        region=str(cluster.region),
        key=Path("HOME/clusters/CLUSTER/ssh_key"),
        security_group="sg-OF-THE-CLUSTER",
        subnets=("the account's default subnets",),
        kit=Path("HOME/clusters/CLUSTER/kit"),
        lease=Lease(float(cluster.raw["provider"].get("lease_minutes") or Lease.minutes)),
        metrics_ports={"autoscaler": 44217, "dashboard": 44227},
    )


def _without_the_obvious(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out empty values that the file doesn't have: they change nothing."""
    return {key: value for key, value in ours.items() if key in theirs or value not in ({}, [], False, None)}


def _lines(config: Mapping[str, Any]) -> list[str]:
    text = yaml.dump(_short(config), Dumper=_NoAliases, sort_keys=True, width=_WIDTH, default_flow_style=None)
    return text.splitlines()


def _short(value: Any, key: str = "") -> Any:
    """Return a value for readers: the keys of tags, and whole numbers without a decimal point."""
    if key == "TagSpecifications":
        return {each["ResourceType"]: [tag["Key"] for tag in each["Tags"]] for each in value}
    if isinstance(value, Mapping):
        return {str(name): _short(each, str(name)) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_short(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True
