"""Prepare a cluster file as `ray up` does, without a cloud's SDK and without a network.

Where Ray would ask the cloud for an instance type, the caller's description of it is used.
"""

import contextlib
import copy
import io
import logging
import math
import sys
from collections.abc import Mapping
from typing import Any

from orchestrator.rayapi.own_process import NoAnswer, ask, reply

# Ray's source tree has defaults for these providers, its wheel lacks the files. Here is what an autoscaler decides by,
# from ray-project/ray: aliyun/defaults.yaml and _private/fake_multi_node/example.yaml under python/ray/autoscaler.
_LACKING_DEFAULTS: dict[str, dict[str, Any]] = {
    "aliyun": {"max_workers": 2, "upscaling_speed": 1.0, "idle_timeout_minutes": 5},
    "fake_multinode": {"max_workers": 8, "upscaling_speed": 1.0, "idle_timeout_minutes": 0.1},
}

_COMMANDS = ("setup_commands", "head_setup_commands", "worker_setup_commands")

_DEADLINE_S = 120.0


class RayRefuses(Exception):
    """Ray doesn't take the file: `reason` is Ray's own, `key` the place in the file if Ray names it."""

    def __init__(self, reason: str, key: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.key = key


def prepare(
    config: Mapping[str, Any], instance_types: Mapping[str, Mapping[str, Any]], environment: Mapping[str, str]
) -> dict[str, Any]:
    """Return the config as Ray's launcher would pass it to a cluster. Raises RayRefuses.

    `instance_types` describes EC2 instance types in the format of EC2's DescribeInstanceTypes. Ray is used in this
    process if it is loaded already, else in one of its own, which gets `environment`: Ray reads addresses and tokens
    when it is loaded, so that loading it here could be too early.
    """
    if "ray" in sys.modules:
        return _prepare_here(config, instance_types)
    try:
        found = ask(__name__, {"config": config, "instance_types": instance_types}, environment, _DEADLINE_S)
    except NoAnswer as reason:
        raise RayRefuses(f"Ray can't prepare this file: {reason}") from None
    if "reason" in found:
        raise RayRefuses(found["reason"], found["key"])
    prepared: dict[str, Any] = found["config"]
    return prepared


def _prepare_here(config: Mapping[str, Any], instance_types: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    import jsonschema
    from ray.autoscaler._private.util import prepare_config, validate_config

    given = copy.deepcopy(dict(config))
    kind = given["provider"]["type"]
    if kind in _LACKING_DEFAULTS:
        given = {**_LACKING_DEFAULTS[kind], **given, "provider": {**given["provider"], "type": "external"}}
    if given["provider"]["type"] in ("external", "kuberay"):
        # Ray expects these keys of such files. They decide nothing here, as the backend has its own.
        given = {**{key: [] for key in (*_COMMANDS, "cluster_synced_files")}, **given}
    with _quiet():
        try:
            prepared: dict[str, Any] = prepare_config(given)
            prepared["provider"] = copy.deepcopy(config["provider"])
            _fill_in_resources(prepared, instance_types)
            validate_config(prepared)
        except jsonschema.ValidationError as error:
            key = ".".join(str(part) for part in error.absolute_path)
            raise RayRefuses(error.message[:200], key) from None
        except Exception as error:  # any of Ray's checks; some of them are plain assertions
            raise RayRefuses(_reason(error)) from error
    return prepared


@contextlib.contextmanager
def _quiet() -> Any:
    """Hold back what Ray's launcher prints and logs: it is about commands that aren't run here."""
    logger = logging.getLogger("ray.autoscaler")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def _reason(error: Exception) -> str:
    text = (str(error).strip().splitlines() or [""])[0][:200]
    return (
        text
        if isinstance(error, ValueError | AssertionError | NotImplementedError) and text
        else (f"Ray raises {type(error).__name__}: {text}")
    )


def _fill_in_resources(config: dict[str, Any], instance_types: Mapping[str, Mapping[str, Any]]) -> None:
    """Fill in `resources` as Ray's provider does; a type that isn't described keeps what the file says."""
    kind = config["provider"]["type"]
    for name, node_type in config["available_node_types"].items():
        node_config = node_type.get("node_config") or {}
        if kind == "aws":
            found = _of_instance_type(node_config.get("InstanceType"), instance_types, name == config["head_node_type"])
        elif kind == "gcp":
            found = _of_tpu(node_config)
        else:
            found = {}
        if found:
            own = node_type.get("resources") or {}
            # As Ray: what the file says stands above EC2's; the name of a TPU's head is Ray's own.
            node_type["resources"] = {**found, **own} if kind == "aws" else {**own, **found}


def _of_instance_type(
    instance_type: Any, instance_types: Mapping[str, Mapping[str, Any]], is_head: bool
) -> dict[str, Any]:
    """Return what `AWSNodeProvider.fillout_available_node_types_resources` finds for an instance type."""
    from ray._private.accelerators import get_all_accelerator_managers
    from ray._private.ray_constants import DEFAULT_OBJECT_STORE_MEMORY_PROPORTION

    facts = instance_types.get(instance_type) if isinstance(instance_type, str) else None
    if facts is None:
        return {}
    found: dict[str, Any] = {"CPU": facts["VCpuInfo"]["DefaultVCpus"]}
    if not is_head:
        memory = facts["MemoryInfo"]["SizeInMiB"] * 1024 * 1024
        found["memory"] = int(memory * (1 - DEFAULT_OBJECT_STORE_MEMORY_PROPORTION))
    for manager in get_all_accelerator_managers():
        count = manager.get_ec2_instance_num_accelerators(instance_type, instance_types)
        accelerator = manager.get_ec2_instance_accelerator_type(instance_type, instance_types)
        if count:
            found[manager.get_resource_name()] = count
            if accelerator:
                found[f"accelerator_type:{accelerator}"] = 1
    return found


def _of_tpu(node_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `GCPNodeProvider.fillout_available_node_types_resources` finds: the resource of a TPU pod's head."""
    if "machineType" in node_config:
        return {}
    pod = node_config.get("acceleratorType")
    topology = node_config.get("acceleratorConfig")
    if pod is None and isinstance(topology, Mapping):
        from ray._private.accelerators import tpu

        generation = str(topology["type"]).lower().replace("v5lite_pod", "v5litepod")
        chips = math.prod(int(size) for size in str(topology["topology"]).split("x"))
        pod = f"{generation}-{tpu.get_tpu_cores_per_chip(generation) * chips}"
    return {} if pod is None else {f"TPU-{pod}-head": 1}


def _answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the prepared config, or the reason why Ray refuses it."""
    try:
        return {"config": prepare(asked["config"], asked["instance_types"], {})}
    except RayRefuses as refused:
        # not logged: it is the answer, which the reader raises again.
        return {"reason": refused.reason, "key": refused.key}


if __name__ == "__main__":
    reply(_answer)
