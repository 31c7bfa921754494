"""The environment of clusters of containers: daemon, images, limits and ports on this machine."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import docker

from orchestrator.backends.docker.daemon import DaemonFacts
from orchestrator.backends.docker.image import RayImage
from orchestrator.backends.docker.node_config import ContainerConfig
from orchestrator.model.arch import Arch, normalise_arch


@dataclass(frozen=True)
class DockerEnvironment:
    """Everything that clusters share on this machine: the engine, and the image and limits of each node type."""

    client: docker.DockerClient
    facts: DaemonFacts
    images: Mapping[str, RayImage]
    containers: Mapping[str, ContainerConfig]
    dashboard_port: int | None = None

    @property
    def user(self) -> str:
        """Return the user of the processes in containers: the owner of the folder that the head shares with us.

        A rootless engine maps its user to root inside.
        """
        return "0:0" if self.facts.rootless else f"{os.getuid()}:{os.getgid()}"

    def arch(self, node_type: str) -> Arch:
        """Return the architecture of the programs in a node type's containers; its own may be just a label."""
        return normalise_arch(self.images[node_type].machine)

    def emulates(self, node_type: str) -> bool:
        """Return true if those programs run under emulation."""
        return self.arch(node_type) != self.facts.arch

    @property
    def starts(self) -> int:
        """Return how many nodes may start at once: one if any is emulated, for its raylet needs most of Ray's 30 s."""
        return 1 if any(map(self.emulates, self.images)) else self.facts.cpus
