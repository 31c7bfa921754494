"""The aws backend on a stand-in for EC2 whose instances are containers: sweeps that are valid, and leave nothing."""

import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.aws.tags import CLUSTER
from orchestrator.model.events import LAUNCH_STAGES
from tests.support.ec2.cloud import ACCESS_KEY, SECRET_KEY, Cloud, cloud, machine
from tests.support.ec2.sweeps import (
    ARM,
    X86,
    assert_nothing_is_left,
    cluster_file,
    events,
    files_with_secrets,
    lab,
    sweep,
)
from tests.support.orchestrate_command import ROOT, Orchestrate
from tests.support.prometheus_server import running
from tests.support.requirements import free_port

__all__ = ["cloud", "machine"]
pytestmark = pytest.mark.alone


@pytest.fixture
def orchestrate(cloud: Cloud, tmp_path: Path) -> Iterator[Orchestrate]:
    with lab(cloud, tmp_path / "home") as command:
        yield command


# A sweep of two speeds on two architectures


class Seen:
    """What other processes and the API showed while a sweep ran."""

    def __init__(self, cloud: Cloud) -> None:
        self.command_lines: set[str] = set()
        self.environments_with_ours: set[str] = set()
        self._cloud = cloud
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Seen":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(0.5):
            for process in psutil.process_iter(["cmdline"]):
                self.command_lines.add(" ".join(process.info["cmdline"] or ()))

    def user_data(self) -> list[str]:
        return [call.parameters.get("UserData", "") for call in self._cloud.api.called("RunInstances")]


@dataclass(frozen=True)
class Swept:
    home: Orchestrate
    document: dict[str, Any]
    seen: Seen
    said: str
    targets: list[dict[str, str]]  # the labels of all that Prometheus could scrape


def through_the_proxy() -> dict[str, str]:
    """The change of Prometheus' configuration that docs/aws.md tells."""
    text = (ROOT / "docs/aws.md").read_text()
    (block,) = re.findall(r"```yaml\n(  - job_name: ray\n.*?)```", text, re.DOTALL)
    return {"  - job_name: ray\n": block}


@pytest.fixture(scope="module")
def swept(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swept]:
    """Two trials, which a Prometheus watches."""
    folder, watching, port = tmp_path_factory.mktemp("swept"), tmp_path_factory.mktemp("prometheus"), free_port()
    arguments = sweep(cluster_file(folder), "--upscaling-speed", "1,10", "--metrics-port", str(port), "--yes")
    with (
        lab(cloud, folder / "home") as command,
        running(watching, port, **through_the_proxy()) as prometheus,
        Seen(cloud) as seen,
    ):
        done = command(*arguments, timeout=580)
        assert done.returncode == 0, done.stdout + done.stderr
        up = prometheus.at('max_over_time(up{job="ray"}[30m]) == 1', time.time())
        said = done.stdout + done.stderr
        yield Swept(command, command.json("show", "@last"), seen, said, [each["metric"] for each in up])


def test_both_speeds_are_measured_on_one_cluster(swept: Swept, cloud: Cloud) -> None:
    cards = [trial["scorecard"] for trial in swept.document["trials"]]

    assert [card["invalid_because"] for card in cards] == [[], []]
    assert [card["tasks"] for card in cards] == [16, 16]
    heads = [
        call for call in cloud.api.called("RunInstances") if "head" in call.parameters.values() and not call.refused
    ]
    assert len(heads) == 1


def test_settings_are_read_back_from_the_live_autoscaler(swept: Swept) -> None:
    (settings,) = events(swept.home, "settings")

    assert settings["as_wanted"]
    assert settings["in_force"]["upscaling_speed"] == 10
    assert settings["in_force"]["node_types"] == {X86: [1, 2], ARM: [1, 2]}


def test_each_launch_has_its_finer_stages(swept: Swept) -> None:
    trace = swept.home.trace()
    requested = [each for each in trace if each["type"] == "node" and each["state"] == "requested"]
    launched = {each["node"] for each in requested if each["cause"] != "baseline"}
    told = [each for each in trace if each["type"] == "stage"]
    stages = {node: [each["stage"] for each in told if each["node"] == node] for node in launched}

    assert {each["node_type"] for each in requested} == {X86, ARM}
    assert all(sorted(found) == sorted(LAUNCH_STAGES) for found in stages.values()), stages
    card = swept.document["trials"][-1]["scorecard"]
    assert {"request", "boot", "install", *LAUNCH_STAGES} <= card["launch_s"]["all"].keys()


def test_prometheus_sees_each_node(swept: Swept) -> None:
    ran = {each["node"]: each for each in events(swept.home, "node") if each["state"] in ("running", "idle")}

    assert len(ran) >= 5
    seen = {each["node"]: each for each in swept.targets}
    assert ran.keys() <= seen.keys()
    assert all(seen[node]["node_type"] == each["node_type"] for node, each in ran.items())
    assert all(seen[node]["arch"] == each["arch"] for node, each in ran.items())
    assert {each["ray_port"] for each in swept.targets} == {"node", "autoscaler", "dashboard"}


def test_the_sweep_has_a_cost(swept: Swept) -> None:
    assert all(trial["scorecard"]["cost_usd"]["total"] > 0 for trial in swept.document["trials"])


def test_nothing_is_left_after_a_sweep(swept: Swept, cloud: Cloud) -> None:
    assert_nothing_is_left(cloud, swept.home.home)


def test_secrets_appear_nowhere(swept: Swept) -> None:
    assert files_with_secrets(swept.home.home) == []
    token = (swept.home.home / "ray_token").read_text().strip()
    everything = "\n".join((*swept.seen.command_lines, *swept.seen.user_data(), swept.said))
    assert [secret for secret in (ACCESS_KEY, SECRET_KEY, token) if secret in everything] == []


def test_the_launch_asked_for_what_keeps_an_account_safe(swept: Swept, cloud: Cloud) -> None:
    launches = [call.parameters for call in cloud.api.called("RunInstances") if "DryRun" not in call.parameters]
    calls = [call for call in launches if CLUSTER in call.values()]

    assert calls
    assert {call["InstanceInitiatedShutdownBehavior"] for call in calls} == {"terminate"}
    assert {call["MetadataOptions.HttpTokens"] for call in calls} == {"required"}
    tagged = {value for call in calls for name, value in call.items() if name.endswith(".ResourceType")}
    assert tagged == {"instance", "volume", "network-interface"}
    opened = [call.parameters for call in cloud.api.called("AuthorizeSecurityGroupIngress")]
    assert "0.0.0.0/0" not in {value for call in opened for value in call.values()}


# Ends that aren't planned


def test_a_failing_setup_command_shows_its_output(cloud: Cloud, orchestrate: Orchestrate, tmp_path: Path) -> None:
    file = cluster_file(tmp_path, setup="echo no such package: flux-capacitor; exit 7")
    done = orchestrate(*sweep(file, "--upscaling-speed", "1", "--yes"))

    assert done.returncode == 1
    assert "no such package: flux-capacitor" in done.stdout + done.stderr
    assert_nothing_is_left(cloud, orchestrate.home)


def test_a_head_without_capacity_fails_the_trial(cloud: Cloud, orchestrate: Orchestrate, tmp_path: Path) -> None:
    with cloud.api.refusing("RunInstances", "InsufficientInstanceCapacity", InstanceType="m7i.xlarge", DryRun=""):
        done = orchestrate(*sweep(cluster_file(tmp_path), "--upscaling-speed", "1", "--yes"))

    assert done.returncode == 1
    assert "InsufficientInstanceCapacity" in done.stdout + done.stderr
    assert_nothing_is_left(cloud, orchestrate.home)


def begun(cloud: Cloud, orchestrate: Orchestrate, file: Path) -> subprocess.Popen[str]:
    """A sweep that has just launched its head."""
    process = orchestrate.start(*sweep(file, "--upscaling-speed", "1", "--yes"))
    orchestrate.wait_for(lambda: bool(cloud.heads()), process, "a head")
    return process


def test_ctrl_c_leaves_nothing(cloud: Cloud, orchestrate: Orchestrate, tmp_path: Path) -> None:
    process = begun(cloud, orchestrate, cluster_file(tmp_path))
    process.send_signal(signal.SIGINT)

    assert process.wait(120) == 130, orchestrate.output()
    assert_nothing_is_left(cloud, orchestrate.home)
    assert orchestrate.leftovers() == []


def test_clean_removes_what_a_killed_sweep_left(cloud: Cloud, orchestrate: Orchestrate, tmp_path: Path) -> None:
    process = begun(cloud, orchestrate, cluster_file(tmp_path))
    process.kill()
    process.wait()
    assert cloud.left().keys() >= {"instance", "volume", "key pair", "security group"}

    cleaned = orchestrate("clean", "--backend", "aws", "--force")

    assert cleaned.returncode == 0, cleaned.stderr
    assert_nothing_is_left(cloud, orchestrate.home)
    assert orchestrate.leftovers() == []
