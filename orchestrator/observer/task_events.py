"""Ray's own records of tasks, actors and placement groups as events of a trace."""

from collections.abc import Mapping

from orchestrator.model.events import NoteEvent, PlacementGroupEvent, TaskEvent
from orchestrator.observer.node_tracker import TrackedNode
from orchestrator.rayapi.job_records import Run
from orchestrator.rayapi.task_feed import Group

NEGLIGIBLE = 0.01
"""The share of missing records up to which waits, CPU use and elasticity are still computed."""


def task_event(run: Run, node: TrackedNode | None, details: Mapping[str, object] | None = None) -> TaskEvent:
    """Return the event of an attempt at a task, or of the life of an actor. `details` are further fields."""
    return TaskEvent(
        t=run.ended,
        node=run.node,
        node_type=node.node_type if node else "",
        arch=node.traits.arch if node else "unknown",
        cpus=run.cpus,
        submitted=run.submitted,
        started=run.started,
        ended=run.ended,
        ok=run.ok,
        **{"name": run.name, "actor": run.is_actor, **(details or {})},
    )


def details_of(run: Run) -> dict[str, object]:
    """Return what a task asks of a node, as further fields of its event; see `TaskDetails`."""
    return {
        "resources": dict(run.resources),
        **({"labels": dict(run.labels)} if run.labels else {}),
        **({"group": run.group} if run.group else {}),
        **({"ready": run.ready} if run.ready is not None else {}),
    }


def group_event(group: Group, begin: float, ended: float, *, unfinished: bool = False) -> PlacementGroupEvent:
    """Return the event of a placement group's life from `begin` at the earliest to `ended`."""
    submitted = max(begin, group.submitted)
    return PlacementGroupEvent(
        t=ended,
        group=group.key,
        strategy=group.strategy,
        bundles=tuple(dict(bundle) for bundle in group.bundles),
        submitted=min(submitted, ended),
        placed=None if group.placed is None else min(max(submitted, group.placed), ended),
        ended=ended,
        unfinished=unfinished,
    )


def missing_note(t: float, known: int, missing: int) -> NoteEvent:
    """Return the note that Ray kept no complete record of some tasks and actors."""
    every = known + missing
    few = missing <= NEGLIGIBLE * every
    left_out = "" if few else "; so waits, CPU use and elasticity are left out"
    return NoteEvent(
        t=t,
        kind="records_missing" if few else "records_incomplete",
        text=f"Ray kept no complete record of {missing} of {every} tasks and actors{left_out}",
    )
