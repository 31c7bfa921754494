"""Cluster files are read as Ray reads them: Ray's own launcher code prepares the same files beside ours.

`tests/data/cluster_files/ray` holds Ray's example files and `public` files of Ray's users, both cut to what decides;
`refused` holds files that Ray refuses.
"""

import contextlib
import copy
import io
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml
from jsonschema import ValidationError

from orchestrator.errors import SpecError
from orchestrator.inputs.cluster_config import ClusterFile, read_cluster_file
from orchestrator.inputs.instance_types import ec2_instance_types
from orchestrator.model.cluster import NodeType

pytest.importorskip("ray")

FILES = Path(__file__).parents[1] / "data" / "cluster_files"
TAKEN = sorted([*(FILES / "ray").glob("*.yaml"), *(FILES / "public").glob("*.yaml")])
REFUSED = sorted((FILES / "refused").glob("*.yaml"))
# Ray's wheel lacks the defaults of these providers, so that only a source tree of Ray can prepare their files.
NOT_IN_THE_WHEEL = ("aliyun", "fake_multinode")

SDKS = ("boto3", "botocore", "google", "googleapiclient", "google_auth_httplib2", "httplib2", "cryptography")


class _Pretending:
    """Imports a cloud's SDK that isn't installed as a module that does nothing."""

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in SDKS else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> Any:
        return MagicMock(name=spec.name, __path__=[], __spec__=spec, __version__="1.40.0")

    def exec_module(self, module: Any) -> None:
        pass


@pytest.fixture
def _without_clouds(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let Ray's providers be imported; what was imported so is forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, _Pretending()])
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in SDKS or name.startswith(
            ("ray.autoscaler._private.aws", "ray.autoscaler._private.gcp")
        ):
            del sys.modules[name]


def prepared_by_ray(path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The config as `ray up` has it before it looks at the cloud; only EC2's answer about instance types is ours."""
    from ray.autoscaler._private.providers import _NODE_PROVIDERS
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load(path.read_text())
    with contextlib.redirect_stdout(io.StringIO()):
        config = prepare_config(config)
        kind = config["provider"]["type"]
        if kind == "aws":
            from ray.autoscaler._private.aws import node_provider

            monkeypatch.setattr(
                node_provider,
                "list_ec2_instances",
                lambda region, credentials: copy.deepcopy(list(ec2_instance_types().values())),
            )
            config = node_provider.AWSNodeProvider.fillout_available_node_types_resources(config)
        elif kind == "gcp":
            config = _NODE_PROVIDERS[kind](config["provider"]).fillout_available_node_types_resources(config)
        validate_config(config)
    return dict(config)


def types_of(cluster: ClusterFile) -> dict[str, tuple[int, int, dict[str, float]]]:
    """Minimum, maximum and resources of each node type, the head's among them."""

    def limits(node_type: NodeType) -> tuple[int, int, dict[str, float]]:
        return node_type.min_workers, node_type.max_workers, dict(node_type.resources)

    return {each.name: limits(each) for each in (cluster.shape.head, *cluster.shape.workers)}


@pytest.mark.usefixtures("_without_clouds")
@pytest.mark.parametrize(
    "path",
    [path for path in TAKEN if yaml.safe_load(path.read_text())["provider"]["type"] not in NOT_IN_THE_WHEEL],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_a_file_has_the_shape_that_rays_own_preparation_gives_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Types, limits, resources, speed and idle timeout."""
    ray = prepared_by_ray(path, monkeypatch)
    ours = read_cluster_file(path)

    assert {
        name: (section["min_workers"], section["max_workers"], section["resources"])
        for name, section in ray["available_node_types"].items()
    } == types_of(ours)
    assert (ray["head_node_type"], ray["max_workers"]) == (ours.shape.head.name, ours.shape.max_workers)
    assert (ray["upscaling_speed"], ray["idle_timeout_minutes"]) == (ours.upscaling_speed, ours.idle_timeout_minutes)


@pytest.mark.parametrize(
    ("name", "types", "total", "idle"),
    [
        ("aliyun-full", {"ray.head.default": (0, 0, {"CPU": 2}), "ray.worker.default": (1, 2, {"CPU": 8})}, 2, 5),
        (
            "fake-multinode",
            {
                "ray.head.default": (0, 0, {"CPU": 8, "GPU": 0}),
                "ray.worker.cpu": (2, 4, {"CPU": 1, "object_store_memory": 1e9}),
                "ray.worker.gpu": (0, 2, {"CPU": 4, "GPU": 1}),
            },
            8,
            0.1,
        ),
    ],
)
def test_a_file_whose_defaults_the_wheel_lacks_has_those_of_rays_source(
    name: str, types: dict[str, Any], total: int, idle: float
) -> None:
    cluster = read_cluster_file(FILES / "ray" / f"{name}.yaml")

    assert (types, total, 1.0, idle) == (
        types_of(cluster),
        cluster.shape.max_workers,
        cluster.upscaling_speed,
        cluster.idle_timeout_minutes,
    )


@pytest.mark.usefixtures("_without_clouds")
@pytest.mark.parametrize("path", REFUSED, ids=lambda path: path.stem)
def test_what_ray_refuses_is_refused_with_rays_reason(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((ValidationError, ValueError, AssertionError, NotImplementedError)) as of_ray:
        prepared_by_ray(path, monkeypatch)
    with pytest.raises(SpecError) as ours:
        read_cluster_file(path)

    reason = str(of_ray.value).splitlines()[0]
    assert reason in ours.value.message
    assert str(path) in ours.value.message


def test_a_process_of_its_own_prepares_the_same_as_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that hasn't loaded Ray prepares a file in another process, as Ray reads tokens when it is loaded."""
    path = FILES / "public" / "gpu-finetune.yaml"
    import ray  # noqa: F401

    here = read_cluster_file(path)
    without = {name: module for name, module in sys.modules.items() if name != "ray"}
    monkeypatch.setattr(sys, "modules", without)

    assert here == read_cluster_file(path)


def test_a_process_of_its_own_gives_rays_reason_and_the_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text((FILES / "public" / "daft-full.yaml").read_text().replace("resources: {}", "resources: {CPU: 0.5}"))
    monkeypatch.setattr(sys, "modules", {name: module for name, module in sys.modules.items() if name != "ray"})

    with pytest.raises(SpecError, match=r"0\.5 is not of type 'integer'"):
        read_cluster_file(path)
    with pytest.raises(SpecError, match="is smaller than the sum"):
        read_cluster_file(FILES / "refused" / "minimum-above-total.yaml")


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes each import of a cloud's SDK, and each connection."""
    import socket

    seen: list[str] = []
    monkeypatch.setattr(socket.socket, "connect", lambda *args: seen.append(f"connect {args[1:]}"))

    class Finder:
        def find_spec(self, name: str, *_: Any) -> None:
            if name.partition(".")[0] in ("boto3", "botocore", "googleapiclient", "azure"):
                seen.append(name)

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    return seen


@pytest.mark.parametrize("name", ["aws-full", "gcp-full", "gcp-tpu", "azure-full", "vsphere-full"])
def test_no_sdk_is_imported_and_nothing_is_asked_of_a_network(name: str, watched: list[str]) -> None:
    read_cluster_file(FILES / "ray" / f"{name}.yaml")

    assert [] == watched
