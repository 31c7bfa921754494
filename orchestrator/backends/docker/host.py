"""What clusters of containers need of this machine."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import docker

from orchestrator.backends.docker.engine import EngineFacts
from orchestrator.backends.docker.image import RayImage
from orchestrator.backends.docker.nodeconfig import ContainerConfig


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
