"""Injected faults as part of a workload: nodes that vanish, freeze, lose their network, or are reclaimed."""

import random
import re
from collections.abc import Collection, Iterable
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_serializer, model_validator

from orchestrator.model.base import FrozenModel, NonNegative, Positive

FaultKind = Literal["kill", "pause", "partition", "spot"]

MAX_FAULTS = 100
LASTING: frozenset[FaultKind] = frozenset({"pause", "partition"})
_TEXT = re.compile(r"([a-z]+)@([^@+/:]+)(?:\+([^@+/:]+)|(/h))?(?::(.+))?")

ALL_FAULTS: frozenset[FaultKind] = frozenset(get_args(FaultKind))
FATAL: frozenset[FaultKind] = ALL_FAULTS - LASTING


class Fault(FrozenModel):
    """One fault. A spec, the command line and a trace use the same text; a spec can also give its keys.

    `kill@20`: a node's machine disappears 20 s after the first task was submitted. `pause@30+15`: all processes of a
    node stop for 15 s. `partition@30+15`: its network is cut. Without a duration these last until the last task has
    ended. `spot@12/h`: each node is reclaimed at random, 12 times per hour on average (a Poisson process). A suffix
    `:NODE_TYPE` limits the fault to one node type.
    """

    kind: FaultKind
    at_s: Annotated[NonNegative, Field(le=86_400)] | None = None
    for_s: Annotated[Positive, Field(le=86_400)] | None = None
    per_hour: Annotated[Positive, Field(ge=0.001, le=3600)] | None = None
    node_type: Annotated[str, Field(pattern="^.+$", max_length=200)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        found = _TEXT.fullmatch(value.strip())
        if found is None:
            raise ValueError("write a fault as kill@20, pause@30+15, partition@30+10:NODE_TYPE or spot@12/h")
        kind, number, lasts, hourly, node_type = found.groups()
        when = {"per_hour": number} if hourly else {"at_s": number, "for_s": lasts}
        return {"kind": kind, "node_type": node_type, **when}

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        if self.kind == "spot":
            if self.per_hour is None or self.at_s is not None or self.for_s is not None:
                raise ValueError("spot interruptions have a rate and nothing else, such as spot@12/h")
        elif self.at_s is None or self.per_hour is not None:
            raise ValueError(f"a {self.kind} has a time and no rate, such as {self.kind}@20")
        elif self.for_s is not None and self.kind not in LASTING:
            raise ValueError(f"a {self.kind} has no duration: the machine doesn't come back")
        return self

    @model_serializer
    def _text(self) -> str:
        return str(self)

    def __str__(self) -> str:
        """Return the text that parses to this fault."""
        when = f"{_short(self.per_hour)}/h" if self.per_hour is not None else _short(self.at_s or 0.0)
        lasts = "" if self.for_s is None else f"+{_short(self.for_s)}"
        return f"{self.kind}@{when}{lasts}" + (f":{self.node_type}" if self.node_type is not None else "")

    @property
    def lasts(self) -> bool:
        """Return true if the fault has an end, at which the node recovers."""
        return self.kind in LASTING

    def hits(self, node_type: str) -> bool:
        """Return true if nodes of this type can be hit."""
        return self.node_type in (None, node_type)

    def lifetime_s(self, seed: int, number: int, node_type: str, index: int) -> float:
        """Return the seconds from running to reclaim of the `index`-th node of a type under spot interruptions.

        `number` is the fault's place in the workload. Like boot times, the result depends on the trial's seed and not
        on the settings, so all settings face the same random events.
        """
        assert self.per_hour is not None
        return random.Random(f"fault:{seed}:{number}:{node_type}:{index}").expovariate(self.per_hour / 3600)


def impossible(faults: Iterable[Fault], possible: Collection[FaultKind]) -> list[Fault]:
    """Return the faults whose kind isn't among the `possible` ones."""
    return [fault for fault in faults if fault.kind not in possible]


def _short(value: float) -> str:
    """Return the shortest exact text of a number."""
    return str(int(value)) if value.is_integer() else repr(value)
