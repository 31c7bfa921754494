"""Environment variables that Ray's processes read: addresses, tokens, a node's identity."""

import os
from collections.abc import Mapping
from pathlib import Path

LOOPBACK = "127.0.0.1"


# `ray start` and `ray.init` replace 127.0.0.1 by the machine's own address, and then listen on all of them, unless this
# is set: see `ray._private.services.get_node_ip_address`.
LOOPBACK_ENVIRONMENT = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def token_environment(token_file: Path) -> dict[str, str]:
    """The environment that makes a Ray process ask for, and show, the token in `token_file`."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token_file)}


def node_environment(instance_id: str, node_type: str) -> dict[str, str]:
    """What tells a node's Ray which machine of the provider it runs on."""
    return {"RAY_CLOUD_INSTANCE_ID": instance_id, "RAY_NODE_TYPE_NAME": node_type, "RAY_USAGE_STATS_ENABLED": "0"}


# With it, whatever it says, a node reports the CPU use of its container; else that of the machine below.
CONTAINER_ENVIRONMENT = {"KUBERNETES_SERVICE_HOST": "none"}


def head_environment(metrics_ports: Mapping[str, int]) -> dict[str, str]:
    """What a head reads beside: the ports of `autoscaler` and `dashboard` metrics; no worker processes in advance."""
    return {
        "AUTOSCALER_METRIC_PORT": str(metrics_ports["autoscaler"]),
        "DASHBOARD_METRIC_PORT": str(metrics_ports["dashboard"]),
        "RAY_prestart_worker_first_driver": "0",
    }


def authenticate(token_file: Path) -> None:
    """Show the token in `token_file` to clusters from now on. Ray reads it once, so call this before anything else."""
    os.environ.pop("RAY_AUTH_TOKEN", None)
    os.environ.update({**token_environment(token_file), **LOOPBACK_ENVIRONMENT})
