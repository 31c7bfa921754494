"""The simulated cloud as a Ray NodeProvider, and the simulated GCS as a GCS client."""

from collections.abc import Iterable, Mapping
from typing import Any

from ray.autoscaler.node_launch_exception import NodeLaunchException
from ray.core.generated import autoscaler_pb2, common_pb2, gcs_pb2, gcs_service_pb2

from orchestrator.model.labels import parse_selector
from orchestrator.model.task_needs import Needs
from orchestrator.rayapi.node_table import NodeTableProvider
from orchestrator.rayapi.virtual.session import active_session
from orchestrator.rayapi.virtual.world import LaunchCall, LaunchRefused, Machine, Pending, RayNodeView, World

GCS_ADDRESS = "10.255.255.1:6379"

# Resources in bytes that a raylet reports in addition to those of its node type. No simulated task requests them.
_MEMORY = {"memory": 16e9, "object_store_memory": 8e9}


class SimulatedProvider(NodeTableProvider):
    """The provider that Ray loads for `type: external`. Its cloud is that of the calling thread's simulation."""

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        super().__init__(provider_config, cluster_name)
        session = active_session()
        if session is None:
            raise RuntimeError("a simulated provider works only inside a simulation")
        self._session = session
        self._world: World = session.world
        self.call: LaunchCall | None = None

    def nodes(self) -> Mapping[str, Machine]:
        """Return the machines of the simulation."""
        return self._world.machines

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        """Return the ids of the machines that exist and have these tags."""
        machines = self._world.machines
        if not tag_filters:
            return list(machines)
        wanted = tag_filters.items()
        return [name for name, machine in machines.items() if wanted <= machine.tags.items()]

    def node_tags(self, node_id: str) -> dict[str, str]:
        """Return the machine's tags."""
        machine = self._world.machines.get(node_id)
        return machine.tags if machine is not None else {}

    def set_node_tags(self, node_id: str, tags: dict[str, str]) -> None:
        """Add tags to a machine."""
        self.node_tags(node_id).update(tags)

    def internal_ip(self, node_id: str) -> str | None:
        """Return the machine's address; as on EC2, a machine that is gone has none."""
        machine = self._world.machines.get(node_id)
        return None if machine is None else machine.ip

    def create_node_with_resources_and_labels(
        self,
        node_config: dict[str, Any],
        tags: dict[str, str],
        count: int,
        resources: dict[str, float],
        labels: dict[str, str],
    ) -> None:
        """Complete the request that the executor began. The executor set `call` before it ran Ray's code."""
        call, self.call = self.call, None
        if call is None:
            raise RuntimeError("Ray asked for nodes in a way that the simulator doesn't know")
        refused: LaunchRefused | None = None
        with self._session.watched():
            try:
                self._world.finish_launch(call, tags)
            except LaunchRefused as answer:
                # not logged: a modelled cloud refuses on purpose, and the event says so.
                refused = answer
        if refused is not None:
            raise NodeLaunchException(refused.category, refused.description, None) from refused

    def terminate_node(self, node_id: str) -> None:
        """Terminate one machine."""
        self._world.terminate([node_id])

    def terminate_nodes(self, node_ids: Iterable[str]) -> None:
        """Terminate machines."""
        with self._session.watched():
            self._world.terminate(list(node_ids))


class SimulatedGcs:
    """The methods of a `GcsClient` that the autoscalers use."""

    address = GCS_ADDRESS

    def __init__(self, world: World, *, most_tasks: Mapping[object, int] | None = None) -> None:
        self._world = world
        self._most_tasks = most_tasks
        self._version = 0
        self._states: dict[bytes, tuple[int, Any]] = {}

    def state(self) -> Any:
        """Return the cluster's resource state as Ray's message. Only the parts of changed nodes are rebuilt."""
        self._version += 1
        state = autoscaler_pb2.ClusterResourceState(cluster_resource_state_version=self._version)
        known, fresh = self._states, {}
        for node in self._world.ray_nodes():
            entry = known.get(node.node_id)
            if entry is None or entry[0] != node.revision:
                entry = (node.revision, _node_state(node))
            fresh[node.node_id] = entry
            if node.idle_since is not None and node.status == "idle":
                entry[1].idle_duration_ms = int((self._world.now() - node.idle_since) * 1000)
        self._states = fresh
        state.node_states.extend([message for _, message in fresh.values()])
        state.pending_resource_requests.extend(
            autoscaler_pb2.ResourceRequestByCount(request=_request(each.needs), count=each.count)
            for each in self.visible()
        )
        if requested := self._world.requested():
            state.cluster_resource_constraints.add().resource_requests.extend(
                autoscaler_pb2.ResourceRequestByCount(request=_request(Needs(bundle)), count=1) for bundle in requested
            )
        return state

    def visible(self) -> list[Pending]:
        """Return the waiting tasks; no more of any than could ever run at once, if that is set."""
        demand = self._world.demand()
        if self._most_tasks is None:
            return list(demand)
        return [Pending(each.needs, min(each.count, self._most_tasks[each.needs.key])) for each in demand]

    # As GcsClient

    def get_cluster_resource_state(self, *_args: Any, **_more: Any) -> bytes:
        """Return the cluster's resource state, which v2 and the v1 monitor read."""
        reply = autoscaler_pb2.GetClusterResourceStateReply(cluster_resource_state=self.state())
        return reply.SerializeToString()  # type: ignore[no-any-return]

    def get_all_resource_usage(self, *_args: Any, **_more: Any) -> Any:
        """Return the demand by resource shape, which the v1 monitor reads; until Ray 2.50 the nodes' resources too."""
        reply = gcs_service_pb2.GetAllResourceUsageReply()
        usage = reply.resource_usage_data
        for node in self._world.ray_nodes():
            if node.status == "dead":
                continue
            total, free = _resources(node)
            usage.batch.append(
                gcs_pb2.ResourcesData(
                    node_id=node.node_id,
                    node_manager_address=node.ip,
                    resources_total=total,
                    resources_available=free,
                )
            )
        usage.resource_load_by_shape.resource_demands.extend(
            gcs_pb2.ResourceDemand(shape=each.needs.limiting, backlog_size=each.count) for each in self.visible()
        )
        return reply

    def drain_node(self, node_id: str, *_args: Any, **_more: Any) -> tuple[bool, str]:
        """Drain an idle node; v2 calls this."""
        accepted = self._world.drain_if_idle(bytes.fromhex(node_id))
        return accepted, "" if accepted else "the node is not idle"

    def drain_nodes(self, node_ids: Iterable[bytes], *_args: Any, **_more: Any) -> list[bytes]:
        """Stop Ray on nodes. v1 passes a set; v2 calls this for nodes that may be busy."""
        return self._world.stop_ray(sorted(node_ids))


_STATUS_NAMES = {"running": "RUNNING", "idle": "IDLE", "draining": "DRAINING", "dead": "DEAD"}


def _request(needs: Needs) -> Any:
    request = autoscaler_pb2.ResourceRequest(resources_bundle=needs.limiting)
    if needs.labels:
        operators = common_pb2.LabelSelectorOperator
        constraints = request.label_selectors.add().label_constraints
        for key, text in needs.labels.items():
            selector = parse_selector(text)
            constraints.add(
                label_key=key,
                operator=operators.LABEL_OPERATOR_NOT_IN if selector.negated else operators.LABEL_OPERATOR_IN,
                label_values=selector.values,
            )
    return request


def _resources(node: RayNodeView) -> tuple[dict[str, float], dict[str, float]]:
    """Return a node's total and free resources."""
    total = {**_MEMORY, **node.total, f"node:{node.ip}": 1.0}
    if node.is_head:
        total["node:__internal_head__"] = 1.0
    free = dict(total)
    for name, amount in node.used.items():
        # Ray counts in ten-thousandths. A full node has exactly 0 left.
        free[name] = round(max(0.0, total.get(name, 0.0) - amount), 4)
    return total, free


def _node_state(node: RayNodeView) -> Any:
    total, free = _resources(node)
    dead = node.status == "dead"
    return autoscaler_pb2.NodeState(
        node_id=node.node_id,
        instance_id=node.machine_id,
        ray_node_type_name=node.node_type,
        node_ip_address=node.ip,
        node_state_version=node.revision,
        status=autoscaler_pb2.NodeStatus.Value(_STATUS_NAMES[node.status]),
        total_resources={} if dead else total,
        available_resources={} if dead else free,
        labels=dict(node.labels),
    )


def forget_provider(provider: Any) -> None:
    """Remove one provider from Ray's cache of providers, and keep all others."""
    from ray.autoscaler._private import providers

    for key in [key for key, cached in providers._provider_instances.items() if cached is provider]:
        del providers._provider_instances[key]
