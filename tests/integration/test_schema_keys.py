"""Each key of Ray's cluster schema is obeyed, refused, or decides nothing, as docs/cluster-files.md says."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.errors import SpecError
from orchestrator.inputs.cluster_config import ClusterFile, read_cluster_file
from orchestrator.rayapi.version import cluster_config_schema
from tests.support.orchestrate_command import ROOT

pytest.importorskip("ray")

TYPES = "available_node_types"
# These hold other keys, which are looked at one by one.
GROUPS = {TYPES, "provider"}
BASE: dict[str, Any] = {
    "cluster_name": "base",
    "max_workers": 6,
    "upscaling_speed": 2.0,
    "idle_timeout_minutes": 3,
    "head_node_type": "head",
    "provider": {"type": "aws", "region": "us-west-2"},
    TYPES: {
        "head": {"node_config": {"InstanceType": "m7i.large"}, "resources": {"CPU": 2}, "max_workers": 1},
        "worker": {"node_config": {"InstanceType": "m7i.large"}, "resources": {"CPU": 2}, "max_workers": 4},
    },
}
# Values that differ from the base, for keys that decide.
OTHER: dict[str, Any] = {
    "max_workers": 5,
    "upscaling_speed": 1e30,
    "idle_timeout_minutes": 0,
    "head_node_type": "worker",
    f"{TYPES}.*.node_config": {"InstanceType": "m8g.large", "InstanceMarketOptions": {"MarketType": "spot"}},
    f"{TYPES}.*.min_workers": 1,
    f"{TYPES}.*.max_workers": 0,
    f"{TYPES}.*.idle_timeout_s": 0,
    f"{TYPES}.*.priority": -1,
    f"{TYPES}.*.resources": {"CPU": 0, "GPU": 1, "Special": 2},
    f"{TYPES}.*.labels": {"market": "spot"},
    "provider.type": "gcp",
    "provider.module": "mine.Provider",
    "provider.region": "eu-west-1",
    "provider.disable_node_updaters": True,
}
# Values for keys without effect: by the key, where its schema asks for more than a type, else by its type.
VALID: dict[str, Any] = {
    "file_mounts": {"/remote": __file__},
    "docker": {"image": "rayproject/ray:2.60.0", "container_name": "ray"},
    "auth": {"ssh_user": "ubuntu"},
    "provider.project_id": "mine",
    "provider.gcp_credentials": {"type": "service_account", "credentials": "{}"},
    "provider.security_group": {"GroupName": "mine"},
}
BY_TYPE: dict[str, Any] = {"string": "x", "object": {}, "array": ["x"], "boolean": True}


def schema_keys() -> dict[str, Any]:
    """Return the schema of each key of a cluster file; those of any node type have a star."""
    top = cluster_config_schema()["properties"]
    of_a_type = top[TYPES]["patternProperties"][".*"]["properties"]
    return {
        **{key: part for key, part in top.items() if key not in GROUPS},
        **{f"provider.{key}": part for key, part in top["provider"]["properties"].items()},
        **{f"{TYPES}.*.{key}": part for key, part in of_a_type.items()},
    }


def documented(heading: str) -> list[str]:
    """Return the keys in the first column of the table under a heading of the page about cluster files."""
    text = (ROOT / "docs" / "cluster-files.md").read_text()
    section = re.search(rf"^## {heading}\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    cells = [line.split("|")[1] for line in section[1].splitlines() if line.startswith("| `")]
    return [key for cell in cells for key in re.findall(r"`([\w.*]+)`", cell)]


OBEYED, REFUSED, WITHOUT_EFFECT = (
    documented(heading) for heading in ("Keys that decide", "Keys that are refused", "Keys that decide nothing here")
)


def file_with(key: str, value: Any, folder: Path) -> ClusterFile:
    """Return the base with a value at a key. A star means the worker's type."""
    config = copy.deepcopy(BASE)
    *above, last = key.replace("*", "worker").split(".")
    section = config
    for name in above:
        section = section[name]
    section[last] = value
    if key == "provider.module":
        config["provider"]["type"] = "external"
    path = folder / "cluster.yaml"
    path.write_text(yaml.safe_dump(config))
    return read_cluster_file(path)


def decisive(cluster: ClusterFile) -> tuple[Any, ...]:
    """Return everything of a cluster file that enters a trial or its prices."""
    return (
        cluster.shape,
        cluster.upscaling_speed,
        cluster.idle_timeout_minutes,
        cluster.spot,
        cluster.region,
        cluster.foreign_provider,
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> ClusterFile:
    return file_with("cluster_name", "base", tmp_path_factory.mktemp("base"))


def test_the_documentation_knows_every_key_of_rays_schema() -> None:
    assert {*OBEYED, *REFUSED, *WITHOUT_EFFECT} == schema_keys().keys()
    assert not {*OBEYED} & {*WITHOUT_EFFECT}
    assert not {*REFUSED} & {*WITHOUT_EFFECT}


@pytest.mark.parametrize("key", OBEYED)
def test_a_key_that_decides_changes_what_is_simulated(key: str, base: ClusterFile, tmp_path: Path) -> None:
    assert decisive(file_with(key, OTHER[key], tmp_path)) != decisive(base)


@pytest.mark.parametrize("key", WITHOUT_EFFECT)
def test_a_key_that_decides_nothing_changes_nothing(key: str, base: ClusterFile, tmp_path: Path) -> None:
    part = schema_keys()[key]
    kind = "array" if part.get("$ref") == "#/definitions/commands" else part.get("type", "boolean")
    value = VALID[key] if key in VALID else BY_TYPE[kind]

    assert decisive(file_with(key, value, tmp_path)) == decisive(base)


def test_a_cluster_of_fixed_machines_is_refused(tmp_path: Path) -> None:
    local = {"type": "local", "head_ip": "10.0.0.1", "worker_ips": ["10.0.0.2"]}
    with pytest.raises(SpecError):
        file_with("provider", local, tmp_path)


# The minimum of the head's type, against Ray's own code


def launched_by_v1(least: int, most: int) -> int:
    """Return how many workers of the head's type Ray's v1 code adds without demand to a cluster with a head only."""
    from ray.autoscaler._private.resource_demand_scheduler import _add_min_workers_nodes

    types = {"head": {"min_workers": least, "max_workers": most, "resources": {"CPU": 2}}}
    _, _, added = _add_min_workers_nodes([{"CPU": 2}], {"head": 1}, types, 5, "head", [], lambda *_: None)
    return int(added.get("head", 0))


def launched_by_v2(least: int, most: int) -> int:
    """Return the same of v2."""
    from ray.autoscaler.v2.instance_manager.common import InstanceUtil
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
    from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
    from ray.autoscaler.v2.schema import AutoscalerInstance
    from ray.core.generated.autoscaler_pb2 import NodeState, NodeStatus
    from ray.core.generated.instance_manager_pb2 import Instance, NodeKind

    section = {"min_workers": least, "max_workers": most, "resources": {"CPU": 2}, "node_config": {}}
    raw = {"cluster_name": "x", "max_workers": 5, "head_node_type": "head", "provider": {"type": "external"}}
    raw |= {TYPES: {"head": section, "other": {**section, "min_workers": 0, "max_workers": 3}}}
    raw |= {key: [] for key in schema_keys() if re.fullmatch(r"\w+_commands|cluster_synced_files", key)}
    config = AutoscalingConfig(raw, skip_content_hash=True)
    instance = InstanceUtil.new_instance("head", "head", Instance.RAY_RUNNING)
    instance.node_kind = NodeKind.HEAD
    instance.node_id = "00"
    node = NodeState(node_id=b"\0", ray_node_type_name="head", status=NodeStatus.RUNNING, total_resources={"CPU": 2})
    reply = ResourceDemandScheduler().schedule(
        SchedulingRequest(
            node_type_configs=config.get_node_type_configs(),
            max_num_nodes=config.get_max_num_nodes(),
            current_instances=[AutoscalerInstance(ray_node=node, im_instance=instance)],
            disable_launch_config_check=True,
        )
    )
    return sum(request.count for request in reply.to_launch)


@pytest.mark.parametrize(("least", "most", "v1", "v2"), [(0, 2, 0, 0), (1, 0, 0, 0), (1, 2, 1, 0), (2, 2, 2, 1)])
def test_rays_versions_read_the_minimum_of_the_heads_type_differently(least: int, most: int, v1: int, v2: int) -> None:
    assert (v1, v2) == (launched_by_v1(least, most), launched_by_v2(least, most))


def of_the_head(tmp_path: Path, least: int, most: int) -> ClusterFile:
    section = {**BASE[TYPES]["head"], "min_workers": least, "max_workers": most}
    return file_with(TYPES, {**BASE[TYPES], "head": section}, tmp_path)


@pytest.mark.parametrize(("least", "most"), [(1, 2), (2, 2)])
def test_a_minimum_of_the_heads_type_is_refused_where_they_differ(least: int, most: int, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"available_node_types.head.min_workers: .* v2 counts the head as one") as told:
        of_the_head(tmp_path, least, most)

    assert told.value.hint == "write 0, and give workers that always run a node type of their own"


def test_a_minimum_of_the_heads_type_that_the_head_meets_alone_is_taken(tmp_path: Path) -> None:
    assert 0 == of_the_head(tmp_path, 1, 0).shape.baseline.get("head", 0)
