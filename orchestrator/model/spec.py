"""The model of a sweep, the same for a YAML file and for command-line options."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, create_model, model_validator

from orchestrator.model import workload
from orchestrator.model.base import FrozenModel, Positive
from orchestrator.model.settings import AutoscalerVersion, settings, value_type

Fit = Literal["machine", "none"]
Order = Literal["grid", "random"]
Isolation = Literal["reuse", "fresh"]
InstanceTypesFrom = Literal["catalogue", "aws"]
MAX_TRIALS = 10_000


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _without_duplicates(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))


T = TypeVar("T")
Axis = Annotated[
    tuple[T, ...], BeforeValidator(_as_list), Field(min_length=1, max_length=1000), AfterValidator(_without_duplicates)
]


if TYPE_CHECKING:

    class Axes(FrozenModel):
        """The values to try for each setting, as a type checker sees them."""

        autoscaler: tuple[AutoscalerVersion, ...] = ("v2",)
        upscaling_speed: tuple[float, ...] | None = None
        idle_timeout_minutes: tuple[float, ...] | None = None
        target_utilization_fraction: tuple[float, ...] | None = None

        def __init__(self, **values: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...

else:
    Axes = create_model(
        "Axes",
        __base__=FrozenModel,
        __module__=__name__,
        __doc__="The values to try for each setting. A single value needs no brackets.",
        **{
            name: (Axis[value_type(name)], ("v2",)) if name == "autoscaler" else (Axis[value_type(name)] | None, None)
            for name in settings()
        },
    )


class _ChecksWorkload(FrozenModel):
    @model_validator(mode="before")
    @classmethod
    def _arrival_from_text(cls, value: Any) -> Any:
        return workload.split_arrival(value)

    @model_validator(mode="after")
    def _is_of_one_form(self) -> Self:
        workload.check_form({name for name, value in self if value is not None})
        return self


if TYPE_CHECKING:

    class WorkloadOverrides(FrozenModel):
        """The parts of a workload that a spec sets, as a type checker sees them."""

        def __init__(self, **values: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...

else:
    WorkloadOverrides = create_model(
        "WorkloadOverrides",
        __base__=_ChecksWorkload,
        __module__=__name__,
        __doc__="The parts of a workload that a spec sets. The backend has defaults for the others. See `Workload`.",
        **{name: (workload.value_type(name) | None, None) for name in workload.Workload.model_fields},
    )


class SweepSpec(FrozenModel):
    """All inputs for the plan of a sweep. `docs/spec.md` shows them as YAML."""

    name: Annotated[str, Field(max_length=200)] = ""
    backend: Annotated[str, Field(min_length=1, max_length=32)] = "local"  # the registry knows the names
    cluster: str | None = None
    image: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    launch_profile: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    instance_types_from: InstanceTypesFrom = "catalogue"
    fit: Fit = "machine"
    settings: Axes = Axes()
    workload: WorkloadOverrides = WorkloadOverrides()
    repeat: Annotated[int, Field(ge=1, le=1000)] = 1
    order: Order = "grid"
    seed: int = 0
    isolation: Isolation = "reuse"
    prices: Annotated[str, Field(min_length=1, max_length=4096)] | None = None  # None: as in the cluster file
    timeout_s: Annotated[Positive, Field(le=7 * 86_400)] | None = None
