"""The options of `sweep` and `simulate` as typed, and the spec that they stand for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from orchestrator.cli.parsing import parse_duration, parse_faults, parse_list, parse_pairs, parse_set
from orchestrator.lab.overrides import SpecOverrides
from orchestrator.model.spec import Fit, InstanceTypesFrom, Isolation, Order
from orchestrator.model.workload import TaskKind


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """The options that a sweep spec has, too. None and empty lists mean that an option wasn't given."""

    upscaling_speed: Sequence[str] | None = None
    idle_timeout_minutes: Sequence[str] | None = None
    target_utilization_fraction: Sequence[str] | None = None
    autoscaler: Sequence[str] | None = None
    set_: Sequence[str] | None = None
    backend: str | None = None
    cluster: Path | None = None
    image: str | None = None
    launch_profile: str | None = None
    instance_types_from: InstanceTypesFrom | None = None
    fit: Fit | None = None
    job: str | None = None
    working_dir: Path | None = None
    runtime_env: Path | None = None
    tasks: int | None = None
    task_seconds: float | None = None
    task_cpus: float | None = None
    task_resources: Sequence[str] | None = None
    task_kind: TaskKind | None = None
    arrival: str | None = None
    arrival_s: float | None = None
    waves: int | None = None
    fault: Sequence[str] | None = None
    repeat: int | None = None
    order: Order | None = None
    seed: int | None = None
    isolation: Isolation | None = None
    prices: str | None = None
    timeout: str | None = None
    name: str | None = None

    def spec_overrides(self) -> SpecOverrides:
        """Return the values that these options give a spec. Raises InputError that names the option."""
        overrides: SpecOverrides = {
            "name": self.name,
            "backend": self.backend,
            "cluster": None if self.cluster is None else str(self.cluster),
            "image": self.image,
            "launch_profile": self.launch_profile,
            "instance_types_from": self.instance_types_from,
            "fit": self.fit,
            "job": self._job(),
            "tasks": self.tasks,
            "seconds": self.task_seconds,
            "cpus": self.task_cpus,
            "resources": parse_pairs("--task-resources", self.task_resources or (), float) or None,
            "kind": self.task_kind,
            "arrival": self.arrival,
            "arrival_s": self.arrival_s,
            "waves": self.waves,
            "faults": parse_faults(self.fault or ()),
            "repeat": self.repeat,
            "order": self.order,
            "seed": self.seed,
            "isolation": self.isolation,
            "prices": self.prices,
            "timeout_s": parse_duration("--timeout", self.timeout),
        }
        return cast(SpecOverrides, {**overrides, **self._axes()})

    def _job(self) -> dict[str, str] | None:
        """Return the parts of a job that were given, None without any."""
        given = {"entrypoint": self.job, "working_dir": self.working_dir, "runtime_env": self.runtime_env}
        return {name: str(value) for name, value in given.items() if value is not None} or None

    def _axes(self) -> dict[str, list[Any]]:
        """Return the values to try for each setting; those of an option and of `--set` add up."""
        axes: dict[str, list[Any]] = {}
        for option, texts, convert in self._lists():
            if texts:
                name = option.removeprefix("--").replace("-", "_")
                axes[name] = parse_list(option, _joined(texts), convert) or []
        for name, values in parse_set(self.set_ or ()).items():
            axes[name] = [*axes.get(name, ()), *values]
        return axes

    def _lists(self) -> tuple[tuple[str, Sequence[str] | None, Callable[[str], Any]], ...]:
        return (
            ("--upscaling-speed", self.upscaling_speed, float),
            ("--idle-timeout-minutes", self.idle_timeout_minutes, float),
            ("--target-utilization-fraction", self.target_utilization_fraction, float),
            ("--autoscaler", self.autoscaler, str),
        )


def _joined(texts: Sequence[str]) -> str:
    """Join the lists of a repeated option. From an environment variable, `1, 5` comes in two parts."""
    return ",".join([*(text.removesuffix(",") for text in texts[:-1]), texts[-1]])
