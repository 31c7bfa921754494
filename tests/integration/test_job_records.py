"""The meaning of Ray's records of a job, in Ray's own messages."""

from collections.abc import Callable
from typing import Any

from ray.core.generated import common_pb2, gcs_pb2, gcs_service_pb2

from orchestrator.rayapi.job_records import JobRecords, Run, _Reader

JOB = b"\x02\x00\x00\x00"
NODE = bytes(range(28))
SUBMISSION = "raysubmit_1"
END = 100.0


class Gcs:
    """A channel to a GCS that holds these records of one job."""

    def __init__(self, *tasks: Any, actors: tuple[Any, ...] = (), groups: tuple[Any, ...] = (), dropped: int = 0):
        row = gcs_pb2.JobTableData(job_id=JOB)
        row.config.metadata["job_submission_id"] = SUBMISSION
        self._replies = {
            "GetAllJobInfo": gcs_service_pb2.GetAllJobInfoReply(
                job_info_list=[row, gcs_pb2.JobTableData(job_id=b"\x01\x00\x00\x00")]
            ),
            "GetTaskEvents": gcs_service_pb2.GetTaskEventsReply(
                events_by_task=tasks, num_status_task_events_dropped=dropped
            ),
            "GetAllActorInfo": gcs_service_pb2.GetAllActorInfoReply(actor_table_data=actors),
            "GetAllPlacementGroup": gcs_service_pb2.GetAllPlacementGroupReply(placement_group_table_data=groups),
        }

    def unary_unary(self, path: str, **_: Any) -> Callable[..., Any]:
        """Return the call with this path, as gRPC does."""
        name = path.rpartition("/")[2]
        return lambda request, timeout: self._replies[name]


def records(*tasks: Any, **more: Any) -> JobRecords:
    return _Reader(Gcs(*tasks, **more), 1.0).read(SUBMISSION, END)


def task(kind: str = "NORMAL_TASK", /, **seconds: float) -> Any:
    """An attempt at a task that entered each state at that time, in seconds."""
    event = gcs_pb2.TaskEvents(task_id=b"t", job_id=JOB)
    event.task_info.type = common_pb2.TaskType.Value(kind)
    event.task_info.name = "train"
    event.task_info.required_resources["CPU"] = 1.0
    event.state_updates.node_id = NODE
    for state, moment in seconds.items():
        event.state_updates.state_ts_ns[common_pb2.TaskStatus.Value(state)] = int(moment * 1e9)
    return event


def actor(*, cpus: float = 0.0, module: str = "__main__", **more: Any) -> Any:
    """An actor that started at 20 s."""
    row = gcs_pb2.ActorTableData(actor_id=b"a", class_name="Keeper", start_time=20_000, node_id=NODE, **more)
    row.function_descriptor.python_function_descriptor.module_name = module
    if cpus:
        row.required_resources["CPU"] = cpus
    return row


WHOLE = {"PENDING_ARGS_AVAIL": 1.0, "PENDING_NODE_ASSIGNMENT": 2.0, "RUNNING": 5.0, "FINISHED": 9.0}
TASK = Run("train", NODE.hex(), 1.0, submitted=1.0, started=5.0, ended=9.0, ok=True, resources={"CPU": 1.0}, ready=2.0)
GROUP = "ab12" * 9
"""The id of a placement group."""


def test_a_task_is_submitted_started_and_ended() -> None:
    assert records(task(**WHOLE)) == JobRecords((TASK,))


def test_an_attempt_that_failed_is_a_record_and_one_that_never_started_is_none() -> None:
    failed = task(PENDING_ARGS_AVAIL=1.0, RUNNING=5.0, FAILED=9.0)
    cancelled = task(PENDING_ARGS_AVAIL=1.0, FAILED=2.0)

    assert [run.ok for run in records(failed, cancelled).runs] == [False]
    assert records(cancelled).missing == 0


def test_what_ray_dropped_and_what_it_kept_in_part_is_missing() -> None:
    still_running = task(PENDING_ARGS_AVAIL=1.0, RUNNING=5.0)
    no_start = task(FINISHED=9.0)
    found = records(task(**WHOLE), still_running, no_start, gcs_pb2.TaskEvents(task_id=b"t"), dropped=7)

    assert (len(found.runs), found.missing, found.unfinished) == (1, 10, 1)


def test_calls_of_actors_are_counted_apart() -> None:
    assert records(task("ACTOR_TASK", **WHOLE), task("ACTOR_TASK", **WHOLE)) == JobRecords(calls=2)


def test_a_task_in_a_placement_group_holds_the_cpus_of_the_group() -> None:
    event = task(**WHOLE)
    del event.task_info.required_resources["CPU"]
    event.task_info.required_resources.update(
        {f"CPU_group_{GROUP}": 2.0, f"CPU_group_0_{GROUP}": 2.0, f"bundle_group_{GROUP}": 0.001}
    )

    assert [run.cpus for run in records(event).runs] == [2.0]


def test_an_actor_is_one_record_from_its_submission_to_its_end() -> None:
    creation = task("ACTOR_CREATION_TASK", PENDING_ARGS_AVAIL=15.0)
    creation.task_info.actor_id = b"a"
    dead = actor(cpus=2.0, state=gcs_pb2.ActorTableData.DEAD, end_time=50_000)

    assert records(creation, actors=(dead,)).runs == (
        Run(
            "Keeper",
            NODE.hex(),
            2.0,
            submitted=15.0,
            started=20.0,
            ended=50.0,
            ok=True,
            is_actor=True,
            resources={"CPU": 2.0},
        ),
    )


def test_a_restarted_actor_hides_its_lives_before() -> None:
    assert records(actors=(actor(num_restarts=2, end_time=50_000),)).missing == 2


def test_a_detached_actor_that_lives_is_left_behind_and_counts_until_the_end_of_the_job() -> None:
    found = records(actors=(actor(is_detached=True, name="keeper", state=gcs_pb2.ActorTableData.ALIVE),))

    assert found.left == ("the actor Keeper (keeper)",)
    assert [run.ended for run in found.runs] == [END]


def test_a_detached_actor_that_was_ended_is_not_left_behind() -> None:
    assert records(actors=(actor(is_detached=True, state=gcs_pb2.ActorTableData.DEAD),)).left == ()


def test_helpers_of_rays_libraries_are_told_from_actors_of_the_script() -> None:
    alive = {"is_detached": True, "state": gcs_pb2.ActorTableData.ALIVE}
    of_ray = actor(module="ray.data._internal.stats", **alive)
    holds_a_cpu = actor(module="ray.serve._private.replica", cpus=1.0, **alive)
    found = records(actors=(of_ray, holds_a_cpu))

    assert (found.helpers, found.left) == (("the actor Keeper",), ("the actor Keeper",))


def test_a_detached_placement_group_is_left_behind() -> None:
    group = gcs_pb2.PlacementGroupTableData(
        placement_group_id=b"\xab" * 18,
        creator_job_id=JOB,
        is_detached=True,
        state=gcs_pb2.PlacementGroupTableData.CREATED,
    )
    removed = gcs_pb2.PlacementGroupTableData(
        creator_job_id=JOB, is_detached=True, state=gcs_pb2.PlacementGroupTableData.REMOVED
    )

    assert records(groups=(group, removed)).left == ("the placement group abababab",)


def test_a_submission_that_never_called_ray_has_no_records() -> None:
    assert _Reader(Gcs(task(**WHOLE)), 1.0).read("another", END) == JobRecords()
