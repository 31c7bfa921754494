"""An account on the stand-in for EC2: a VPC with one subnet, a role for heads, and resources of somebody else."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.support.docker_engine import Engine
from tests.support.ec2.aws_api import AwsApi, add_image
from tests.support.ec2.machine_image import machine_image
from tests.support.ec2.machines import MARK, Machines
from tests.support.requirements import require

REGION = "us-west-2"
HEAD_ROLE = "orchestrate-ray-head"
# The image that Ray takes for a file without one: DEFAULT_AMI in its _private/aws/config.py.
RAYS_IMAGE = "ami-0a2b85e15b7c0ac34"
# Planted: they may appear nowhere.
ACCESS_KEY, SECRET_KEY = "AKIAPLANTEDACCESSKEY", "planted-secret-access-key/0123456789"
LIVE_STATES = ["pending", "running", "shutting-down", "stopping", "stopped"]


@dataclass(frozen=True)
class Cloud:
    """The stand-in: its API, its machines, and the ids of what the account has from the start."""

    engine: Engine
    api: AwsApi
    machines: Machines
    subnet: str
    profile: str
    foreign: Mapping[str, str]
    environment: Mapping[str, str]

    def client(self, service: str) -> Any:
        """A client of boto3 with the account's credentials."""
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.api.url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )

    def instances(self, *states: str) -> list[dict[str, Any]]:
        """Instances that exist, or those in some states, without the foreign one."""
        filters = [{"Name": "instance-state-name", "Values": list(states) or LIVE_STATES}]
        found = self.client("ec2").describe_instances(Filters=filters)["Reservations"]
        every = [instance for reservation in found for instance in reservation["Instances"]]
        return [instance for instance in every if instance["InstanceId"] != self.foreign["instance"]]

    def heads(self) -> list[dict[str, Any]]:
        """The heads of clusters that run."""
        return [each for each in self.instances("pending", "running") if tags_of(each).get("ray-node-type") == "head"]

    def left(self) -> dict[str, list[str]]:
        """Everything in the account that wasn't there from the start, by kind."""
        ec2, foreign = self.client("ec2"), set(self.foreign.values())
        found = {
            "instance": [each["InstanceId"] for each in self.instances()],
            "volume": [each["VolumeId"] for each in ec2.describe_volumes()["Volumes"]],
            "interface": _interfaces(ec2),
            "key pair": [each["KeyName"] for each in ec2.describe_key_pairs()["KeyPairs"]],
            "security group": [
                each["GroupId"]
                for each in ec2.describe_security_groups()["SecurityGroups"]
                if each["GroupName"] != "default"
            ],
        }
        ours = {kind: [each for each in names if each not in foreign] for kind, names in found.items()}
        return {kind: names for kind, names in ours.items() if names}

    def assert_foreign_is_untouched(self) -> None:
        ec2 = self.client("ec2")
        found = ec2.describe_instances(InstanceIds=[self.foreign["instance"]])["Reservations"][0]["Instances"][0]
        assert found["State"]["Name"] == "running"
        assert ec2.describe_key_pairs(KeyNames=[self.foreign["key pair"]])["KeyPairs"]
        assert ec2.describe_security_groups(GroupIds=[self.foreign["security group"]])["SecurityGroups"]

    @contextlib.contextmanager
    def no_ssh(self, address: str) -> Iterator[None]:
        """Drop packets from this machine to a machine's SSH within the block, as a network that is cut."""
        (container,) = (
            each for each in self.engine.client().containers.list(filters={"label": MARK}) if _has(each, address)
        )
        pid = str(container.attrs["State"]["Pid"])
        rule = ["INPUT", "--protocol", "tcp", "--dport", "22", "--source", str(self._gateway), "--jump", "DROP"]
        self._iptables(pid, "--insert", *rule)
        try:
            yield
        finally:
            self._iptables(pid, "--delete", *rule)

    @property
    def _gateway(self) -> str:
        return self.api.url.removeprefix("http://").partition(":")[0]

    def _iptables(self, pid: str, *words: str) -> None:
        programs = self.engine.programs
        libraries = ":".join(str(folder) for folder in programs.glob("usr/lib/*-linux-gnu"))
        environment = {"LD_LIBRARY_PATH": libraries, "XTABLES_LIBDIR": f"{libraries}/xtables"}
        command = ["nsenter", "--target", pid, "--net", str(programs / "usr/sbin/iptables"), *words]
        subprocess.run(command, check=True, env={**os.environ, **environment})


def tags_of(resource: Mapping[str, Any]) -> dict[str, str]:
    """The tags of an EC2 resource."""
    return {tag["Key"]: tag["Value"] for tag in resource.get("Tags", [])}


@contextlib.contextmanager
def running_cloud(engine: Engine, image: str, number: int, folder: Path) -> Iterator[Cloud]:
    """The stand-in until the block ends. `number` makes its network differ from those of other tests at work."""
    from docker.types import IPAMConfig, IPAMPool

    subnet_cidr, gateway, network = f"10.213.{number}.0/24", f"10.213.{number}.1", f"ec2-{number}"
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"  # Ray attaches AWS's own policies
    with contextlib.ExitStack() as stack:
        docker = stack.enter_context(contextlib.closing(engine.client()))
        pool = IPAMPool(subnet=subnet_cidr, gateway=gateway)
        stack.callback(docker.networks.create(network, ipam=IPAMConfig(pool_configs=[pool])).remove)
        api = AwsApi(gateway)
        stack.callback(api.stop)
        machines = Machines(docker, image, network, REGION, api)
        stack.callback(machines.stop)
        (folder / "home").mkdir()
        environment = {
            **engine.environment,
            "AWS_ENDPOINT_URL": api.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "HOME": str(folder / "home"),
        }
        cloud = Cloud(engine, api, machines, *_account(api, subnet_cidr), environment)
        api.after = machines.look
        yield cloud


def _account(api: AwsApi, cidr: str) -> tuple[str, str, dict[str, str]]:
    credentials = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY, "region_name": REGION}
    ec2 = boto3.client("ec2", endpoint_url=api.url, **credentials)
    iam = boto3.client("iam", endpoint_url=api.url, **credentials)
    for subnet in ec2.describe_subnets()["Subnets"]:  # Ray would choose one of the default VPC's
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    vpc = ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=f"{REGION}a")["Subnet"]["SubnetId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    (table,) = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    ec2.create_route(RouteTableId=table["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    iam.create_role(RoleName=HEAD_ROLE, AssumeRolePolicyDocument="{}")
    profile = iam.create_instance_profile(InstanceProfileName=HEAD_ROLE)["InstanceProfile"]["Arn"]
    iam.add_role_to_instance_profile(InstanceProfileName=HEAD_ROLE, RoleName=HEAD_ROLE)
    return subnet, profile, _of_somebody_else(ec2, vpc, subnet)


def _of_somebody_else(ec2: Any, vpc: str, subnet: str) -> dict[str, str]:
    ssm_name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    ssm = boto3.client(
        "ssm",
        endpoint_url=ec2.meta.endpoint_url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    image = ssm.get_parameter(Name=ssm_name)["Parameter"]["Value"]
    add_image(REGION, image, RAYS_IMAGE)
    ec2.create_key_pair(KeyName="somebody-elses")
    group = ec2.create_security_group(GroupName="somebody-elses", Description="not ours", VpcId=vpc)["GroupId"]
    instance = ec2.run_instances(
        ImageId=image,
        InstanceType="m7i.large",
        KeyName="somebody-elses",
        SecurityGroupIds=[group],
        SubnetId=subnet,
        MinCount=1,
        MaxCount=1,
    )["Instances"][0]
    volumes = ec2.describe_volumes()["Volumes"]
    return {
        "instance": instance["InstanceId"],
        "key pair": "somebody-elses",
        "security group": group,
        **{f"volume {number}": each["VolumeId"] for number, each in enumerate(volumes)},
        **{f"interface {number}": each for number, each in enumerate(_interfaces(ec2))},
    }


def _interfaces(ec2: Any) -> list[str]:
    return [each["NetworkInterfaceId"] for each in ec2.describe_network_interfaces()["NetworkInterfaces"]]


def _has(container: Any, address: str) -> bool:
    return any(each["IPAddress"] == address for each in container.attrs["NetworkSettings"]["Networks"].values())


@pytest.fixture(scope="session")
def machine(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of a machine; skips where SSH's programs are missing."""
    for program in ("ssh", "ssh-keygen", "rsync", "nsenter"):
        require(program, shutil.which(program) is not None, f"install {program}")
    return machine_image(engine, tmp_path_factory.mktemp("machine"))


@pytest.fixture(scope="module")
def cloud(engine: Engine, machine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """An account of its own for each module of tests."""
    with running_cloud(engine, machine, os.getpid() % 250, tmp_path_factory.mktemp("cloud")) as started:
        yield started
