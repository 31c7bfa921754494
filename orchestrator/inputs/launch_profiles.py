"""Named latencies of a cloud, for cluster files that give none: `profiles/*.yaml`, explained in docs/latencies.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from orchestrator.assets import bundled
from orchestrator.errors import InputError
from orchestrator.inputs.problems import first_problem
from orchestrator.inputs.yaml_file import read_yaml_mapping
from orchestrator.model.base import FrozenModel
from orchestrator.model.cluster import NodeType
from orchestrator.model.latency import Delay, LaunchModel, StageOverrides
from orchestrator.model.ray_latencies import RayModel

THIS_MACHINE = "this-machine"
# How the sentence about latencies begins if they come from `--boot-from`.
MEASURED = "launch latencies are those measured in"
_STAGES = ("request", "boot", "install")


class _Launch(FrozenModel):
    """The three stages, all of which a profile has to name."""

    request: Delay
    boot: Delay
    install: Delay


class LaunchProfile(FrozenModel):
    """One file of `profiles/`: how long each stage of a launch takes, and how Ray behaves below its autoscaler."""

    summary: str
    launch: _Launch
    simulation: RayModel = RayModel()

    @property
    def expected_s(self) -> float:
        """Return the mean time from the request until the node has joined Ray, in seconds."""
        return self.launch.request.expected_s + self.launch.boot.expected_s + self.launch.install.expected_s

    def describe(self) -> str:
        """Return the mean of each stage and of the sum: `request 3.7 + boot 20 + install 56 = 79.6 s`."""
        stages = " + ".join(f"{stage} {getattr(self.launch, stage).expected_s:.2g}" for stage in _STAGES)
        return f"{stages} = {self.expected_s:.3g} s"


@dataclass(frozen=True)
class Assumed:
    """The latencies that profiles give to a cluster, and the sentence that says so."""

    launch: LaunchModel
    simulation: Mapping[str, Any]
    text: str


def profile_names() -> list[str]:
    """Return the names that `--launch-profile` takes."""
    return sorted(path.stem for path in bundled("profiles").glob("*.yaml"))


def read_profile(name: str) -> LaunchProfile:
    """Return a profile by its name. Raises InputError that lists the names."""
    if name not in profile_names():
        raise InputError(f"--launch-profile: unknown profile {name!r:.60}", f"use one of {', '.join(profile_names())}")
    path = bundled(f"profiles/{name}.yaml")
    try:
        return LaunchProfile.model_validate(read_yaml_mapping(path))
    except ValidationError as error:
        raise first_problem(error).in_file(path) from None


def assume(
    given: LaunchModel, workers: Sequence[NodeType], provider: str | None, name: str | None, *, real_nodes: bool
) -> Assumed:
    """Return the latencies for a cluster: those of the profile `name`, or of the one that fits each worker type.

    Failures, capacity and the seed stay as `given`. Real nodes are processes or containers of this machine, which take
    their own time to install. Raises InputError for an unknown name.
    """
    chosen = {worker.name: name or _fitting(provider, worker) for worker in workers}
    profiles = {each: read_profile(each) for each in dict.fromkeys(chosen.values())}
    here = read_profile(THIS_MACHINE) if real_nodes else None
    base = chosen[workers[0].name]
    stages = {each: _stages(profile, here) for each, profile in profiles.items()}
    differing = {
        node_type: StageOverrides(**stages[each])
        for node_type, each in chosen.items()
        if each != base and stages[each] != stages[base]
    }
    launch = given.replace(**stages[base], node_types=differing)
    simulation = (here or profiles[base]).simulation
    return Assumed(launch, dict(simulation), _sentence(chosen, profiles, provider, name, real_nodes=real_nodes))


def _stages(profile: LaunchProfile, here: LaunchProfile | None) -> dict[str, Delay]:
    stages = {stage: getattr(profile.launch, stage) for stage in _STAGES}
    return stages if here is None else {**stages, "install": here.launch.install}


def _fitting(provider: str | None, worker: NodeType) -> str:
    """Return the profile that comes nearest to a node type."""
    if provider in ("gcp", "kuberay"):
        return {"gcp": "gcp", "kuberay": "kuberay-warm"}[provider]
    return "aws-al2023-arm" if worker.arch == "arm64" else "aws-al2023-x86"


def _sentence(
    chosen: Mapping[str, str],
    profiles: Mapping[str, LaunchProfile],
    provider: str | None,
    name: str | None,
    *,
    real_nodes: bool,
) -> str:
    means = dict.fromkeys(profile.describe() for profile in profiles.values())
    told = " and ".join(profiles) + f" ({'; '.join(means)})"
    if name is not None:
        why = f"launches as in profile {told}"
    else:
        why = f"the cluster file gives no provider.launch: launches as in profile {told}"
        if provider not in (None, "aws", "gcp", "kuberay"):
            why += f", for want of measurements of {provider}"
    if real_nodes:
        return f"{why}, but for the install stage, which is real; --launch-profile changes it (docs/latencies.md)"
    return f"{why}; --launch-profile or --boot-from changes it (docs/latencies.md)"
