"""The groups of a workload: tasks, actors or placement groups of one kind, with their times; and explicit requests."""

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)

from orchestrator.model import arrivals
from orchestrator.model.base import Finite, FrozenModel, NonNegative, Positive
from orchestrator.model.labels import check_selectors
from orchestrator.model.latency import Delay
from orchestrator.model.task_needs import Needs, check_resources, shape_of

MAX_TASKS = 1_000_000
MAX_GROUPS = 1000
MAX_BUNDLES = 1000
MAX_REQUESTS = 1000


def _known_arrival(name: str) -> str:
    if name not in arrivals.ARRIVALS:
        raise ValueError(f"choose {arrivals.listed()}")
    return name


def _usable(resources: dict[str, float]) -> dict[str, float]:
    check_resources(resources)
    return resources


def _parsed(labels: dict[str, str]) -> dict[str, str]:
    check_selectors(labels)
    return labels


# One type for each field, shared by a workload and its groups.
Tasks = Annotated[int, Field(ge=1, le=MAX_TASKS)]
TaskSeconds = Annotated[Positive, Field(le=86_400)]
TaskCpus = Annotated[NonNegative, Field(le=10_000)]
ArrivalName = Annotated[str, AfterValidator(_known_arrival)]
ArrivalS = Annotated[NonNegative, Field(le=86_400)]
Waves = Annotated[int, Field(ge=1, le=10_000)]
TaskKind = Literal["sleep", "burn"]
AtS = Annotated[NonNegative, Field(le=7 * 86_400)]
GroupName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
Amount = Annotated[Positive, Field(le=1e15)]
TaskResources = Annotated[dict[str, Amount], AfterValidator(_usable)]
Selectors = Annotated[dict[str, str], AfterValidator(_parsed)]
Strategy = Literal["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"]
Recorded = Annotated[tuple[tuple[AtS, TaskSeconds], ...], Field(max_length=MAX_TASKS)]

GroupKind = Literal["tasks", "actors", "placement_groups"]
KINDS: tuple[GroupKind, ...] = get_args(GroupKind)
Feature = Literal["groups", "actors", "placement_groups", "recorded", "requests"]
"""A part of a workload that not every backend can run. `groups` is any list of groups."""
FEATURES: tuple[Feature, ...] = get_args(Feature)
_ONLY_FOR_BUNDLES = ("bundles", "strategy")
_NOT_FOR_BUNDLES = ("cpus", "resources", "labels", "kind")
_OF_ARRIVALS = ("arrival", "arrival_s", "waves", arrivals.PARAMETERS)


def split_arrival(value: Any) -> Any:
    """Return a document with an arrival such as `NAME:PARAMETER=VALUE` split up. Raises ValueError."""
    if not isinstance(value, dict) or not isinstance(text := value.get("arrival"), str) or ":" not in text:
        return value
    name, given = arrivals.parse(text)
    shared = {key: given.pop(key) for key in arrivals.SHARED if key in given}
    own = {**(value.get(arrivals.PARAMETERS) or {}), **given}
    return {**value, **shared, "arrival": name, **({arrivals.PARAMETERS: own} if own else {})}


class Bundle(FrozenModel):
    """Resources that are held together on one node, in Ray's names: `{CPU: 2, GPU: 1}`."""

    resources: dict[str, Amount]

    @model_validator(mode="before")
    @classmethod
    def _resources_alone(cls, value: Any) -> Any:
        return value if isinstance(value, Bundle) else {"resources": value}

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if not self.resources:
            raise ValueError("a bundle needs resources, such as {CPU: 1}")
        check_resources({name: amount for name, amount in self.resources.items() if name != "CPU"})
        return self

    @model_serializer
    def _as_written(self) -> dict[str, float]:
        return dict(self.resources)

    @property
    def needs(self) -> Needs:
        """The resources of the bundle."""
        return Needs(self.resources)


class ResourcesRequest(FrozenModel):
    """A call of Ray's `request_resources` at `at_s`: the cluster shall hold these bundles, whatever runs on it.

    Each call replaces the one before. Without bundles it cancels the request.
    """

    at_s: AtS
    bundles: Annotated[tuple[Bundle, ...], Field(max_length=MAX_BUNDLES)] = ()

    def describe(self) -> str:
        """Return `at 30 s: request 2 bundles with CPU=8 in all`."""
        if not self.bundles:
            return f"at {self.at_s:g} s: cancel the request for resources"
        total: Counter[str] = Counter()
        for bundle in self.bundles:
            total.update(bundle.resources)
        plural = "" if len(self.bundles) == 1 else "s"
        return f"at {self.at_s:g} s: request {len(self.bundles)} bundle{plural} with {shape_of(total)} in all"


class Group(FrozenModel):
    """A number of `tasks`, `actors` or `placement_groups` that are alike.

    `seconds` is the duration of a task, the lifetime of an actor, or the time for which a placement group is held. A
    group starts `at_s` seconds after the workload's first submission, or when the group `after` has ended; then its
    members arrive in its pattern. `recorded` has an explicit submission, in seconds after the group's start, and a
    duration for each task, in place of `seconds` and an arrival.
    """

    name: GroupName
    tasks: Tasks | None = None
    actors: Tasks | None = None
    placement_groups: Tasks | None = None
    seconds: Delay = Delay(mean_s=120.0)
    cpus: TaskCpus = 1.0
    resources: TaskResources = Field(default_factory=dict)
    labels: Selectors = Field(default_factory=dict)
    kind: TaskKind = "sleep"
    bundles: Annotated[tuple[Bundle, ...], Field(max_length=MAX_BUNDLES)] = ()
    strategy: Strategy = "PACK"
    arrival: ArrivalName = "burst"
    arrival_s: ArrivalS = 60.0
    waves: Waves = 3
    arrival_parameters: dict[str, Finite] = Field(default_factory=dict)
    at_s: AtS = 0.0
    after: GroupName | None = None
    recorded: Recorded = ()

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        """Count recorded tasks, and split an arrival with parameters."""
        value = split_arrival(value)
        if isinstance(value, dict) and isinstance(value.get("recorded"), list | tuple) and value["recorded"]:
            value = {"tasks": len(value["recorded"]), **value}
        return value

    @field_validator("seconds", mode="before")
    @classmethod
    def _number_of_seconds(cls, value: Any) -> Any:
        """Accept a number in place of a distribution."""
        return {"mean_s": value} if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("seconds")
    @classmethod
    def _takes_time(cls, value: Delay) -> Delay:
        if not value.expected_s > 0:
            raise ValueError("seconds must be above 0")
        return value

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        kinds = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise ValueError(f"group {self.name}: give the number of either {', '.join(KINDS[:-1])} or {KINDS[-1]}")
        placed = self.placement_groups is not None
        wrong = _NOT_FOR_BUNDLES if placed else _ONLY_FOR_BUNDLES
        if given := [name for name in wrong if name in self.model_fields_set]:
            raise ValueError(
                f"group {self.name}: {given[0]} doesn't go with {kinds[0]}: "
                + ("their resources are bundles" if placed else "it belongs to placement_groups")
            )
        if placed and not self.bundles:
            raise ValueError(f"group {self.name}: placement_groups need bundles, such as [{{CPU: 1}}, {{CPU: 1}}]")
        return self

    @model_validator(mode="after")
    def _times_are_given_once(self) -> Self:
        if self.after is not None and "at_s" in self.model_fields_set and self.at_s:
            raise ValueError(f"group {self.name}: give at_s or after, not both")
        if not self.recorded:
            arrivals.arrival_of(dict(self))
            return self
        if given := [name for name in ("seconds", *_OF_ARRIVALS) if name in self.model_fields_set]:
            raise ValueError(f"group {self.name}: {given[0]} doesn't go with recorded, which has each task's times")
        if self.tasks != len(self.recorded):
            raise ValueError(f"group {self.name}: recorded has {len(self.recorded)} tasks, and tasks is {self.tasks}")
        return self

    @field_serializer("seconds")
    def _constant_as_number(self, value: Delay) -> Any:
        return value.mean_s if value.distribution == "constant" else value.model_dump(exclude_defaults=True)

    @model_serializer(mode="wrap")
    def _without_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit the defaults: a trial's id is a hash of this, and stays the same when fields are added."""
        fields = type(self).model_fields
        return {
            name: value
            for name, value in dump(self).items()
            if getattr(self, name) != fields[name].get_default(call_default_factory=True)
        }

    @property
    def of(self) -> GroupKind:
        """The kind of its members."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def features(self) -> frozenset[Feature]:
        """The features that a backend needs for this group."""
        found: set[Feature] = {"groups"}
        if self.recorded:
            found.add("recorded")
        if self.of != "tasks":
            found.add(self.of)
        return frozenset(found)

    @property
    def count(self) -> int:
        """The number of its tasks, actors or placement groups."""
        return int(getattr(self, self.of))

    @property
    def runs(self) -> int:
        """The number of task events that it leaves: one for each task or actor, and for each bundle."""
        return self.count * max(1, len(self.bundles))

    @property
    def needs(self) -> tuple[Needs, ...]:
        """The needs of one member: of a task or an actor, or of each bundle."""
        if self.bundles:
            return tuple(bundle.needs for bundle in self.bundles)
        return (Needs({"CPU": self.cpus, **self.resources}, self.labels),)

    @property
    def pattern(self) -> arrivals.Arrival:
        """The pattern in which its members arrive, with its parameters."""
        return arrivals.arrival_of(dict(self))

    @property
    def all_at_once(self) -> bool:
        """True if all of it arrives with the workload's first submission."""
        return not self.recorded and self.pattern.at_once and not self.at_s and self.after is None

    @property
    def span_s(self) -> float:
        """The approximate seconds between its first submission and its last."""
        return max(at for at, _ in self.recorded) if self.recorded else self.pattern.span_s

    @property
    def longest_s(self) -> float:
        """The seconds of its longest member, as far as they are known beforehand."""
        return max(seconds for _, seconds in self.recorded) if self.recorded else self.seconds.expected_s

    @property
    def cpu_seconds(self) -> float:
        """The expected CPU-seconds of all its members."""
        cpus = sum(each.resources.get("CPU", 0.0) for each in self.needs)
        seconds = sum(each for _, each in self.recorded) if self.recorded else self.count * self.seconds.expected_s
        return cpus * seconds

    def members(self, seed: int) -> list[tuple[float, float]]:
        """Return submission (seconds after the group's start) and duration of each member, in order of submission."""
        if self.recorded:
            return sorted(self.recorded)
        offsets = self.pattern.offsets(self.count, seed)
        if self.seconds.distribution == "constant":
            return list(zip(offsets, itertools.repeat(self.seconds.mean_s)))
        rng = random.Random(f"seconds:{seed}:{self.name}")
        return [(offset, self.seconds.sample(rng)) for offset in offsets]

    def describe(self) -> str:
        """Return a summary such as `40 tasks x 5 s x 1 CPU (sleep), burst, after load`."""
        members = self.of.replace("_", " ")
        if self.count == 1 and self.of != "tasks":
            members = members.removesuffix("s")
        words = f"{self.count} {members} x {self._describe_seconds()}"
        if self.bundles:
            words += f" x {self.strategy} [{'; '.join(each.needs.describe() for each in self.bundles)}]"
        else:
            needs = "".join(f" + {amount:g} {name}" for name, amount in self.resources.items())
            labels = "".join(f", {key}={value}" for key, value in self.labels.items())
            words += f" x {self.cpus:g} CPU{needs} ({self.kind}){labels}"
        arrives = "recorded times" if self.recorded else self.pattern.describe()
        start = f", after {self.after}" if self.after else f", at {self.at_s:g} s" if self.at_s else ""
        return f"{words}, {arrives}{start}"

    def _describe_seconds(self) -> str:
        if self.recorded:
            return f"{sum(seconds for _, seconds in self.recorded) / self.count:.3g} s on average"
        spread = "" if self.seconds.distribution == "constant" else f" ({self.seconds.distribution})"
        return f"{self.seconds.expected_s:g} s{spread}"


def check_groups(groups: Sequence[Group]) -> None:
    """Raise ValueError if names are taken twice, if groups wait for each other, or if none starts at once."""
    by_name: dict[str, Group] = {}
    for group in groups:
        if group.name in by_name:
            raise ValueError(f"two groups have the name {group.name}: give each its own")
        by_name[group.name] = group
    for group in groups:
        if group.after is not None and group.after not in by_name:
            raise ValueError(f"group {group.name}: there is no group {group.after} to start after")
        seen, current = [group.name], group
        while current.after is not None:
            current = by_name.get(current.after, current.model_copy(update={"after": None}))
            if current.name in seen:
                raise ValueError(f"these groups wait for each other: {' after '.join([*seen, current.name])}")
            seen.append(current.name)
    if groups and not any(group.at_s == 0 and group.after is None and _begins(group) for group in groups):
        raise ValueError("no group starts at 0 s, and all times count from the first submission: shift the others")
    if (total := sum(group.runs for group in groups)) > MAX_TASKS:
        raise ValueError(f"the groups have {total} tasks, actors and bundles, and at most {MAX_TASKS} are possible")


def _begins(group: Group) -> bool:
    return not group.recorded or min(at for at, _ in group.recorded) == 0
