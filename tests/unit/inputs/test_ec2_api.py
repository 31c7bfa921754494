"""A cluster file with an instance type that the catalogue lacks: AWS is asked if the user says so, and only then."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from moto import mock_aws

from orchestrator.errors import InputError, MissingPrerequisite, SpecError
from orchestrator.inputs import cluster_config
from orchestrator.inputs.cluster_config import read_cluster_file
from orchestrator.inputs.ec2_api import describe_instance_types
from orchestrator.inputs.instance_types import ec2_instance_types

# The catalogue has all types of today, so that these tests take one out of it: a type that is newer than the catalogue.
UNKNOWN = "m8g.xlarge"


@pytest.fixture(autouse=True)
def _older_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    older = {name: facts for name, facts in ec2_instance_types().items() if name != UNKNOWN}
    monkeypatch.setattr(cluster_config, "ec2_instance_types", lambda: older)


@pytest.fixture
def _aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield


@pytest.fixture
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def written(folder: Path, instance_type: str, provider: str = "type: aws, region: us-east-1") -> Path:
    path = folder / "cluster.yaml"
    path.write_text(
        f"""
cluster_name: unknown-type
max_workers: 4
provider: {{{provider}}}
head_node_type: head
available_node_types:
  head: {{resources: {{CPU: 0}}, node_config: {{InstanceType: m7i.large}}}}
  worker: {{min_workers: 0, max_workers: 4, resources: {{}}, node_config: {{InstanceType: {instance_type}}}}}
"""
    )
    return path


def test_a_type_that_the_catalogue_lacks_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=rf"CPU: Ray would ask AWS for that of '{UNKNOWN}'") as refused:
        read_cluster_file(written(tmp_path, UNKNOWN))

    assert "resources: {CPU: 8}" in (refused.value.hint or "")
    assert "--instance-types-from aws" in (refused.value.hint or "")


@pytest.mark.usefixtures("_aws")
def test_aws_describes_it_if_asked_to(tmp_path: Path) -> None:
    cluster = read_cluster_file(written(tmp_path, UNKNOWN), instance_types_from="aws")

    assert cluster.shape.workers[0].cpus == 4
    assert f"AWS (us-east-1) was asked for the resources of m7i.large, {UNKNOWN}" in cluster.notes


@pytest.mark.usefixtures("_aws")
def test_aws_and_the_catalogue_agree_on_a_type_that_both_know(tmp_path: Path) -> None:
    path = written(tmp_path, "g5.12xlarge")

    assert read_cluster_file(path).shape == read_cluster_file(path, instance_types_from="aws").shape


@pytest.mark.usefixtures("_aws")
def test_a_type_that_aws_does_not_have_is_named_with_the_region(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"AWS has no instance type m99z\.large in us-east-1"):
        read_cluster_file(written(tmp_path, "m99z.large"), instance_types_from="aws")


@pytest.mark.usefixtures("_no_credentials")
def test_without_credentials_the_error_says_how_to_go_on() -> None:
    with pytest.raises(MissingPrerequisite, match="Unable to locate credentials") as error:
        describe_instance_types([UNKNOWN], "us-east-1")

    assert "ec2:DescribeInstanceTypes" in (error.value.hint or "")


@pytest.mark.usefixtures("_aws")
def test_a_value_that_is_no_region_is_refused_without_a_traceback() -> None:
    with pytest.raises(MissingPrerequisite, match="us east"):
        describe_instance_types([UNKNOWN], "us east")


def test_another_provider_is_not_aws(tmp_path: Path) -> None:
    path = written(tmp_path, "n2-standard-8", "type: gcp, region: us-west1, availability_zone: a, project_id: p")

    with pytest.raises(InputError, match="provider 'gcp'"):
        read_cluster_file(path, instance_types_from="aws")
