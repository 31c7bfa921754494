"""The workload of a trial: tasks, their duration and resources, and their arrival; or the user's own script."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from orchestrator.model import arrivals
from orchestrator.model.base import Finite, FrozenModel, NonNegative, Positive
from orchestrator.model.fault import MAX_FAULTS, Fault
from orchestrator.model.job import Job
from orchestrator.model.labels import check_selectors

MAX_TASKS = 1_000_000
# Fields that trials of the first version don't have.
_ADDED_LATER = frozenset({"faults", arrivals.PARAMETERS, "job"})
OF_EVERY_KIND = frozenset({"faults", "job"})
"""The fields that don't describe the tasks of the stress job."""


def _known_arrival(name: str) -> str:
    if name not in arrivals.ARRIVALS:
        raise ValueError(f"choose {arrivals.listed()}")
    return name


# One type for each field, shared with what a spec may override.
Tasks = Annotated[int, Field(ge=1, le=MAX_TASKS)]
TaskSeconds = Annotated[Positive, Field(le=86_400)]
TaskCpus = Annotated[NonNegative, Field(le=10_000)]
ArrivalName = Annotated[str, AfterValidator(_known_arrival)]
ArrivalS = Annotated[NonNegative, Field(le=86_400)]
Waves = Annotated[int, Field(ge=1, le=10_000)]
TaskKind = Literal["sleep", "burn"]
Faults = Annotated[tuple[Fault, ...], Field(max_length=MAX_FAULTS)]


@dataclass(frozen=True)
class Parameter:
    """Facts about a field of a workload: meaning and unit for exports, and the option that sets it, if any."""

    meaning: str
    unit: str = ""
    option: str = ""


def split_arrival(value: Any) -> Any:
    """Return a workload document with an arrival such as `NAME:PARAMETER=VALUE` split up. Raises ValueError."""
    if not isinstance(value, dict) or not isinstance(text := value.get("arrival"), str) or ":" not in text:
        return value
    name, given = arrivals.parse(text)
    shared = {key: given.pop(key) for key in arrivals.SHARED if key in given}
    own = {**(value.get(arrivals.PARAMETERS) or {}), **given}
    return {**value, **shared, "arrival": name, **({arrivals.PARAMETERS: own} if own else {})}


class Workload(FrozenModel):
    """The stress job: `tasks` tasks of `seconds` seconds that hold `cpus` CPUs each.

    They arrive in the pattern `arrival`, see `model/arrivals.py`. `sleep` only holds the CPU in Ray's accounting;
    `burn` keeps a core busy. `labels` are label selectors in Ray's syntax: `v`, `!v`, `in(a,b)`, `!in(a,b)`. `faults`
    are injected into the nodes meanwhile.

    With a `job`, the workload is that script instead, and the fields that describe tasks mean nothing.
    """

    tasks: Annotated[Tasks, Parameter("tasks that are submitted", "tasks", "--tasks")] = 512
    seconds: Annotated[TaskSeconds, Parameter("how long each task takes", "s", "--task-seconds")] = 120.0
    cpus: Annotated[TaskCpus, Parameter("what each task needs", "CPUs", "--task-cpus")] = 1.0
    arrival: Annotated[ArrivalName, Parameter(f"how the tasks arrive: {arrivals.listed()}", option="--arrival")] = (
        "burst"
    )
    arrival_s: Annotated[ArrivalS, Parameter("over which time they arrive, unless at once", "s", "--arrival-s")] = 60.0
    waves: Annotated[Waves, Parameter("waves, if they arrive in waves", option="--waves")] = 3
    resources: dict[str, Positive] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    kind: Annotated[TaskKind, Parameter("sleep, or burn (keeps a core busy)", option="--task-kind")] = "sleep"
    faults: Faults = ()
    arrival_parameters: dict[str, Finite] = Field(default_factory=dict)
    job: Job | None = None

    @model_validator(mode="before")
    @classmethod
    def _arrival_from_text(cls, value: Any) -> Any:
        return split_arrival(value)

    @field_validator("arrival_parameters")
    @classmethod
    def _fit_the_arrival(cls, value: dict[str, float], info: ValidationInfo) -> dict[str, float]:
        if "arrival" in info.data:
            arrivals.arrival_of({**info.data, arrivals.PARAMETERS: value})
        return value

    @field_validator("labels")
    @classmethod
    def _labels_are_selectors(cls, value: dict[str, str]) -> dict[str, str]:
        check_selectors(value)
        return value

    @model_validator(mode="after")
    def _resources_are_those_of_a_task(self) -> Self:
        """Refuse what Ray refuses for a task, and what can't be modelled."""
        if "CPU" in self.resources:
            raise ValueError("resources are those other than CPUs, such as GPU; CPUs are `cpus`, or --task-cpus")
        if "object_store_memory" in self.resources:
            raise ValueError(
                "object_store_memory can't be modelled: Ray gives it to objects and not to tasks, so leave it out"
            )
        if (gpus := self.resources.get("GPU", 0.0)) > 1 and gpus != int(gpus):
            raise ValueError(
                f"Ray takes whole numbers of GPUs above 1, and {gpus:g} isn't one; a task may share one GPU"
            )
        if (memory := self.resources.get("memory", 1.0)) != int(memory):
            raise ValueError(f"memory is in whole bytes, such as 2e9, and {memory:g} isn't one")
        return self

    @model_serializer(mode="wrap")
    def _without_empty_additions(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit fields that older workloads don't have, unless they are set: a trial's id is a hash of this.

        With a job, omit the fields that describe tasks.
        """
        return {
            name: value
            for name, value in dump(self).items()
            if (value or name not in _ADDED_LATER) and (self.job is None or name in OF_EVERY_KIND)
        }

    @property
    def pattern(self) -> arrivals.Arrival:
        """Return the pattern in which the tasks arrive, with its parameters."""
        return arrivals.arrival_of(dict(self))

    @property
    def task_resources(self) -> dict[str, float]:
        """Return the resources of one task, in Ray's names; empty for a job, whose tasks nobody knows beforehand."""
        return {} if self.job is not None else {"CPU": self.cpus, **self.resources}

    @property
    def all_at_once(self) -> bool:
        """Return True if all demand is known to be there from the beginning."""
        return self.job is None and self.pattern.at_once

    @property
    def cpu_seconds(self) -> float:
        """Return the CPU-seconds of all tasks together; 0 for a job."""
        return 0.0 if self.job is not None else self.tasks * self.seconds * self.cpus

    def describe(self) -> str:
        """Return a summary such as `48 tasks x 5 s x 1 CPU (sleep), burst, with kill@20`, or `job: python a.py`."""
        needs = "".join(f" + {amount:g} {name}" for name, amount in self.resources.items())
        faults = f", with {', '.join(map(str, self.faults))}" if self.faults else ""
        if self.job is not None:
            return f"{self.job.describe()}{faults}"
        tasks = f"{self.tasks} tasks x {self.seconds:g} s x {self.cpus:g} CPU{needs} ({self.kind})"
        return f"{tasks}, {self.pattern.describe()}{faults}"

    def shown(self, name: str) -> Any:
        """Return the value of a field; None if it describes tasks and the workload is a job."""
        return None if self.job is not None and name not in OF_EVERY_KIND else getattr(self, name)


def parameters() -> dict[str, Parameter]:
    """Return the facts about each field that has them, by name, in order."""
    return {
        name: about
        for name, field in Workload.model_fields.items()
        for about in field.metadata
        if isinstance(about, Parameter)
    }


def plain_type(name: str) -> type | None:
    """Return the type of a field's values if it is a class such as float."""
    annotation = Workload.model_fields[name].annotation
    return annotation if isinstance(annotation, type) else None


def value_type(name: str) -> Any:
    """Return the type of a field with its limits, to build other models from it."""
    field = Workload.model_fields[name]
    limits = tuple(each for each in field.metadata if not isinstance(each, Parameter))
    return Annotated[(field.annotation, *limits)] if limits else field.annotation
