"""What is asked of the cluster: tasks, how long each takes, what each needs, and how they arrive."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from orchestrator.model.base import FrozenModel, NonNegative, Positive
from orchestrator.model.fault import MAX_FAULTS, Fault

Arrival = Literal["burst", "waves", "ramp", "poisson"]

MAX_TASKS = 1_000_000


# One type for each field, shared with what a spec may override.
Tasks = Annotated[int, Field(ge=1, le=MAX_TASKS)]
TaskSeconds = Annotated[Positive, Field(le=86_400)]
TaskCpus = Annotated[NonNegative, Field(le=10_000)]
ArrivalS = Annotated[NonNegative, Field(le=86_400)]
Waves = Annotated[int, Field(ge=1, le=10_000)]
TaskKind = Literal["sleep", "burn"]
Faults = Annotated[tuple[Fault, ...], Field(max_length=MAX_FAULTS)]


class Workload(FrozenModel):
    """The stress job: `tasks` tasks of `seconds` seconds that hold `cpus` CPUs each.

    They arrive all at once (`burst`), in `waves` equal waves, evenly (`ramp`) or at random (`poisson`) over
    `arrival_s` seconds. `sleep` only holds the CPU as Ray counts it; `burn` keeps a core busy. `faults` happen to the
    nodes meanwhile, on purpose.
    """

    tasks: Tasks = 512
    seconds: TaskSeconds = 120.0
    cpus: TaskCpus = 1.0
    arrival: Arrival = "burst"
    arrival_s: ArrivalS = 60.0
    waves: Waves = 3
    resources: dict[str, Positive] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    kind: TaskKind = "sleep"
    faults: Faults = ()

    @model_validator(mode="after")
    def _resources_are_custom_ones(self) -> Self:
        if "CPU" in self.resources:
            raise ValueError("resources are custom ones such as Graviton; CPUs are `cpus`, or --task-cpus")
        if reserved := {"GPU", "memory", "object_store_memory"} & self.resources.keys():
            raise ValueError(
                f"tasks that need {sorted(reserved)[0]} can't be modelled yet: a task needs CPUs (--task-cpus) and"
                " custom resources (--task-resources Graviton=0.1), but no GPU and no memory"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_no_faults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A trial's id is a hash of this: one without faults keeps the id that it had before there were any."""
        return {name: value for name, value in dump(self).items() if name != "faults" or value}

    @property
    def task_resources(self) -> dict[str, float]:
        """What one task needs, in Ray's resource names."""
        return {"CPU": self.cpus, **self.resources}

    @property
    def cpu_seconds(self) -> float:
        """CPU-seconds of all tasks together."""
        return self.tasks * self.seconds * self.cpus

    def describe(self) -> str:
        """One line for people: `48 tasks x 5 s x 1 CPU (sleep), burst, with kill@20`."""
        over = "" if self.arrival == "burst" else f" over {self.arrival_s:g} s"
        needs = "".join(f" + {amount:g} {name}" for name, amount in self.resources.items())
        faults = f", with {', '.join(map(str, self.faults))}" if self.faults else ""
        tasks = f"{self.tasks} tasks x {self.seconds:g} s x {self.cpus:g} CPU{needs} ({self.kind})"
        return f"{tasks}, {self.arrival}{over}{faults}"
