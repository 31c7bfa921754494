"""One choice of the autoscaler's knobs, and what Ray makes of it."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from orchestrator.model.base import FrozenModel, Positive

AutoscalerVersion = Literal["v1", "v2"]


# One type for each knob, shared with the axes of a sweep, so that a file is checked by the same ranges.
# Ray has no upper limit for either: people write many nines for "as fast as possible" and for "never".
UpscalingSpeed = Annotated[Positive, Field(le=1e100)]
IdleTimeoutMinutes = Annotated[Positive, Field(le=1e12)]
UtilizationFraction = Annotated[Positive, Field(le=1)]
Launches = Annotated[int, Field(ge=1, le=10_000)]
UpdateIntervalS = Annotated[int, Field(ge=1, le=3600)]
Workers = Annotated[int, Field(ge=0, le=1_000_000)]


class Settings(FrozenModel):
    """The knobs of Ray's autoscaler, in Ray's own words and units.

    `None` leaves a knob as the cluster file has it. `max_concurrent_launches`, `max_launch_batch` and
    `update_interval_s` are read by Ray's monitor when it starts, so that changing them needs a new cluster;
    the others are read again at every update.
    """

    autoscaler: AutoscalerVersion = "v2"
    upscaling_speed: UpscalingSpeed | None = None
    idle_timeout_minutes: IdleTimeoutMinutes | None = None
    target_utilization_fraction: UtilizationFraction | None = None
    max_concurrent_launches: Launches = 10
    max_launch_batch: Launches = 5
    update_interval_s: UpdateIntervalS = 5
    min_workers: Workers | None = None
    max_workers: Workers | None = None

    @model_validator(mode="after")
    def _fraction_needs_v1_and_no_speed(self) -> Self:
        if self.target_utilization_fraction is not None:
            if self.autoscaler == "v2":
                raise ValueError("the v2 autoscaler rejects target_utilization_fraction; only v1 reads it")
            if self.upscaling_speed is not None:
                raise ValueError("Ray ignores target_utilization_fraction where upscaling_speed is set")
        return self

    @model_validator(mode="after")
    def _min_is_not_above_max(self) -> Self:
        if self.min_workers is not None and self.max_workers is not None and self.min_workers > self.max_workers:
            raise ValueError(f"min_workers {self.min_workers} is above max_workers {self.max_workers}")
        return self

    @property
    def effective_upscaling_speed(self) -> float | None:
        """The speed that Ray acts on: v1 turns `target_utilization_fraction` f into 1/f − 1.

        Source: `StandardAutoscaler.reset` in ray/autoscaler/_private/autoscaler.py, which clips f at 0.001.
        A speed of 0 (f = 1) still lets v1 launch five nodes at once, its floor.
        """
        if self.target_utilization_fraction is not None:
            return round(1 / max(self.target_utilization_fraction, 0.001) - 1, 6)
        return self.upscaling_speed

    def needs_new_monitor(self, other: "Settings") -> bool:
        """Whether going from these settings to `other` can't be done under a running cluster."""
        return self.monitor_environment() != other.monitor_environment()

    def monitor_environment(self) -> dict[str, str]:
        """The environment variables that Ray's head and monitor read once, when they start."""
        return {
            "RAY_enable_autoscaler_v2": "1" if self.autoscaler == "v2" else "0",
            "AUTOSCALER_MAX_CONCURRENT_LAUNCHES": str(self.max_concurrent_launches),
            "AUTOSCALER_MAX_LAUNCH_BATCH": str(self.max_launch_batch),
            "AUTOSCALER_UPDATE_INTERVAL_S": str(self.update_interval_s),
        }

    def changed(self) -> dict[str, str | float | int]:
        """The knobs that differ from Ray's defaults or are set explicitly, for labels and tables."""
        return {
            name: value
            for name, value in self.model_dump().items()
            if value is not None and (name == "autoscaler" or value != type(self).model_fields[name].default)
        }

    def label(self) -> str:
        """A short name such as `v2 speed=5 idle=0.25`."""
        short = {"upscaling_speed": "speed", "idle_timeout_minutes": "idle", "target_utilization_fraction": "target"}
        words = [
            str(value) if name == "autoscaler" else f"{short.get(name, name)}={float(value):g}"
            for name, value in self.changed().items()
        ]
        return " ".join(words)
