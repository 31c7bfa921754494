"""An AWS account in this process: moto, which the tests can let refuse calls as AWS does."""

import contextlib
import functools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import botocore.client
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from orchestrator.aws.session import Account

REGION = "us-east-1"
# Services whose prefix in policies differs from boto3's name.
_IN_POLICIES = {"service-quotas": "servicequotas"}
Answer = Callable[[dict[str, Any]], Any]


def refused(code: str, message: str = "refused") -> ClientError:
    """The error with which AWS refuses a call."""
    return ClientError({"Error": {"Code": code, "Message": message}}, "Call")


@dataclass
class FakeAccount:
    """An account with a default VPC, and what this class adds: quotas, dry runs and refusals. It counts the calls."""

    vcpu_quota: float = 1000.0
    clock_off_s: float = 0.0
    calls: list[str] = field(default_factory=list)
    closed: set[str] = field(default_factory=set)
    actions: set[str] = field(default_factory=set)  # as a policy names them
    _answers: dict[str, Answer] = field(default_factory=dict)
    _changes: dict[str, tuple[str, Answer]] = field(default_factory=dict)

    @functools.cached_property
    def account(self) -> Account:
        """The account as preflight gets it. Its clients are made once, which takes boto3 a second."""
        return Account.connect(REGION)

    def client(self, service: str, region: str = REGION) -> Any:
        """A client of the account's own user."""
        return self.account.elsewhere(region).client(service)

    @functools.cached_property
    def image(self) -> str:
        """An image that moto has in all regions of this test, as it takes any id."""
        parameter = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
        return str(self.client("ssm").get_parameter(Name=parameter)["Parameter"]["Value"])

    def refuse(self, operation: str, code: str, message: str = "refused") -> None:
        """From now on, this operation is refused."""

        def refuse(_: dict[str, Any]) -> Any:
            raise refused(code, message)

        self._answers[operation] = refuse

    def answer(self, operation: str, answer: Answer) -> None:
        """From now on, this function answers the operation."""
        self._answers[operation] = answer

    def change(self, operation: str, key: str, change: Answer) -> None:
        """From now on, this function changes each entry under `key` of the operation's answer; None leaves it out."""
        self._changes[operation] = key, change

    def close_region(self, region: str) -> None:
        """From now on, the account may not use this region."""
        self.closed.add(region)

    def forget(self) -> None:
        """Be as new: nothing is refused or changed. What exists in the account stays."""
        self._answers.clear()
        self._changes.clear()
        self.calls.clear()
        self.closed.clear()
        self.vcpu_quota, self.clock_off_s = 1000.0, 0.0

    def called(
        self, service: str, region: str, operation: str, arguments: dict[str, Any], call: Callable[[], Any]
    ) -> Any:
        self.calls.append(operation)
        self.actions.add(f"{_IN_POLICIES.get(service, service)}:{operation}")
        if region in self.closed:
            raise refused("OptInRequired")
        if operation in self._answers:
            return self._answers[operation](arguments)
        if operation == "GetServiceQuota":
            return {"Quota": {"Value": self.vcpu_quota}}
        found = call()
        if operation in self._changes:
            key, change = self._changes[operation]
            found[key] = [changed for each in found[key] if (changed := change(each)) is not None]
        if operation == "GetCallerIdentity":
            found["ResponseMetadata"]["HTTPHeaders"]["date"] = formatdate(time.time() - self.clock_off_s, usegmt=True)
        return found

    def make_head_profile(self, name: str = "orchestrate-ray-head") -> None:
        """Make the head's role, as docs/aws.md says."""
        iam = self.client("iam")
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({}))
        iam.create_instance_profile(InstanceProfileName=name)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)

    def open_to_the_internet(self) -> None:
        """Give the default VPC an internet gateway and the route to it, as AWS does and moto doesn't."""
        ec2 = self.client("ec2")
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        (table,) = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
        ec2.create_route(RouteTableId=table["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)


@contextlib.contextmanager
def fake_account() -> Iterator[FakeAccount]:
    """Answer every call of boto3 in this process; nothing leaves it."""
    fake = FakeAccount()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        patch.delenv("AWS_PROFILE", raising=False)
        with mock_aws():
            patch.setenv("AWS_ACCESS_KEY_ID", "AKIAPLANTED")  # in place of moto's own
            patch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
            original = botocore.client.BaseClient._make_api_call

            def make_api_call(self: Any, operation: str, arguments: dict[str, Any]) -> Any:
                service = str(self.meta.service_model.service_name)
                return fake.called(
                    service, self.meta.region_name, operation, arguments, lambda: original(self, operation, arguments)
                )

            patch.setattr(botocore.client.BaseClient, "_make_api_call", make_api_call)
            yield fake
