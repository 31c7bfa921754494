"""Ray's records of the tasks, actors and placement groups of a whole cluster, to be read again and again.

The GCS keeps a limited number of records, by default 100 000. It gives those of finished tasks first, and the newest
first, so a reader that comes often enough needs a few of them only. This rests on `GcsTaskManager` of Ray's source.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from orchestrator.rayapi.job_records import Run, answering, life_of, open_channel, run_of

Kind = Literal["task", "call", "actor", "driver"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a task that has ended. `run` is None for other kinds, and without a complete record.

    `actor` is the id of the actor that it creates. Its record lasts from `submitted` to `ended`, in UNIX seconds.
    """

    key: bytes
    kind: Kind
    submitted: float
    ended: float
    run: Run | None = None
    actor: bytes = b""


@dataclass(frozen=True, slots=True)
class Page:
    """The newest attempts, and the number of others that were left out."""

    attempts: tuple[Attempt, ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Tally:
    """The number of attempts that Ray knows of since the cluster began, dropped ones included, and of unfinished ones.

    An attempt that failed counts as unfinished.
    """

    known: int
    unfinished: int


@dataclass(frozen=True, slots=True)
class Actor:
    """An actor that has started, and its life until now."""

    key: bytes
    run: Run
    alive: bool


@dataclass(frozen=True, slots=True)
class Group:
    """A placement group: its bundles, when it was asked for and when it was placed, in UNIX seconds."""

    key: str
    strategy: str
    bundles: tuple[Mapping[str, float], ...]
    submitted: float
    placed: float | None
    removed: bool


class TaskFeed:
    """A connection to the GCS of a cluster. Each call raises ConnectionError if the GCS doesn't answer."""

    def __init__(self, gcs: str, timeout_s: float = 60.0) -> None:
        from ray.core.generated import gcs_service_pb2_grpc as services

        self._channel = open_channel(gcs)
        self._timeout_s = timeout_s
        self._tasks = services.TaskInfoGcsServiceStub(self._channel)
        self._actors = services.ActorInfoGcsServiceStub(self._channel)
        self._groups = services.PlacementGroupInfoGcsServiceStub(self._channel)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def newest(self, limit: int) -> Page:
        """Return the attempts that finished last, newest first, at most `limit`."""
        reply = self._ask(limit)
        attempts = (_attempt(event) for event in reply.events_by_task)
        return Page(tuple(each for each in attempts if each is not None), reply.num_truncated)

    def failed(self, limit: int) -> Page:
        """Return attempts that failed, at most `limit`."""
        reply = self._ask(limit, FAILED="EQUAL")
        attempts = (_attempt(event) for event in reply.events_by_task)
        return Page(tuple(each for each in attempts if each is not None), reply.num_truncated)

    def unfinished(self, limit: int, now: float) -> tuple[tuple[Run, ...], int]:
        """Return the tasks that run, as if they ended `now`, and the number of tasks that wait. At most `limit`."""
        from ray.core.generated import common_pb2

        reply = self._ask(limit, FINISHED="NOT_EQUAL", FAILED="NOT_EQUAL")
        runs, waiting = [], reply.num_truncated
        for event in reply.events_by_task:
            if event.task_info.type != common_pb2.NORMAL_TASK:
                continue
            run = run_of(event, until=now)
            runs += [] if run is None else [run]
            waiting += run is None
        return tuple(runs), waiting

    def tally(self) -> Tally:
        """Return how many attempts there are."""
        reply = self._ask(0, FINISHED="NOT_EQUAL", GETTING_AND_PINNING_ARGS="NOT_EQUAL")
        dropped = reply.num_status_task_events_dropped - reply.num_truncated
        return Tally(reply.num_total_stored + max(0, dropped), reply.num_truncated)

    def living_actors(self, now: float) -> tuple[Actor, ...]:
        """Return the actors that live, as if they ended `now`."""
        from ray.core.generated.gcs_pb2 import ActorTableData
        from ray.core.generated.gcs_service_pb2 import GetAllActorInfoRequest

        request = GetAllActorInfoRequest(show_dead_jobs=True)
        request.filters.state = ActorTableData.ALIVE
        with answering():
            reply = self._actors.GetAllActorInfo(request, timeout=self._timeout_s)
        return tuple(actor for row in reply.actor_table_data if (actor := _actor(row, now)) is not None)

    def actor(self, key: bytes, now: float) -> Actor | None:
        """Return one actor; None if Ray has forgotten it, or it never started."""
        from ray.core.generated.gcs_service_pb2 import GetAllActorInfoRequest

        request = GetAllActorInfoRequest(show_dead_jobs=True)
        request.filters.actor_id = key
        with answering():
            reply = self._actors.GetAllActorInfo(request, timeout=self._timeout_s)
        return next((_actor(row, now) for row in reply.actor_table_data), None)

    def groups(self) -> tuple[Group, ...]:
        """Return all placement groups that Ray remembers."""
        from ray.core.generated.common_pb2 import PlacementStrategy
        from ray.core.generated.gcs_pb2 import PlacementGroupTableData
        from ray.core.generated.gcs_service_pb2 import GetAllPlacementGroupRequest

        with answering():
            reply = self._groups.GetAllPlacementGroup(GetAllPlacementGroupRequest(), timeout=self._timeout_s)
        return tuple(
            Group(
                key=row.placement_group_id.hex(),
                strategy=PlacementStrategy.Name(row.strategy),
                bundles=tuple(dict(bundle.unit_resources) for bundle in row.bundles),
                submitted=row.stats.creation_request_received_ns / 1e9,
                placed=row.placement_group_final_bundle_placement_timestamp_ms / 1000 or None,
                removed=row.state == PlacementGroupTableData.REMOVED,
            )
            for row in reply.placement_group_table_data
        )

    def _ask(self, limit: int, **states: str) -> Any:
        """Return the reply for attempts whose latest state equals these, or doesn't."""
        from ray.core.generated.gcs_service_pb2 import FilterPredicate, GetTaskEventsRequest

        filters = GetTaskEventsRequest.Filters()
        for state, predicate in states.items():
            only = filters.state_filters.add()
            only.state, only.predicate = state, FilterPredicate.Value(predicate)
        with answering():
            return self._tasks.GetTaskEvents(
                GetTaskEventsRequest(filters=filters, limit=limit), timeout=self._timeout_s
            )


def _attempt(event: Any) -> Attempt | None:
    """Return an attempt that has ended; None for others."""
    from ray.core.generated import common_pb2

    times = event.state_updates.state_ts_ns
    if common_pb2.FINISHED not in times and common_pb2.FAILED not in times:
        return None
    kinds: dict[int, Kind] = {
        common_pb2.ACTOR_TASK: "call",
        common_pb2.ACTOR_CREATION_TASK: "actor",
        common_pb2.DRIVER_TASK: "driver",
    }
    kind = kinds.get(event.task_info.type, "task")
    return Attempt(
        key=event.task_id + event.attempt_number.to_bytes(4, "big", signed=True),
        kind=kind,
        submitted=min(times.values()) / 1e9,
        ended=max(times.values()) / 1e9,
        run=run_of(event) if kind == "task" else None,
        actor=event.task_info.actor_id if kind == "actor" else b"",
    )


def _actor(row: Any, now: float) -> Actor | None:
    from ray.core.generated.gcs_pb2 import ActorTableData

    if not row.start_time or not row.node_id:
        return None
    return Actor(row.actor_id, life_of(row, None, now), row.state != ActorTableData.DEAD)
