"""The end of an observation for the terminal: what was recorded, what is missing, and the next step."""

from collections.abc import Iterator

from orchestrator.observer.observed import Observed

_SHOWN_SHAPES = 5


def observation_lines(observed: Observed) -> Iterator[str]:
    """Yield the lines."""
    found = observed.followed
    minutes, seconds = divmod(round(observed.seconds), 60)
    yield f"observation {observed.sweep_id}: {minutes} min {seconds} s of {observed.address}, trace in {observed.trace}"
    failed = f" ({found.failed} failed)" if found.failed else ""
    yield (
        f"recorded: {found.tasks} tasks{failed}, {found.actors} actors, {found.groups} placement groups,"
        f" {observed.nodes} worker nodes"
    )
    if found.shapes:
        shown = [f"{count} x {shape}" for shape, count in found.shapes.most_common(_SHOWN_SHAPES)]
        more = len(found.shapes) - _SHOWN_SHAPES
        yield f"by shape: {', '.join(shown)}{f' and {more} more shapes' if more > 0 else ''}"
    yield f"settings that could be read: {observed.settings.label()}"
    if found.calls:
        yield f"not recorded: {found.calls} calls of actors' methods, which wait for their actor and not for a node"
    if found.unfinished:
        yield f"{found.unfinished} tasks and actors still ran at the end: they are recorded up to then"
    if found.waiting:
        yield f"not recorded: {found.waiting} tasks that still waited at the end"
    if found.missing:
        yield f"missing: Ray kept no complete record of {found.missing} attempts at tasks"
    if observed.full:
        yield "the trace has reached its limit: what came later isn't recorded; raise it with --max-trace-size"
    if observed.not_scored:
        yield observed.not_scored
    yield from (f"assumption: {each}" for each in observed.assumptions)
    yield f"results: orchestrate show {observed.sweep_id}"
    yield (
        "what other settings would have done:"
        f" orchestrate simulate --workload-from {observed.sweep_id} --idle-timeout-minutes 1,5"
    )
