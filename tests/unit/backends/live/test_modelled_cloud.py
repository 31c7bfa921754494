"""The modelled cloud: what the journal says of each life, what is refused, and that nothing outlives its end."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from orchestrator.backends.live.cloud import CannotStart, CloudNode, LaunchRequest, Machine, MachineLost
from orchestrator.backends.live.cluster_dir import ClusterFiles
from orchestrator.backends.live.modelled_cloud import ModelledCloud
from orchestrator.errors import MissingPrerequisite
from orchestrator.model.cluster import ClusterShape, NodeType
from orchestrator.model.latency import Delay, LaunchModel
from orchestrator.rayapi.virtual.world import LaunchRefused
from tests.support.builders import journal_of

TIMEOUT_S = 10.0  # a safety net: nothing here takes time
NEVER = LaunchModel(boot=Delay(mean_s=86_400))


class Box:
    """A machine whose test says when it runs and when it ends, and with which code."""

    def __init__(self, node: CloudNode) -> None:
        self.node = node
        self.refusal: Exception | None = None
        self.lost: Exception | None = None
        self.code = 0
        self.calls: list[str] = []
        self.starting = threading.Event()
        self.ready = threading.Event()
        self.over = threading.Event()

    def start(self) -> bool:
        self.starting.set()
        wait_for(self.ready)
        if self.refusal is not None:
            raise self.refusal
        return not self.over.is_set()

    def wait(self) -> int:
        if self.lost is not None:
            raise self.lost
        wait_for(self.over)
        return self.code

    def end(self) -> None:
        self.calls.append("end")
        self.stop()

    def kill(self) -> None:
        self.calls.append("kill")
        self.stop()

    def stop(self, code: int = 0) -> None:
        self.code = code
        self.over.set()
        self.ready.set()

    def address(self) -> str:
        return "10.0.0.7"

    def last_words(self) -> str:
        return "raylet: out of memory" if self.code else ""


def wait_for(event: threading.Event) -> None:
    assert event.wait(TIMEOUT_S), "it didn't come to that"


class Lab:
    """A cloud whose machines are boxes; `prepare` is told of each box before it starts."""

    def __init__(self, folder: Path, launch: LaunchModel, starts: int, prepare: Callable[[Box], None]) -> None:
        self.files = ClusterFiles(folder / "cluster")
        self.files.create()
        self.boxes: list[Box] = []
        self.published: list[list[str]] = []
        self._prepare = prepare
        self._moved = threading.Condition()
        self.cloud = ModelledCloud(self.files, launch, self._make, starts=starts, changed=self._publish)

    def _make(self, node: CloudNode) -> Machine:
        box = Box(node)
        self._prepare(box)
        with self._moved:
            self.boxes.append(box)
            self._moved.notify_all()
        return box

    def _publish(self) -> None:
        with self._moved:
            self.published.append([f"{node.ip}:{node.booted}" for node in self.cloud.nodes().values()])
            self._moved.notify_all()

    def create(self, count: int = 1, node_type: str = "x86") -> list[str]:
        """Ids of the nodes that were given."""
        before = self._allocated()
        self.cloud.create(LaunchRequest(node_type, count, {"tag": "value"}, {"CPU": 2.0}, {"zone": "a"}))
        return self._allocated()[len(before) :]

    def _allocated(self) -> list[str]:
        return [entry["node"] for entry in journal_of(self.files) if entry["event"] == "allocated"]

    def box(self, number: int = 0) -> Box:
        with self._moved:
            assert self._moved.wait_for(lambda: len(self.boxes) > number, TIMEOUT_S), "no machine was made"
        return self.boxes[number]

    def until(self, event: str, count: int = 1) -> None:
        """Wait until the journal has it."""
        tick = threading.Event()
        for _ in range(int(TIMEOUT_S / 0.002)):
            if [entry["event"] for entry in journal_of(self.files)].count(event) >= count:
                return
            tick.wait(0.002)
        raise AssertionError(f"no {event} in {self.events()}")

    def events(self, node: str | None = None) -> list[str]:
        return [entry["event"] for entry in journal_of(self.files) if node in (None, entry["node"])]

    def last(self) -> dict[str, Any]:
        entry = journal_of(self.files)[-1]
        return {key: entry[key] for key in entry if key not in ("t", "node", "node_type")}


Make = Callable[..., Lab]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Make]:
    """Makes a lab, whose threads end with the test."""
    labs: list[Lab] = []

    def make(launch: LaunchModel | None = None, *, starts: int = 4, prepare: Callable[[Box], None] = running) -> Lab:
        labs.append(Lab(tmp_path, launch or LaunchModel(), starts, prepare))
        return labs[-1]

    yield make
    for each in labs:
        each.cloud.close()
        assert not each.cloud.nodes()


def running(box: Box) -> None:
    """It starts at once."""
    box.ready.set()


def slow(box: Box) -> None:
    """It starts when the test says so."""


# A life


def test_a_whole_life_is_in_the_journal_in_its_order(lab: Make) -> None:
    here = lab()
    (node,) = here.create()
    here.until("started")
    here.cloud.terminate(node)
    here.until("terminated")

    assert here.events(node) == ["requested", "allocated", "installing", "started", "terminating", "terminated"]
    assert here.box().calls == ["end"]


def test_a_node_that_runs_has_booted_and_its_address_is_published(lab: Make) -> None:
    here = lab()
    (node,) = here.create()
    here.until("started")

    assert (here.cloud.nodes()[node].booted, here.cloud.nodes()[node].ip) == (True, "10.0.0.7")
    assert here.published[-1] == ["10.0.0.7:True"]


def test_a_node_has_what_was_asked_for(lab: Make) -> None:
    here = lab(NEVER)
    (node,) = here.create()
    found = here.cloud.nodes()[node]

    assert (found.node_type, found.tags, found.resources, found.labels) == (
        "x86",
        {"tag": "value"},
        {"CPU": 2.0},
        {"zone": "a"},
    )
    assert not found.booted


def test_a_drained_ray_leaves_a_machine_until_the_autoscaler_ends_it(lab: Make) -> None:
    here = lab()
    (node,) = here.create()
    here.until("started")
    here.box().stop(0)
    here.until("ray_ended")

    assert here.last() == {"event": "ray_ended", "code": 0, "detail": ""}
    assert node in here.cloud.nodes()

    here.cloud.terminate(node)
    here.until("terminated")

    assert here.events(node)[-3:] == ["ray_ended", "terminating", "terminated"]


def test_a_crash_is_told_with_code_and_last_words(lab: Make) -> None:
    here = lab()
    here.create()
    here.until("started")
    here.box().stop(137)
    here.until("ray_ended")

    assert here.last() == {"event": "ray_ended", "code": 137, "detail": "raylet: out of memory"}


# Terminated early


def test_a_node_that_is_terminated_while_it_boots_never_gets_a_machine(lab: Make) -> None:
    here = lab(NEVER)
    (node,) = here.create()
    here.cloud.terminate(node)

    assert node not in here.cloud.nodes()

    here.until("terminated")

    assert here.events(node) == ["requested", "allocated", "terminating", "terminated"]
    assert here.boxes == []


def test_a_node_that_is_terminated_while_it_waits_for_a_core_never_starts(lab: Make) -> None:
    here = lab(starts=1, prepare=slow)
    (first,) = here.create()
    wait_for(here.box().starting)
    (second,) = here.create()
    here.until("installing", 2)
    here.cloud.terminate(second)
    here.box().ready.set()
    here.until("terminated")

    assert here.events(second) == ["requested", "allocated", "installing", "terminating", "terminated"]
    assert here.box(1).calls == ["end"]
    assert list(here.cloud.nodes()) == [first]


def test_a_node_that_is_terminated_while_it_starts_was_not_a_failed_launch(lab: Make) -> None:
    here = lab(prepare=slow)
    (node,) = here.create()
    wait_for(here.box().starting)
    here.cloud.terminate(node)
    here.until("terminated")

    assert here.events(node) == ["requested", "allocated", "installing", "terminating", "terminated"]


def test_terminating_twice_is_once(lab: Make) -> None:
    here = lab()
    (node,) = here.create()
    here.until("started")
    here.cloud.terminate(node)
    here.cloud.terminate(node)
    here.cloud.terminate("unknown")
    here.until("terminated")

    assert here.events().count("terminating") == 1


# Taken back


@pytest.mark.parametrize("cause", ["fault", "spot_interruption"])
def test_the_cloud_takes_a_machine_back_by_force_and_says_why(lab: Make, cause: str) -> None:
    here = lab()
    (node,) = here.create()
    here.until("started")

    assert here.cloud.reclaim(node, cause, "the cloud took it")
    assert node not in here.cloud.nodes()

    here.until("terminated")
    entry = next(entry for entry in journal_of(here.files) if entry["event"] == "failed")

    assert (entry["node"], entry["cause"], entry["detail"]) == (node, cause, "the cloud took it")
    assert here.events(node)[-2:] == ["failed", "terminated"]
    assert here.box().calls == ["kill"]


def test_a_node_that_is_gone_cannot_be_taken_back(lab: Make) -> None:
    here = lab()

    assert not here.cloud.reclaim("gone", "fault", "")
    assert here.events() == []


# Starts that fail


def test_a_machine_that_ends_before_ray_runs_is_a_failed_node_with_its_last_words(lab: Make) -> None:
    here = lab(prepare=lambda box: box.stop(3))
    (node,) = here.create()
    here.until("failed")

    assert here.last() == {"event": "failed", "detail": "raylet: out of memory"}
    assert node not in here.cloud.nodes()


def test_a_machine_that_ends_without_a_word_is_told_by_its_exit_code(lab: Make) -> None:
    here = lab(prepare=lambda box: box.stop(0))
    here.create()
    here.until("failed")

    assert here.last()["detail"] == "exit code 0"


def test_a_machine_that_cannot_be_started_says_why(lab: Make) -> None:
    def prepare(box: Box) -> None:
        box.refusal = CannotStart("the engine's disk is full")
        box.ready.set()

    here = lab(prepare=prepare)
    (node,) = here.create()
    here.until("failed")

    assert here.last()["detail"] == "the engine's disk is full"
    assert node not in here.cloud.nodes()


def test_a_machine_that_cannot_even_be_made_says_why(lab: Make) -> None:
    def prepare(_box: Box) -> None:
        raise CannotStart("the cluster file has no node type x86")

    here = lab(prepare=prepare)
    (node,) = here.create()
    here.until("failed")

    assert here.last()["detail"] == "the cluster file has no node type x86"
    assert node not in here.cloud.nodes()


def test_a_machine_that_cannot_start_because_it_was_ended_is_terminated(lab: Make) -> None:
    def prepare(box: Box) -> None:
        box.refusal = CannotStart("its network is gone")

    here = lab(prepare=prepare)
    (node,) = here.create()
    wait_for(here.box().starting)
    here.cloud.terminate(node)
    here.until("terminated")

    assert "failed" not in here.events(node)


@pytest.mark.parametrize("error", [MachineLost("the engine doesn't answer"), OSError(28, "No space left on device")])
def test_what_a_cloud_cannot_go_on_after_is_its_failure(lab: Make, error: MachineLost | OSError) -> None:
    def prepare(box: Box) -> None:
        box.lost = error
        box.ready.set()

    here = lab(prepare=prepare)
    here.create()
    here.until("started")
    here.cloud.close()  # returns when the node's thread has ended

    assert here.cloud.failure is error


@pytest.mark.parametrize("cause", [None, ConnectionError("away for a moment"), MissingPrerequisite("disk full")])
def test_what_no_machine_can_start_without_is_the_clouds_failure(lab: Make, cause: Exception | None) -> None:
    def prepare(box: Box) -> None:
        box.refusal = CannotStart("starting the container: no")
        box.refusal.__cause__ = cause
        box.ready.set()

    here = lab(prepare=prepare)
    here.create()
    here.until("failed")

    assert here.cloud.failure is (cause if isinstance(cause, MissingPrerequisite) else None)


def test_a_machine_that_was_ended_cannot_start_for_no_fault_of_the_cloud(lab: Make) -> None:
    def prepare(box: Box) -> None:
        box.refusal = CannotStart("its network is gone")
        box.refusal.__cause__ = MissingPrerequisite("its network is gone")

    here = lab(prepare=prepare)
    (node,) = here.create()
    wait_for(here.box().starting)
    here.cloud.terminate(node)
    here.until("terminated")

    assert here.cloud.failure is None


def test_no_more_machines_start_at_once_than_there_are_cores(lab: Make) -> None:
    here = lab(starts=2, prepare=slow)
    here.create(3)
    here.until("installing", 3)
    for box in (here.box(0), here.box(1)):
        wait_for(box.starting)

    assert len(here.boxes) == 2

    here.box(0).ready.set()
    wait_for(here.box(2).starting)


# What the cloud refuses


def test_there_is_no_more_than_the_capacity(lab: Make) -> None:
    here = lab(LaunchModel(capacity={"x86": 2}))

    assert len(here.create(3)) == 2

    here.until("started", 2)
    failed = [entry for entry in journal_of(here.files) if entry["event"] == "failed"]

    assert [entry["detail"] for entry in failed] == ["no capacity for x86"]


def test_without_any_capacity_the_request_is_refused(lab: Make) -> None:
    here = lab(LaunchModel(capacity={"x86": 1}))
    here.create()
    with pytest.raises(LaunchRefused, match="no capacity for x86") as refused:
        here.create(2)

    assert refused.value.category == "InsufficientInstanceCapacity"
    assert here.events().count("failed") == 2
    assert len(here.cloud.nodes()) == 1


def test_the_capacity_of_one_type_is_not_anothers(lab: Make) -> None:
    here = lab(LaunchModel(capacity={"x86": 0}))

    assert len(here.create(2, "arm")) == 2


def test_capacity_is_free_again_only_when_the_machine_is_gone(lab: Make) -> None:
    def prepare(box: Box) -> None:
        box.ready.set()
        box.end = lambda: box.calls.append("end")  # type: ignore[method-assign]

    here = lab(LaunchModel(capacity={"x86": 1}), prepare=prepare)
    (node,) = here.create()
    here.until("started")
    here.cloud.terminate(node)
    with pytest.raises(LaunchRefused):
        here.create()

    here.box().stop()
    here.until("terminated")
    tick = threading.Event()
    for _ in range(5000):  # the journal has it a moment before the place is free
        try:
            here.create()
            break
        except LaunchRefused:
            tick.wait(0.002)
    here.until("started", 2)


def test_a_call_that_fails_is_refused_and_each_node_of_it_has_failed(lab: Make) -> None:
    here = lab(LaunchModel(failure_rate=1))
    here.files.write_trial("trial", 0)
    with pytest.raises(LaunchRefused) as refused:
        here.create(2)

    assert refused.value.category == "RequestFailed"
    assert here.events() == ["requested", "requested", "failed", "failed"]
    assert here.cloud.nodes() == {}


def test_the_baseline_before_a_trial_never_fails(lab: Make) -> None:
    assert len(lab(LaunchModel(failure_rate=1)).create(2)) == 2


def test_calls_fail_by_the_seed_in_the_order_in_which_they_come(lab: Make) -> None:
    launch = LaunchModel(failure_rate=0.5)
    here = lab(launch)
    here.files.write_trial("trial", 7)
    found = []
    for _ in range(8):
        try:
            here.create()
            found.append(False)
        except LaunchRefused:
            found.append(True)

    assert found == [launch.call_fails(7, "x86", call) for call in range(1, 9)]
    assert len(set(found)) == 2


# What is more than Ray asks for

SHAPE = ClusterShape(
    head=NodeType(name="head", arch="x86_64"),
    workers=(NodeType(name="x86", arch="x86_64", max_workers=2), NodeType(name="arm", arch="x86_64", max_workers=3)),
    max_workers=4,
)


def refuses(here: Lab, node_type: str, count: int) -> bool:
    try:
        here.create(count, node_type)
    except LaunchRefused as answer:
        return answer.category == "InsufficientInstanceCapacity"
    return False


def test_a_job_that_asks_as_the_autoscaler_does_gets_no_more_than_twice_its_limits(lab: Make) -> None:
    here = lab(NEVER)
    here.cloud.limit(SHAPE)
    before = here.events()

    assert refuses(here, "x86", 300)
    assert here.events() == before, "who is refused can ask for ever, and nothing grows"
    assert [refuses(here, "x86", 2) for _ in range(3)] == [False, False, True]
    assert [refuses(here, "arm", 2) for _ in range(3)] == [False, False, True], "in all it would be more than 8"
    assert len(here.cloud.nodes()) == 8


@pytest.mark.parametrize("node_type", ["head", "$(id > PWNED)", ""])
def test_what_is_no_worker_type_is_refused_and_not_written_down(lab: Make, node_type: str) -> None:
    here = lab(NEVER)
    here.cloud.limit(SHAPE)

    assert refuses(here, node_type, 1)
    assert not here.files.journal.exists()


def test_nodes_that_are_on_their_way_out_leave_room_for_others(lab: Make) -> None:
    def prepare(box: Box) -> None:
        box.ready.set()
        box.end = lambda: box.calls.append("end")  # type: ignore[method-assign]

    here = lab(prepare=prepare)
    here.cloud.limit(SHAPE)
    nodes = [*here.create(2, "x86"), *here.create(2, "x86")]
    here.until("started", 4)
    for node in nodes:
        here.cloud.terminate(node)

    assert len(here.create(4, "x86")) == 4
    here.until("started", 8)  # a machine that is made while the cloud closes gets an `end`, which does nothing here


def test_requests_that_wait_for_their_answer_count(lab: Make) -> None:
    here = lab(LaunchModel(boot=Delay(mean_s=86_400), request=Delay(mean_s=0.05)))
    here.cloud.limit(SHAPE)
    with ThreadPoolExecutor(8) as pool:
        refused = list(pool.map(lambda _: refuses(here, "x86", 2), range(8)))

    assert refused.count(False) == 2
    assert len(here.cloud.nodes()) == 4


def test_limits_that_a_later_trial_lowers_still_hold_for_nodes_of_the_one_before(lab: Make) -> None:
    here = lab(NEVER)
    here.cloud.limit(SHAPE)
    here.cloud.limit(SHAPE.model_copy(update={"workers": SHAPE.workers[1:], "max_workers": 1}))

    assert not refuses(here, "x86", 4)


def test_without_limits_there_are_none(lab: Make) -> None:
    assert len(lab(NEVER).create(50)) == 50


# The end


@pytest.mark.parametrize("prepare", [slow, running])
def test_closing_ends_all_machines_by_force(lab: Make, prepare: Callable[[Box], None]) -> None:
    here = lab(prepare=prepare)
    here.create(2)
    for box in (here.box(0), here.box(1)):
        wait_for(box.starting)
    here.cloud.close()

    assert here.cloud.nodes() == {}
    assert all("kill" in box.calls for box in here.boxes)
    assert here.events().count("terminated") == 2


def test_a_cloud_that_is_closed_starts_no_node_that_was_booting(lab: Make) -> None:
    here = lab(NEVER)
    here.create(3)
    here.cloud.close()

    assert here.boxes == []
    assert here.events().count("terminated") == 3


def test_a_cloud_that_is_closed_gives_no_more_nodes(lab: Make) -> None:
    here = lab()
    here.cloud.close()
    with pytest.raises(LaunchRefused):
        here.create()

    assert here.boxes == []


def test_many_who_ask_at_once_get_no_more_than_there_is(lab: Make) -> None:
    here = lab(LaunchModel(capacity={"x86": 5}))

    def ask(_number: int) -> None:
        with contextlib.suppress(LaunchRefused):
            here.cloud.create(LaunchRequest("x86"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(16)))

    assert len(here.cloud.nodes()) == 5
    assert here.events().count("allocated") == 5
