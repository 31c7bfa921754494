"""Each property of Ray's schema of a cluster file is obeyed, harmless for a stated reason, or refused."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.errors import SpecError
from orchestrator.inputs.cluster_config import ClusterFile, read_cluster_file
from orchestrator.rayapi.version import cluster_config_schema

BASE: dict[str, Any] = {
    "cluster_name": "base",
    "max_workers": 4,
    "provider": {"launch": {"boot": {"mean_s": 60}}},
    "head_node_type": "head",
    "available_node_types": {
        "head": {"resources": {"CPU": 0}, "node_config": {}},
        "worker": {"resources": {"CPU": 8}, "node_config": {"InstanceType": "m7i.2xlarge"}},
    },
}
WORKER = ("available_node_types", "worker")

# A value of each property that makes another cluster of the file.
OBEYED: dict[tuple[str, ...], Any] = {
    ("max_workers",): 3,
    ("upscaling_speed",): 2.0,
    ("idle_timeout_minutes",): 0,
    ("head_node_type",): "worker",
    ("available_node_types",): {**BASE["available_node_types"], "more": {"resources": {"CPU": 1}, "node_config": {}}},
    ("provider",): {"launch": {"boot": {"mean_s": 61}}},
    ("provider", "disable_node_updaters"): True,
    (*WORKER, "node_config"): {"InstanceType": "m8g.2xlarge"},
    (*WORKER, "min_workers"): 1,
    (*WORKER, "max_workers"): 2,
    (*WORKER, "idle_timeout_s"): 30,
    (*WORKER, "priority"): 1,
    (*WORKER, "resources"): {"CPU": 4},
    (*WORKER, "labels"): {"market": "spot"},
}

_ADDRESS = "it says where a cloud's API finds or names things; a modelled cloud has no such places"
_COMMANDS = "it is run on a machine; the time that it takes is part of provider.launch.install"
_FILES = "it copies files to a machine; the time that it takes is part of provider.launch.install"
_DOCKER = "it chooses a container, in which Ray runs as without; the time to pull it is part of provider.launch.install"
_RAY_START = "RAY_OVERRIDE_RESOURCES stands above its --num-cpus and --resources: resources of the node type count"
HARMLESS: dict[tuple[str, ...], tuple[Any, str]] = {
    ("cluster_name",): ("other", "it is a name, and each backend gives its clusters their own"),
    ("auth",): ({"ssh_user": "me"}, "it opens a machine for the launcher, which isn't used"),
    ("docker",): ({"image": "rayproject/ray:2.60.0", "container_name": "ray"}, _DOCKER),
    ("file_mounts",): ({"/there": "/here"}, _FILES),
    ("cluster_synced_files",): (["/a"], _FILES),
    ("file_mounts_sync_continuously",): (True, _FILES),
    ("rsync_exclude",): (["*.o"], _FILES),
    ("rsync_filter",): ([".gitignore"], _FILES),
    ("metadata",): ({"owner": "me"}, "Ray keeps it for users and doesn't read it"),
    ("initialization_commands",): (["true"], _COMMANDS),
    ("setup_commands",): (["true"], _COMMANDS),
    ("head_setup_commands",): (["true"], _COMMANDS),
    ("worker_setup_commands",): (["true"], _COMMANDS),
    ("head_start_ray_commands",): (["ray start --head --num-cpus=2"], _RAY_START),
    ("worker_start_ray_commands",): (["ray start --num-cpus=2"], _RAY_START),
    ("no_restart",): (True, "it is about `ray up` on a cluster that runs"),
    (*WORKER, "initialization_commands"): (["true"], _COMMANDS),
    (*WORKER, "worker_setup_commands"): (["true"], _COMMANDS),
    (*WORKER, "docker"): ({"worker_image": "rayproject/ray:2.60.0"}, _DOCKER),
    ("provider", "region"): ("us-west-2", "with type aws it chooses prices, see test_prices.py; else it is an address"),
    ("provider", "module"): ("a.B", "each backend has its own node provider, and says that the file's isn't used"),
    ("provider", "head_ip"): ("10.0.0.1", "it belongs to provider local, which is refused"),
    ("provider", "worker_ips"): (["10.0.0.2"], "it belongs to provider local, which is refused"),
    ("provider", "cache_stopped_nodes"): (True, "a stopped machine starts as fast as provider.launch says"),
    **{
        ("provider", name): (value, _ADDRESS)
        for name, value in {
            "use_internal_ips": True,
            "namespace": "a",
            "location": "a",
            "resource_group": "a",
            "tags": {"a": "b"},
            "subscription_id": "a",
            "msi_identity_id": "a",
            "msi_identity_principal_id": "a",
            "subnet_id": "a",
            "autoscaler_service_account": {},
            "autoscaler_role": {},
            "autoscaler_role_binding": {},
            "availability_zone": "a",
            "project_id": "a",
            "security_group": {"GroupName": "a"},
            "gcp_credentials": {"type": "service_account"},
            "cloudwatch": {},
        }.items()
    },
}
REFUSED: dict[tuple[str, ...], tuple[Any, str]] = {
    ("provider", "type"): ("local", "Ray launches none, so there is nothing to scale"),
}


def properties() -> list[tuple[str, ...]]:
    """Return the path of each property in Ray's schema, below the base file."""
    schema = cluster_config_schema()["properties"]
    of_type = schema["available_node_types"]["patternProperties"][".*"]["properties"]
    return [
        *((name,) for name in schema),
        *(("provider", name) for name in schema["provider"]["properties"]),
        *((*WORKER, name) for name in of_type),
    ]


def decides(cluster: ClusterFile) -> tuple[object, ...]:
    return cluster.shape, cluster.upscaling_speed, cluster.idle_timeout_minutes, cluster.spot, cluster.region


def read(folder: Path, edit: tuple[tuple[str, ...], Any] | None = None) -> ClusterFile:
    document = copy.deepcopy(BASE)
    if edit is not None:
        (*parents, last), value = edit
        section = document
        for name in parents:
            section = section[name]
        section[last] = value
    if edit is not None and edit[0] == ("head_node_type",):
        # The head's type is no worker: another type has to be.
        document["available_node_types"]["head"]["max_workers"] = 4
    path = folder / "cluster.yaml"
    path.write_text(yaml.safe_dump(document))
    return read_cluster_file(path)


def test_each_property_of_rays_schema_is_in_one_of_the_lists() -> None:
    listed = [*OBEYED, *HARMLESS, *REFUSED]

    assert sorted(properties()) == sorted(listed)


@pytest.mark.parametrize("path", OBEYED, ids=".".join)
def test_an_obeyed_property_makes_another_cluster(path: tuple[str, ...], tmp_path: Path) -> None:
    assert decides(read(tmp_path, (path, OBEYED[path]))) != decides(read(tmp_path))


@pytest.mark.parametrize("path", HARMLESS, ids=".".join)
def test_a_harmless_property_makes_the_same_cluster(path: tuple[str, ...], tmp_path: Path) -> None:
    value, reason = HARMLESS[path]

    assert reason
    assert decides(read(tmp_path, (path, value))) == decides(read(tmp_path))


@pytest.mark.parametrize("path", REFUSED, ids=".".join)
def test_a_property_that_cannot_be_obeyed_is_refused(path: tuple[str, ...], tmp_path: Path) -> None:
    value, reason = REFUSED[path]

    with pytest.raises(SpecError, match=reason):
        read(tmp_path, (path, value))


def test_a_minimum_of_the_heads_type_is_refused(tmp_path: Path) -> None:
    """The two autoscalers count it differently."""
    head = {"resources": {"CPU": 8}, "node_config": {}, "min_workers": 1, "max_workers": 2}

    with pytest.raises(SpecError, match="v2 counts the head as one of them, v1 doesn't"):
        read(tmp_path, (("available_node_types", "head"), head))


def test_a_cluster_of_one_type_has_workers_of_the_heads_type(tmp_path: Path) -> None:
    only = {"head": {"resources": {"CPU": 8}, "node_config": {}, "max_workers": 3}}
    shape = read(tmp_path, (("available_node_types",), only)).shape

    assert ((), ["head"]) == (shape.workers, [each.name for each in shape.launchable])
