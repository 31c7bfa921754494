"""What the stack's services are and how they do, in Docker or without."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Progress = Callable[[str, str], None]
"""Told what is being done, and the newest detail of it."""


@dataclass(frozen=True)
class Service:
    """One service: `state` and `health` are Docker's words; without a container the state is `missing`.

    A native one runs without Docker; its image is the program.
    """

    name: str
    image: str
    state: str
    health: str
    url: str
    native: bool = False


@dataclass(frozen=True)
class Status:
    """The services, and where Grafana's password is."""

    services: tuple[Service, ...]
    password_file: Path

    @property
    def running(self) -> bool:
        """Whether any of them runs."""
        return any(service.state == "running" for service in self.services)

    @property
    def healthy(self) -> bool:
        """Whether every service is."""
        return all(service.health == "healthy" for service in self.services)

    def url(self, name: str) -> str | None:
        """Where a service is that runs."""
        return next((each.url for each in self.services if each.name == name and each.state == "running"), None)
