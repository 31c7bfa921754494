"""The only package that imports private names of Ray; `tests/integration/test_rayapi.py` holds each of them.

Here is what a real cluster needs; `virtual`, `v1`, `v2` and what they use put Ray's autoscalers into a simulation.

Ray is imported inside the functions: the import costs a second, and the token and address of the cluster must stand in
the environment before it (`authenticate`).
"""

import functools
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from orchestrator.errors import MissingPrerequisite
from orchestrator.model.snapshot import DeathReason, Demand, NodeRow, NodeStatus, PendingNode, Snapshot

LOOPBACK = "127.0.0.1"

# `ray start` and `ray.init` replace 127.0.0.1 by the machine's own address, and then listen on all of them, unless this
# is set: see `ray._private.services.get_node_ip_address`.
LOOPBACK_ENVIRONMENT = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def ray_version() -> str:
    """The installed Ray's version, without importing it."""
    try:
        return version("ray")
    except PackageNotFoundError:
        raise MissingPrerequisite("Ray isn't installed", "pip install 'ray[default]'") from None


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


def cluster_config_schema() -> dict[str, Any]:
    """Ray's own JSON schema of a cluster config, read without importing Ray."""
    spec = find_spec("ray")
    if spec is None or spec.origin is None:
        raise MissingPrerequisite("Ray isn't installed", "pip install 'ray[default]'")
    text = (Path(spec.origin).parent / "autoscaler" / "ray-schema.json").read_text()
    return cast(dict[str, Any], json.loads(text))


# For a process that only looks: Ray would end it when a GCS stays away for a minute, and print its own warnings.
# Both are read when Ray is loaded, and are not for the processes of a cluster.
CLIENT_ENVIRONMENT = {"RAY_gcs_rpc_server_reconnect_timeout_s": str(10**8), "RAY_BACKEND_LOG_LEVEL": "fatal"}


class GcsView:
    """Reads a Ray cluster's GCS without joining the cluster: a poll costs a few milliseconds.

    Raises ConnectionError if no GCS answers at the address.
    """

    def __init__(self, address: str, timeout_s: float = 5.0) -> None:
        for name, value in CLIENT_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from ray._raylet import GcsClient

        self.address = address
        self._timeout_s = timeout_s
        host, _, port = address.rpartition(":")
        try:
            # Ray would try for 40 seconds where nobody listens.
            socket.create_connection((host, int(port)), timeout=timeout_s).close()
            self._client = GcsClient(address=address)
        except Exception as error:  # Ray raises several private types for one fact
            raise ConnectionError(_first_line(error)) from error

    def poll(self) -> Snapshot:
        """One look at the cluster. Raises `ConnectionError` while the GCS doesn't answer."""
        from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply

        try:
            reply = GetClusterStatusReply()
            reply.ParseFromString(self._client.get_cluster_status(timeout_s=self._timeout_s))
            table = self._client.get_all_node_info(timeout=self._timeout_s)
        except Exception as error:
            raise ConnectionError(_first_line(error)) from error
        state, scaler = reply.cluster_resource_state, reply.autoscaling_state
        loads = {node.node_id: node for node in state.node_states}
        return Snapshot(
            t=time.time(),
            nodes=tuple(_node_row(node_id, info, loads.get(info.node_id)) for node_id, info in table.items()),
            pending=(
                *(PendingNode(p.ray_node_type_name, count=p.count) for p in scaler.pending_instance_requests),
                *(PendingNode(p.ray_node_type_name, p.instance_id, p.details) for p in scaler.pending_instances),
            ),
            demand=_demands(state),
            version=state.cluster_resource_state_version,
            session=state.cluster_session_name,
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _node_row(node_id: Any, info: Any, load: Any) -> NodeRow:
    from ray.core.generated.autoscaler_pb2 import NodeStatus as RayStatus
    from ray.core.generated.gcs_pb2 import GcsNodeInfo

    dead = info.state == GcsNodeInfo.DEAD
    status: NodeStatus = "dead" if dead else "running"
    if load is not None and not dead:
        by_number: dict[int, NodeStatus] = {RayStatus.IDLE: "idle", RayStatus.DRAINING: "draining"}
        status = by_number.get(load.status, "running")
    total = dict(load.total_resources) if load is not None else dict(info.resources_total)
    free = dict(load.available_resources) if load is not None else {}
    reason_type = info.DESCRIPTOR.fields_by_name["death_info"].message_type.fields_by_name["reason"].enum_type
    reasons: dict[str, DeathReason] = {
        "EXPECTED_TERMINATION": "expected",
        "UNEXPECTED_TERMINATION": "unexpected",
        "AUTOSCALER_DRAIN_PREEMPTED": "preempted",
        "AUTOSCALER_DRAIN_IDLE": "idle",
    }
    return NodeRow(
        ray_node_id=node_id.hex(),
        instance_id=info.instance_id,
        node_type=info.node_type_name or ("head" if info.is_head_node else "worker"),
        is_head=info.is_head_node,
        status=status,
        start_time=info.start_time_ms / 1000,
        end_time=info.end_time_ms / 1000 if dead and info.end_time_ms else None,
        death_reason=reasons.get(reason_type.values_by_number[info.death_info.reason].name, "unspecified"),
        death_message=info.death_info.reason_message,
        idle_s=load.idle_duration_ms / 1000 if load is not None and status == "idle" else 0.0,
        ip=info.node_manager_address,
        metrics_port=info.metrics_export_port,
        total=total,
        used={} if dead else {name: amount - free.get(name, 0.0) for name, amount in total.items()},
        labels=dict(info.labels),
    )


def _demands(state: Any) -> tuple[Demand, ...]:
    """Pending tasks and actors, and the bundles of pending placement groups, by shape."""
    demands = [Demand(dict(r.request.resources_bundle), r.count) for r in state.pending_resource_requests]
    for gang in state.pending_gang_resource_requests:
        bundles = gang.bundle_selectors[0].resource_requests if gang.bundle_selectors else gang.requests
        demands += [Demand(dict(bundle.resources_bundle), 1) for bundle in bundles]
    return tuple(demands)


def job_client(dashboard: str, timeout_s: float = 30.0) -> Any:
    """A `ray.job_submission.JobSubmissionClient` whose requests end: Ray's own wait for ever on a hung dashboard."""
    from ray.job_submission import JobSubmissionClient

    logging.getLogger(JobSubmissionClient.__module__).setLevel(logging.WARNING)
    client = JobSubmissionClient(dashboard)
    client._do_request = functools.partial(client._do_request, timeout=timeout_s)
    return client


@dataclass(frozen=True)
class NodeOptions:
    """How to start the processes of one Ray node on this machine. Memory in bytes; port 0 lets Ray choose.

    Without an `ip` the node takes the address that this machine's name stands for: a container's own.
    """

    node_id: str
    temp_dir: str
    resources: Mapping[str, float]
    labels: Mapping[str, str]
    object_store_memory: int
    ip: str | None = LOOPBACK
    gcs_address: str | None = None
    gcs_port: int = 0
    dashboard_port: int = 0
    agent_ports: Mapping[str, int] = field(default_factory=dict)
    autoscaling_config: str | None = None

    @property
    def is_head(self) -> bool:
        """The head is the node that has no GCS to join."""
        return self.gcs_address is None


# For a node that has an address for itself. A raylet that isn't told its agents' ports waits 15 s for them to tell it,
# and then aborts: emulated ones need longer.
AGENT_PORTS = {
    "metrics_export_port": 8080,
    "metrics_agent_port": 52366,
    "dashboard_agent_listen_port": 52365,
    "runtime_env_agent_port": 52367,
}

# Resources that Ray wants as options of their own; the object store has its own field.
_OWN_OPTIONS = ("CPU", "GPU", "memory", "object_store_memory")


def start_node(options: NodeOptions) -> Callable[[], dict[str, int]]:
    """Start a node's processes as children of this one; returns a function that lists the dead with their exit codes.

    `ray start` can't be used: for a worker it insists on an address that other machines can reach, for a head it adds
    the Ray client server, which listens on every interface.
    """
    from ray._private.node import Node
    from ray._private.parameter import RayParams
    from ray._private.utils import write_ray_address

    head = {
        "gcs_server_port": options.gcs_port,
        "dashboard_port": options.dashboard_port,
        "include_dashboard": True,
        "autoscaling_config": options.autoscaling_config,
    }
    custom = {name: amount for name, amount in options.resources.items() if name not in _OWN_OPTIONS}
    memory = options.resources.get("memory")
    ip = options.ip or socket.gethostbyname(socket.gethostname())
    params = RayParams(
        node_ip_address=ip,
        min_worker_port=0,
        max_worker_port=0,
        dashboard_host=ip,
        **{"dashboard_agent_listen_port": 0, **options.agent_ports},
        num_cpus=int(options.resources.get("CPU", 0)),
        num_gpus=int(options.resources.get("GPU", 0)),
        memory=int(memory) if memory else None,
        resources=custom,
        labels=dict(options.labels),
        object_store_memory=options.object_store_memory,
        temp_dir=options.temp_dir,
        # Ray numbers the sockets by what it finds in the folder: two nodes that start at once would share one.
        raylet_socket_name=f"{options.temp_dir}/{options.node_id[:12]}.raylet",
        plasma_store_socket_name=f"{options.temp_dir}/{options.node_id[:12]}.plasma",
        include_log_monitor=False,
        **(head if options.is_head else {"gcs_address": options.gcs_address, "redis_address": options.gcs_address}),
    )
    node = Node(params, head=options.is_head, shutdown_at_exit=False, spawn_reaper=False)
    if options.is_head:
        # Without this file, "auto" in a job means any GCS that runs on the machine: somebody else's too.
        write_ray_address(node.address, options.temp_dir)
    return lambda: {name: process.returncode for name, process in node.dead_processes()}


def head_tags(node_type: str) -> dict[str, str]:
    """The tags by which an autoscaler knows the head among a provider's machines."""
    from ray.autoscaler import tags

    return {
        tags.TAG_RAY_NODE_KIND: tags.NODE_KIND_HEAD,
        tags.TAG_RAY_USER_NODE_TYPE: node_type,
        tags.TAG_RAY_NODE_NAME: f"ray-{node_type}",
        tags.TAG_RAY_NODE_STATUS: tags.STATUS_UP_TO_DATE,
    }
