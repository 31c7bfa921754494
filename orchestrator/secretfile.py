"""Secrets that a user hands over: in a file, or in a variable of the environment. None is ever quoted or passed on."""

import os
from collections.abc import Mapping, MutableMapping
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

    It is taken out of the environment. Raises InputError for a file that can't be read or is empty; a variable may be.
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


def inherited(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a process that we start gets of our environment: all but our own variables.

    Some of those are secrets, a token or the URL of a ledger, and Ray runs anybody's code.
    """
    environment = os.environ if environment is None else environment
    return {name: value for name, value in environment.items() if not name.startswith("ORCHESTRATE_")}
