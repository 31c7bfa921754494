"""What happens to clusters on EC2 in the middle of a trial, on the stand-in. It takes minutes: make test-aws."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.ec2.cloud import ACCESS_KEY, SECRET_KEY, Cloud, cloud, machine, tags_of
from tests.support.ec2.machines import wait_until
from tests.support.ec2.sweeps import ARM, X86, assert_nothing_is_left, cluster_file, events, lab, sweep
from tests.support.orchestrate_command import Orchestrate

__all__ = ["cloud", "machine"]
pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif("ORCHESTRATE_TEST_AWS" not in os.environ, reason="whole trials take minutes: make test-aws"),
]


@pytest.fixture
def orchestrate(cloud: Cloud, tmp_path: Path) -> Iterator[Orchestrate]:
    with lab(cloud, tmp_path / "home") as command:
        yield command


def in_phase(orchestrate: Orchestrate, phase: str) -> bool:
    return any(event["phase"] == phase for event in events(orchestrate, "phase"))


def card(orchestrate: Orchestrate) -> dict[str, Any]:
    document = orchestrate.json("show", "@last")
    return dict(document["trials"][-1]["scorecard"])


def test_v1_knows_its_nodes(cloud: Cloud, orchestrate: Orchestrate, tmp_path: Path) -> None:
    done = orchestrate(*sweep(cluster_file(tmp_path), "--autoscaler", "v1", "--upscaling-speed", "1", "--yes"))

    assert done.returncode == 0, done.stdout + done.stderr
    assert card(orchestrate)["invalid_because"] == []
    nodes = [event for event in events(orchestrate, "node") if not event["is_head"]]
    assert {event["node_type"] for event in nodes} == {X86, ARM}
    assert all(event["node"].startswith("i-") for event in nodes)
    assert_nothing_is_left(cloud, orchestrate.home)


def test_a_network_that_is_cut_loses_nothing(cloud: Cloud, orchestrate: Orchestrate, tmp_path: Path) -> None:
    file = cluster_file(tmp_path)
    process = orchestrate.start(*sweep(file, "--upscaling-speed", "1", "--yes", task_s=15))
    orchestrate.wait_for(lambda: in_phase(orchestrate, "running"), process, "tasks", 300)
    (head,) = cloud.heads()
    with cloud.no_ssh(head["PrivateIpAddress"]):
        time.sleep(60)

    assert process.wait(400) == 0, orchestrate.output()
    found = card(orchestrate)
    assert found["invalid_because"] == []
    assert found["tasks"] == 16
    assert any("completed from logs" in warning for warning in found["warnings"])
    assert_nothing_is_left(cloud, orchestrate.home)


def test_a_dead_head_ends_the_trial(cloud: Cloud, orchestrate: Orchestrate, tmp_path: Path) -> None:
    process = orchestrate.start(*sweep(cluster_file(tmp_path), "--upscaling-speed", "1", "--yes"))
    orchestrate.wait_for(lambda: in_phase(orchestrate, "running"), process, "tasks", 300)
    (head,) = cloud.heads()
    cloud.engine.docker("kill", head["InstanceId"])

    assert process.wait(200) == 1, orchestrate.output()
    assert "the head's instance is" in orchestrate.output()
    assert_nothing_is_left(cloud, orchestrate.home)


def test_a_stopped_head_ends_the_trial(cloud: Cloud, orchestrate: Orchestrate, tmp_path: Path) -> None:
    process = orchestrate.start(*sweep(cluster_file(tmp_path), "--upscaling-speed", "1", "--yes"))
    orchestrate.wait_for(lambda: in_phase(orchestrate, "running"), process, "tasks", 300)
    (head,) = cloud.heads()
    cloud.client("ec2").stop_instances(InstanceIds=[head["InstanceId"]])

    assert process.wait(200) == 1, orchestrate.output()
    assert "the head's instance is" in orchestrate.output()
    assert_nothing_is_left(cloud, orchestrate.home)


def test_expired_credentials_pause_the_trial_until_the_next_login(
    cloud: Cloud, orchestrate: Orchestrate, tmp_path: Path
) -> None:
    login = tmp_path / "credentials"
    login.write_text(credentials(ACCESS_KEY))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del orchestrate.environment[name]
    orchestrate.environment["AWS_SHARED_CREDENTIALS_FILE"] = str(login)
    process = orchestrate.start(*sweep(cluster_file(tmp_path), "--upscaling-speed", "1", "--yes"))
    orchestrate.wait_for(lambda: in_phase(orchestrate, "running"), process, "tasks", 300)
    with cloud.api.refusing("*", "RequestExpired", AccessKeyId=ACCESS_KEY):
        orchestrate.wait_for(lambda: "paused" in logged(orchestrate), process, "a pause", 60)
        login.write_text(credentials("AKIAAFTERANEWLOGIN"))

        assert process.wait(400) == 0, orchestrate.output()
    found = card(orchestrate)
    assert found["invalid_because"] == []
    assert found["tasks"] == 16
    assert "the new credentials are good" in logged(orchestrate)
    assert_nothing_is_left(cloud, orchestrate.home)


def credentials(key: str) -> str:
    return f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {SECRET_KEY}\n"


def logged(orchestrate: Orchestrate) -> str:
    return "".join(path.read_text() for path in orchestrate.home.glob("sweeps/*/orchestrate.log"))


def test_a_throttled_autoscaler_is_a_warning(cloud: Cloud, orchestrate: Orchestrate, tmp_path: Path) -> None:
    process = orchestrate.start(*sweep(cluster_file(tmp_path), "--upscaling-speed", "1", "--yes"))
    orchestrate.wait_for(lambda: in_phase(orchestrate, "running"), process, "tasks", 300)
    cloud.api.refuse("DescribeInstances", "RequestLimitExceeded", times=20)

    assert process.wait(400) == 0, orchestrate.output()
    assert any(event["kind"] == "autoscaler_throttled" for event in events(orchestrate, "note"))
    assert any("throttled the autoscaler's calls" in warning for warning in card(orchestrate)["warnings"])


@pytest.mark.parametrize(
    ("fault", "message"),
    [("silent", "Connection refused"), ("locked", "Permission denied")],
    ids=["no sshd", "wrong key"],
)
def test_a_head_that_lets_nobody_in_says_why(
    cloud: Cloud, orchestrate: Orchestrate, tmp_path: Path, fault: str, message: str
) -> None:
    orchestrate.environment["AUTOSCALER_NODE_START_WAIT_S"] = "15"  # Ray's own; five minutes by default
    affected: set[str] = getattr(cloud.machines, fault)
    affected.add("m7i.xlarge")
    try:
        done = orchestrate(*sweep(cluster_file(tmp_path), "--upscaling-speed", "1", "--yes"))
    finally:
        affected.clear()

    assert done.returncode == 1
    assert "the head never answered SSH" in done.stdout + done.stderr
    assert message in done.stdout + done.stderr
    assert_nothing_is_left(cloud, orchestrate.home)


def test_a_trial_that_reaches_the_limit_is_ended(cloud: Cloud, orchestrate: Orchestrate, tmp_path: Path) -> None:
    arguments = sweep(cluster_file(tmp_path), "--upscaling-speed", "1")
    planned = orchestrate(*arguments, "--dry-run", "--json", "-")
    (trial,) = json.loads(planned.stdout)["cost"]["trials"].values()
    cloud.machines.silent |= {
        "m7i.2xlarge",
        "m8g.2xlarge",
    }  # the workers: the trial can't begin, and costs more and more
    try:
        done = orchestrate(*arguments, "--max-cost", f"{trial['usd'] + 0.001:.4f}")
    finally:
        cloud.machines.silent.clear()

    assert done.returncode == 1, done.stdout + done.stderr
    assert "the machines have cost $" in done.stdout + done.stderr
    assert_nothing_is_left(cloud, orchestrate.home)


def test_machines_end_by_themselves_without_an_orchestrator(
    cloud: Cloud, orchestrate: Orchestrate, tmp_path: Path
) -> None:
    file = cluster_file(tmp_path, **{"cache_stopped_nodes": "lease_minutes: 0.7\n  cache_stopped_nodes"})
    process = orchestrate.start(*sweep(file, "--upscaling-speed", "1", "--yes"))
    orchestrate.wait_for(lambda: in_phase(orchestrate, "running"), process, "tasks", 300)
    asked = len(cloud.api.called("TerminateInstances"))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()

    wait_until(lambda: not cloud.instances(), 240, lambda: str([tags_of(each) for each in cloud.instances()]))
    by_head = {call.parameters["InstanceId.1"] for call in cloud.api.called("TerminateInstances")[asked:]}
    assert not by_head & {head["InstanceId"] for head in cloud.heads()}
    wait_until(lambda: not orchestrate.leftovers(), 90, lambda: str(orchestrate.leftovers()))

    assert orchestrate("clean", "--backend", "aws", "--force").returncode == 0
    assert_nothing_is_left(cloud, orchestrate.home)


def test_a_type_without_capacity_is_seen_in_the_trace(cloud: Cloud, orchestrate: Orchestrate, tmp_path: Path) -> None:
    process = orchestrate.start(*sweep(cluster_file(tmp_path), "--upscaling-speed", "1", "--yes"))
    orchestrate.wait_for(lambda: in_phase(orchestrate, "submitting"), process, "tasks", 300)
    with cloud.api.refusing("RunInstances", "InsufficientInstanceCapacity", InstanceType="m8g.2xlarge"):
        assert process.wait(400) == 0, orchestrate.output()

    failed = [event for event in events(orchestrate, "node") if event["state"] == "failed"]
    assert {event["node_type"] for event in failed} == {ARM}
    assert all("InsufficientInstanceCapacity" in event["detail"] for event in failed)
    assert any("launches failed" in warning for warning in card(orchestrate)["warnings"])


def test_a_spot_interruption_is_told_from_a_crash(cloud: Cloud, orchestrate: Orchestrate, tmp_path: Path) -> None:
    process = orchestrate.start(*sweep(cluster_file(tmp_path), "--upscaling-speed", "1", "--yes"))
    orchestrate.wait_for(lambda: in_phase(orchestrate, "running"), process, "tasks", 300)
    workers = [each for each in cloud.instances("running") if tags_of(each).get("ray-node-type") == "worker"]
    cloud.machines.reclaim(workers[0]["InstanceId"])
    process.wait(400)

    failed = [event for event in events(orchestrate, "node") if event["state"] == "failed"]
    assert {(event["node"], event["cause"]) for event in failed} == {(workers[0]["InstanceId"], "spot_interruption")}
    assert_nothing_is_left(cloud, orchestrate.home)
