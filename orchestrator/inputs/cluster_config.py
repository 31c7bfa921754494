"""Read a cluster config in Ray's own format, as Ray reads it, into a cluster shape. Errors name file and key."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import jsonschema
from pydantic import BaseModel, ValidationError

from orchestrator.errors import InputError, SpecError
from orchestrator.inputs.ec2_api import describe_instance_types
from orchestrator.inputs.foreign_files import refuse_fixed_machines, refuse_foreign
from orchestrator.inputs.instance_types import ec2_instance_types
from orchestrator.inputs.launch_profiles import assume
from orchestrator.inputs.problems import first_problem
from orchestrator.inputs.secrets import inherited
from orchestrator.inputs.yaml_file import read_yaml_as_ray
from orchestrator.model.arch import infer_arch
from orchestrator.model.cluster import ClusterShape, NodeType
from orchestrator.model.latency import LaunchModel
from orchestrator.model.ray_latencies import RayModel
from orchestrator.model.settings import Settings
from orchestrator.model.spec import InstanceTypesFrom
from orchestrator.rayapi.cluster_file import RayRefuses, prepare
from orchestrator.rayapi.version import cluster_config_schema

Model = TypeVar("Model", bound=BaseModel)

_LEGACY_KEYS = ("head_node", "worker_nodes")
_WRITE_OR_ASK = (
    "write it into the file, such as `resources: {CPU: 8}`; or let sweep and simulate ask AWS, with your credentials:"
    " --instance-types-from aws"
)
_UNRESOLVED = "replace ${…} before, for example with `envsubst < FILE > cluster.yaml`; Ray doesn't do that either"


@dataclass(frozen=True)
class ClusterFile:
    """A cluster config, read as Ray reads it.

    `raw` is the file with Ray's own additions for its provider, `shape` the same as this program's model. `spot` names
    the node types that the file buys on the spot market, in the provider's `region`. `launch_text` says which latencies
    are assumed, and is empty if the file gives its own. `notes` say what a user may not expect of the file.
    """

    path: Path
    raw: dict[str, Any]
    shape: ClusterShape
    upscaling_speed: float | None
    idle_timeout_minutes: float | None
    spot: frozenset[str] = frozenset()
    launch_text: str = ""
    notes: tuple[str, ...] = ()

    @property
    def foreign_provider(self) -> str | None:
        """Return the node provider that the file names, such as `aws`; None if it names none. No backend uses it."""
        provider = self.raw.get("provider", {})
        named = provider.get("module") or provider.get("type")
        return None if named is None else str(named)

    @property
    def region(self) -> str | None:
        """Return the AWS region of the file; None if it is of another provider, or names no region."""
        provider = self.raw.get("provider", {})
        region = provider.get("region")
        return str(region) if provider.get("type") == "aws" and region is not None else None


def read_cluster_file(
    path: Path,
    *,
    launch_profile: str | None = None,
    instance_types_from: InstanceTypesFrom = "catalogue",
    real_nodes: bool = False,
) -> ClusterFile:
    """Return the cluster config at `path`, prepared and checked as Ray does it. Raises SpecError.

    Latencies that the file doesn't give are those of a launch profile, as are all of them if `launch_profile` names
    one. `real_nodes`: the nodes will be processes or containers of this machine. No cloud is asked, unless
    `instance_types_from` says so. Raises MissingPrerequisite if AWS doesn't answer then.
    """
    document, notes = read_yaml_as_ray(path, lambda documents: refuse_foreign(path, documents))
    _check_against_rays_schema(path, document)
    refuse_fixed_machines(path, document["provider"])
    if "min_workers" in document:
        notes.append(f"Ray ignores min_workers of the whole cluster in {path}: write it under each node type")
    raw = _prepared(path, document, instance_types_from, notes)
    settings = _build(
        path,
        "",
        Settings,
        # Ray takes a speed of 0 as "one node at an update", which is its default too.
        upscaling_speed=raw.get("upscaling_speed") or None,
        idle_timeout_minutes=raw.get("idle_timeout_minutes"),
    )
    provider = raw["provider"]
    sections = {name: provider.get(name, {}) for name in ("launch", "simulation")}
    for name, section in sections.items():
        if not isinstance(section, dict):
            raise SpecError(f"{path}: provider.{name}", "expected keys and values")
    launch = _build(path, "provider.launch", LaunchModel, **sections["launch"])
    # The providers of backends with real nodes have no updaters, whatever the file says.
    updaters = {"node_updaters": not real_nodes and not provider.get("disable_node_updaters", False)}
    simulation, launch_text = {**updaters, **sections["simulation"]}, ""
    shape = _shape(path, raw, launch, _build(path, "provider.simulation", RayModel, **simulation))
    if launch_profile is not None or "launch" not in provider:
        assumed = assume(launch, shape.launchable, provider.get("type"), launch_profile, real_nodes=real_nodes)
        model = _build(
            path, "provider.simulation", RayModel, **{**assumed.simulation, **updaters, **sections["simulation"]}
        )
        shape = shape.replace(launch=assumed.launch, simulation=model)
        launch_text = assumed.text
    elif zero := [stage for stage in ("request", "boot", "install") if stage not in sections["launch"]]:
        notes.append(f"provider.launch names no {' and no '.join(zero)}, which takes 0 s then")
    return ClusterFile(
        path,
        raw,
        shape,
        settings.upscaling_speed,
        settings.idle_timeout_minutes,
        frozenset(name for name, section in raw["available_node_types"].items() if _is_spot(section)),
        launch_text,
        tuple(notes),
    )


def _check_against_rays_schema(path: Path, document: dict[str, Any]) -> None:
    """Refuse what Ray's schema refuses in any case, before Ray's defaults are filled in."""
    if "target_utilization_fraction" in document:
        raise SpecError(
            f"{path}: target_utilization_fraction",
            "Ray's schema rejects this key",
            "sweep it with --target-utilization-fraction and --autoscaler v1 instead",
        )
    document = _without_what_ray_drops(document)
    provider = document.get("provider")
    if isinstance(provider, dict):
        # Ray requires a type. Here the backend chooses the node provider, so a file may leave it out.
        document["provider"] = {"type": "external", **provider}
    schema = copy.deepcopy(cluster_config_schema())
    if isinstance(provider, dict) and provider.get("type") == "aws":
        # Ray fills in the resources, and asks for the rest of a type only where it launches one.
        schema["properties"]["available_node_types"]["patternProperties"][".*"]["required"] = []
    try:
        jsonschema.validate(document, schema)
    except jsonschema.ValidationError as error:
        key = ".".join(str(part) for part in error.absolute_path) or "top level"
        raise _refused(path, key, error.message) from None


def _refused(path: Path, key: str, reason: str) -> SpecError:
    hint = _UNRESOLVED if "${" in reason else None
    if key == "top level" and "required property" in reason:
        hint = "a cluster config of `ray up` is needed: see docs/cluster-files.md"
    if "available_node_types" not in reason and any(f"'{legacy}'" in reason for legacy in _LEGACY_KEYS):
        hint = "Ray 2 reads node types only: write them under available_node_types"
    return SpecError(f"{path}: {key}" if key else str(path), reason[:200], hint)


def _without_what_ray_drops(document: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the legacy keys that Ray leaves out: empty ones, and a minimum for the whole cluster."""
    kept = {key: value for key, value in document.items() if key != "min_workers"}
    # Without node types, Ray converts what these two say, and then refuses what is left of them.
    return {key: value for key, value in kept.items() if key not in _LEGACY_KEYS or value}


def _prepared(
    path: Path, document: dict[str, Any], instance_types_from: InstanceTypesFrom, notes: list[str]
) -> dict[str, Any]:
    """Return the config as Ray prepares it. A file without a provider's type is completed by the same rules here."""
    if "type" not in document["provider"]:
        return _completed(path, _without_what_ray_drops(document))
    known = ec2_instance_types()
    if instance_types_from == "aws":
        known = {**known, **_asked_of_aws(path, document, notes)}
    try:
        prepared = prepare(document, known, inherited())
    except RayRefuses as refused:
        raise _refused(path, refused.key, refused.reason) from None
    for name, section in prepared["available_node_types"].items():
        _check_cpus_are_known(path, name, section, prepared["provider"]["type"])
    return prepared


def _asked_of_aws(path: Path, document: Mapping[str, Any], notes: list[str]) -> dict[str, dict[str, Any]]:
    """Return what AWS says of the file's instance types, and note that it was asked. Raises SpecError."""
    provider = document["provider"]
    if provider["type"] != "aws":
        raise InputError(
            f"--instance-types-from aws: {path} is of provider {provider['type']!r:.40}, whose resources Ray"
            " doesn't ask AWS for",
            "leave the option out",
        )
    configs = [section.get("node_config") or {} for section in (document.get("available_node_types") or {}).values()]
    names = {config["InstanceType"] for config in configs if isinstance(config.get("InstanceType"), str)}
    region = str(provider["region"])
    found = describe_instance_types(names, region, provider.get("aws_credentials")) if names else {}
    if absent := sorted(names - found.keys()):
        raise SpecError(
            f"{path}: available_node_types",
            f"AWS has no instance type {', '.join(absent)} in {region}",
            "correct the name or provider.region",
        )
    notes.append(f"AWS ({region}) was asked for the resources of {', '.join(sorted(found))}")
    return found


def _check_cpus_are_known(path: Path, name: str, section: Mapping[str, Any], provider: str) -> None:
    """Raise SpecError if Ray would ask AWS for CPUs that the catalogue doesn't know."""
    if provider != "aws" or "CPU" in (section.get("resources") or {}):
        return
    instance_type = (section.get("node_config") or {}).get("InstanceType")
    if instance_type is None:
        problem = "no CPU, and no InstanceType under node_config that would tell it"
    else:
        problem = f"no CPU: Ray would ask AWS for that of {str(instance_type)!r:.60}, which isn't in the catalogue"
    hint = _UNRESOLVED if "$" in str(instance_type) else _WRITE_OR_ASK
    raise SpecError(f"{path}: available_node_types.{name}.resources", problem, hint)


def _completed(path: Path, document: dict[str, Any]) -> dict[str, Any]:
    """Complete a file that names no provider: a type's limits, and a total if there is none."""
    raw = {**document, "available_node_types": copy.deepcopy(document.get("available_node_types") or {})}
    types, head, total = raw["available_node_types"], raw.get("head_node_type"), raw.get("max_workers")
    if head is None:
        raise SpecError(f"{path}: head_node_type", "is missing")
    if head not in types:
        raise SpecError(f"{path}: head_node_type", f"{head!r} isn't one of available_node_types")
    workers = [name for name in types if name != head]
    for name in workers:
        if types[name].get("max_workers", total) is None:
            raise SpecError(f"{path}: available_node_types.{name}.max_workers", "is missing, as is the total")
    return raw


def _shape(path: Path, raw: dict[str, Any], launch: LaunchModel, simulation: RayModel) -> ClusterShape:
    types, head, total = raw["available_node_types"], raw["head_node_type"], raw.get("max_workers")
    workers = [name for name in types if name != head]
    # The head's type is one of workers, too, if its own limit says so.
    limits = {head: types[head].get("max_workers", 0)}
    if not workers and not limits[head]:
        raise SpecError(f"{path}: available_node_types", "no worker node type, so there is nothing to scale")
    limits |= {name: types[name].get("max_workers", total) for name in workers}
    if total is None:
        total = sum(limits.values())
    if total == 0 or not any(limits.values()):
        raise SpecError(f"{path}: max_workers", "0 for all worker node types, so there is nothing to scale")
    return _build(
        path,
        "",
        ClusterShape,
        head=_node_type(path, head, {**types[head], "min_workers": _heads_minimum(path, types, head)}, limits[head]),
        workers=tuple(_node_type(path, name, types[name], limits[name]) for name in workers),
        max_workers=total,
        launch=launch,
        simulation=simulation,
    )


def _heads_minimum(path: Path, types: Mapping[str, Any], head: str) -> Any:
    """Return 0 where Ray launches no worker of the head's type without demand. Raises SpecError where versions differ.

    v2 counts the head as one of `min_workers`, v1 doesn't. Where there may be no other node of the type, the head alone
    is enough for both.
    """
    minimum = types[head].get("min_workers", 0)
    if minimum == 1 and not types[head].get("max_workers", 0):
        return 0
    if minimum > 0:
        raise SpecError(
            f"{path}: available_node_types.{head}.min_workers",
            f"{minimum} for the head's type means other numbers to Ray's autoscalers: v2 counts the head as one of"
            " them, v1 doesn't",
            "write 0, and give workers that always run a node type of their own",
        )
    return minimum


def _node_type(path: Path, name: str, section: dict[str, Any], max_workers: int) -> NodeType:
    resources, labels = section.get("resources") or {}, section.get("labels") or {}
    instance_type = _instance_type(section.get("node_config") or {})
    return _build(
        path,
        f"available_node_types.{name}",
        NodeType,
        name=name,
        arch=infer_arch(name=name, instance_type=instance_type, labels=labels, resources=resources),
        instance_type=instance_type,
        resources=resources,
        labels=labels,
        min_workers=section.get("min_workers", 0),
        max_workers=max_workers,
        priority=section.get("priority", 0),
        idle_timeout_s=section.get("idle_timeout_s"),
    )


def _instance_type(node_config: Mapping[str, Any]) -> str:
    """Return the machine's type under the name that its cloud gives it: AWS, Google, Azure."""
    azure = node_config.get("azure_arm_parameters")
    size = azure.get("vmSize") if isinstance(azure, Mapping) else None
    return str(node_config.get("InstanceType") or node_config.get("machineType") or size or "")


def _is_spot(section: Mapping[str, Any]) -> bool:
    options = (section.get("node_config") or {}).get("InstanceMarketOptions")
    return isinstance(options, Mapping) and options.get("MarketType") == "spot"


def _build(path: Path, key: str, model: type[Model], **values: Any) -> Model:
    """Return a model of values of the file. Raises SpecError, which names the key below `key`."""
    try:
        return model(**values)
    except ValidationError as error:
        problem = first_problem(error)
        message = problem.message.removeprefix(f"{key.rpartition('.')[2]}: ")
        of_the_shape = "provider" if message.startswith("launch.") else "max_workers"
        where = problem.whole_key(*filter(None, [key])) or of_the_shape
        raise SpecError(f"{path}: {where}", message) from None
