"""The settings of Ray's autoscaler: each is one field of `Settings`, with all facts about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from pydantic.fields import FieldInfo

from orchestrator.model.base import FrozenModel, NonNegative, Positive

AutoscalerVersion = Literal["v1", "v2"]


# One type for each knob, shared with the axes of a sweep, so that a file is checked by the same ranges.
# Ray has no upper limit for either: users write many nines for "as fast as possible" and for "never".
UpscalingSpeed = Annotated[Positive, Field(le=1e100)]
IdleTimeoutMinutes = Annotated[NonNegative, Field(le=1e12)]
UtilizationFraction = Annotated[Positive, Field(le=1)]
Launches = Annotated[int, Field(ge=1, le=10_000)]
UpdateIntervalS = Annotated[int, Field(ge=1, le=3600)]
Workers = Annotated[int, Field(ge=0, le=1_000_000)]

RAYS_IDLE_TIMEOUT_MINUTES = 5.0
"""The idle timeout of a cluster whose file has none."""


@dataclass(frozen=True)
class Setting:
    """Facts about one setting, in addition to its name, type and default.

    `meaning` and `unit` are for exports, `short` is its word in labels. Ray's head and monitor read `environment` once,
    when they start; Ray's constant has the same name. `in_config`: it is a key of Ray's cluster config, which Ray reads
    again at every update. `read_by`: the autoscalers that read it. `searched`: the default bounds of a search on a
    logarithmic scale; other settings are searched in whole numbers. `has_option`: it has its own option and needs no
    `--set`. `is_label`: `trial_info` shows it.

    The ids of older trials must not change when a setting is added. So a dump omits a setting at its default, unless it
    is `in_every_id`, as the first settings are.
    """

    meaning: str
    unit: str = ""
    short: str = ""
    environment: str = ""
    in_config: bool = False
    read_by: frozenset[AutoscalerVersion] = frozenset({"v1", "v2"})
    searched: tuple[float, float] | None = None
    has_option: bool = False
    is_label: bool = False
    in_every_id: bool = False


_FROM_FILE = "as set; null: as the cluster file has it"


class Settings(FrozenModel):
    """The knobs of Ray's autoscaler, in Ray's own words and units.

    `None` leaves a knob at its value in the cluster file. Ray's monitor reads `max_concurrent_launches`,
    `max_launch_batch` and `update_interval_s` when it starts, so changing them needs a new cluster. It reads the others
    again at every update.
    """

    autoscaler: Annotated[
        AutoscalerVersion,
        Setting(
            "Ray's autoscaler: v1 or v2",
            environment="RAY_enable_autoscaler_v2",
            has_option=True,
            is_label=True,
            in_every_id=True,
        ),
    ] = "v2"
    upscaling_speed: Annotated[
        UpscalingSpeed | None,
        Setting(
            _FROM_FILE,
            short="speed",
            in_config=True,
            searched=(0.1, 100.0),
            has_option=True,
            is_label=True,
            in_every_id=True,
        ),
    ] = None
    idle_timeout_minutes: Annotated[
        IdleTimeoutMinutes | None,
        Setting(
            _FROM_FILE,
            unit="min",
            short="idle",
            in_config=True,
            searched=(0.1, 30.0),
            has_option=True,
            is_label=True,
            in_every_id=True,
        ),
    ] = None
    target_utilization_fraction: Annotated[
        UtilizationFraction | None,
        Setting(
            "as set, v1 only",
            short="target",
            in_config=True,
            read_by=frozenset({"v1"}),
            has_option=True,
            is_label=True,
            in_every_id=True,
        ),
    ] = None
    max_concurrent_launches: Annotated[
        Launches, Setting("as set", unit="nodes", environment="AUTOSCALER_MAX_CONCURRENT_LAUNCHES", in_every_id=True)
    ] = 10
    max_launch_batch: Annotated[
        Launches, Setting("as set", unit="nodes", environment="AUTOSCALER_MAX_LAUNCH_BATCH", in_every_id=True)
    ] = 5
    update_interval_s: Annotated[
        UpdateIntervalS,
        Setting(
            "time between two updates of the autoscaler, as set",
            unit="s",
            environment="AUTOSCALER_UPDATE_INTERVAL_S",
            in_every_id=True,
        ),
    ] = 5
    min_workers: Annotated[
        Workers | None, Setting(f"of each worker type, {_FROM_FILE}", unit="nodes", in_every_id=True)
    ] = None
    max_workers: Annotated[
        Workers | None, Setting(f"of each worker type, {_FROM_FILE}", unit="nodes", in_every_id=True)
    ] = None

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit settings that older trials didn't have, unless they are set."""
        fields = type(self).model_fields
        return {
            name: value
            for name, value in dump(self).items()
            if value != fields[name].default or described(fields[name]).in_every_id
        }

    @model_validator(mode="after")
    def _autoscaler_reads_all(self) -> Self:
        for name, each in settings().items():
            if self.autoscaler not in each.read_by and getattr(self, name) is not None:
                readers = " and ".join(sorted(each.read_by))
                raise ValueError(f"the {self.autoscaler} autoscaler rejects {name}; only {readers} reads it")
        return self

    @model_validator(mode="after")
    def _fraction_needs_no_speed(self) -> Self:
        if self.target_utilization_fraction is not None and self.upscaling_speed is not None:
            raise ValueError("Ray ignores target_utilization_fraction where upscaling_speed is set")
        return self

    @model_validator(mode="after")
    def _min_is_not_above_max(self) -> Self:
        if self.min_workers is not None and self.max_workers is not None and self.min_workers > self.max_workers:
            raise ValueError(f"min_workers {self.min_workers} is above max_workers {self.max_workers}")
        return self

    @property
    def effective_upscaling_speed(self) -> float | None:
        """Return the speed that Ray uses: v1 turns `target_utilization_fraction` f into 1/f − 1.

        Source: `StandardAutoscaler.reset` in ray/autoscaler/_private/autoscaler.py, which clips f at 0.001. With a
        speed of 0 (f = 1), v1 still launches five nodes at once, its floor.
        """
        if self.target_utilization_fraction is not None:
            return round(1 / max(self.target_utilization_fraction, 0.001) - 1, 6)
        return self.upscaling_speed

    def needs_new_monitor(self, other: "Settings") -> bool:
        """Return true if a running cluster can't change from these settings to `other`."""
        return self.monitor_environment() != other.monitor_environment()

    def monitor_environment(self) -> dict[str, str]:
        """Return the environment variables that Ray's head and monitor read once, when they start."""
        return {
            each.environment: _in_environment(getattr(self, name))
            for name, each in settings().items()
            if each.environment
        }

    def changed(self) -> dict[str, str | float | int]:
        """Return the knobs that differ from Ray's defaults or are set explicitly, for labels and tables."""
        return {
            name: value
            for name, value in self.model_dump().items()
            if value is not None and (name == "autoscaler" or value != type(self).model_fields[name].default)
        }

    def label(self) -> str:
        """Return a short name such as `v2 speed=5 idle=0.25`."""
        known = settings()
        words = [
            str(value) if name == "autoscaler" else f"{known[name].short or name}={float(value):g}"
            for name, value in self.changed().items()
        ]
        return " ".join(words)


def short_labels(settings: Sequence[Settings]) -> tuple[str, list[str]]:
    """Return the words that the labels of all these settings share, and each label without them.

    Where a label would be left empty, because all settings are equal or there is only one, nothing is taken out.
    """
    labels = [each.label().split() for each in settings]
    shared = [word for word in labels[0] if all(word in label for label in labels)] if labels else []
    own = [" ".join(word for word in label if word not in shared) for label in labels]
    if not all(own):
        return "", [" ".join(label) for label in labels]
    return " ".join(shared), own


def described(field: FieldInfo) -> Setting:
    """Return the description of a field of `Settings`."""
    return next(each for each in field.metadata if isinstance(each, Setting))


@cache
def settings() -> dict[str, Setting]:
    """Return the description of each setting by name, in order."""
    return {name: described(field) for name, field in Settings.model_fields.items()}


def type_of(name: str) -> type:
    """Return the plain type of a setting's values: float, int or str."""
    annotation = value_type(name)
    plain = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return str if get_origin(plain) is Literal else plain


def value_type(name: str) -> Any:
    """Return the type of one value of a setting with its limits, to build other models of it."""
    field = Settings.model_fields[name]
    if get_origin(field.annotation) in (Union, UnionType):  # None isn't a value to try
        return next(each for each in get_args(field.annotation) if each is not type(None))
    limits = tuple(each for each in field.metadata if not isinstance(each, Setting))
    return Annotated[(field.annotation, *limits)] if limits else field.annotation


def config_settings() -> tuple[str, ...]:
    """Return the names of the settings that are keys of Ray's cluster config."""
    return tuple(name for name, each in settings().items() if each.in_config)


def monitor_settings() -> tuple[str, ...]:
    """Return the names of the numbers that Ray's monitor reads from its environment."""
    return tuple(name for name, each in settings().items() if each.environment and name != "autoscaler")


def info_settings() -> tuple[str, ...]:
    """Return the names of the settings that are labels of `trial_info`."""
    return tuple(name for name, each in settings().items() if each.is_label)


def option_settings() -> tuple[str, ...]:
    """Return the names of the settings that have their own option."""
    return tuple(name for name, each in settings().items() if each.has_option)


def _in_environment(value: Any) -> str:
    return {"v1": "0", "v2": "1"}.get(value, str(value))
