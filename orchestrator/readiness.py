"""Questions about this machine and their answers. `doctor` asks them; backends add their own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "missing"]


@dataclass(frozen=True)
class Finding:
    """An answer: what was found, and the user's next step unless all is well."""

    state: State
    detail: str
    hint: str = ""


@dataclass(frozen=True)
class Question:
    """A question. `look` answers it, or raises the error with which a command would end.

    `needed_by` names features that fail without it: `sweep` (local sweeps), `simulate`, `stack`, or a backend.
    """

    name: str
    needed_by: tuple[str, ...]
    look: Callable[[], Finding]
