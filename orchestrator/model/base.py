"""The base class of all domain values: frozen, without unknown keys, NaN or infinity."""

import hashlib
import json
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AllowInfNan, BaseModel, ConfigDict, Field, ValidationInfo, field_validator


class FrozenModel(BaseModel):
    """A frozen value. An unknown key is an error, so that a typing mistake in a file never passes silently."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with other values of some fields. All are validated, which `model_copy` doesn't do."""
        return type(self)(**{**dict(self), **changes})

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Reject YAML's `on`, `yes` and `true`, which would count as 1."""
        wanted = cls.model_fields[info.field_name].annotation if info.field_name else bool
        checks_itself = isinstance(wanted, type) and issubclass(wanted, BaseModel)
        if wanted is not bool and not checks_itself:
            inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
            if any(isinstance(each, bool) for each in inner):
                raise ValueError("use a number or a word, not yes or no")
        return value


def _without_negative_zero(value: float) -> float:
    return value + 0.0  # -0.0 equals 0.0, yet would hash to another trial


Finite = Annotated[float, AllowInfNan(False)]
Positive = Annotated[float, AllowInfNan(False), Field(gt=0)]
NonNegative = Annotated[float, AllowInfNan(False), Field(ge=0), AfterValidator(_without_negative_zero)]


def content_hash(value: Any, digits: int = 12) -> str:
    """Return the first hex digits of the SHA-256 of a value's canonical JSON (sorted keys, no spaces)."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:digits]
