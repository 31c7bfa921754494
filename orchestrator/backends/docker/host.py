"""What clusters of containers need of this machine."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import docker

from orchestrator.backends.docker.engine import EngineFacts
from orchestrator.backends.docker.image import RayImage
from orchestrator.backends.docker.node_config import ContainerConfig
from orchestrator.model.arch import Arch, normalise_arch


@dataclass(frozen=True)
class DockerHost:
    """What clusters need of this machine: the engine, and for each node type its image and limits."""

    client: docker.DockerClient
    facts: EngineFacts
    images: Mapping[str, RayImage]
    containers: Mapping[str, ContainerConfig]
    dashboard_port: int | None = None

    @property
    def user(self) -> str:
        """Whose processes run in the containers: those who own the folder that the head shares with us.

        A rootless engine has its user as root within.
        """
        return "0:0" if self.facts.rootless else f"{os.getuid()}:{os.getgid()}"

    def arch(self, node_type: str) -> Arch:
        """The architecture of the programs in a node type's containers; its own may be a label."""
        return normalise_arch(self.images[node_type].machine)

    def emulates(self, node_type: str) -> bool:
        """Whether those programs run under emulation."""
        return self.arch(node_type) != self.facts.arch

    @property
    def starts(self) -> int:
        """How many nodes may start at once: with emulated ones, one. Each needs most of Ray's 30 s for its raylet."""
        return 1 if any(map(self.emulates, self.images)) else self.facts.cpus
