"""Preflight on an AWS account in this process: each fault has its own message, and its own way out."""
# ruff: noqa: E501 - a row of the table is a line

import copy
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.assets import bundled
from orchestrator.aws import preflight
from orchestrator.aws.session import Account
from orchestrator.doctor.checks import Check, examine
from orchestrator.inputs.cluster_config import ClusterFile, read_cluster_file
from tests.support.aws_account import FakeAccount, fake_account

DEFAULT = yaml.safe_load(bundled("cluster/aws.yaml").read_text())


@pytest.fixture(scope="module")
def ready() -> Iterator[FakeAccount]:
    """An account that is ready for sweeps."""
    with fake_account() as fake:
        fake.make_head_profile()
        fake.open_to_the_internet()
        yield fake


@pytest.fixture
def aws(ready: FakeAccount, monkeypatch: pytest.MonkeyPatch) -> FakeAccount:
    """That account, and a machine that has every program."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    ready.forget()
    return ready


READ: dict[str, ClusterFile] = {}


def read(text: str, folder: Path) -> ClusterFile:
    """Read each file once: Ray prepares it in a process of its own, which takes seconds."""
    if text not in READ:
        path = folder / "cluster.yaml"
        path.write_text(text)
        READ[text] = read_cluster_file(path)
    return READ[text]


def checks(aws: FakeAccount, tmp_path: Path, config: dict[str, Any] | None = None, only: str = "") -> dict[str, Check]:
    """The answers of the preflight for a cluster file, by name."""
    file = read(yaml.safe_dump(DEFAULT if config is None else config, sort_keys=False), tmp_path)
    questions = preflight.questions(file, lambda: aws.account)
    asked = [question for question in questions if only in ("", question.name.removeprefix("AWS "))]
    return {check.name.removeprefix("AWS "): check for check in examine(asked, time_limit_s=60)}


def changed(**node: Any) -> dict[str, Any]:
    """The default file with another node_config of its arm workers."""
    config: dict[str, Any] = copy.deepcopy(DEFAULT)
    section = config["available_node_types"]["arm_worker_node"]["node_config"]
    section |= node
    for key in [key for key, value in node.items() if value is None]:
        del section[key]
    return config


def test_an_account_that_is_ready_has_nothing_missing(aws: FakeAccount, tmp_path: Path) -> None:
    found = checks(aws, tmp_path)

    assert {name: check.state for name, check in found.items() if check.state != "ok"} == {}
    assert found["identity"].detail.endswith("in us-east-1")
    assert "up to 132 vCPUs here, 0 in use, quota 1000" in found["quotas"].detail
    assert found["images"].detail.count("ami-") == 2
    assert all(check.needed_by == ("aws",) for check in found.values())


def test_nothing_is_made_in_the_account(aws: FakeAccount, tmp_path: Path) -> None:
    checks(aws, tmp_path)

    assert {call for call in aws.calls if not call.startswith(("Describe", "Get"))} == {
        "RunInstances",  # dry runs
        "TerminateInstances",
        "ImportKeyPair",
        "CreateSecurityGroup",
    }
    assert aws.client("ec2").describe_instances()["Reservations"] == []
    assert aws.client("ec2").describe_key_pairs()["KeyPairs"] == []


def changing(operation: str, key: str, **values: Any) -> Callable[[FakeAccount], None]:
    """Each entry of an answer has other values."""
    return lambda aws: aws.change(operation, key, lambda entry: {**entry, **values})


def emptying(operation: str, key: str) -> Callable[[FakeAccount], None]:
    """An answer has no entry."""
    return lambda aws: aws.change(operation, key, lambda entry: None)


def lower_quota(aws: FakeAccount) -> None:
    aws.vcpu_quota = 100


def slow_clock(aws: FakeAccount) -> None:
    aws.clock_off_s = -400


def bit_slow_clock(aws: FakeAccount) -> None:
    aws.clock_off_s = 90


def refusing(operation: str, code: str = "UnauthorizedOperation", message: str = "") -> Callable[[FakeAccount], None]:
    return lambda aws: aws.refuse(operation, code, message)


POLICY = "attach the policy cluster/aws/iam-user.json"
ARM_ON_X86 = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
# What is done to the account, what the file says, and where which words are found.
# fmt: off
FAULTS: list[tuple[str, Callable[[FakeAccount], None] | None, dict[str, Any] | None, str, str, str, str]] = [
    ("no credentials", refusing("GetCallerIdentity", "InvalidClientTokenId"), None, "identity", "missing", "AWS doesn't accept the credentials", "aws sts get-caller-identity"),
    ("expired credentials", refusing("GetCallerIdentity", "ExpiredToken"), None, "identity", "missing", "the AWS credentials have expired", "aws sso login"),
    ("clock refused", refusing("GetCallerIdentity", "SignatureDoesNotMatch"), None, "identity", "missing", "this machine's clock is wrong", "timedatectl"),
    ("clock far off", slow_clock, None, "clock", "missing", "s behind AWS's", "set-ntp true"),
    ("clock a bit off", bit_slow_clock, None, "clock", "warning", "s ahead of AWS's", "set-ntp true"),
    ("describing forbidden", refusing("DescribeVolumes"), None, "reading", "missing", "no permission to see what exists: ec2:DescribeVolumes", POLICY),
    ("images forbidden", refusing("GetParameter", "AccessDeniedException"), None, "images", "missing", "looking up the image of head_node: the credentials lack the permission", POLICY),
    ("type elsewhere", emptying("DescribeInstanceTypeOfferings", "InstanceTypeOfferings"), None, "instance types", "missing", "EC2 doesn't offer m7i.2xlarge, m7i.xlarge, m8g.2xlarge in us-east-1", "choose another type or region"),
    ("type in other zones", changing("DescribeInstanceTypeOfferings", "InstanceTypeOfferings", Location="us-east-1z"), None, "zones", "missing", "not offered in us-east-1a", "m8g.2xlarge is in us-east-1z"),
    ("no such image", None, changed(ImageId="ami-0123456789abcdef0"), "images", "missing", "the image ami-0123456789abcdef0 of arm_worker_node doesn't exist in us-east-1", "resolve:ssm"),
    ("image of another architecture", None, changed(ImageId=ARM_ON_X86), "images", "missing", "of arm_worker_node is x86_64, but m8g.2xlarge is arm64", "resolve:ssm"),
    ("no image for arm", None, changed(ImageId=None), "images", "missing", "arm_worker_node has no ImageId, and Ray's default image is x86_64", "resolve:ssm"),
    ("no such parameter", None, changed(ImageId="resolve:ssm:/nobody"), "images", "missing", "there is no SSM parameter /nobody in us-east-1", "correct ImageId"),
    ("no such subnet", None, changed(SubnetIds=["subnet-0123456789abcdef0"]), "subnets", "missing", "subnet-0123456789abcdef0", "correct SubnetIds"),
    ("no subnet", emptying("DescribeSubnets", "Subnets"), None, "subnets", "missing", "no default VPC with a subnet in us-east-1", "aws ec2 create-default-vpc"),
    ("exhausted subnet", changing("DescribeSubnets", "Subnets", AvailableIpAddressCount=1), None, "subnets", "missing", "6 free addresses in subnet-", "lower max_workers"),
    ("private subnets", changing("DescribeSubnets", "Subnets", MapPublicIpOnLaunch=False), None, "subnets", "missing", "get no public address", "use_internal_ips: true"),
    ("no way out", changing("DescribeRouteTables", "RouteTables", Routes=[]), None, "subnets", "warning", "no route to the internet from subnet-", "NAT gateway"),
    ("small quota", lower_quota, None, "quotas", "missing", "on-demand standard: up to 132 vCPUs here, 0 in use, quota 100", "ask for a higher quota: https://"),
    ("quota forbidden", refusing("GetServiceQuota", "AccessDeniedException"), None, "quotas", "warning", "quotas can't be compared", POLICY),
    ("no key pair", None, changed(KeyName="mine"), "key pair", "missing", "no key pair mine in us-east-1", "leave KeyName out"),
    ("no head role", refusing("GetInstanceProfile", "NoSuchEntity"), None, "head role", "missing", "instance profile orchestrate-ray-head doesn't exist", "cluster/aws/iam-head.json"),
    ("role forbidden", refusing("GetInstanceProfile", "AccessDenied"), None, "head role", "warning", "no permission iam:GetInstanceProfile", POLICY),
    ("launching forbidden", refusing("RunInstances"), None, "launching", "missing", "no permission to launch machines: ec2:RunInstances (head_node), ec2:RunInstances (x86_worker_node)", POLICY),
    ("passing the role forbidden", refusing("RunInstances", message="not authorized to perform: iam:PassRole on"), None, "launching", "missing", "iam:PassRole (by ec2:RunInstances (head_node))", POLICY),
    ("tagging forbidden", refusing("RunInstances", message="not authorized to perform: ec2:CreateTags on"), None, "launching", "missing", "ec2:CreateTags (by", POLICY),
    ("key pairs forbidden", refusing("ImportKeyPair"), None, "launching", "missing", "launch machines: ec2:ImportKeyPair", POLICY),
    ("groups forbidden", refusing("CreateSecurityGroup"), None, "launching", "missing", "launch machines: ec2:CreateSecurityGroup", POLICY),
    ("launch refused", refusing("RunInstances", "Unsupported", "not supported in your zone"), None, "launching", "missing", "AWS answers Unsupported: not supported in your zone", ""),
    ("removing forbidden", refusing("TerminateInstances"), None, "removing", "warning", "no permission to end machines: ec2:TerminateInstances, or only for machines with our tags", POLICY),
    ("throttled", refusing("DescribeKeyPairs", "RequestLimitExceeded"), None, "reading", "missing", "AWS throttles", "in a minute"),
]
# fmt: on


@pytest.mark.parametrize(
    ("spoil", "config", "where", "state", "detail", "hint"),
    [row[1:] for row in FAULTS],
    ids=[row[0] for row in FAULTS],
)
def test_each_fault_has_its_own_message_and_way_out(
    aws: FakeAccount,
    tmp_path: Path,
    spoil: Callable[[FakeAccount], None] | None,
    config: dict[str, Any] | None,
    where: str,
    state: str,
    detail: str,
    hint: str,
) -> None:
    if spoil is not None:
        spoil(aws)
    found = checks(aws, tmp_path, config, only=where)[where]

    assert (found.state, detail in found.detail, hint in found.hint) == (state, True, True), found


def test_one_fault_of_the_account_is_said_once(aws: FakeAccount, tmp_path: Path) -> None:
    aws.refuse("GetCallerIdentity", "ExpiredToken")
    found = checks(aws, tmp_path)

    others = {check.detail for name, check in found.items() if name not in ("programs", "identity")}
    assert others == {"no usable AWS account: see AWS identity"}
    assert "expired" in found["identity"].detail


def test_missing_programs_are_named_with_their_packages(
    aws: FakeAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "rsync" else f"/usr/bin/{name}")
    found = checks(aws, tmp_path, only="programs")["programs"]

    assert (found.state, found.detail, found.hint) == ("missing", "not on PATH: rsync", "Debian: apt install rsync")


def test_running_instances_count_for_the_quota(aws: FakeAccount, tmp_path: Path) -> None:
    image = aws.client("ssm").get_parameter(Name=ARM_ON_X86.removeprefix("resolve:ssm:"))["Parameter"]["Value"]
    ec2 = aws.client("ec2")
    (instance,) = ec2.run_instances(ImageId=image, InstanceType="c7i.4xlarge", MinCount=1, MaxCount=1)["Instances"]
    aws.vcpu_quota = 140
    found = checks(aws, tmp_path, only="quotas")["quotas"]
    ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])

    assert (found.state, "16 in use, quota 140" in found.detail) == ("missing", True)


def test_spot_machines_count_for_the_quota_of_spot(aws: FakeAccount, tmp_path: Path) -> None:
    found = checks(aws, tmp_path, changed(InstanceMarketOptions={"MarketType": "spot"}), only="quotas")["quotas"]

    assert "on-demand standard: up to 68 vCPUs" in found.detail
    assert "spot standard: up to 64 vCPUs" in found.detail


def test_an_unknown_region_is_refused_before_any_call(aws: FakeAccount) -> None:
    file = read_cluster_file(bundled("cluster/aws.yaml"))
    asked = preflight.questions(file, lambda: Account.connect("us-esat-1"))
    (found,) = examine(question for question in asked if question.name == "AWS identity")

    assert (found.state, found.detail) == ("missing", "AWS has no region 'us-esat-1'")
    assert aws.calls == []
