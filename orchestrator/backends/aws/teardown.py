"""End a cluster by its tags: instances, then what they used."""

import logging
import time

from botocore.exceptions import BotoCoreError, ClientError

from orchestrator.aws.session import Account, explain, explained
from orchestrator.aws.tags import ours
from orchestrator.backends.aws.machines import LIVE, instances_of
from orchestrator.errors import ClusterFailed

_log = logging.getLogger(__name__)
_DEADLINE_S = 600.0
_AGAIN_S = 1.0


def remove_cluster(account: Account, cluster_id: str) -> None:
    """Remove everything with the cluster's tag. Raises MissingPrerequisite, ClusterFailed."""
    ec2, deadline = account.client("ec2"), time.monotonic() + _DEADLINE_S
    with explain("ending the cluster's machines"):
        # The head launches others until it has ended itself.
        while found := instances_of(account, cluster_id, *LIVE):
            running = [each["InstanceId"] for each in found if each["State"]["Name"] != "shutting-down"]
            if running:
                ec2.terminate_instances(InstanceIds=running)
            if time.monotonic() > deadline:
                raise ClusterFailed(f"machines don't end: {', '.join(each['InstanceId'] for each in found)}")
            time.sleep(_AGAIN_S)
        filters = list(ours(cluster_id))
        for volume in ec2.describe_volumes(Filters=filters)["Volumes"]:
            ec2.delete_volume(VolumeId=volume["VolumeId"])
        for pair in ec2.describe_key_pairs(Filters=filters)["KeyPairs"]:
            ec2.delete_key_pair(KeyName=pair["KeyName"])
        for group in ec2.describe_security_groups(Filters=filters)["SecurityGroups"]:
            ec2.delete_security_group(GroupId=group["GroupId"])
