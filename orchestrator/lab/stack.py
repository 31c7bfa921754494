"""The stack of a home: started before a sweep by `--stack`, and found by commands that need its addresses."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.errors import MissingPrerequisite
from orchestrator.lab.progress import Reporter
from orchestrator.logs import suppressed

_log = logging.getLogger(__name__)


@contextmanager
def stack_running(home: Path, *, wanted: bool, reporter: Reporter) -> Iterator[None]:
    """Start the stack unless it runs, if it is `wanted`. It runs on afterwards, and the user is reminded of that."""
    if not wanted:
        yield
        return
    from orchestrator.stack.stack import Stack

    with reporter.steps() as progress:
        ready = Stack(home).ensure(progress=progress)
    where = ", ".join(f"{each.name.capitalize()} {each.url}" for each in ready.services if each.state == "running")
    reporter.say(f"stack: {where}")
    try:
        yield
    finally:
        reporter.say(f"the stack still runs: {where}; end it: orchestrate stack down")


def url_of_stack(home: Path, service: str) -> str | None:
    """Return the URL of a service of the home's stack, such as `prometheus`; None if it doesn't run."""
    from orchestrator.stack.stack import Stack

    stack = Stack(home)
    if stack.known:
        with suppressed(_log, f"looking for the stack's {service}", MissingPrerequisite):
            return stack.status().url(service)
    return None
