"""The workload of a trial: equal tasks, groups of tasks, actors and placement groups, or the user's own script."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from orchestrator.model import arrivals
from orchestrator.model.base import Finite, FrozenModel
from orchestrator.model.fault import MAX_FAULTS, Fault
from orchestrator.model.group import (
    MAX_GROUPS,
    MAX_REQUESTS,
    MAX_TASKS,
    ArrivalName,
    ArrivalS,
    Feature,
    Group,
    ResourcesRequest,
    Selectors,
    TaskCpus,
    TaskKind,
    TaskResources,
    Tasks,
    TaskSeconds,
    Waves,
    check_groups,
    split_arrival,
)
from orchestrator.model.job import Job
from orchestrator.model.latency import Delay
from orchestrator.model.task_needs import Needs, distinct

__all__ = ["MAX_TASKS", "Parameter", "TaskKind", "Workload", "parameters", "split_arrival"]

# Fields that trials of the first version don't have.
_ADDED_LATER = frozenset({"faults", arrivals.PARAMETERS, "job", "groups", "requests", "observed"})
_GO_WITH = {
    "job": frozenset({"job", "faults"}),
    "groups": frozenset({"groups", "requests", "faults"}),
    "observed": frozenset({"observed"}),
}
"""The forms of a workload other than the short one, and the fields that go with each."""
THE_TASKS = "tasks"
"""The name of the one group that the short form describes."""

Faults = Annotated[tuple[Fault, ...], Field(max_length=MAX_FAULTS)]


def check_form(given: AbstractSet[str]) -> None:
    """Raise ValueError if these fields of a workload don't go together."""
    if "job" in given and (others := sorted(given - _GO_WITH["job"])):
        raise ValueError(f"a job brings its own tasks: leave {others[0]} out, or leave the job out")
    if "groups" in given and (others := sorted(given - _GO_WITH["groups"])):
        raise ValueError(f"groups have their own tasks: move {others[0]} into a group, or leave the groups out")


@dataclass(frozen=True)
class Parameter:
    """Facts about a field of a workload: meaning and unit for exports, and the option that sets it, if any."""

    meaning: str
    unit: str = ""
    option: str = ""


class Workload(FrozenModel):
    """The stress job: `tasks` tasks of `seconds` seconds that hold `cpus` CPUs each.

    They arrive in the pattern `arrival`, see `model/arrivals.py`. `sleep` only holds the CPU in Ray's accounting;
    `burn` keeps a core busy. `labels` are label selectors in Ray's syntax: `v`, `!v`, `in(a,b)`, `!in(a,b)`. `faults`
    are injected into the nodes meanwhile.

    With `groups`, the workload is made of those instead; with a `job`, it is that script; `observed` is the address of
    a cluster, and it is what ran there. The fields that describe tasks mean nothing then. `requests` are calls of Ray's
    `request_resources` meanwhile.
    """

    tasks: Annotated[Tasks, Parameter("tasks that are submitted", "tasks", "--tasks")] = 512
    seconds: Annotated[TaskSeconds, Parameter("how long each task takes", "s", "--task-seconds")] = 120.0
    cpus: Annotated[TaskCpus, Parameter("what each task needs", "CPUs", "--task-cpus")] = 1.0
    arrival: Annotated[ArrivalName, Parameter(f"how the tasks arrive: {arrivals.listed()}", option="--arrival")] = (
        "burst"
    )
    arrival_s: Annotated[ArrivalS, Parameter("over which time they arrive, unless at once", "s", "--arrival-s")] = 60.0
    waves: Annotated[Waves, Parameter("waves, if they arrive in waves", option="--waves")] = 3
    resources: TaskResources = Field(default_factory=dict)
    labels: Selectors = Field(default_factory=dict)
    kind: Annotated[TaskKind, Parameter("sleep, or burn (keeps a core busy)", option="--task-kind")] = "sleep"
    faults: Faults = ()
    arrival_parameters: dict[str, Finite] = Field(default_factory=dict)
    job: Job | None = None
    groups: Annotated[tuple[Group, ...], Field(max_length=MAX_GROUPS)] = ()
    requests: Annotated[tuple[ResourcesRequest, ...], Field(max_length=MAX_REQUESTS)] = ()
    observed: Annotated[str, Field(max_length=300)] = ""

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

    @field_validator("groups")
    @classmethod
    def _groups_go_together(cls, value: tuple[Group, ...]) -> tuple[Group, ...]:
        check_groups(value)
        return value

    @model_serializer(mode="wrap")
    def _without_empty_additions(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit fields that older workloads don't have, unless they are set: a trial's id is a hash of this.

        With a job or groups, omit the fields that describe tasks.
        """
        return {
            name: value for name, value in dump(self).items() if (value or name not in _ADDED_LATER) and self._has(name)
        }

    def _has(self, name: str) -> bool:
        """Return true if a field means something in this form of a workload."""
        form = next((each for each in _GO_WITH if getattr(self, each)), None)
        return form is None or name in _GO_WITH[form]

    @property
    def is_known(self) -> bool:
        """Return True if the tasks are known before they run: those of a job, or of an observed cluster, aren't."""
        return self.job is None and not self.observed

    @cached_property
    def work(self) -> tuple[Group, ...]:
        """The groups: those given, or the one that the short form describes; none for unknown tasks."""
        if self.groups or not self.is_known:
            return self.groups
        own = {name: getattr(self, name) for name in ("tasks", "cpus", "resources", "labels", "kind")}
        arrive = {name: getattr(self, name) for name in ("arrival", "arrival_s", "waves", arrivals.PARAMETERS)}
        return (Group(name=THE_TASKS, seconds=Delay(mean_s=self.seconds), **own, **arrive),)

    @property
    def features(self) -> frozenset[Feature]:
        """The features that a backend needs; none for a job and for equal tasks."""
        requests: frozenset[Feature] = frozenset({"requests"}) if self.requests else frozenset()
        return requests.union(*(group.features for group in self.groups))

    @property
    def needs(self) -> tuple[Needs, ...]:
        """The different needs of its tasks, actors and bundles; of unknown tasks, one for nothing."""
        return distinct(need for group in self.work for need in group.needs) or (Needs(),)

    @property
    def task_count(self) -> int | None:
        """The number of tasks, actors and bundles that run; None if nobody knows them."""
        return None if not self.is_known else sum(group.runs for group in self.work)

    @property
    def all_at_once(self) -> bool:
        """Return True if all demand is known to be there from the beginning."""
        return self.is_known and not self.requests and all(group.all_at_once for group in self.work)

    @property
    def cpu_seconds(self) -> float:
        """Return the CPU-seconds of all tasks together, as far as they are known beforehand; 0 for a job."""
        return sum(group.cpu_seconds for group in self.work)

    @property
    def cpus_at_once(self) -> float:
        """Return the CPUs of all tasks together."""
        return sum(group.count * sum(need.resources.get("CPU", 0.0) for need in group.needs) for group in self.work)

    @property
    def span_s(self) -> float:
        """Return the approximate seconds over which tasks arrive, at most, apart from waits for other groups to end."""
        starts = [group.at_s + group.span_s for group in self.work]
        later = sum(group.span_s + group.longest_s for group in self.work if group.after is not None)
        return max([*starts, *(request.at_s for request in self.requests)], default=0.0) + later

    @property
    def longest_s(self) -> float:
        """Return the seconds of the longest task, as far as they are known beforehand; 0 for a job."""
        return max((group.longest_s for group in self.work), default=0.0)

    def describe(self) -> str:
        """Return a summary such as `48 tasks x 5 s x 1 CPU (sleep), burst, with kill@20`, or `job: python a.py`."""
        return f"{self._describe_work()}{self._describe_rest()}"

    def _describe_work(self) -> str:
        if self.job is not None:
            return self.job.describe()
        if self.observed:
            return f"what ran on {self.observed}"
        if not self.groups:
            return self.work[0].describe()
        return "; ".join(f"{group.name}: {group.describe()}" for group in self.groups)

    def _describe_rest(self) -> str:
        requests = len(self.requests)
        asks = f"with {requests} resource request{'' if requests == 1 else 's'}" if requests else ""
        faults = f"with {', '.join(map(str, self.faults))}" if self.faults else ""
        return "".join(f", {each}" for each in (asks, faults) if each)

    def shown(self, name: str) -> Any:
        """Return the value of a field; None if it means nothing in this form of a workload."""
        return getattr(self, name) if self._has(name) else None


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
