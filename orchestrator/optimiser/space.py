"""The search space: the knobs that vary, their bounds, and the fixed values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.errors import InputError
from orchestrator.model.settings import AutoscalerVersion, Settings, settings
from orchestrator.model.spec import Axes

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


@dataclass(frozen=True)
class Knob:
    """A knob with bounds `low` and `high`, searched in whole numbers or on a logarithmic scale."""

    name: str
    low: float
    high: float
    whole: bool

    def snapped(self, value: float) -> float:
        """Return the value within the bounds, rounded to three significant digits so that you can type it."""
        return value if self.whole else min(max(float(f"{value:.3g}"), self.low), self.high)

    def position(self, value: float) -> float:
        """Return the position of a value between the bounds: 0 for `low`, 1 for `high`, and beyond them outside."""
        if self.whole:
            return (value - self.low) / (self.high - self.low)
        return math.log(value / self.low) / math.log(self.high / self.low)

    def distribution(self) -> "BaseDistribution":
        """Return the knob as a distribution for Optuna."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            return IntDistribution(int(self.low), int(self.high))
        return FloatDistribution(self.low, self.high, log=True)


@dataclass(frozen=True)
class Space:
    """The settings to search: `knobs` and autoscaler versions vary, `fixed` is the same for all."""

    autoscalers: tuple[AutoscalerVersion, ...]
    knobs: tuple[Knob, ...]
    fixed: Mapping[str, float]

    @classmethod
    def of(cls, axes: Axes) -> "Space":
        """Return the space of a sweep's axes: several values are bounds, one value is fixed. Raises InputError."""
        if axes.target_utilization_fraction is not None:
            raise InputError(
                "--optimise searches upscaling_speed, of which v1 takes a target_utilization_fraction f as 1/f - 1",
                "give bounds such as --upscaling-speed 0.25,4 instead",
            )
        known = settings()
        given = {name: getattr(axes, name) or each.searched for name, each in known.items()}
        values = {name: each for name, each in given.items() if each is not None and name != "autoscaler"}
        knobs = tuple(
            Knob(name, min(each), max(each), whole=known[name].searched is None)
            for name, each in values.items()
            if len(each) > 1
        )
        if not knobs and len(axes.autoscaler) == 1:
            raise InputError(
                "--optimise has nothing to search: each setting has a single value",
                "give two bounds such as --upscaling-speed 0.1,100, or leave the option out",
            )
        return cls(axes.autoscaler, knobs, {name: each[0] for name, each in values.items() if len(each) == 1})

    def settings(self, parameters: Mapping[str, Any]) -> Settings:
        """Return the settings for Optuna's parameters."""
        searched = {knob.name: knob.snapped(parameters[knob.name]) for knob in self.knobs}
        version = parameters.get("autoscaler", self.autoscalers[0])
        return Settings.model_validate({"autoscaler": version, **self.fixed, **searched})

    def allows(self, settings: Settings) -> bool:
        """Return true if the space contains the settings. A searched knob may keep the cluster file's value."""
        values = {knob: getattr(settings, knob.name) for knob in self.knobs}
        return (
            settings.autoscaler in self.autoscalers
            and all(getattr(settings, name) == value for name, value in self.fixed.items())
            and all(value is None or knob.low <= value <= knob.high for knob, value in values.items())
        )

    def parameters(self, settings: Settings) -> dict[str, Any] | None:
        """Return the inverse of `settings`, or None if the space doesn't contain them or a knob is open."""
        found = {name: getattr(settings, name) for name in self.distributions()}
        return found if self.allows(settings) and None not in found.values() else None

    @property
    def names(self) -> list[str]:
        """Return the names of the settings that vary."""
        return [*(["autoscaler"] if len(self.autoscalers) > 1 else []), *(knob.name for knob in self.knobs)]

    def put_back(self, settings: Settings, name: str, reference: Settings) -> Settings | None:
        """Return settings with one value of the reference, or None if that isn't allowed or changes nothing."""
        value = getattr(reference, name)
        if value is None and name in ("min_workers", "max_workers"):
            return None  # the cluster file's own limits may not go together with those searched
        changed = settings.replace(**{name: value})
        return changed if changed != settings and self.allows(changed) else None

    def distributions(self) -> "dict[str, BaseDistribution]":
        """Return the varying knobs as distributions for Optuna."""
        from optuna.distributions import CategoricalDistribution

        versions = {"autoscaler": CategoricalDistribution(self.autoscalers)} if len(self.autoscalers) > 1 else {}
        return {**versions, **{knob.name: knob.distribution() for knob in self.knobs}}

    def distance(self, some: Settings, others: Settings) -> float:
        """Return the distance of two settings: the sum over the knobs, where the distance between bounds is 1."""
        total = float(some.autoscaler != others.autoscaler)
        for knob in self.knobs:
            one, other = getattr(some, knob.name), getattr(others, knob.name)
            if one is None or other is None:
                total += one is not other
            else:
                total += abs(knob.position(one) - knob.position(other))
        return total
