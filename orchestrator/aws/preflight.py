"""Questions about an AWS account before a sweep: can this cluster file run there? Nothing is created."""

import functools
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from botocore import exceptions as boto

from orchestrator.aws.cluster_file import (
    HEAD_PROFILE,
    is_spot,
    launched_types,
    node_configs,
    vcpus_of,
    with_images,
)
from orchestrator.aws.launch import launch_arguments, resolve_images, usable_subnets
from orchestrator.aws.session import FORBIDDEN, Account, code_of, explain, explained, said
from orchestrator.aws.tags import CLUSTER, ON_LAUNCH
from orchestrator.errors import InputError, MissingPrerequisite, OrchestrateError
from orchestrator.inputs.cluster_config import ClusterFile
from orchestrator.model.arch import arch_of_instance_type
from orchestrator.readiness import Finding, Question

PROGRAMS = {"ssh": "openssh-client", "ssh-keygen": "openssh-client", "rsync": "rsync"}
"""Programs that Ray's launcher calls on this machine, with Debian's packages."""

# AWS refuses requests whose time is off by five minutes.
_SKEW_WARNING_S, _SKEW_LIMIT_S = 60.0, 240.0
_QUOTAS_PAGE = "https://console.aws.amazon.com/servicequotas/home/services/ec2/quotas"
_POLICY = "attach the policy cluster/aws/iam-user.json: see docs/aws.md"
_MAKE_PROFILE = "make it once, with the policy cluster/aws/iam-head.json: see docs/aws.md"
_FAMILY = {"ACDHIMRTZ": ("standard", "L-1216C47A", "L-34B43A08"), "GV": ("G and VT", "L-DB2E81BA", "L-3819A6DF")} | {
    "P": ("P", "L-417A185B", "L-7212CCBC"),
    "F": ("F", "L-74FC7D96", "L-88CF9481"),
    "X": ("X", "L-7295265B", "L-E3A00192"),
}
_IN_USE = ("pending", "running")
# No instance has this id. A call that may end instances fails for that reason, and not for a missing permission.
_NOBODY = "i-0123456789abcdef0"

Call = Callable[[], Any]


def questions(cluster: ClusterFile, connect: Callable[[], Account]) -> list[Question]:
    """Return the questions about a cluster file, in their order; `connect` opens the account at the first one."""
    check = Preflight(cluster, connect)
    asked: dict[str, Callable[[], Finding]] = {
        "AWS programs": check.programs,
        "AWS identity": check.identity,
        "AWS clock": check.clock,
        "AWS reading": check.reading,
        "AWS instance types": check.instance_types,
        "AWS images": check.images,
        "AWS subnets": check.subnets,
        "AWS zones": check.zones,
        "AWS quotas": check.quotas,
        "AWS key pair": check.key_pair,
        "AWS head role": check.head_role,
        "AWS launching": check.launching,
        "AWS removing": check.removing,
    }
    return [Question(name, ("aws",), look) for name, look in asked.items()]


class Preflight:
    """The checks of one cluster file, which share what they have read. Each raises MissingPrerequisite, or answers."""

    def __init__(self, cluster: ClusterFile, connect: Callable[[], Account], now: Callable[[], float] = time.time):
        self._cluster = cluster
        self._connect = connect
        self._now = now
        self._config = cluster.raw
        self._most = {name: number for name, number in launched_types(self._config).items() if number}
        self._nodes = {name: node for name, node in node_configs(self._config).items() if name in self._most}

    # This machine

    def programs(self) -> Finding:
        """Return which of the programs for SSH are missing on this machine."""
        lacking = {name: package for name, package in PROGRAMS.items() if shutil.which(name) is None}
        if lacking:
            packages = " ".join(sorted({*lacking.values()}))
            return Finding("missing", f"not on PATH: {', '.join(lacking)}", f"Debian: apt install {packages}")
        return Finding("ok", f"{', '.join(PROGRAMS)} are there")

    # The account

    @functools.cached_property
    def _caller(self) -> tuple[Account, dict[str, Any]]:
        try:
            account = self._connect()
        except InputError as error:
            raise MissingPrerequisite(error.message, error.hint) from None
        with explain("asking AWS who you are"):
            return account, account.client("sts").get_caller_identity()

    @property
    def _account(self) -> Account:
        """The account, for questions that make no sense without it; another question says why it is missing."""
        try:
            return self._caller[0]
        except OrchestrateError:
            raise MissingPrerequisite("no usable AWS account: see AWS identity") from None

    def identity(self) -> Finding:
        """Return whose credentials these are, and the region."""
        account, caller = self._caller
        return Finding("ok", f"{caller['Arn']} in {account.region}")

    def clock(self) -> Finding:
        """Return how far this machine's clock is off AWS's. AWS refuses requests that are five minutes off."""
        headers = self._and_caller()["ResponseMetadata"].get("HTTPHeaders", {})
        if "date" not in headers:
            return Finding("warning", "AWS's answer has no date, so the clock can't be compared")
        off = self._now() - parsedate_to_datetime(headers["date"]).timestamp()
        detail = f"this machine's clock is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} AWS's"
        hint = "set it by NTP: sudo timedatectl set-ntp true"
        if abs(off) > _SKEW_LIMIT_S:
            return Finding("missing", f"{detail}; AWS refuses requests that are 300 s off", hint)
        if abs(off) > _SKEW_WARNING_S:
            return Finding("warning", detail, hint)
        return Finding("ok", "this machine's clock agrees with AWS's")

    def _and_caller(self) -> dict[str, Any]:
        self._account  # noqa: B018 - raises if there is none
        return self._caller[1]

    def reading(self) -> Finding:
        """Return which of the calls that only read are not permitted."""
        ec2 = self._account.client("ec2")
        few = {"MaxResults": 5}
        calls: dict[str, Call] = {
            "ec2:DescribeInstances": lambda: ec2.describe_instances(**few),
            "ec2:DescribeVolumes": lambda: ec2.describe_volumes(**few),
            "ec2:DescribeNetworkInterfaces": lambda: ec2.describe_network_interfaces(**few),
            "ec2:DescribeSecurityGroups": lambda: ec2.describe_security_groups(**few),
            "ec2:DescribeKeyPairs": lambda: ec2.describe_key_pairs(),
            "ec2:DescribeVpcs": lambda: ec2.describe_vpcs(**few),
            "ec2:DescribeRegions": lambda: ec2.describe_regions(RegionNames=[self._account.region]),
        }
        return _permitted(calls, "see what exists")

    # The cluster file against the account

    @functools.cached_property
    def _types(self) -> dict[str, str]:
        """The instance type of each node type."""
        return {name: str(node.get("InstanceType", "")) for name, node in self._nodes.items()}

    def instance_types(self) -> Finding:
        """Return whether EC2 has the instance types in this region."""
        account = self._account
        if without := [name for name, kind in self._types.items() if not kind]:
            return Finding(
                "missing", f"no InstanceType for {', '.join(without)}", f"add it under node_config in {self._path}"
            )
        lacking = [kind for kind in sorted({*self._types.values()}) if not self._zones_with(kind)]
        if lacking:
            return Finding(
                "missing",
                f"EC2 doesn't offer {', '.join(lacking)} in {account.region}",
                "choose another type or region; list: aws ec2 describe-instance-type-offerings",
            )
        return Finding("ok", f"{', '.join(sorted({*self._types.values()}))} exist in {account.region}")

    @functools.cache  # noqa: B019 - lives as long as one command
    def _zones_with(self, instance_type: str) -> frozenset[str]:
        """Return the zones of the region that offer an instance type."""
        with explain(f"looking for {instance_type}"):
            found = self._account.client("ec2").describe_instance_type_offerings(
                LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": [instance_type]}]
            )
        return frozenset(each["Location"] for each in found["InstanceTypeOfferings"])

    @functools.cached_property
    def _resolved(self) -> dict[str, dict[str, Any]]:
        """The node configurations with an image id in place of each parameter."""
        config = with_images(self._config, resolve_images(self._account, self._config))
        return {name: node for name, node in node_configs(config).items() if name in self._nodes}

    @functools.cached_property
    def _images(self) -> dict[str, dict[str, Any]]:
        """The images of the cluster file, as EC2 describes them, by id."""
        wanted = sorted({node["ImageId"] for node in self._resolved.values() if node.get("ImageId")})
        found: dict[str, dict[str, Any]] = {}
        for image in wanted:
            with explain(f"looking for the image {image}"):
                try:
                    answer = self._account.client("ec2").describe_images(ImageIds=[image])["Images"]
                except boto.ClientError as error:
                    if not code_of(error).startswith("InvalidAMIID"):
                        raise
                    # not logged: an image that doesn't exist is left out.
                    continue
            found |= {each["ImageId"]: each for each in answer}
        return found

    def images(self) -> Finding:
        """Return whether each image exists, and is for the architecture of its instance type."""
        account, faults = self._account, []
        for name, node in self._resolved.items():
            kind, image = self._types[name], node.get("ImageId")
            arch = arch_of_instance_type(kind)
            if not image:
                if arch == "arm64":
                    faults.append(f"{name} has no ImageId, and Ray's default image is x86_64, not {arch} as {kind}")
                continue
            if image not in self._images:
                faults.append(f"the image {image} of {name} doesn't exist in {account.region}")
            elif (of := self._images[image].get("Architecture")) != arch and arch != "unknown":
                faults.append(f"the image {image} of {name} is {of}, but {kind} is {arch}")
        if faults:
            return Finding(
                "missing",
                "; ".join(faults),
                "take Amazon Linux's by architecture, as cluster/aws.yaml does: ImageId: resolve:ssm:/aws/service/…",
            )
        return Finding(
            "ok", ", ".join(sorted({node.get("ImageId") or "Ray's own" for node in self._resolved.values()}))
        )

    @functools.cached_property
    def _subnets(self) -> list[dict[str, Any]]:
        """The subnets in which machines can be: those that the file names, else those of the default VPC."""
        return usable_subnets(self._account, self._config)

    def subnets(self) -> Finding:
        """Return whether the subnets have addresses for all machines, and a way out for the setup commands."""
        found, wanted = self._subnets, 1 + int(self._config.get("max_workers") or 0)
        free = sum(int(subnet["AvailableIpAddressCount"]) for subnet in found)
        names = ", ".join(subnet["SubnetId"] for subnet in found)
        if free < wanted:
            return Finding(
                "missing",
                f"{free} free addresses in {names}, and up to {wanted} machines",
                "name more subnets with SubnetIds under node_config, or lower max_workers",
            )
        private = [each for each in found if not each.get("MapPublicIpOnLaunch")]
        inside = bool(self._config["provider"].get("use_internal_ips"))
        if private and not inside:
            return Finding(
                "missing",
                f"machines in {', '.join(each['SubnetId'] for each in private)} get no public address",
                "name public subnets with SubnetIds, or set provider.use_internal_ips: true and reach them over a VPN",
            )
        closed = [each["SubnetId"] for each in found if not self._has_way_out(each)]
        if closed:
            return Finding(
                "warning",
                f"no route to the internet from {', '.join(closed)}: setup commands can install nothing there",
                "add an internet or NAT gateway to the route table, or use an image that holds Ray",
            )
        return Finding("ok", f"{free} free addresses in {names}, for up to {wanted} machines")

    def _has_way_out(self, subnet: Mapping[str, Any]) -> bool:
        ec2 = self._account.client("ec2")

        def routes(filters: Mapping[str, str]) -> list[dict[str, Any]]:
            wanted = [{"Name": name, "Values": [value]} for name, value in filters.items()]
            tables = ec2.describe_route_tables(Filters=wanted)["RouteTables"]
            return [route for table in tables for route in table["Routes"]]

        with explain("reading the route tables"):
            own = routes({"association.subnet-id": subnet["SubnetId"]})
            own = own or routes({"vpc-id": subnet["VpcId"], "association.main": "true"})
        return any(
            route.get("DestinationCidrBlock") == "0.0.0.0/0" and route.get("State", "active") == "active"
            for route in own
        )

    def zones(self) -> Finding:
        """Return whether the zones of the subnets offer the instance types."""
        zones = {subnet["AvailabilityZone"] for subnet in self._subnets}
        faults = {
            kind: self._zones_with(kind)
            for kind in sorted({*self._types.values()})
            if self._zones_with(kind) and not self._zones_with(kind) & zones
        }
        if faults:
            elsewhere = "; ".join(f"{kind} is in {', '.join(sorted(where))}" for kind, where in faults.items())
            return Finding(
                "missing",
                f"not offered in {', '.join(sorted(zones))}: {', '.join(faults)}",
                f"add subnets of other zones, or change provider.availability_zone: {elsewhere}",
            )
        partly = [kind for kind in sorted({*self._types.values()}) if not zones <= self._zones_with(kind)]
        if partly:
            return Finding("ok", f"{', '.join(partly)} only in some of {', '.join(sorted(zones))}")
        return Finding("ok", f"all types are offered in {', '.join(sorted(zones))}")

    def quotas(self) -> Finding:
        """Return whether the account's vCPU quotas allow all machines at once, in addition to those that run now."""
        needed = self._vcpus_needed()
        running = self._vcpus_running()
        if unknown := sorted({kind for kind in self._types.values() if vcpus_of(kind) is None}):
            return Finding("warning", f"the vCPUs of {', '.join(unknown)} are unknown", _QUOTAS_PAGE)
        faults: list[str] = []
        fine: list[str] = []
        client = self._account.client("service-quotas")
        for (family, code, market), vcpus in needed.items():
            try:
                answer = client.get_service_quota(ServiceCode="ec2", QuotaCode=code)
            except (boto.ClientError, boto.BotoCoreError) as error:
                # not logged: the finding says it.
                why = explained(f"reading the quota {code}", error)
                return Finding("warning", f"quotas can't be compared: {why.message}", why.hint or _QUOTAS_PAGE)
            quota, used = float(answer["Quota"]["Value"]), running.get((family, code, market), 0)
            text = f"{market} {family}: up to {vcpus} vCPUs here, {used} in use, quota {quota:g}"
            (faults if vcpus + used > quota else fine).append(text)
        if faults:
            return Finding(
                "missing", "; ".join(faults), f"lower max_workers, or ask for a higher quota: {_QUOTAS_PAGE}"
            )
        return Finding("ok", "; ".join(fine))

    def _vcpus_needed(self) -> dict[tuple[str, str, str], int]:
        """Return the most vCPUs at a time by quota: the head, and as many of the largest workers as may run."""
        head, limits = self._config["head_node_type"], dict(self._most)
        needed: dict[tuple[str, str, str], int] = {}
        own = {name: _quota(kind, spot=is_spot(self._nodes[name])) for name, kind in self._types.items()}
        for quota in dict.fromkeys(own.values()):
            left = int(self._config.get("max_workers") or 0)
            total = 0
            if own.get(head) == quota:
                total += vcpus_of(self._types[head]) or 0
            workers = [name for name in limits if own[name] == quota]
            for name in sorted(workers, key=lambda each: -(vcpus_of(self._types[each]) or 0)):
                number = min(left, limits[name] - (name == head))
                total += number * (vcpus_of(self._types[name]) or 0)
                left -= number
            needed[quota] = total
        return needed

    def _vcpus_running(self) -> dict[tuple[str, str, str], int]:
        running: dict[tuple[str, str, str], int] = {}
        with explain("counting running instances"):
            pages = self._account.client("ec2").get_paginator("describe_instances")
            answer = pages.paginate(Filters=[{"Name": "instance-state-name", "Values": list(_IN_USE)}])
            instances = [each for page in answer for group in page["Reservations"] for each in group["Instances"]]
        for each in instances:
            quota = _quota(each["InstanceType"], spot=each.get("InstanceLifecycle") == "spot")
            running[quota] = running.get(quota, 0) + (vcpus_of(each["InstanceType"]) or 0)
        return running

    def key_pair(self) -> Finding:
        """Return whether the key pair that the file names exists in the account, and its private key here."""
        named = sorted({str(node["KeyName"]) for node in self._nodes.values() if node.get("KeyName")})
        private = (self._config.get("auth") or {}).get("ssh_private_key")
        account = self._account
        if not named:
            return Finding("ok", "each sweep makes its own, and removes it")
        with explain("listing key pairs"):
            found = account.client("ec2").describe_key_pairs()["KeyPairs"]
        lacking = [name for name in named if name not in {pair["KeyName"] for pair in found}]
        if lacking:
            return Finding(
                "missing",
                f"no key pair {', '.join(lacking)} in {account.region}",
                "import it: aws ec2 import-key-pair; or leave KeyName out, and each sweep makes its own",
            )
        if not private:
            return Finding(
                "missing", f"KeyName {', '.join(named)} without auth.ssh_private_key", f"add its file to {self._path}"
            )
        if not Path(private).expanduser().is_file():
            return Finding("missing", f"there is no private key {private}", "correct auth.ssh_private_key")
        return Finding("ok", f"{', '.join(named)}, with {private}")

    @property
    def _path(self) -> Path:
        return self._cluster.path

    def head_role(self) -> Finding:
        """Return whether the head's instance profile exists and has a role, by which Ray's autoscaler acts."""
        account = self._account
        node = self._nodes[self._config["head_node_type"]]
        profile = node.get("IamInstanceProfile") or {"Name": HEAD_PROFILE}
        name = str(profile.get("Name") or str(profile.get("Arn", "")).rpartition("/")[2])
        try:
            found = account.client("iam").get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
        except boto.ClientError as error:
            # not logged: the finding says it.
            if code_of(error) == "NoSuchEntity":
                return Finding("missing", f"the head's instance profile {name} doesn't exist", _MAKE_PROFILE)
            if code_of(error) in FORBIDDEN:
                return Finding(
                    "warning", "no permission iam:GetInstanceProfile, so the head's role is unknown", _POLICY
                )
            raise explained("looking for the head's instance profile", error) from None
        if not found["Roles"]:
            return Finding("missing", f"the instance profile {name} has no role", _MAKE_PROFILE)
        return Finding("ok", f"{name} with the role {found['Roles'][0]['RoleName']}")

    # Permissions to change something, by dry runs

    def launching(self) -> Finding:
        """Return whether EC2 would launch a machine of each type, with tags, and make a key pair and a group."""
        ec2 = self._account.client("ec2")
        subnet, vpc = self._subnets[0]["SubnetId"], self._subnets[0]["VpcId"]
        tags = [{"Key": CLUSTER, "Value": "preflight"}]

        def tagged(*kinds: str) -> list[dict[str, Any]]:
            return [{"ResourceType": kind, "Tags": tags} for kind in kinds]

        def launch(name: str) -> Call:
            node = launch_arguments(self._resolved[name], subnet)
            return lambda: ec2.run_instances(
                **node, MinCount=1, MaxCount=1, DryRun=True, TagSpecifications=tagged(*ON_LAUNCH)
            )

        calls = {f"ec2:RunInstances ({name})": launch(name) for name in self._nodes}
        calls["ec2:ImportKeyPair"] = lambda: ec2.import_key_pair(
            KeyName="orchestrate-preflight",
            PublicKeyMaterial=b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ+FHKkCKDRTn3fJnAJnJ3ltm5AMoyy1MWVySmL0wkQq",
            TagSpecifications=tagged("key-pair"),
            DryRun=True,
        )
        calls["ec2:CreateSecurityGroup"] = lambda: ec2.create_security_group(
            GroupName="orchestrate-preflight",
            Description="orchestrate",
            VpcId=vpc,
            TagSpecifications=tagged("security-group"),
            DryRun=True,
        )
        # Ray fills in the image that a file leaves out, after these calls.
        return _permitted(calls, "launch machines", accepted=("MissingParameter",))

    def removing(self) -> Finding:
        """Return whether instances may be ended, as far as a dry run on an instance that doesn't exist can tell."""
        ec2 = self._account.client("ec2")
        found = _permitted(
            {"ec2:TerminateInstances": lambda: ec2.terminate_instances(InstanceIds=[_NOBODY], DryRun=True)},
            "end machines",
            accepted=("InvalidInstanceID",),
        )
        if found.state == "missing":
            # A policy that asks for our tag may refuse this instance, which has none.
            return Finding("warning", f"{found.detail}, or only for machines with our tags", found.hint)
        return found


def _quota(instance_type: str, *, spot: bool) -> tuple[str, str, str]:
    """Return family, code and market of the vCPU quota that an instance type counts for."""
    letter = instance_type[:1].upper()
    for letters, (family, on_demand, of_spot) in _FAMILY.items():
        if letter in letters:
            return family, of_spot if spot else on_demand, "spot" if spot else "on-demand"
    return "standard", *(("L-34B43A08", "spot") if spot else ("L-1216C47A", "on-demand"))


def _permitted(calls: Mapping[str, Call], purpose: str, accepted: Sequence[str] = ()) -> Finding:
    """Return which calls AWS refuses. A dry run that would have succeeded ends with the code DryRunOperation."""
    forbidden: list[str] = []
    other: list[OrchestrateError] = []
    for action, call in calls.items():
        try:
            call()
        except boto.ClientError as error:
            # not logged: the finding says it.
            code = code_of(error)
            if code in FORBIDDEN:
                forbidden.append(_named(action, said(error)))
            elif code != "DryRunOperation" and not code.startswith(tuple(accepted) or ("-",)):
                other.append(explained(action, error))
        except boto.BotoCoreError as error:
            # not logged: the finding says it.
            other.append(explained(action, error))
    if forbidden:
        return Finding("missing", f"no permission to {purpose}: {', '.join(forbidden)}", _POLICY)
    if other:
        hint = next((error.hint for error in other if error.hint), "")
        return Finding("missing", "; ".join(error.message for error in other), hint)
    return Finding("ok", ", ".join(calls))


def _named(action: str, message: str) -> str:
    """Return the action that is refused: a launch may fail for the lack of another one, such as iam:PassRole."""
    for other in ("iam:PassRole", "ec2:CreateTags"):
        if other in message:
            return f"{other} (by {action})"
    return action
