"""Cluster files are read as Ray reads them: Ray's own launcher code prepares the same files beside ours.

`tests/data/cluster_files/ray` holds Ray's example files and `public` files of Ray's users, both cut to what decides;
`refused` holds files that Ray refuses.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import ValidationError

from orchestrator.errors import SpecError
from orchestrator.inputs.cluster_config import read_cluster_file
from tests.support.cluster_shapes import (
    FILES,
    NOT_IN_THE_WHEEL,
    REFUSED,
    TAKEN,
    Shape,
    prepared_by_ray,
    provider_of,
    shape_by_ray,
    shape_of,
    without_clouds,
)

pytest.importorskip("ray")


@pytest.fixture
def _without_clouds() -> Iterator[None]:
    with without_clouds():
        yield


@pytest.mark.usefixtures("_without_clouds")
@pytest.mark.parametrize(
    "path",
    [path for path in TAKEN if provider_of(path) not in NOT_IN_THE_WHEEL],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_a_file_has_the_shape_that_rays_own_preparation_gives_it(path: Path) -> None:
    """Types, limits, resources, speed and idle timeout."""
    assert shape_of(read_cluster_file(path)) == shape_by_ray(path)


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
    found = shape_of(read_cluster_file(FILES / "ray" / f"{name}.yaml"))

    assert found == Shape(next(iter(types)), types, total, 1.0, idle)


@pytest.mark.usefixtures("_without_clouds")
@pytest.mark.parametrize("path", REFUSED, ids=lambda path: path.stem)
def test_what_ray_refuses_is_refused_with_rays_reason(path: Path) -> None:
    with pytest.raises((ValidationError, ValueError, AssertionError, NotImplementedError)) as of_ray:
        prepared_by_ray(path)
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
