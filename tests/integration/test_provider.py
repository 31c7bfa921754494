"""The NodeProvider, as Ray's autoscaler calls it: on a cloud that is a table, without a cluster."""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.autoscaler._private.autoscaler import StandardAutoscaler
from ray.autoscaler.node_launch_exception import NodeLaunchException
from ray.autoscaler.tags import TAG_RAY_NODE_KIND, TAG_RAY_NODE_STATUS, TAG_RAY_USER_NODE_TYPE

from orchestrator.backends.docker.mailbox import MailboxServer
from orchestrator.backends.docker.node_provider import DockerNodeProvider
from orchestrator.backends.live.cloud import Cloud, CloudNode, LaunchRequest
from orchestrator.backends.live.cluster_dir import ClusterFiles
from orchestrator.backends.live.node_provider import CloudNodeProvider
from orchestrator.rayapi.virtual.world import no_capacity

HEAD = "head-c0ffee00"
WORKER_TAGS = {TAG_RAY_NODE_KIND: "worker", TAG_RAY_USER_NODE_TYPE: "x86"}


class Table:
    """A cloud that gives nodes n1, n2, … until `full`."""

    def __init__(self) -> None:
        self.table: dict[str, CloudNode] = {}
        self.full = False

    def nodes(self) -> Mapping[str, CloudNode]:
        return dict(self.table)

    def create(self, request: LaunchRequest) -> None:
        if self.full:
            raise no_capacity(request.node_type)
        for _ in range(request.count):
            node_id = f"n{len(self.table) + 1}"
            self.table[node_id] = CloudNode(node_id, request.node_type, request.tags, request.resources, request.labels)

    def terminate(self, node_id: str) -> None:
        self.table.pop(node_id, None)


class Provider(CloudNodeProvider):
    """On a table."""

    def _connect(self) -> Cloud:
        self.cloud = Table()
        return self.cloud


def config(folder: Path) -> dict[str, Any]:
    return {"cluster_dir": str(folder), "head_node_id": HEAD, "head_node_type": "head", "head_ip": "10.0.0.2"}


@pytest.fixture
def provider(tmp_path: Path) -> Provider:
    return Provider(config(tmp_path), "orchestrate-c0ffee00")


def create(provider: CloudNodeProvider, count: int = 1) -> None:
    provider.create_node_with_resources_and_labels({}, WORKER_TAGS, count, {"CPU": 2}, {"zone": "a"})


def test_the_head_is_there_from_the_beginning(provider: Provider) -> None:
    assert provider.non_terminated_nodes({}) == [HEAD]
    assert provider.non_terminated_nodes({TAG_RAY_NODE_KIND: "head"}) == [HEAD]
    assert provider.is_running(HEAD)
    assert provider.internal_ip(HEAD) == provider.external_ip(HEAD) == "10.0.0.2"
    assert provider.node_tags(HEAD)[TAG_RAY_USER_NODE_TYPE] == "head"


def test_nodes_are_made_as_asked_for_and_found_by_their_tags(provider: Provider) -> None:
    create(provider, 2)

    assert provider.non_terminated_nodes({TAG_RAY_NODE_KIND: "worker"}) == ["n1", "n2"]
    assert provider.non_terminated_nodes({TAG_RAY_USER_NODE_TYPE: "arm"}) == []
    assert provider.cloud.table["n1"].resources == {"CPU": 2}
    assert provider.cloud.table["n1"].labels == {"zone": "a"}


def test_a_node_runs_once_it_has_booted(provider: Provider) -> None:
    create(provider)

    assert not provider.is_running("n1")
    assert not provider.is_terminated("n1")

    provider.cloud.table["n1"].booted = True

    assert provider.is_running("n1")


def test_a_node_without_an_address_is_known_by_its_id(provider: Provider) -> None:
    create(provider)

    assert provider.internal_ip("n1") == "n1"

    provider.cloud.table["n1"].ip = "10.0.0.7"

    assert provider.internal_ip("n1") == "10.0.0.7"


def test_what_the_cloud_refuses_is_a_launch_exception_of_rays(provider: Provider) -> None:
    provider.cloud.full = True
    with pytest.raises(NodeLaunchException, match="no capacity for x86") as refused:
        create(provider)

    assert refused.value.category == "InsufficientInstanceCapacity"


def test_a_terminated_node_is_gone_at_once(provider: Provider) -> None:
    create(provider, 2)
    provider.terminate_node("n1")

    assert provider.non_terminated_nodes(WORKER_TAGS) == ["n2"]
    assert provider.is_terminated("n1")
    assert not provider.is_running("n1")


def test_a_node_that_failed_since_it_was_listed_is_no_error(provider: Provider) -> None:
    assert provider.node_tags("gone") == {}
    assert provider.internal_ip("gone") == "gone"

    provider.terminate_node("gone")


def test_tags_that_are_set_later_are_found(provider: Provider) -> None:
    create(provider)
    provider.set_node_tags("n1", {TAG_RAY_NODE_STATUS: "up-to-date"})

    assert provider.non_terminated_nodes({TAG_RAY_NODE_STATUS: "up-to-date", **WORKER_TAGS}) == ["n1"]
    assert provider.node_tags("n1") == {**WORKER_TAGS, TAG_RAY_NODE_STATUS: "up-to-date"}


def driver_of(provider: CloudNodeProvider) -> StandardAutoscaler:
    """An autoscaler with as much of its state as tells its settings."""
    autoscaler = object.__new__(StandardAutoscaler)
    autoscaler.provider = provider
    autoscaler.config = {"idle_timeout_minutes": 5.0, "max_workers": 8}
    autoscaler.resource_demand_scheduler = SimpleNamespace(upscaling_speed=3.0)
    return autoscaler


def test_the_settings_of_the_autoscaler_that_drives_it_are_noted_when_they_change(
    provider: Provider, tmp_path: Path
) -> None:
    provider.non_terminated_nodes({})
    driver = driver_of(provider)
    files = ClusterFiles(tmp_path)
    files.settings.parent.mkdir()
    for speed in (3.0, 3.0, 5.0):
        driver.resource_demand_scheduler.upscaling_speed = speed
        provider.non_terminated_nodes({})

    noted = [json.loads(line)["settings"] for line in files.settings.read_text().splitlines()]
    assert [in_force["upscaling_speed"] for in_force in noted] == [3.0, 5.0]
    assert noted[0]["idle_timeout_minutes"] == 5.0


def test_those_of_an_autoscaler_that_drives_another_are_not(provider: Provider, tmp_path: Path) -> None:
    _another = driver_of(Provider(config(tmp_path), "orchestrate-deadbeef"))
    provider.non_terminated_nodes({})

    assert not ClusterFiles(tmp_path).settings.exists()


@pytest.fixture
def ray_logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("ray")
    before = list(logger.handlers)
    yield logger
    for handler in logger.handlers:
        if handler not in before:
            logger.removeHandler(handler)
            handler.close()


def test_in_containers_it_asks_the_orchestrator_and_its_log_can_be_read_outside(
    tmp_path: Path, ray_logger: logging.Logger
) -> None:
    files = ClusterFiles(tmp_path / "cluster")
    files.create()
    cloud, server = Table(), MailboxServer(files)
    server.start(cloud)
    try:
        provider = DockerNodeProvider(config(files.root), "orchestrate-c0ffee00")
        create(provider, 2)
        server.publish()

        assert provider.non_terminated_nodes(WORKER_TAGS) == ["n1", "n2"]

        provider.terminate_node("n1")

        assert provider.non_terminated_nodes(WORKER_TAGS) == ["n2"]

        cloud.full = True
        with pytest.raises(NodeLaunchException):
            create(provider)
    finally:
        server.stop()
    ray_logger.warning("a line of Ray's monitor")

    assert "a line of Ray's monitor" in files.monitor_log.read_text()
