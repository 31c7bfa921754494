"""Start the processes of one Ray node on this machine."""

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from orchestrator.rayapi.environment import LOOPBACK


@dataclass(frozen=True)
class NodeOptions:
    """Options of one Ray node on this machine. Memory is in bytes; with port 0, Ray chooses the port.

    Without an `ip` the node uses the address that this machine's host name resolves to: in a container, its own.
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
        """True if the node has no GCS to join."""
        return self.gcs_address is None


# For a node with its own address. Without these ports, a raylet waits 15 s for its agents to report theirs and then
# aborts, and the agents of an emulated node take longer.
AGENT_PORTS = {
    "metrics_export_port": 8080,
    "metrics_agent_port": 52366,
    "dashboard_agent_listen_port": 52365,
    "runtime_env_agent_port": 52367,
}


# Resources that Ray takes as separate options. The object store has its own field.
_OWN_OPTIONS = ("CPU", "GPU", "memory", "object_store_memory")


def start_node(options: NodeOptions) -> Callable[[], dict[str, int]]:
    """Start a node's processes as children of this process.

    Returns a function that lists the processes that have exited, with their exit codes. `ray start` can't be used: for
    a worker it requires an address that other machines can reach, and for a head it also starts the Ray client server,
    which listens on every interface.
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
        # Ray numbers sockets by what it finds in the folder, so two nodes that start at once would share a name.
        raylet_socket_name=f"{options.temp_dir}/{options.node_id[:12]}.raylet",
        plasma_store_socket_name=f"{options.temp_dir}/{options.node_id[:12]}.plasma",
        # Each node unpacks a job's files anew. In a shared folder it would delete those that other nodes work in.
        runtime_env_dir_name=f"runtime_resources_{options.node_id[:12]}",
        include_log_monitor=False,
        **(head if options.is_head else {"gcs_address": options.gcs_address, "redis_address": options.gcs_address}),
    )
    node = Node(params, head=options.is_head, shutdown_at_exit=False, spawn_reaper=False)
    if options.is_head:
        # Without this file, "auto" in a job can resolve to any GCS on the machine, such as another user's.
        write_ray_address(node.address, options.temp_dir)
    return lambda: {name: process.returncode for name, process in node.dead_processes()}


def head_tags(node_type: str) -> dict[str, str]:
    """Return the tags that identify the head to an autoscaler among a provider's machines."""
    from ray.autoscaler import tags

    return {
        tags.TAG_RAY_NODE_KIND: tags.NODE_KIND_HEAD,
        tags.TAG_RAY_USER_NODE_TYPE: node_type,
        tags.TAG_RAY_NODE_NAME: f"ray-{node_type}",
        tags.TAG_RAY_NODE_STATUS: tags.STATUS_UP_TO_DATE,
    }
