"""Ask EC2 for vCPUs, memory and GPUs of instance types, as Ray's own AWS provider does."""

import logging
from collections.abc import Collection, Mapping
from typing import Any

from orchestrator.errors import MissingPrerequisite

_log = logging.getLogger(__name__)


def describe_instance_types(
    names: Collection[str], region: str, credentials: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """Return what EC2 says of these instance types in a region, in the format of its DescribeInstanceTypes.

    Types that the region doesn't have are left out. `credentials` are those of the cluster file; without them, boto3
    looks where it always does. Raises MissingPrerequisite.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        ec2 = boto3.client("ec2", region_name=region, **(credentials or {}))
        chosen = [{"Name": "instance-type", "Values": sorted(names)}]
        pages = ec2.get_paginator("describe_instance_types").paginate(Filters=chosen)
        return {found["InstanceType"]: found for page in pages for found in page["InstanceTypes"]}
    except (BotoCoreError, ClientError, TypeError, ValueError) as error:
        _log.debug("EC2 doesn't describe instance types", exc_info=True)
        raise MissingPrerequisite(
            f"AWS can't be asked for instance types in {region}: {' '.join(str(error).split())[:200]}",
            "give credentials that may call ec2:DescribeInstanceTypes (`aws configure`), or leave out"
            " --instance-types-from aws and write `resources: {CPU: 8}` into the cluster file",
        ) from None
