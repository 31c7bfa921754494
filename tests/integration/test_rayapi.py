"""Each private name of Ray that `rayapi` uses: when Ray renames one, the test of that name says which."""

import inspect
import json
from importlib import import_module
from typing import Any

import pytest

from orchestrator.rayapi.environment import LOOPBACK_ENVIRONMENT
from orchestrator.rayapi.live_settings import autoscaler_of
from orchestrator.rayapi.version import ray_version
from tests.support.bystander import Bystander
from tests.support.orchestrate_command import Orchestrate

pytestmark = pytest.mark.alone


def parameters(function: Any) -> set[str]:
    """Names of the parameters of a function or class."""
    return set(inspect.signature(function).parameters)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("ray._raylet", "GcsClient"),
        ("ray._private.node", "Node"),
        ("ray._private.parameter", "RayParams"),
        ("ray.autoscaler.v2.autoscaler", "Autoscaler"),
        ("ray.autoscaler._private.autoscaler", "StandardAutoscaler"),
        ("ray.core.generated.autoscaler_pb2", "GetClusterStatusReply"),
        ("ray.core.generated.gcs_pb2", "GcsNodeInfo"),
    ],
)
def test_ray_still_has_the_class(module: str, name: str) -> None:
    assert hasattr(import_module(module), name), f"Ray {ray_version()} has no {module}.{name}; see orchestrator/rayapi"


def test_a_node_can_still_be_started_by_parameters() -> None:
    node = import_module("ray._private.node").Node
    wanted = {
        *("node_ip_address", "min_worker_port", "max_worker_port", "dashboard_host", "dashboard_agent_listen_port"),
        *("num_cpus", "num_gpus", "memory", "resources", "labels", "object_store_memory", "temp_dir"),
        *("raylet_socket_name", "plasma_store_socket_name", "include_log_monitor", "gcs_server_port"),
        *("dashboard_port", "include_dashboard", "autoscaling_config", "gcs_address", "redis_address"),
        "runtime_env_dir_name",
    }

    assert wanted <= parameters(import_module("ray._private.parameter").RayParams)
    assert {"head", "shutdown_at_exit", "spawn_reaper"} <= parameters(node)
    assert hasattr(node, "dead_processes")


def test_loopback_is_still_switched_by_the_same_variable() -> None:
    [name] = LOOPBACK_ENVIRONMENT

    assert name == import_module("ray._private.ray_constants").ENABLE_RAY_CLUSTERS_ENV_VAR


def test_the_live_autoscalers_still_hold_their_settings_where_we_look() -> None:
    v2 = inspect.getsource(import_module("ray.autoscaler.v2.autoscaler").Autoscaler)
    v1 = inspect.getsource(import_module("ray.autoscaler._private.autoscaler").StandardAutoscaler)
    config = import_module("ray.autoscaler.v2.instance_manager.config").AutoscalingConfig
    scheduler = import_module("ray.autoscaler._private.resource_demand_scheduler").ResourceDemandScheduler
    constants = import_module("ray.autoscaler._private.constants")

    assert "self._config_reader = " in v2
    assert "self._cloud_instance_provider = NodeProviderAdapter(" in v2
    assert "self.provider = " in v1
    assert {"get_upscaling_speed", "get_raw_config_mutable"} <= set(dir(config))
    assert "self.resource_demand_scheduler = " in v1
    assert "upscaling_speed" in parameters(scheduler)
    for name in ("AUTOSCALER_MAX_CONCURRENT_LAUNCHES", "AUTOSCALER_MAX_LAUNCH_BATCH", "AUTOSCALER_UPDATE_INTERVAL_S"):
        assert isinstance(getattr(constants, name), int)


def test_v1_still_tells_nodes_of_one_address_apart_by_their_id() -> None:
    monitor = inspect.getsource(import_module("ray.autoscaler._private.monitor"))

    assert "use_node_id_as_ip" in monitor


def test_a_provider_finds_the_autoscaler_that_drives_it_and_no_other() -> None:
    v1_class = import_module("ray.autoscaler._private.autoscaler").StandardAutoscaler
    v2_class = import_module("ray.autoscaler.v2.autoscaler").Autoscaler
    adapter = import_module("ray.autoscaler.v2.instance_manager.node_provider").NodeProviderAdapter
    _unfinished = [object.__new__(v1_class), object.__new__(v2_class)]
    v1, v2 = object.__new__(v1_class), object.__new__(v2_class)
    of_v1, of_v2 = object(), object()
    v1.provider = of_v1
    v2._cloud_instance_provider = object.__new__(adapter)
    v2._cloud_instance_provider._v1_provider = of_v2

    assert autoscaler_of(of_v1) is v1
    assert autoscaler_of(of_v2) is v2
    assert autoscaler_of(object()) is None


def test_a_look_at_a_real_cluster_fills_every_field(orchestrate: Orchestrate, bystander: Bystander) -> None:
    snapshot = orchestrate.json("status", "--address", bystander.address)
    [node] = snapshot["nodes"]

    assert node["is_head"] is True
    assert node["status"] in ("idle", "running")
    assert node["start_time"] > 1_700_000_000
    assert node["total"]["CPU"] == 1.0
    assert len(node["ray_node_id"]) == 56
    assert node["metrics_port"] > 0
    assert snapshot["version"] > 0
    assert snapshot["session"].startswith("session_")
    assert json.dumps(snapshot["demand"]) == "[]"
