"""The stack's services and their states, with or without Docker."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Progress = Callable[[str, str], None]
"""A function that receives the current step and its latest detail."""


@dataclass(frozen=True)
class Service:
    """One service. `state` and `health` are Docker's words; without a container the state is `missing`.

    A native service runs without Docker; its image is the program.
    """

    name: str
    image: str
    state: str
    health: str
    url: str
    native: bool = False


@dataclass(frozen=True)
class Status:
    """The services, and the file with Grafana's password."""

    services: tuple[Service, ...]
    password_file: Path

    @property
    def running(self) -> bool:
        """True if any service runs."""
        return any(service.state == "running" for service in self.services)

    @property
    def healthy(self) -> bool:
        """True if every service is healthy."""
        return all(service.health == "healthy" for service in self.services)

    def url(self, name: str) -> str | None:
        """Return the URL of a service if it runs, else None."""
        return next((each.url for each in self.services if each.name == name and each.state == "running"), None)
