"""Ray's own records of a submitted job: its tasks and actors, from the GCS, and what it has left behind.

Ray keeps the events of tasks only in part: each process and the GCS drop the oldest beyond a limit, by default 100 000.
So the records count what is missing.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

# In a placement group, Ray names resources after the group, and after the bundle if the task names one.
_OF_A_GROUP = re.compile(r"(?P<name>.+)_group_(?:\d+_)?[0-9a-f]{16,}")
_MARK_OF_A_BUNDLE = "bundle"


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt at a task, or the life of an actor, on the node with the id `node` in Ray; times in UNIX seconds.

    `resources` are what it holds, `labels` its label selectors, and `group` the id of its placement group. It was
    `ready` when it could run but for a node: from then on the autoscaler sees it.
    """

    name: str
    node: str
    cpus: float
    submitted: float
    started: float
    ended: float
    ok: bool
    is_actor: bool = False
    resources: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    group: str = ""
    ready: float | None = None


@dataclass(frozen=True, slots=True)
class JobRecords:
    """Everything that Ray recorded of a job.

    `calls` are calls of actors' methods, which wait for their actor and not for a node. `missing` is the number of
    attempts and actors of which Ray kept no complete record, and `unfinished` the part of them that may still end.
    `left` names the actors and placement groups that outlived the job, and `helpers` those of Ray's own libraries that
    hold nothing: Ray Data has two for each cluster.
    """

    runs: tuple[Run, ...] = ()
    calls: int = 0
    missing: int = 0
    unfinished: int = 0
    left: tuple[str, ...] = ()
    helpers: tuple[str, ...] = ()


def read_records(gcs: str, submission_id: str, ended: float, timeout_s: float = 60.0) -> JobRecords:
    """Return the records of a job that ended at `ended`, in UNIX seconds. Raises ConnectionError.

    An actor that still lives counts until `ended`.
    """
    with answering(), contextlib.closing(open_channel(gcs)) as channel:
        return _Reader(channel, timeout_s).read(submission_id, ended)


def open_channel(gcs: str) -> Any:
    """Return a gRPC channel to a GCS, for messages of any size that Ray sends."""
    from ray._private.grpc_utils import init_grpc_channel
    from ray._private.ray_constants import GRPC_CPP_MAX_MESSAGE_SIZE

    return init_grpc_channel(gcs, options=[("grpc.max_receive_message_length", GRPC_CPP_MAX_MESSAGE_SIZE)])


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Raise ConnectionError if the GCS doesn't answer a call."""
    import grpc  # type: ignore[import-untyped]

    try:
        yield
    except grpc.RpcError as error:
        raise ConnectionError(f"the GCS gives no records of tasks: {str(error).splitlines()[0][:200]}") from error


class _Reader:
    """Calls of the GCS, and what they mean."""

    def __init__(self, channel: Any, timeout_s: float) -> None:
        from ray.core.generated import gcs_service_pb2_grpc as services

        self._timeout_s = timeout_s
        self._jobs = services.JobInfoGcsServiceStub(channel)
        self._tasks = services.TaskInfoGcsServiceStub(channel)
        self._actors = services.ActorInfoGcsServiceStub(channel)
        self._groups = services.PlacementGroupInfoGcsServiceStub(channel)

    def read(self, submission_id: str, ended: float) -> JobRecords:
        """Return the records of all Ray jobs of a submission: a script may call `ray.init` more than once."""
        runs: list[Run] = []
        calls = missing = unfinished = 0
        jobs = self._job_ids(submission_id)
        for job in jobs:
            found = self._of_job(job, ended)
            runs += found.runs
            calls, missing, unfinished = (
                calls + found.calls,
                missing + found.missing,
                unfinished + found.unfinished,
            )
        left, helpers = self._left(jobs)
        return JobRecords(tuple(sorted(runs, key=lambda run: run.ended)), calls, missing, unfinished, left, helpers)

    def _job_ids(self, submission_id: str) -> set[bytes]:
        from ray.core.generated.gcs_service_pb2 import GetAllJobInfoRequest

        reply = self._jobs.GetAllJobInfo(GetAllJobInfoRequest(), timeout=self._timeout_s)
        return {
            row.job_id for row in reply.job_info_list if row.config.metadata.get("job_submission_id") == submission_id
        }

    def _of_job(self, job: bytes, ended: float) -> JobRecords:
        from ray.core.generated import common_pb2
        from ray.core.generated.gcs_service_pb2 import FilterPredicate, GetTaskEventsRequest

        filters = GetTaskEventsRequest.Filters(exclude_driver=True)
        only = filters.job_filters.add()
        only.job_id, only.predicate = job, FilterPredicate.EQUAL
        reply = self._tasks.GetTaskEvents(GetTaskEventsRequest(filters=filters), timeout=self._timeout_s)
        runs: list[Run] = []
        created: dict[bytes, float] = {}
        calls, unfinished = 0, 0
        missing = max(0, reply.num_status_task_events_dropped) + max(0, reply.num_truncated)
        for event in reply.events_by_task:
            kind, times = event.task_info.type, event.state_updates.state_ts_ns
            if not event.HasField("task_info"):
                missing += 1
            elif kind == common_pb2.ACTOR_TASK:
                calls += 1
            elif kind == common_pb2.ACTOR_CREATION_TASK:
                if times:
                    created[event.task_info.actor_id] = min(times.values()) / 1e9
            elif (run := run_of(event)) is not None:
                runs.append(run)
            elif common_pb2.FAILED not in times:  # what failed without a start was cancelled
                missing += 1
                unfinished += common_pb2.FINISHED not in times
        lives, lost = _lives(self._actors_of(job), created, ended)
        return JobRecords((*runs, *lives), calls, missing + lost, unfinished)

    def _actors_of(self, job: bytes) -> Iterable[Any]:
        from ray.core.generated.gcs_service_pb2 import GetAllActorInfoRequest

        request = GetAllActorInfoRequest()
        request.filters.job_id = job
        reply = self._actors.GetAllActorInfo(request, timeout=self._timeout_s)
        found: Iterable[Any] = reply.actor_table_data
        return found

    def _left(self, jobs: Iterable[bytes]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return what is still there of these jobs once they have ended: the user's, and Ray's own helpers."""
        from ray.core.generated.gcs_pb2 import ActorTableData, PlacementGroupTableData
        from ray.core.generated.gcs_service_pb2 import GetAllPlacementGroupRequest

        left: list[str] = []
        helpers: list[str] = []
        for actor in (actor for job in jobs for actor in self._actors_of(job)):
            if actor.is_detached and actor.state != ActorTableData.DEAD:
                kept = helpers if _is_helper(actor) else left
                kept.append(f"the actor {_named(actor.class_name, actor.name)}")
        reply = self._groups.GetAllPlacementGroup(GetAllPlacementGroupRequest(), timeout=self._timeout_s)
        for group in reply.placement_group_table_data:
            if group.creator_job_id in jobs and group.is_detached and group.state != PlacementGroupTableData.REMOVED:
                left.append(f"the placement group {_named(group.placement_group_id.hex()[:8], group.name)}")
        return tuple(left), tuple(helpers)


def _is_helper(actor: Any) -> bool:
    module: str = actor.function_descriptor.python_function_descriptor.module_name
    return module.startswith("ray.") and not any(amount > 0 for amount in actor.required_resources.values())


def _named(what: str, name: str) -> str:
    return f"{what} ({name})" if name else what


def run_of(event: Any, until: float | None = None) -> Run | None:
    """Return an attempt at a task that started and ended; None if Ray has no record of the one or the other.

    With `until`, an attempt without an end ends then.
    """
    from ray.core.generated import common_pb2

    times = event.state_updates.state_ts_ns
    ends = [times[state] / 1e9 for state in (common_pb2.FINISHED, common_pb2.FAILED) if state in times]
    if not ends and until is not None:
        ends = [until]
    if common_pb2.RUNNING not in times or not ends or not event.state_updates.node_id:
        return None
    started, info = times[common_pb2.RUNNING] / 1e9, event.task_info
    ready = times.get(common_pb2.PENDING_NODE_ASSIGNMENT)
    resources = whole_resources(info.required_resources)
    return Run(
        name=info.name or info.func_or_class_name,
        node=event.state_updates.node_id.hex(),
        cpus=resources.get("CPU", 0.0),
        submitted=min(started, *(nanoseconds / 1e9 for nanoseconds in times.values())),
        started=started,
        ended=max(started, min(ends)),
        ok=common_pb2.FAILED not in times,
        resources=resources,
        labels=dict(info.label_selector),
        group=info.placement_group_id.hex(),
        ready=None if ready is None else min(started, ready / 1e9),
    )


def _lives(actors: Iterable[Any], created: Mapping[bytes, float], ended: float) -> tuple[list[Run], int]:
    """Return the lives of actors, and the number of those of which there is no record: a restart hides the ones before.

    `created` are the times at which actors were submitted, in UNIX seconds.
    """
    lives, lost = [], 0
    for actor in actors:
        lost += actor.num_restarts
        if not actor.start_time or not actor.node_id:
            continue  # it never started
        lives.append(life_of(actor, created.get(actor.actor_id), ended))
    return lives, lost


def life_of(actor: Any, created: float | None, until: float) -> Run:
    """Return the life of an actor that has started; without an end it ends at `until`.

    It was submitted when it was `created`; without that, when it started.
    """
    started, resources = actor.start_time / 1000, whole_resources(actor.required_resources)
    return Run(
        name=actor.class_name,
        node=actor.node_id.hex(),
        cpus=resources.get("CPU", 0.0),
        submitted=started if created is None else min(started, created),
        started=started,
        ended=max(started, actor.end_time / 1000 if actor.end_time else until),
        ok=True,
        is_actor=True,
        resources=resources,
        labels=dict(actor.label_selector),
        group=actor.placement_group_id.hex(),
    )


def whole_resources(resources: Mapping[str, float]) -> dict[str, float]:
    """Return the resources of a task or an actor by their own names, also where it runs in a placement group."""
    amounts: dict[str, float] = {}
    for name, amount in resources.items():
        found = _OF_A_GROUP.fullmatch(name)
        own = found["name"] if found is not None else name
        if own != _MARK_OF_A_BUNDLE:
            amounts[own] = max(amount, amounts.get(own, 0.0))
    return amounts
