"""What every live cluster does with its files: settings are written, and believed only when they are in force."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.backends.live.cluster import ClusterLaunch
from orchestrator.backends.live.shared_files import SharedFilesCluster
from orchestrator.errors import ClusterFailed, SettingsNotInForce
from orchestrator.inputs.cluster_config import read_cluster_file
from orchestrator.model.settings import Settings

FILE = read_cluster_file(Path(__file__).parents[4] / "cluster" / "docker.yaml")
SETTINGS = Settings(upscaling_speed=5, idle_timeout_minutes=1)
IN_FORCE: dict[str, Any] = {
    "autoscaler": "v2",
    "upscaling_speed": 5.0,
    "idle_timeout_minutes": 1.0,
    "max_workers": FILE.shape.max_workers,
    "node_types": {worker.name: [worker.min_workers, worker.max_workers] for worker in FILE.shape.workers},
    "max_concurrent_launches": SETTINGS.max_concurrent_launches,
    "max_launch_batch": SETTINGS.max_launch_batch,
    "update_interval_s": SETTINGS.update_interval_s,
}


class Cluster(SharedFilesCluster):
    """One without a head: only its folder is there."""

    backend = "docker"
    alive = True

    @property
    def monitor_log(self) -> Path:
        return self.files.monitor_log

    def check_alive(self) -> None:
        if not self.alive:
            raise ClusterFailed("the head ended")

    def stop(self) -> None:
        pass

    def _last_words(self) -> str:
        return "it said this"

    def _provider(self) -> dict[str, Any]:
        return {"cluster_dir": "/orchestrate", "head_node_id": "head-c0ffee00"}


def launch(home: Path, logs_dir: Path | None = None) -> ClusterLaunch:
    return ClusterLaunch(home, FILE, FILE.shape, SETTINGS, logs_dir)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    cluster = Cluster(launch(tmp_path / "home", tmp_path / "logs"))
    cluster.files.create()
    return cluster


def test_each_cluster_has_a_name_and_a_folder_of_its_own(tmp_path: Path) -> None:
    one, other = (Cluster(launch(tmp_path)) for _ in range(2))

    assert one.cluster_id != other.cluster_id
    assert one.files.root != other.files.root


def test_settings_are_written_with_what_the_provider_needs(cluster: Cluster) -> None:
    cluster.apply_settings(FILE.shape, SETTINGS)
    config = yaml.safe_load(cluster.files.config.read_text())

    assert (config["upscaling_speed"], config["idle_timeout_minutes"]) == (5.0, 1.0)
    assert config["cluster_name"] == f"orchestrate-{cluster.cluster_id}"
    assert config["provider"]["cluster_dir"] == "/orchestrate"
    assert config["provider"]["head_node_id"] == "head-c0ffee00"


def test_before_the_autoscaler_reports_nothing_is_in_force(cluster: Cluster) -> None:
    assert cluster.live_settings() is None


def test_what_the_autoscaler_reported_last_is_in_force(cluster: Cluster) -> None:
    cluster.files.append_settings({"upscaling_speed": 1.0})
    cluster.files.append_settings(IN_FORCE)

    assert cluster.live_settings() == IN_FORCE
    assert cluster.live_settings() == IN_FORCE
    assert cluster.wait_for_settings(FILE.shape, SETTINGS, timeout_s=0) == IN_FORCE


@pytest.mark.parametrize(
    "line", ["", "5", "[]", "{}", "not JSON", '{"settings": 5}', '{"settings": null}', "[" * 99_999, "x" * 200_000]
)
def test_what_a_job_writes_among_the_settings_is_passed_over(cluster: Cluster, line: str) -> None:
    cluster.files.append_settings(IN_FORCE)
    with cluster.files.settings.open("a") as settings:
        settings.write(f"{line}\n")

    assert [cluster.live_settings() for _ in range(4)][-1] == IN_FORCE


def test_settings_that_are_not_taken_over_in_time_are_named(cluster: Cluster) -> None:
    cluster.files.append_settings({**IN_FORCE, "upscaling_speed": 1.0})
    with pytest.raises(SettingsNotInForce, match=r"upscaling_speed is 1\.0, not 5") as failed:
        cluster.wait_for_settings(FILE.shape, SETTINGS, timeout_s=-1)

    assert failed.value.message.count("not ") == 1
    assert str(cluster.cluster_id) in (failed.value.hint or "")


def test_nobody_waits_for_a_cluster_that_has_ended(cluster: Cluster) -> None:
    cluster.alive = False
    began = time.monotonic()
    with pytest.raises(ClusterFailed, match="the head ended"):
        cluster.wait_for_settings(FILE.shape, SETTINGS, timeout_s=60)

    assert time.monotonic() - began < 30


def test_a_trial_is_told_to_the_provider(cluster: Cluster) -> None:
    cluster.begin_trial("0123456789ab", 7)

    assert cluster.files.read_trial() == ("0123456789ab", 7)


def test_a_cluster_that_can_cause_no_faults_says_so(cluster: Cluster) -> None:
    with pytest.raises(ClusterFailed, match="the docker backend can't cause a pause"):
        cluster.inject("pause", "n1")

    cluster.recover("pause", "n1")


def test_journal_and_monitor_log_are_read_as_they_grow(cluster: Cluster) -> None:
    logs = cluster.logs()
    assert logs.journal is not None
    assert logs.monitor is not None
    assert list(logs.journal.read()) == []

    cluster.files.append_journal({"event": "requested"})
    cluster.monitor_log.write_text("a line of Ray's monitor\n")

    assert [json.loads(line)["event"] for line in logs.journal.read()] == ["requested"]
    assert list(logs.monitor.read()) == ["a line of Ray's monitor"]
    assert list(logs.monitor.read()) == []
