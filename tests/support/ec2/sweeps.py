"""Sweeps on the stand-in for EC2: the guide's cluster in small, and what must not be left."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.aws.tags import CLUSTER
from tests.support.ec2.cloud import ACCESS_KEY, REGION, SECRET_KEY, Cloud
from tests.support.ec2.machines import wait_until
from tests.support.orchestrate_command import ROOT, Orchestrate

ARM, X86 = "arm_worker_node", "x86_worker_node"
SMALL = {
    "# use_internal_ips: true": "use_internal_ips: true",
    "# region: eu-central-1": f"region: {REGION}",
    "CPU: 8": "CPU: 2",
    "max_workers: 8": "max_workers: 2",
    "max_workers: 16": "max_workers: 4",
    "idle_timeout_minutes: 5": "idle_timeout_minutes: 0.2",
    "--metrics-export-port=8080": "--metrics-export-port=8080 --object-store-memory=100000000",
    "  - ray stop\n": "",  # 3 s a node
}
SHORT = ("--tasks", "16", "--idle-timeout-minutes", "0.2")


def cluster_file(folder: Path, *, setup: str = "echo this machine is set up", **more: str) -> Path:
    """The built-in cluster with machines of two CPUs, whose image has Ray already."""
    text = (ROOT / "cluster/aws.yaml").read_text()
    begin, end = text.index("# `orchestrate` exports"), text.index("head_start_ray_commands:")
    text = f"{text[:begin]}setup_commands: [{setup!r}]\n\n{text[end:]}"
    for old, new in {**SMALL, **more}.items():
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "cluster.yaml"
    path.write_text(text)
    return path


def sweep(file: Path, *options: str, task_s: int = 6) -> list[str]:
    """The arguments of a sweep on that cluster that asks nothing."""
    cluster = ["--fit", "none", "--cluster", str(file)]
    return ["sweep", "--backend", "aws", *cluster, *SHORT, "--task-seconds", str(task_s), *options]


@contextlib.contextmanager
def lab(cloud: Cloud, home: Path) -> Iterator[Orchestrate]:
    """A home; what a failing test leaves in the account is ended."""
    command = Orchestrate(home, {**cloud.environment})
    try:
        yield command
    finally:
        ec2 = cloud.client("ec2")
        if ids := [each["InstanceId"] for each in cloud.instances()]:
            ec2.terminate_instances(InstanceIds=ids)
            wait_until(lambda: not cloud.instances(), 60)
        filters = [{"Name": "tag-key", "Values": [CLUSTER]}]
        for pair in ec2.describe_key_pairs(Filters=filters)["KeyPairs"]:
            ec2.delete_key_pair(KeyName=pair["KeyName"])
        for group in ec2.describe_security_groups(Filters=filters)["SecurityGroups"]:
            ec2.delete_security_group(GroupId=group["GroupId"])


def assert_nothing_is_left(cloud: Cloud, home: Path) -> None:
    assert (left := cloud.left()) == {}, left
    assert not list((home / "clusters").glob("*"))
    cloud.assert_foreign_is_untouched()
    assert cloud.machines.problems == []


def files_with_secrets(home: Path) -> list[str]:
    """Files of a home that contain the planted credentials, or its token; the token's own file may."""
    token = (home / "ray_token").read_text().strip()
    found = []
    for path in home.rglob("*"):
        if path.is_file() and path.name != "ray_token":
            content = path.read_bytes()
            found += [str(path) for secret in (ACCESS_KEY, SECRET_KEY, token) if secret.encode() in content]
    return found


def events(command: Orchestrate, kind: str) -> list[dict[str, Any]]:
    """Of the newest trace."""
    return [event for event in command.trace() if event["type"] == kind]
