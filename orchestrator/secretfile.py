"""Secrets that a user hands over: in a file, or in a variable of the environment. Neither is ever quoted."""

import os
from collections.abc import MutableMapping
from pathlib import Path

from orchestrator.errors import InputError


def take_secret(
    variable: str,
    option: str,
    file: Path | None,
    hint: str,
    environment: MutableMapping[str, str] | None = None,
) -> tuple[str, str]:
    """What the file of `option`, else the `variable` holds, without white space around it, and which of them it was.

    It is taken out of the environment: no process started later inherits it. Raises InputError for a file that can't
    be read or is empty; a variable may be.
    """
    environment = os.environ if environment is None else environment
    found = environment.pop(variable, "")
    if file is None:
        return found.strip(), variable
    source = f"{option} {file}"
    try:
        found = file.read_text().strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a text file"
        raise InputError(f"{source} can't be read: {why}") from None
    if not found:
        raise InputError(f"{source} is empty", hint)
    return found, source
