"""What is ours in an AWS account is found by its tags and removed in order; nothing else is ever touched."""

import platform
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.aws.inventory import Resource, find, find_everywhere, postpone, regions_of, remove
from orchestrator.aws.session import Account
from orchestrator.aws.tags import ON_LAUNCH, Mark, Owner
from orchestrator.backends import registry
from orchestrator.backends.aws.leftovers import in_use, orphan
from orchestrator.backends.cleanup import find_abandoned
from orchestrator.backends.cleanup import remove as remove_cluster
from orchestrator.backends.local.processes import marker_environment
from orchestrator.errors import ClusterFailed, InputError, MissingPrerequisite
from orchestrator.lab.clean import clean_home
from orchestrator.lab.home import Home
from tests.support.aws_account import REGION, FakeAccount, fake_account

NOW = datetime.now(UTC)
HERE = Owner.this_process()
DEAD = replace(HERE, pid=2**22 + 1)
ELSEWHERE = Owner("alice", "laptop", 1, 1.0)


@pytest.fixture(scope="module")
def account() -> Iterator[FakeAccount]:
    with fake_account() as fake:
        yield fake


@pytest.fixture
def aws(account: FakeAccount) -> FakeAccount:
    account.forget()
    for cluster_id in {each.mark.cluster_id for each in find(account.account)}:
        remove(account.account, cluster_id, sleep=lambda s: None)
    account.forget()
    return account


def mark(cluster_id: str = "1a2b3c4d", owner: Owner = DEAD, expires: timedelta = timedelta(hours=1)) -> Mark:
    return Mark(cluster_id, "5e3e90aa", str(owner), NOW + expires)


def make_cluster(aws: FakeAccount, made: Mark, region: str = REGION, instances: int = 2) -> dict[str, list[str]]:
    """A cluster as a killed run leaves it, with a disk and an interface that no instance has any more."""
    ec2 = aws.client("ec2", region)
    launched = ec2.run_instances(
        ImageId=aws.image,
        InstanceType="m7i.2xlarge",
        MinCount=instances,
        MaxCount=instances,
        TagSpecifications=made.specifications(*ON_LAUNCH),
    )["Instances"]
    subnet = ec2.describe_subnets()["Subnets"][0]
    volume = ec2.create_volume(
        AvailabilityZone=subnet["AvailabilityZone"], Size=30, TagSpecifications=made.specifications("volume")
    )
    interface = ec2.create_network_interface(
        SubnetId=subnet["SubnetId"], TagSpecifications=made.specifications("network-interface")
    )
    name = f"orchestrate-{made.cluster_id}"
    ec2.create_key_pair(KeyName=name, TagSpecifications=made.specifications("key-pair"))
    group = ec2.create_security_group(
        GroupName=name,
        Description="ours",
        VpcId=subnet["VpcId"],
        TagSpecifications=made.specifications("security-group"),
    )
    return {
        "instance": [each["InstanceId"] for each in launched],
        "volume": [volume["VolumeId"]],
        "network interface": [interface["NetworkInterface"]["NetworkInterfaceId"]],
        "key pair": [name],
        "security group": [group["GroupId"]],
    }


def make_foreign(aws: FakeAccount) -> dict[str, str]:
    """Somebody else's: without our tags, or with tags that only look like ours."""
    ec2 = aws.client("ec2")
    tags = [{"Key": "orchestrate:clusters", "Value": "1a2b3c4d"}, {"Key": "Name", "Value": "orchestrate-1a2b3c4d"}]
    launched = ec2.run_instances(
        ImageId=aws.image,
        InstanceType="m7i.large",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )["Instances"][0]
    ec2.create_key_pair(KeyName="theirs")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = ec2.create_security_group(GroupName="orchestrate-theirs", Description="theirs", VpcId=vpc)["GroupId"]
    return {"instance": launched["InstanceId"], "key pair": "theirs", "security group": group}


def assert_foreign_is_there(aws: FakeAccount, foreign: dict[str, str]) -> None:
    ec2 = aws.client("ec2")
    (found,) = ec2.describe_instances(InstanceIds=[foreign["instance"]])["Reservations"][0]["Instances"]
    assert found["State"]["Name"] == "running"
    assert ec2.describe_key_pairs(KeyNames=[foreign["key pair"]])["KeyPairs"]
    assert ec2.describe_security_groups(GroupIds=[foreign["security group"]])["SecurityGroups"]
    ec2.terminate_instances(InstanceIds=[foreign["instance"]])
    ec2.delete_key_pair(KeyName=foreign["key pair"])
    ec2.delete_security_group(GroupId=foreign["security group"])


def parts(aws: FakeAccount, cluster_id: str | None = None) -> dict[str, set[str]]:
    found = find(aws.account, cluster_id)
    return {kind: {each.name for each in found if each.kind == kind} for kind in {each.kind for each in found}}


def test_everything_of_ours_is_found_and_nothing_else(aws: FakeAccount) -> None:
    made = make_cluster(aws, mark())
    foreign = make_foreign(aws)
    found = parts(aws)

    assert {kind: set(names) <= found[kind] for kind, names in made.items()} == dict.fromkeys(made, True)
    assert not {*foreign.values()} & {name for names in found.values() for name in names}
    assert parts(aws, "1a2b3c4d") == found
    assert parts(aws, "ffffffff") == {}
    assert_foreign_is_there(aws, foreign)


def test_removing_takes_instances_first_and_leaves_what_is_not_ours(aws: FakeAccount) -> None:
    make_cluster(aws, mark())
    foreign = make_foreign(aws)
    other = make_cluster(aws, mark("ffffffff"))
    aws.forget()
    remove(aws.account, "1a2b3c4d", sleep=lambda s: None)
    changes = [call for call in aws.calls if not call.startswith("Describe")]

    assert changes[0] == "TerminateInstances"
    assert changes.index("DeleteVolume") < changes.index("DeleteKeyPair") < changes.index("DeleteSecurityGroup")
    assert parts(aws, "1a2b3c4d") == {}
    assert parts(aws, "ffffffff")["instance"] == set(other["instance"])
    assert_foreign_is_there(aws, foreign)


def test_removing_again_does_nothing(aws: FakeAccount) -> None:
    make_cluster(aws, mark())
    remove(aws.account, "1a2b3c4d", sleep=lambda s: None)
    aws.forget()
    remove(aws.account, "1a2b3c4d", sleep=lambda s: None)

    assert {call for call in aws.calls if not call.startswith("Describe")} == set()


def test_a_group_that_is_held_is_tried_again_until_it_is_free(aws: FakeAccount) -> None:
    make_cluster(aws, mark())
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            aws.forget()

    aws.refuse("DeleteSecurityGroup", "DependencyViolation", "resource sg-1 has a dependent object")
    remove(aws.account, "1a2b3c4d", sleep=sleep)

    assert len(waited) >= 3
    assert parts(aws) == {}


def test_what_stays_for_too_long_is_an_error_that_names_it(aws: FakeAccount) -> None:
    made = make_cluster(aws, mark())
    aws.refuse("DeleteSecurityGroup", "DependencyViolation", "it has a dependent object")
    times = iter(range(0, 10_000, 100))

    with pytest.raises(ClusterFailed, match=f"{made['security group'][0]} of us-east-1 can't be removed") as failed:
        remove(aws.account, "1a2b3c4d", clock=lambda: float(next(times)), sleep=lambda s: None)

    assert "orchestrate clean --backend aws" in (failed.value.hint or "")


def test_a_removal_that_is_forbidden_is_an_error_at_once(aws: FakeAccount) -> None:
    make_cluster(aws, mark())
    aws.refuse("TerminateInstances", "UnauthorizedOperation")

    with pytest.raises(MissingPrerequisite, match="ending instances: the credentials lack the permission"):
        remove(aws.account, "1a2b3c4d", sleep=lambda s: None)


def test_a_filter_that_aws_ignores_costs_nobody_a_machine(aws: FakeAccount) -> None:
    foreign = make_foreign(aws)
    ec2 = aws.client("ec2")
    theirs = ec2.describe_instances(InstanceIds=[foreign["instance"]])
    aws.answer("DescribeInstances", lambda _: theirs)
    found = parts(aws)
    aws.forget()

    assert found == {}
    assert_foreign_is_there(aws, foreign)


def test_all_regions_are_those_of_the_account(aws: FakeAccount) -> None:
    make_cluster(aws, mark("aaaaaaaa"))
    make_cluster(aws, mark("bbbbbbbb"), "eu-west-1")
    aws.answer("DescribeRegions", lambda _: {"Regions": [{"RegionName": REGION}, {"RegionName": "eu-west-1"}]})
    found = list(find_everywhere(regions_of(aws.account, "all")))
    remove(aws.account.elsewhere("eu-west-1"), "bbbbbbbb", sleep=lambda s: None)

    assert {(each.mark.cluster_id, each.region) for each in found} == {("aaaaaaaa", REGION), ("bbbbbbbb", "eu-west-1")}


def _collect(resources: Iterable[Resource], found: list[str]) -> None:
    for each in resources:
        found.append(each.region)


def test_a_region_that_refuses_is_named_after_the_others(aws: FakeAccount) -> None:
    make_cluster(aws, mark())
    closed = Account("eu-west-1", aws.account.session)
    aws.close_region("eu-west-1")
    found: list[str] = []

    with pytest.raises(MissingPrerequisite, match="eu-west-1: looking for resources in eu-west-1"):
        _collect(find_everywhere([closed, aws.account]), found)

    assert set(found) == {REGION}


def test_each_resource_says_what_it_is_and_has_cost(aws: FakeAccount) -> None:
    make_cluster(aws, mark(), instances=1)
    instance = next(each for each in find(aws.account) if each.kind == "instance")
    assert instance.since is not None
    found = orphan("1a2b3c4d", find(aws.account), instance.since + timedelta(hours=10))

    assert f"instance {instance.name}: m7i.2xlarge, running, in us-east-1 for 10.0 h, about $4.03" in found.details
    assert found.usd == pytest.approx(4.03 + 2 * 10 * 30 * 0.1 / 730, abs=0.2)
    assert found.sweep_id == "5e3e90aa"


# Who may still need it


@pytest.mark.parametrize(
    ("owner", "expires", "expected"),
    [
        (HERE, timedelta(hours=-1), True),
        (DEAD, timedelta(hours=1), False),
        (ELSEWHERE, timedelta(hours=1), True),
        (ELSEWHERE, timedelta(hours=-1), False),
    ],
    ids=["this process", "a dead process of this machine", "another machine", "another machine, expired"],
)
def test_a_cluster_is_in_use_while_its_owner_lives_or_it_has_not_expired(
    owner: Owner, expires: timedelta, expected: bool
) -> None:
    assert platform.node() == HERE.host
    assert in_use(mark(owner=owner, expires=expires), NOW) is expected


def test_damaged_tags_never_keep_a_cluster_alive() -> None:
    tags = [{"Key": "orchestrate:cluster", "Value": "1a2b3c4d"}, {"Key": "orchestrate:owner", "Value": "nobody"}]
    found = Mark.read([*tags, {"Key": "orchestrate:expires", "Value": "soon"}])

    assert found is not None
    assert not in_use(found, NOW)


def test_a_sweep_that_takes_longer_postpones_its_expiry(aws: FakeAccount) -> None:
    made = mark(owner=ELSEWHERE, expires=timedelta(minutes=1))
    instances = make_cluster(aws, made)["instance"]
    later = NOW + timedelta(minutes=2)

    assert orphan("1a2b3c4d", find(aws.account), later).in_use is False
    postpone(aws.account, instances[0], replace(made, expires=NOW + timedelta(hours=1)))
    assert orphan("1a2b3c4d", find(aws.account), later).in_use is True


# The command


def test_clean_without_a_backend_never_asks_aws(aws: FakeAccount, tmp_path: Path) -> None:
    make_cluster(aws, mark())
    aws.forget()

    assert [each for each in find_abandoned(tmp_path).clusters if "instance" in each.orphan.parts] == []
    assert aws.calls == []


def test_clean_removes_expired_clusters_and_spares_those_in_use(
    aws: FakeAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", REGION)
    make_cluster(aws, mark("aaaaaaaa", ELSEWHERE, timedelta(hours=-1)))
    make_cluster(aws, mark("bbbbbbbb", ELSEWHERE))
    home = Home(tmp_path, "")
    found = clean_home(home, dry_run=True, force=False, backend="aws").found

    assert [each.cluster_id for each in found.clusters] == ["aaaaaaaa"]
    assert [(each.cluster_id, each.owner.split(" ")[0]) for each in found.in_use] == [("bbbbbbbb", "alice@laptop")]
    assert parts(aws, "aaaaaaaa") != {}

    clean_home(home, dry_run=False, force=False, backend="aws")

    assert parts(aws, "aaaaaaaa") == {}
    assert parts(aws, "bbbbbbbb") != {}

    clean_home(home, dry_run=False, force=True, backend="aws", region=REGION)

    assert parts(aws) == {}


def test_clean_takes_one_sweep(aws: FakeAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", REGION)
    make_cluster(aws, replace(mark("aaaaaaaa"), sweep_id="11111111"))
    make_cluster(aws, replace(mark("bbbbbbbb"), sweep_id="22222222"))
    clean_home(Home(tmp_path, ""), dry_run=False, force=False, backend="aws", sweep="11111111")

    assert parts(aws, "aaaaaaaa") == {}
    assert parts(aws, "bbbbbbbb") != {}


def test_clean_ends_the_processes_of_a_cluster(
    aws: FakeAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", REGION)
    make_cluster(aws, mark("aaaaaaaa"))
    make_cluster(aws, mark("bbbbbbbb", ELSEWHERE))
    ours, others = (
        subprocess.Popen(["sleep", "600"], env=marker_environment(each, tmp_path), start_new_session=True)
        for each in ("aaaaaaaa", "bbbbbbbb")
    )
    try:
        cleaned = clean_home(Home(tmp_path, ""), dry_run=False, force=False, backend="aws")

        assert [each.parts("process") for each in cleaned.found.clusters] == [[str(ours.pid)]]
        assert not psutil.pid_exists(ours.pid)
        assert others.poll() is None
    finally:
        for each in (ours, others):
            each.kill()
            each.wait()


def test_a_kind_in_another_region_removes_there(aws: FakeAccount, tmp_path: Path) -> None:
    make_cluster(aws, mark("bbbbbbbb"), "eu-west-1")
    cloud = registry.AWS.cloud
    assert cloud is not None
    there = cloud.regions("eu-west-1")
    (cluster,) = find_abandoned(tmp_path, only=there).clusters
    remove_cluster(tmp_path, cluster, there)

    assert find(aws.account.elsewhere("eu-west-1")) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"region": "us-esat-1", "backend": "aws"}, "--region: AWS has no region 'us-esat-1'"),
        ({"region": "", "backend": "aws"}, "--region: AWS has no region ''"),
        ({"region": REGION}, "--region is for backends in a cloud"),
        ({"sweep": "@last", "backend": "local"}, "--sweep is for backends in a cloud"),
        ({"sweep": "", "backend": "aws"}, "--sweep: the id is empty"),
    ],
)
def test_clean_refuses_what_makes_no_sense(
    aws: FakeAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str
) -> None:
    monkeypatch.setenv("AWS_REGION", REGION)
    with pytest.raises(InputError, match=message):
        clean_home(Home(tmp_path, ""), dry_run=True, force=False, **options)
