"""The parts of a cluster config that EC2 reads, as pure functions of the config."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.inputs.instance_types import ec2_instance_types
from orchestrator.model.arch import Arch, arch_of_instance_type

HEAD_PROFILE = "orchestrate-ray-head"
"""The instance profile of cluster/aws.yaml's head, with the policy cluster/aws/iam-head.json."""

BY_PARAMETER = "resolve:ssm:"
"""EC2's own prefix of an ImageId that names an SSM parameter in place of an image."""

RAY_VARIABLE, PYTHON_VARIABLE = "ORCHESTRATE_RAY", "ORCHESTRATE_PYTHON"
"""Shell variables by which a setup command can name the versions that the orchestrator runs on."""

_COMMANDS = ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")


def node_configs(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return each node type's `node_config`, which are the arguments of EC2's RunInstances, by name."""
    types = config["available_node_types"]
    return {name: section.get("node_config") or {} for name, section in types.items()}


def launched_types(config: Mapping[str, Any]) -> dict[str, int]:
    """Return the most machines of each node type that can run at a time, the head included."""
    total, head = int(config.get("max_workers") or 0), config["head_node_type"]
    types = config["available_node_types"]
    most = {
        name: min(total, section.get("max_workers", 0 if name == head else total)) for name, section in types.items()
    }
    return {name: number + (1 if name == head else 0) for name, number in most.items()}


def is_spot(node_config: Mapping[str, Any]) -> bool:
    """Return true if machines with this configuration are bought on the spot market."""
    options = node_config.get("InstanceMarketOptions")
    return isinstance(options, Mapping) and options.get("MarketType") == "spot"


def images_by_parameter(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the SSM parameters that node types name in place of an image, by node type."""
    wanted = {name: str(node.get("ImageId", "")) for name, node in node_configs(config).items()}
    return {name: image.removeprefix(BY_PARAMETER) for name, image in wanted.items() if image.startswith(BY_PARAMETER)}


def with_images(config: Mapping[str, Any], images: Mapping[str, str]) -> dict[str, Any]:
    """Return the config with an image id in place of each SSM parameter; `images` are the ids by parameter."""
    changed = copy.deepcopy(dict(config))
    for name, parameter in images_by_parameter(config).items():
        changed["available_node_types"][name]["node_config"]["ImageId"] = images[parameter]
    return changed


def with_versions(config: Mapping[str, Any], *, ray: str, python: str) -> dict[str, Any]:
    """Return the config whose commands know the versions of Ray and Python (`3.11`), if they ask for them."""
    values = {RAY_VARIABLE: ray, PYTHON_VARIABLE: python}
    changed = copy.deepcopy(dict(config))

    def exported(command: str) -> str:
        asked = {name: value for name, value in values.items() if f"${{{name}" in command or f"${name}" in command}
        return "".join(f"export {name}={value}; " for name, value in asked.items()) + command

    for section in (changed, *changed["available_node_types"].values()):
        for key in _COMMANDS:
            if section.get(key):
                section[key] = [exported(command) for command in section[key]]
    return changed


def arch_of(instance_type: str) -> Arch:
    """Return the architecture of an EC2 instance type."""
    return arch_of_instance_type(instance_type)


def vcpus_of(instance_type: str) -> int | None:
    """Return the vCPUs of an instance type by the catalogue; None if it isn't there."""
    described = ec2_instance_types().get(instance_type)
    return None if described is None else int(described["VCpuInfo"]["DefaultVCpus"])


def zones_of(config: Mapping[str, Any]) -> list[str]:
    """Return the availability zones that the provider section names."""
    named = config["provider"].get("availability_zone") or ""
    return [zone.strip() for zone in str(named).split(",") if zone.strip()]


def subnets_of(node_configs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the subnets that node configurations name, each once."""
    found: dict[str, None] = {}
    for node in node_configs:
        named = [node.get("SubnetId"), *(node.get("SubnetIds") or ())]
        named += [interface.get("SubnetId") for interface in node.get("NetworkInterfaces") or ()]
        found |= dict.fromkeys(str(subnet) for subnet in named if subnet)
    return list(found)
