"""Image ids, subnets and arguments with which a cluster file's machines are launched, looked up in the account."""

from collections.abc import Mapping
from typing import Any

from botocore import exceptions as boto

from orchestrator.aws.cluster_file import images_by_parameter, node_configs, subnets_of, zones_of
from orchestrator.aws.session import Account, code_of, explain, said
from orchestrator.errors import MissingPrerequisite

_LIST_SUBNETS = "aws ec2 describe-subnets"
# Keys that Ray takes out of a node_config before it calls EC2.
_RAYS_OWN = ("SubnetIds", "MinCount", "MaxCount", "TagSpecifications", "SecurityGroupIds", "KeyName")


def resolve_images(account: Account, config: Mapping[str, Any]) -> dict[str, str]:
    """Return the image id of each SSM parameter in a config. Raises MissingPrerequisite, which names the node type."""
    found: dict[str, str] = {}
    for name, parameter in images_by_parameter(config).items():
        if parameter in found:
            continue
        with explain(f"looking up the image of {name}"):
            try:
                answer = account.client("ssm").get_parameter(Name=parameter)
            except boto.ClientError as error:
                if code_of(error) not in ("ParameterNotFound", "ParameterVersionNotFound"):
                    raise
                raise MissingPrerequisite(
                    f"the image of {name}: there is no SSM parameter {parameter} in {account.region}",
                    "correct ImageId; list: aws ssm get-parameters-by-path --path /aws/service/ami-amazon-linux-latest",
                ) from None
        found[parameter] = str(answer["Parameter"]["Value"])
    return found


def usable_subnets(account: Account, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the subnets that a config names, else those of the default VPC, in its zones. Raises MissingPrerequisite.

    Without internal addresses, public subnets come alone if there are any.
    """
    ec2, named, zones = account.client("ec2"), subnets_of(node_configs(config).values()), zones_of(config)
    with explain("looking for subnets"):
        if named:
            try:
                return list(ec2.describe_subnets(SubnetIds=named)["Subnets"])
            except boto.ClientError as error:
                if not code_of(error).startswith("InvalidSubnetID"):
                    raise
                raise MissingPrerequisite(
                    f"subnet of the cluster file: {said(error)}", f"correct SubnetIds; list: {_LIST_SUBNETS}"
                ) from None
        filters = [{"Name": "availability-zone", "Values": zones}] if zones else []
        found = ec2.describe_subnets(Filters=[{"Name": "state", "Values": ["available"]}, *filters])["Subnets"]
        default = {vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"] if vpc.get("IsDefault")}
    vpcs = {subnet["VpcId"] for subnet in found}
    if len(vpcs) > 1 or not vpcs:
        found = [subnet for subnet in found if subnet["VpcId"] in default]
    if not found:
        where = f"the zones {', '.join(zones)}" if zones else account.region
        raise MissingPrerequisite(
            f"no default VPC with a subnet in {where}",
            f"name one with SubnetIds under node_config ({_LIST_SUBNETS}), or: aws ec2 create-default-vpc",
        )
    public = [subnet for subnet in found if subnet.get("MapPublicIpOnLaunch")]
    return found if config["provider"].get("use_internal_ips") else public or found


def launch_arguments(node: Mapping[str, Any], subnet: str) -> dict[str, Any]:
    """Return the arguments of RunInstances for a dry run of a node configuration in a subnet."""
    arguments = {key: value for key, value in node.items() if key not in _RAYS_OWN}
    return arguments if "NetworkInterfaces" in arguments else {**arguments, "SubnetId": subnet}
