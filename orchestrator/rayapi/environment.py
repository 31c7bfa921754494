"""Environment variables that Ray's processes read: addresses, tokens, a node's identity."""

import os
from collections.abc import Mapping
from pathlib import Path

LOOPBACK = "127.0.0.1"


# Without this, `ray start` and `ray.init` replace 127.0.0.1 with the machine's own address and then listen on all
# addresses: see `ray._private.services.get_node_ip_address`.
LOOPBACK_ENVIRONMENT = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def token_environment(token_file: Path) -> dict[str, str]:
    """Return the environment that makes a Ray process require and present the token in `token_file`."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token_file)}


def node_environment(instance_id: str, node_type: str) -> dict[str, str]:
    """Return the environment that identifies the provider's machine to the Ray processes of a node."""
    return {"RAY_CLOUD_INSTANCE_ID": instance_id, "RAY_NODE_TYPE_NAME": node_type, "RAY_USAGE_STATS_ENABLED": "0"}


# If this variable is set to any value, a node reports its container's CPU use instead of the machine's.
CONTAINER_ENVIRONMENT = {"KUBERNETES_SERVICE_HOST": "none"}


def head_environment(metrics_ports: Mapping[str, int]) -> dict[str, str]:
    """Return the additional environment of a head: metrics ports, and no worker processes in advance.

    `metrics_ports` has the keys `autoscaler` and `dashboard`.
    """
    return {
        "AUTOSCALER_METRIC_PORT": str(metrics_ports["autoscaler"]),
        "DASHBOARD_METRIC_PORT": str(metrics_ports["dashboard"]),
        "RAY_prestart_worker_first_driver": "0",
    }


def authenticate(token_file: Path) -> None:
    """Present the token in `token_file` to all clusters from now on. Ray reads it once: call this before using Ray."""
    os.environ.pop("RAY_AUTH_TOKEN", None)
    os.environ.update({**token_environment(token_file), **LOOPBACK_ENVIRONMENT})
