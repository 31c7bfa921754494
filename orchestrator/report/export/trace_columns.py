"""The tables that come from traces: nodes, tasks, demand, supply, scaling events and faults, in seconds after t = 0."""

from collections.abc import Callable, Iterable
from functools import partial
from operator import attrgetter
from typing import Any, TypeVar

from orchestrator.model.events import LAUNCH_STAGES
from orchestrator.report.export.columns import Column, Kind, TableOf
from orchestrator.report.export.trace_rows import EventRow, FaultRow, NodeRow, StepRow, TaskRow

AnyRow = TypeVar("AnyRow", NodeRow, TaskRow, StepRow, EventRow, FaultRow)


def _ids() -> tuple[Column[Any], ...]:
    return (
        Column("sweep_id", "text", "", "the sweep", attrgetter("recorded.sweep_id")),
        Column("trial_id", "text", "", "the trial", attrgetter("recorded.trial_id")),
    )


def _seconds(name: str, meaning: str, t: Callable[[AnyRow], float | None]) -> Column[AnyRow]:
    """Return a time, in seconds after the submission."""
    return Column(name, "number", "s", meaning, lambda row: row.recorded.elapsed(t(row)))


def _stages() -> Iterable[Column[NodeRow]]:
    meanings = {
        "queued": "since when the demand that it was launched for had been waiting; null where no waiting demand"
        " explains the launch",
        "requested": "the autoscaler asked the cloud for it",
        "allocated": "the cloud granted it; its bill begins",
        "installing": "its machine had booted, Ray was set up",
        "running": "Ray could run tasks on it",
        "first_task": "its first task started",
        "idle": "it ran no more tasks",
        "draining": "Ray began to end it",
        "terminated": "its machine was gone",
        "failed": "the launch failed, or the node crashed",
    }
    for stage, text in meanings.items():
        yield _seconds(f"{stage}_s", text, attrgetter(f"waterfall.{stage}"))


def _launch_stages() -> Iterable[Column[NodeRow]]:
    meanings = {
        "machine": "the cloud said that its machine runs",
        "ssh": "Ray began to wait for its SSH",
        "files": "SSH answered, Ray began to copy files",
        "setup": "Ray began to run its setup commands",
        "ray_start": "Ray began to start on it",
    }
    return (
        _seconds(f"{stage}_s", f"{meanings[stage]}; null on backends without this stage", partial(_began, stage))
        for stage in LAUNCH_STAGES
    )


def _began(stage: str, row: NodeRow) -> float | None:
    return row.life.stages.get(stage)


def _of_event(name: str, kind: Kind, unit: str, meaning: str) -> Column[EventRow]:
    """Return a field of the event; an empty one is null."""
    value = attrgetter(f"event.{name}")
    return Column(name, kind, unit, meaning, lambda row: None if (found := value(row)) == "" else found)


def _level(name: str, kind: Kind, unit: str, meaning: str) -> Column[StepRow]:
    return Column(
        name, kind, unit, meaning, lambda row: round(row.levels[name]) if kind == "count" else row.levels[name]
    )


NODES: TableOf[NodeRow] = TableOf(
    "nodes",
    "A row is a worker node. Seconds tell when it reached a stage; null where the trace doesn't show it.",
    (
        *_ids(),
        Column("node", "text", "", "the cloud's id of the node", attrgetter("life.node")),
        Column("ray_node_id", "text", "", "Ray's id of it", lambda row: row.life.ray_node_id or None),
        Column("node_type", "text", "", "its node type", attrgetter("life.node_type")),
        Column("arch", "text", "", "its CPU architecture", attrgetter("life.arch")),
        Column("instance_type", "text", "", "its instance type", lambda row: row.life.instance_type or None),
        Column("cpus", "number", "CPUs", "its logical CPUs", attrgetter("life.cpus")),
        Column("baseline", "flag", "", "it was there when the trace began", attrgetter("life.baseline")),
        Column("launched", "flag", "", "it is one of the scorecard's launches", attrgetter("launched")),
        *_stages(),
        *_launch_stages(),
        Column("billed_s", "number", "s", "time that it is billed for", attrgetter("billed_s")),
        Column("cost_usd", "number", "USD", "what it costs; null if its price isn't known", attrgetter("usd")),
    ),
)
TASKS: TableOf[TaskRow] = TableOf(
    "tasks",
    "A row is `count` tasks alike: on the same node, submitted, started and ended at the same times.",
    (
        *_ids(),
        Column("node", "text", "", "the node that ran them, as in `nodes`", lambda row: row.life and row.life.node),
        Column("ray_node_id", "text", "", "Ray's id of that node", lambda row: row.task.node or None),
        Column("node_type", "text", "", "its node type", lambda row: row.task.node_type or None),
        Column("arch", "text", "", "its CPU architecture", attrgetter("arch")),
        Column("count", "count", "tasks", "how many tasks", attrgetter("task.count")),
        Column("cpus", "number", "CPUs", "what each of them needs", attrgetter("task.cpus")),
        _seconds("submitted_s", "they were submitted", attrgetter("task.submitted")),
        _seconds("started_s", "they started", attrgetter("task.started")),
        _seconds("ended_s", "they ended", attrgetter("task.ended")),
        Column("ok", "flag", "", "they didn't fail", attrgetter("task.ok")),
    ),
)
DEMAND: TableOf[StepRow] = TableOf(
    "demand",
    "A row holds for one arch until the trial's next row of it; at each time there is a row for every arch of the"
    " trial. A task counts for the arch that ran it in the end; tasks that never ended aren't recorded.",
    (
        *_ids(),
        _seconds("elapsed_s", "from when on the row holds", attrgetter("t")),
        Column("arch", "text", "", "the CPU architecture", attrgetter("arch")),
        _level("pending_tasks", "count", "tasks", "tasks submitted and not started"),
        _level("running_tasks", "count", "tasks", "tasks started and not ended"),
        _level("pending_cpus", "number", "CPUs", "CPUs that the pending tasks need"),
        _level("running_cpus", "number", "CPUs", "CPUs that the running tasks hold; demand is pending and running"),
    ),
)
SUPPLY: TableOf[StepRow] = TableOf(
    "supply",
    "A row holds for one arch until the trial's next row of it; at each time there is a row for every arch of the"
    " trial.",
    (
        *_ids(),
        _seconds("elapsed_s", "from when on the row holds", attrgetter("t")),
        Column("arch", "text", "", "the CPU architecture", attrgetter("arch")),
        _level("nodes", "count", "nodes", "worker nodes that can run tasks"),
        _level("cpus", "number", "CPUs", "their logical CPUs"),
        _level("launching", "count", "nodes", "worker nodes on their way"),
    ),
)
EVENTS: TableOf[EventRow] = TableOf(
    "events",
    "A row is a scaling event: a node, the head among them, enters a state.",
    (
        *_ids(),
        _seconds("elapsed_s", "when", attrgetter("t")),
        Column(
            "time", "time", "", "the same by the clock; simulated trials are submitted on 2000-01-01", attrgetter("t")
        ),
        _of_event("node", "text", "", "the cloud's id of the node"),
        _of_event("ray_node_id", "text", "", "Ray's id of it, once it has one"),
        _of_event("node_type", "text", "", "its node type"),
        _of_event("arch", "text", "", "its CPU architecture"),
        _of_event("instance_type", "text", "", "its instance type"),
        _of_event("cpus", "number", "CPUs", "its logical CPUs"),
        _of_event("is_head", "flag", "", "whether it is the head"),
        _of_event("state", "text", "", "the state that it enters"),
        _of_event("previous", "text", "", "the state that it leaves"),
        _of_event("cause", "text", "", "why, as far as known; baseline: it was there when the trace began"),
        _of_event("detail", "text", "", "what the source said"),
    ),
)
FAULTS: TableOf[FaultRow] = TableOf(
    "faults",
    "A row is a fault that was caused on purpose, and what followed from it.",
    (
        *_ids(),
        _seconds("elapsed_s", "when it hit the node", attrgetter("told.fault.t")),
        Column("fault", "text", "", "the fault as the workload has it", attrgetter("told.fault.detail")),
        Column("kind", "text", "", "kill, pause, partition or spot", attrgetter("told.fault.kind")),
        Column("node", "text", "", "the cloud's id of the node", attrgetter("told.fault.node")),
        Column("node_type", "text", "", "its node type", attrgetter("told.fault.node_type")),
        Column("arch", "text", "", "its CPU architecture", attrgetter("told.fault.arch")),
        Column("tasks", "count", "tasks", "tasks that it ran then; null if unknown", attrgetter("told.fault.tasks")),
        _seconds("until_s", "a pause or a partition was over", attrgetter("told.until")),
        _seconds("lost_s", "the node couldn't run tasks any more", attrgetter("told.lost")),
        _seconds(
            "replaced_s",
            "after the loss, as many nodes of its type as before could run tasks",
            attrgetter("told.replaced"),
        ),
    ),
)
