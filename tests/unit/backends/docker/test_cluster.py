"""A cluster of containers, as far as it takes no real engine: emulated nodes, faults, and what is gone."""

import errno
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from orchestrator.backends.docker import cluster as module
from orchestrator.backends.docker import labels
from orchestrator.backends.docker.cluster import DockerCluster
from orchestrator.backends.docker.daemon import DaemonFacts
from orchestrator.backends.docker.environment import DockerEnvironment
from orchestrator.backends.docker.image import RayImage
from orchestrator.backends.docker.node_config import ContainerConfig
from orchestrator.backends.live.cloud import CloudNode, MachineLost
from orchestrator.backends.live.cluster import ClusterLaunch
from orchestrator.errors import ClusterFailed, MissingPrerequisite
from orchestrator.faults.injector import NodeEnded
from orchestrator.inputs.cluster_config import read_cluster_file
from orchestrator.model.settings import Settings
from tests.support.builders import FOREIGN_PROVIDERS
from tests.support.fake_docker_sdk import GONE, not_found, refused

FILE = read_cluster_file(Path(__file__).parents[4] / "cluster" / "docker.yaml")
NODE = "ab" * 28


class Worker:
    """A worker's container on the cluster's network."""

    def __init__(self, marks: dict[str, str], network: str) -> None:
        self.labels = marks
        self.network = network
        self.id = "c0ffee"
        self.status = "running"
        self.address: str | None = "10.0.0.7"
        self.refusal: Exception | None = None

    @property
    def attrs(self) -> dict[str, Any]:
        return {"NetworkSettings": {"Networks": {self.network: {"IPAddress": self.address}}}}

    def pause(self) -> None:
        if self.refusal is not None:
            raise self.refusal
        assert self.status == "running"
        self.status = "paused"

    def unpause(self) -> None:
        if self.refusal is not None:
            raise self.refusal
        if self.status != "paused":
            raise refused(409, "is not paused")
        self.status = "running"


class Engine:
    """Has the workers that run, and the network that they are on."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []
        self.away: Exception | None = None

    @property
    def containers(self) -> "Engine":
        return self

    @property
    def networks(self) -> "Engine":
        return self

    def create(self, *_name: str, **_options: Any) -> "Engine":
        if self.away is not None:
            raise self.away
        return self

    def list(self, *, filters: dict[str, Any], **_more: bool) -> list[Worker]:
        if self.away is not None:
            raise self.away
        wanted = dict(label.split("=", 1) for label in filters["label"])
        return [worker for worker in self.workers if wanted.items() <= worker.labels.items()]

    def get(self, name: str) -> "Engine":
        assert all(worker.network == name for worker in self.workers)
        return self

    def disconnect(self, worker: Worker, *, force: bool) -> None:
        assert force, "a stopping container is cut off, too"
        worker.address = None

    @property
    def attrs(self) -> dict[str, Any]:
        return {"Containers": {}, "IPAM": {"Config": [{"Subnet": "10.0.0.0/24"}]}}

    def reload(self) -> None:
        """It is as it was."""

    def remove(self) -> None:
        """For a test it is made once."""

    @property
    def api(self) -> "Engine":
        return self

    def create_endpoint_config(self, *, ipv4_address: str) -> dict[str, str]:
        return {"IPv4Address": ipv4_address}

    def connect(self, worker: Worker, *, ipv4_address: str) -> None:
        assert worker.address is None
        worker.address = ipv4_address


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def cluster(engine: Engine, tmp_path: Path) -> DockerCluster:
    """One that hasn't been started."""
    cluster = DockerCluster(launch(tmp_path), host(engine))
    cluster.files.create()
    return cluster


@pytest.fixture
def worker(engine: Engine, cluster: DockerCluster, tmp_path: Path) -> Worker:
    marks = {**labels.cluster_labels(tmp_path / "home", cluster.cluster_id), labels.NODE: NODE}
    engine.workers.append(Worker({**marks, labels.NODE: "cd" * 28}, f"orchestrate-{cluster.cluster_id}"))
    engine.workers.append(Worker(marks, f"orchestrate-{cluster.cluster_id}"))
    return engine.workers[-1]


def launch(folder: Path, logs_dir: Path | None = None) -> ClusterLaunch:
    return ClusterLaunch(folder / "home", FILE, FILE.shape, Settings(), logs_dir)


def host(engine: Engine, machines: Mapping[str, str] | None = None, *, rootless: bool = False) -> DockerEnvironment:
    """This machine, with an image for each node type of the `uname -m` that is named."""
    facts = DaemonFacts("27.0", 2, 2**34, "x86_64", rootless, False, "2", frozenset())
    images = {
        name: RayImage("ray", "sha256:1", "python", "3.11.7", "2.60.0", each, True)
        for name, each in (machines or {}).items()
    }
    return DockerEnvironment(engine, facts, images, dict.fromkeys(images, ContainerConfig()))  # type: ignore[arg-type]


# Architectures

MIXED = {"head_node": "x86_64", "x86_worker_node": "x86_64", "arm_worker_node": "aarch64"}


def options(cluster: DockerCluster, node_type: str) -> dict[str, Any]:
    """What the container of a worker is made with."""
    return cluster._worker(FILE.shape, CloudNode(NODE, node_type, {}, {"CPU": 8}))._options


def test_a_native_node_has_its_cpu_limit_and_the_engines_platform(engine: Engine, tmp_path: Path) -> None:
    cluster = mixed(engine, tmp_path)
    made = options(cluster, "x86_worker_node")

    assert made["platform"] == "linux/amd64"
    assert made["nano_cpus"] == 2 * 10**9


def test_an_emulated_node_has_its_platform_and_all_the_cpu_there_is(engine: Engine, tmp_path: Path) -> None:
    cluster = mixed(engine, tmp_path)
    made = options(cluster, "arm_worker_node")

    assert made["platform"] == "linux/arm64"
    assert "nano_cpus" not in made


def test_with_emulated_nodes_starts_take_longer_one_at_a_time(engine: Engine, tmp_path: Path) -> None:
    native = host(engine, {**MIXED, "arm_worker_node": "x86_64"})

    assert [host(engine, MIXED).starts, native.starts] == [1, 2]
    assert mixed(engine, tmp_path).start_s > DockerCluster(launch(tmp_path), native).start_s


def mixed(engine: Engine, folder: Path) -> DockerCluster:
    """A cluster that hasn't been started, whose arm64 workers are emulated."""
    cluster = DockerCluster(launch(folder), host(engine, MIXED))
    cluster.files.create()
    cluster._network.create()
    cluster.inner_gcs = "10.0.0.2:6379"
    return cluster


# Faults, and what is gone


def test_a_node_is_paused_and_goes_on(cluster: DockerCluster, worker: Worker, engine: Engine) -> None:
    cluster.inject("pause", NODE)

    assert [each.status for each in engine.workers] == ["running", "paused"]

    cluster.recover("pause", NODE)

    assert worker.status == "running"


def test_a_node_that_was_let_go_on_so_that_it_can_end_needs_no_mending(cluster: DockerCluster, worker: Worker) -> None:
    cluster.inject("pause", NODE)
    worker.status = "running"
    cluster.recover("pause", NODE)

    assert worker.status == "running"


def test_a_node_that_was_cut_off_gets_its_address_back(cluster: DockerCluster, worker: Worker, engine: Engine) -> None:
    cluster.inject("partition", NODE)

    assert [each.address for each in engine.workers] == ["10.0.0.7", None]

    cluster.recover("partition", NODE)
    cluster.recover("partition", NODE)

    assert worker.address == "10.0.0.7"


@pytest.mark.parametrize("kind", ["kill", "spot", "pause", "partition"])
def test_a_node_that_is_gone_cannot_be_struck(cluster: DockerCluster, kind: Any) -> None:
    with pytest.raises(NodeEnded):
        cluster.inject(kind, NODE)


@pytest.mark.parametrize("kind", ["kill", "spot", "pause", "partition"])
def test_a_node_that_is_gone_needs_no_mending(cluster: DockerCluster, engine: Engine, kind: Any) -> None:
    cluster.recover(kind, NODE)

    assert engine.workers == []


def test_a_node_that_goes_while_it_is_mended_is_no_error(cluster: DockerCluster, worker: Worker) -> None:
    cluster.inject("pause", NODE)
    worker.refusal = not_found()
    cluster.recover("pause", NODE)


def test_a_fault_that_the_engine_refuses_says_what_and_where(cluster: DockerCluster, worker: Worker) -> None:
    worker.refusal = refused(500, "cannot pause: no freezer")
    with pytest.raises(ClusterFailed, match="pause of node abababab: cannot pause: no freezer"):
        cluster.inject("pause", NODE)


def test_an_engine_that_is_away_is_said_in_one_line(cluster: DockerCluster, engine: Engine) -> None:
    engine.away = GONE
    with pytest.raises(MissingPrerequisite, match="finding the container of node abababab: the Docker engine doesn't"):
        cluster.inject("pause", NODE)


def test_a_start_that_fails_notes_what_it_may_have_left(engine: Engine, tmp_path: Path) -> None:
    engine.away = GONE
    with pytest.raises(MissingPrerequisite, match="making a network for the cluster: the Docker engine") as failed:
        DockerCluster.start(launch(tmp_path), host(engine))

    assert [note.partition(": ")[0] for note in failed.value.__notes__] == ["removing the cluster's containers"]
    assert len(list((tmp_path / "home" / "clusters").iterdir())) == 1, "by which clean knows that there was one"


def test_a_cluster_without_a_head_is_not_alive(cluster: DockerCluster) -> None:
    with pytest.raises(ClusterFailed, match="the head of the cluster ended: it left no message"):
        cluster.check_alive()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("of", ["_cloud", "_mailbox"])
def test_a_full_disk_ends_the_sweep_and_not_just_a_trial(cluster: DockerCluster, of: str, code: int) -> None:
    broken(cluster, of, OSError(code, "No space left on device", "journal.jsonl"))
    with pytest.raises(MissingPrerequisite, match=r"no room left to write journal\.jsonl: No space left on device"):
        cluster.check_alive()


def test_what_every_node_is_refused_for_ends_the_sweep(cluster: DockerCluster) -> None:
    broken(cluster, "_cloud", MissingPrerequisite("starting the container: the engine's disk is full", "make room"))
    with pytest.raises(MissingPrerequisite, match="the engine's disk is full"):
        cluster.check_alive()


@pytest.mark.parametrize("failure", [MachineLost("the Docker engine doesn't answer"), OSError(5, "I/O error")])
def test_whatever_else_happens_to_a_machine_is_a_failure_of_the_cluster(
    cluster: DockerCluster, failure: Exception
) -> None:
    broken(cluster, "_cloud", failure)
    with pytest.raises(ClusterFailed, match=str(failure.args[-1])):
        cluster.check_alive()


def broken(cluster: DockerCluster, part: str, failure: Exception) -> None:
    setattr(cluster, part, SimpleNamespace(failure=failure))
    if part != "_mailbox":
        cluster._mailbox.failure = None


@pytest.mark.parametrize("ports", [{}, {"6379/tcp": None}, {"6379/tcp": []}])
def test_a_head_that_ends_just_after_its_start_has_no_ports_and_failed(
    cluster: DockerCluster, ports: dict[str, Any]
) -> None:
    head = SimpleNamespace(
        attributes=lambda: {"NetworkSettings": {"Ports": ports}}, last_words=lambda: "ended: gcs_server (1)"
    )
    cluster._head = head  # type: ignore[assignment]
    with pytest.raises(ClusterFailed, match=r"the head of the cluster ended: ended: gcs_server \(1\)"):
        cluster._published(head, 6379)  # type: ignore[arg-type]


def test_of_a_log_that_never_ends_a_part_is_kept(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOG_KEPT", 10)
    cluster = DockerCluster(launch(tmp_path, tmp_path / "logs"), host(engine))
    cluster.files.create()
    cluster.files.monitor_log.write_text("x" * 100)
    cluster.stop()
    kept = tmp_path / "logs" / cluster.cluster_id / "monitor.log"

    assert kept.read_text() == "x" * 10


def test_the_provider_is_told_where_it_finds_its_mailbox(cluster: DockerCluster) -> None:
    cluster.apply_settings(FILE.shape, Settings())
    provider = yaml.safe_load(cluster.files.config.read_text())["provider"]

    assert provider["module"] == "orchestrator.backends.docker.node_provider.DockerNodeProvider"
    assert provider["cluster_dir"] == "/orchestrate"


@pytest.mark.parametrize("foreign", FOREIGN_PROVIDERS, ids=lambda provider: str(provider["type"]))
def test_whatever_provider_the_file_names_the_head_gets_ours(
    foreign: dict[str, Any], engine: Engine, tmp_path: Path
) -> None:
    file = replace(FILE, raw={**FILE.raw, "provider": foreign})
    cluster = DockerCluster(ClusterLaunch(tmp_path / "home", file, file.shape, Settings(), None), host(engine))
    cluster.files.create()
    cluster.apply_settings(FILE.shape, Settings())
    provider = yaml.safe_load(cluster.files.config.read_text())["provider"]

    assert provider["type"] == "external"
    assert provider["module"] == "orchestrator.backends.docker.node_provider.DockerNodeProvider"
    assert not [key for key, value in foreign.items() if key != "type" and provider.get(key) == value]


def test_containers_run_as_the_user_who_owns_the_folder(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 1001)
    monkeypatch.setattr("os.getgid", lambda: 1002)

    assert host(engine).user == "1001:1002"


def test_in_a_rootless_engine_that_user_is_root(engine: Engine) -> None:
    assert host(engine, rootless=True).user == "0:0"
