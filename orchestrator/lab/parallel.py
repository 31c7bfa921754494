"""`--parallel`: where simulated trials are computed."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.errors import InputError
from orchestrator.lab.home import Home

if TYPE_CHECKING:
    from orchestrator.backends.base import Executor

_MAX_PROCESSES = 1024


@dataclass(frozen=True)
class Parallel:
    """So many `processes`, or tasks `on_ray`; `lazy` if one process may do as well."""

    processes: int
    lazy: bool = False
    on_ray: bool = False
    address: str | None = None

    def ready(self, common: Home) -> "Parallel":
        """Return the same with the address of the Ray cluster, if one is to be used. Raises MissingPrerequisite."""
        if not self.on_ray:
            return self
        from orchestrator.lab.targets import find_address, open_view

        address = find_address(common, self.address)
        open_view(address)  # Ray itself would try for minutes, and then end the process
        return replace(self, address=address)

    def starter(self) -> "Callable[[], Executor] | None":
        """Return the function that starts the executor; None if this process does all the work."""
        from orchestrator.backends.simulated.executors import ProcessExecutor, RayExecutor

        if (address := self.address) is not None:
            return lambda: RayExecutor(address)
        return (lambda: ProcessExecutor(self.processes)) if self.processes > 1 else None


def parse_parallel(text: str | None, address: str | None) -> Parallel | None:
    """Return the meaning of `--parallel` and `--address`; None without both. Raises InputError."""
    if address is not None and text != "ray":
        raise InputError("--address names the Ray cluster of --parallel ray", "add --parallel ray, or leave it out")
    if text is None:
        return None
    if text == "ray":
        return Parallel(0, on_ray=True, address=address)
    if text == "auto":
        return automatic()
    if text.isascii() and text.isdigit() and 1 <= int(text) <= _MAX_PROCESSES:
        return Parallel(int(text))
    raise InputError(f"--parallel: {text!r} isn't a number of processes, auto or ray", "for example --parallel 4")


def automatic() -> Parallel:
    """As many processes as there are cores for this one, where that is worth it."""
    return Parallel(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, True)
