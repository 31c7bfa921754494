"""The config that Ray's launcher gets: the user's file, with what keeps the account safe."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestrator.assets import bundled
from orchestrator.aws.cluster_file import HEAD_PROFILE
from orchestrator.aws.tags import CLUSTER, Mark
from orchestrator.backends.aws.bootstrap import Made, launch_config, problem_of_user_data
from orchestrator.backends.aws.lease import Lease
from orchestrator.inputs.cluster_config import read_cluster_file
from orchestrator.model.settings import Settings

MADE = Made(
    name="orchestrate-1a2b3c4d",
    mark=Mark("1a2b3c4d", "5e6f", "me@here 1 1.00", datetime(2026, 12, 1, tzinfo=UTC)),
    region="us-west-2",
    subnets=("subnet-1", "subnet-2"),
    key=Path("/home/me/key"),
    security_group="sg-1",
    kit=Path("/home/me/kit"),
    lease=Lease(10),
    metrics_ports={"autoscaler": 44217, "dashboard": 44227},
)


def config(settings: Settings | None = None, **node: Any) -> dict[str, Any]:
    """The launcher's config of the built-in cluster, whose node types have `node` in addition."""
    file = read_cluster_file(bundled("cluster/aws.yaml"))
    for section in file.raw["available_node_types"].values():
        section["node_config"] |= node
    return launch_config(file.raw, file.shape, settings or Settings(upscaling_speed=5.0), MADE)


def node_configs(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [section["node_config"] for section in found["available_node_types"].values()]


def test_every_machine_ends_for_good_and_carries_our_tags() -> None:
    for node in node_configs(config()):
        assert node["InstanceInitiatedShutdownBehavior"] == "terminate"
        assert node["UserData"].startswith("#!/bin/bash\nshutdown -P +30")
        tagged = {each["ResourceType"]: {tag["Key"] for tag in each["Tags"]} for each in node["TagSpecifications"]}
        assert {"instance", "volume", "network-interface"} == tagged.keys()
        assert all(CLUSTER in keys for keys in tagged.values())


def test_each_setup_command_runs_once() -> None:
    found = config()

    assert len(found["setup_commands"]) == 3
    assert found["head_setup_commands"] == found["worker_setup_commands"] == []


def test_no_machine_is_stopped_and_kept() -> None:
    assert config()["provider"]["cache_stopped_nodes"] is False


def test_only_our_key_and_group_lead_to_a_machine() -> None:
    found = config()

    assert found["auth"]["ssh_private_key"] == str(MADE.key)
    assert all(node["KeyName"] == MADE.name for node in node_configs(found))
    assert all(node["SecurityGroupIds"] == ["sg-1"] for node in node_configs(found))
    assert all(node["MetadataOptions"]["HttpTokens"] == "required" for node in node_configs(found))


def test_machines_go_where_the_group_is_unless_the_file_says_where() -> None:
    assert node_configs(config())[0]["SubnetIds"] == ["subnet-1", "subnet-2"]
    assert node_configs(config(SubnetIds=["subnet-9"]))[0]["SubnetIds"] == ["subnet-9"]


def test_interfaces_of_the_file_get_the_group_and_a_subnet() -> None:
    mine = [{"DeviceIndex": 0}, {"DeviceIndex": 1, "SubnetId": "subnet-9", "Groups": ["sg-9"]}]
    node = node_configs(config(NetworkInterfaces=mine))[0]

    assert [each["Groups"] for each in node["NetworkInterfaces"]] == [["sg-1"], ["sg-9", "sg-1"]]
    assert [each["SubnetId"] for each in node["NetworkInterfaces"]] == ["subnet-1", "subnet-9"]
    assert not {"SecurityGroupIds", "SubnetIds"} & node.keys()


def test_a_head_without_a_role_gets_the_documented_one() -> None:
    file = read_cluster_file(bundled("cluster/aws.yaml"))
    del file.raw["available_node_types"]["head_node"]["node_config"]["IamInstanceProfile"]
    found = launch_config(file.raw, file.shape, Settings(upscaling_speed=5.0), MADE)

    assert [node.get("IamInstanceProfile") for node in node_configs(found)] == [{"Name": HEAD_PROFILE}, None, None]
    assert node_configs(config(IamInstanceProfile={"Name": "mine"}))[0]["IamInstanceProfile"] == {"Name": "mine"}


def test_tags_of_the_file_are_kept_and_ours_win() -> None:
    theirs = [{"ResourceType": "instance", "Tags": [{"Key": "team", "Value": "x"}, {"Key": CLUSTER, "Value": "y"}]}]
    (instance,) = (
        each
        for each in node_configs(config(TagSpecifications=theirs))[0]["TagSpecifications"]
        if each["ResourceType"] == "instance"
    )

    assert {"Key": "team", "Value": "x"} in instance["Tags"]
    assert [tag["Value"] for tag in instance["Tags"] if tag["Key"] == CLUSTER] == ["1a2b3c4d"]


def test_a_spot_request_is_tagged_too() -> None:
    node = node_configs(config(InstanceMarketOptions={"MarketType": "spot"}))[0]

    assert "spot-instances-request" in {each["ResourceType"] for each in node["TagSpecifications"]}


def test_user_data_of_the_file_runs_after_our_timer() -> None:
    data = node_configs(config(UserData="#!/bin/bash\necho mine\n"))[0]["UserData"].splitlines()

    assert data[1].startswith("shutdown")
    assert data[2:] == ["echo mine"]


@pytest.mark.parametrize(("data", "refused"), [("", False), ("#!/bin/sh\nx", False), ("#cloud-config\nx: 1", True)])
def test_user_data_that_is_no_script_is_refused(data: str, refused: bool) -> None:
    assert bool(problem_of_user_data(data)) == refused


def test_the_lease_begins_before_ray() -> None:
    found = config()

    for key, kind in (("head_start_ray_commands", "lease.sh head"), ("worker_start_ray_commands", "lease.sh worker")):
        commands = found[key]
        lease = next(number for number, command in enumerate(commands) if kind in command)
        assert all("ray start" not in command for command in commands[:lease])
        assert "ray start" in commands[-1]


def test_ray_asks_for_a_token_and_logs_in_utc() -> None:
    found = config()

    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        assert "export RAY_AUTH_MODE=token; " in found[key][-1]
        assert "export TZ=UTC; " in found[key][-1]


def test_the_monitor_gets_the_trials_settings() -> None:
    found = config(Settings(autoscaler="v1", upscaling_speed=5.0, max_launch_batch=2))

    assert found["upscaling_speed"] == 5.0
    assert "export AUTOSCALER_MAX_LAUNCH_BATCH=2; " in found["head_start_ray_commands"][-1]
    assert "export RAY_enable_autoscaler_v2=0; " in found["head_start_ray_commands"][-1]


def test_ray_gets_none_of_our_own_keys() -> None:
    file = read_cluster_file(bundled("cluster/aws.yaml"))
    file.raw["provider"] |= {"launch": {}, "lease_minutes": 5, "ssh_from": ["10.0.0.0/8"]}
    provider = launch_config(file.raw, file.shape, Settings(), MADE)["provider"]

    assert provider.keys() & {"launch", "simulation", "lease_minutes", "ssh_from"} == set()
