"""Cluster files of other people on the stand-in for EC2: whole trials. It takes minutes: make test-aws."""

import os
from collections.abc import Iterator
from pathlib import Path
from string import Template

import pytest

from tests.support.ec2.cloud import REGION, Cloud, cloud, machine
from tests.support.ec2.sweeps import assert_nothing_is_left, lab, sweep
from tests.support.orchestrate_command import ROOT, Orchestrate

__all__ = ["cloud", "machine"]
pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif("ORCHESTRATE_TEST_AWS" not in os.environ, reason="whole trials take minutes: make test-aws"),
]

FILES = ROOT / "tests/data/cluster_files"


@pytest.fixture
def orchestrate(cloud: Cloud, tmp_path: Path) -> Iterator[Orchestrate]:
    with lab(cloud, tmp_path / "home") as command:
        yield command


def assert_runs(cloud: Cloud, orchestrate: Orchestrate, file: Path, *options: str) -> None:
    """One valid trial, after which nothing is left."""
    done = orchestrate(*sweep(file, "--upscaling-speed", "1", "--yes", *options))

    assert done.returncode == 0, done.stdout + done.stderr
    (trial,) = orchestrate.json("show", "@last")["trials"]
    assert trial["scorecard"]["invalid_because"] == []
    assert_nothing_is_left(cloud, orchestrate.home)


def test_the_file_of_the_guide_runs(cloud: Cloud, orchestrate: Orchestrate, tmp_path: Path) -> None:
    """As the guide's shell writes it, with ids of this account."""
    images = {
        f"{name}_AMI_ID": cloud.client("ssm").get_parameter(
            Name=f"/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{arch}"
        )["Parameter"]["Value"]
        for name, arch in (("X86", "x86_64"), ("ARM", "arm64"))
    }
    text = Template((FILES / "guide.yaml").read_text())
    file = tmp_path / "cluster.yaml"
    file.write_text(text.substitute(CLUSTER_NAME="ray-on-aws", AWS_REGION=REGION, **images))
    cloud.api.vcpu_quota = 200.0  # 8 workers of each type may run

    assert_runs(cloud, orchestrate, file)


def test_rays_smallest_example_runs(cloud: Cloud, orchestrate: Orchestrate, tmp_path: Path) -> None:
    """One line is added: the stand-in has no public addresses. All else is Ray's defaults: image, user, commands."""
    text = (FILES / "ray/aws-minimal.yaml").read_text()
    file = tmp_path / "cluster.yaml"
    file.write_text(text.replace("region: us-west-2", f"region: {REGION}, use_internal_ips: true"))

    assert_runs(cloud, orchestrate, file)


@pytest.mark.parametrize("name", ["aws-full.yaml", "aws-gpu-docker.yaml"])
def test_rays_examples_with_containers_are_refused(cloud: Cloud, orchestrate: Orchestrate, name: str) -> None:
    done = orchestrate(*sweep(FILES / "ray" / name, "--upscaling-speed", "1", "--yes"))

    assert done.returncode == 2
    assert "docker: Ray would run in a container on each machine" in done.stderr
    assert cloud.left() == {}
