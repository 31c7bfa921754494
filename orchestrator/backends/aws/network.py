"""The security group of a cluster, which lets in SSH from here, and everything among the cluster's own nodes."""

import socket
from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from orchestrator.aws.session import Account, explain
from orchestrator.aws.tags import Mark
from orchestrator.errors import MissingPrerequisite, SpecError

_MY_ADDRESS = "https://checkip.amazonaws.com"
_TIMEOUT_S = 10.0
_SSH = 22


def make_group(account: Account, vpc: str, name: str, mark: Mark, raw: Mapping[str, Any]) -> str:
    """Make the security group of a cluster, and return its id. Nobody else can open a connection to its nodes."""
    ec2 = account.client("ec2")
    with explain("making the security group"):
        ranges = [{"CidrIp": cidr} for cidr in _ssh_from(account, vpc, raw["provider"])]
        group = str(
            ec2.create_security_group(
                GroupName=name,
                Description="orchestrate: SSH from the orchestrator, everything among the nodes",
                VpcId=vpc,
                TagSpecifications=mark.specifications("security-group"),
            )["GroupId"]
        )
        among = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
        ssh = {"IpProtocol": "tcp", "FromPort": _SSH, "ToPort": _SSH, "IpRanges": ranges}
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[among, ssh])
    return group


def _ssh_from(account: Account, vpc: str, provider: Mapping[str, Any]) -> Sequence[str]:
    """Return the networks from which SSH is let in, in CIDR notation.

    `provider.ssh_from` names them. Otherwise it is this machine's public address. With internal addresses it is the
    address that this machine has towards the VPC, and the VPC itself, from which a VPN's clients come.
    """
    if named := provider.get("ssh_from"):
        return [_network(str(each)) for each in ([named] if isinstance(named, str) else named)]
    if not provider.get("use_internal_ips"):
        return [f"{_public_address()}/32"]
    found = account.client("ec2").describe_vpcs(VpcIds=[vpc])["Vpcs"][0]
    inside = [each["CidrBlock"] for each in found.get("CidrBlockAssociationSet", ())] or [found["CidrBlock"]]
    here = f"{_address_towards(str(ip_network(inside[0])[1]))}/32"
    return [*dict.fromkeys([*inside, here])]


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError:
        raise SpecError("provider.ssh_from", f"{text!r:.40} is no network", "for example 203.0.113.7/32") from None


def _address_towards(address: str) -> str:
    """Return this machine's own address on the way to another one. No packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((address, _SSH))
        return str(probe.getsockname()[0])


def _public_address() -> str:
    """Return the address from which this machine's connections come. Raises MissingPrerequisite."""
    import requests

    try:
        answer = requests.get(_MY_ADDRESS, timeout=_TIMEOUT_S)
        answer.raise_for_status()
        return str(ip_address(answer.text.strip()))
    except (requests.RequestException, ValueError) as error:
        raise MissingPrerequisite(
            f"this machine's public address can't be found: {_MY_ADDRESS} answers {type(error).__name__}",
            "write it into the cluster file: provider.ssh_from: [203.0.113.7/32]",
        ) from error
