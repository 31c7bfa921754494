"""The first problem that pydantic finds in a user's values: which key, and what is wrong with it."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from orchestrator.errors import SpecError

_LONGEST_VALUE = 60
_LONGEST_KEY = 160


@dataclass(frozen=True)
class Problem:
    """A refused value. `path` leads to it through names and positions; `given` shows it, if it is a single value."""

    path: tuple[str | int, ...]
    reason: str
    given: str

    @property
    def key(self) -> str:
        """The path without a last position: a user may write a value alone where a list is possible."""
        parts = self.path[:-1] if self.path and isinstance(self.path[-1], int) else self.path
        return ".".join(str(part) for part in parts)

    @property
    def message(self) -> str:
        """The reason, and the value that is refused."""
        return f"{self.reason}, not {self.given}" if self.given else self.reason

    def whole_key(self, *above: str) -> str:
        """Return the path with its positions, below the keys that lead to the model."""
        return ".".join(str(part) for part in (*above, *self.path))[:_LONGEST_KEY]

    def in_file(self, file: Path, *above: str, hint: str | None = None) -> SpecError:
        """Return the error for a file, in which the keys `above` lead to the model."""
        return SpecError(f"{file}: {self.whole_key(*above)}", self.message, hint)


def first_problem(error: ValidationError) -> Problem:
    """Return the first problem of an error, in words for people."""
    fault = error.errors()[0]
    given = fault.get("input")
    shown = f"{given!r:.{_LONGEST_VALUE}}" if isinstance(given, str | int | float) else ""
    match fault["type"]:
        case "extra_forbidden":
            return Problem(fault["loc"], "unknown key", "")
        case "model_type":
            return Problem(fault["loc"], "expected keys and values", shown)
        case "value_error":
            return Problem(fault["loc"], fault["msg"].removeprefix("Value error, "), shown)
    return Problem(fault["loc"], fault["msg"][0].lower() + fault["msg"][1:], shown)
