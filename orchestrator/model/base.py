"""What all nouns share: they are frozen, refuse unknown keys, and never hold NaN or infinity."""

import hashlib
import json
from typing import Annotated, Any

from pydantic import AllowInfNan, BaseModel, ConfigDict, Field


class Noun(BaseModel):
    """A frozen value; an unknown key is an error, so that a typing mistake in a file never passes silently."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Finite = Annotated[float, AllowInfNan(False)]
Positive = Annotated[float, AllowInfNan(False), Field(gt=0)]
NonNegative = Annotated[float, AllowInfNan(False), Field(ge=0)]


def content_hash(value: Any, digits: int = 12) -> str:
    """The first hex digits of the SHA-256 of a value's canonical JSON (sorted keys, no spaces)."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:digits]
