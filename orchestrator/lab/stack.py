"""`--stack`: starts Prometheus and Grafana before a sweep, and leaves them running."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.lab.progress import Reporter


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
