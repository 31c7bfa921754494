"""A reader of a Ray cluster's GCS that doesn't join the cluster."""

import os
import socket
import time
from typing import Any

from orchestrator.model.settings import AutoscalerVersion
from orchestrator.model.snapshot import DeathReason, Demand, NodeRow, NodeStatus, PendingNode, Snapshot

# For a process that only reads: by default Ray ends the process if a GCS is unreachable for a minute, and prints its
# own warnings. Ray reads both variables when it is loaded. Processes of a cluster must not have them.
CLIENT_ENVIRONMENT = {"RAY_gcs_rpc_server_reconnect_timeout_s": str(10**8), "RAY_BACKEND_LOG_LEVEL": "fatal"}


class GcsView:
    """A connection to a Ray cluster's GCS. A poll takes a few milliseconds.

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
            # If nothing listens, Ray's own client would retry for 40 seconds.
            socket.create_connection((host, int(port)), timeout=timeout_s).close()
            self._client = GcsClient(address=address)
        except Exception as error:  # Ray raises several private types for a failed connection
            raise ConnectionError(_first_line(error)) from error

    def autoscaler(self) -> AutoscalerVersion | None:
        """Return the autoscaler's version as the cluster's head says; None if it doesn't. Raises ConnectionError.

        A cluster without an autoscaler says v1.
        """
        from ray._raylet import GCS_AUTOSCALER_STATE_NAMESPACE, GCS_AUTOSCALER_V2_ENABLED_KEY

        try:
            value = self._client.internal_kv_get(
                GCS_AUTOSCALER_V2_ENABLED_KEY.encode(),
                namespace=GCS_AUTOSCALER_STATE_NAMESPACE.encode(),
                timeout=self._timeout_s,
            )
        except Exception as error:
            raise ConnectionError(_first_line(error)) from error
        versions: dict[bytes, AutoscalerVersion] = {b"1": "v2", b"0": "v1"}
        return versions.get(value)

    def poll(self) -> Snapshot:
        """Return a snapshot of the cluster. Raises `ConnectionError` while the GCS doesn't answer."""
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
    """Return pending tasks and actors, and the bundles of pending placement groups, by resource shape."""
    demands = [Demand(dict(r.request.resources_bundle), r.count) for r in state.pending_resource_requests]
    for gang in state.pending_gang_resource_requests:
        bundles = gang.bundle_selectors[0].resource_requests if gang.bundle_selectors else gang.requests
        demands += [Demand(dict(bundle.resources_bundle), 1) for bundle in bundles]
    return tuple(demands)
