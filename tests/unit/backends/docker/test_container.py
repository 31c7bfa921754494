"""A node's container: when Ray runs in it, how it ends, and an engine that is away."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import urllib3

from orchestrator.backends.docker import container as module
from orchestrator.backends.docker.container import AWAY_S, START_TIMEOUT_S, NodeContainer
from orchestrator.backends.live import node_process
from orchestrator.backends.live.cloud import CannotStart, MachineLost
from orchestrator.errors import MissingPrerequisite
from tests.support.fake_docker_sdk import GONE, FakeClient, FakeContainer, not_found, refused

TIMEOUT_S = 10.0
READY = f"{node_process.READY}\n".encode()
OPTIONS = {"image": "sha256:1", "network": "orchestrate-c0ffee00"}
CUT = urllib3.exceptions.ProtocolError("Connection broken: IncompleteRead(0 bytes read)")


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Node:
    """A node's container on a fake engine."""

    def __init__(self, container: FakeContainer, refusal: Exception | None = None) -> None:
        self.container = container
        self.clock = Clock()
        self.client = FakeClient(container, refusal)
        self.machine = NodeContainer(
            self.client,  # type: ignore[arg-type]
            OPTIONS,
            clock=self.clock,
            sleep=self.clock.sleep,
        )

    def beside(self, act: Callable[[], Any]) -> Callable[[], Any]:
        """Begin to act in a thread; what comes of it is returned by what is returned."""
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(act()))
        thread.start()

        def result() -> Any:
            thread.join(TIMEOUT_S)
            assert found, "it didn't end"
            return found[0]

        return result


@pytest.fixture
def node() -> Iterator[Node]:
    """One in which Ray runs at once."""
    node = Node(FakeContainer(READY))
    yield node
    node.container.over.set()


# The start


def test_it_has_started_when_its_node_host_says_so(node: Node) -> None:
    assert node.machine.start()
    assert node.client.created == [OPTIONS]


@pytest.mark.parametrize(
    "chunks",
    [
        [READY[:3], READY[3:]],
        [READY[:-1], b"\n"],
        [b"warming up\n" + READY],
        ["wärmer ".encode()[:2], "wärmer ".encode()[2:] + b"\n", READY + b"more"],
        [bytes([byte]) for byte in b"first\n" + READY],
    ],
)
def test_the_word_is_understood_however_it_is_cut(chunks: list[bytes]) -> None:
    assert Node(FakeContainer(*chunks)).machine.start()


@pytest.mark.parametrize("said", [b"", b"error\n", READY[:-1], b"not " + READY, READY[:-1] + b"!\n"])
def test_a_container_that_ends_before_the_word_has_not_started(said: bytes) -> None:
    node = Node(FakeContainer(said))
    node.container.end(3)

    assert not node.machine.start()
    assert node.machine.wait() == 3


def test_a_container_that_the_engine_refuses_says_why_in_one_line_and_is_removed(node: Node) -> None:
    node.container.errors["start"] = [refused(500, "driver failed\nport is already allocated")]
    with pytest.raises(CannotStart, match=r"^starting the container: .*driver failed$"):
        node.machine.start()

    assert node.container.calls == ["start", "remove"]


def test_a_container_that_cannot_be_made_says_why() -> None:
    node = Node(FakeContainer(), refused(500, "no space left on device"))
    with pytest.raises(CannotStart, match="the engine's disk is full"):
        node.machine.start()

    assert node.container.calls == []


def test_a_start_that_takes_too_long_is_given_up_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START_TIMEOUT_S", 0.01)
    node = Node(FakeContainer(b"importing ray\n"))

    assert not node.machine.start()
    assert node.machine.wait() == 137
    assert node.machine.last_words() == "Ray didn't run in it within 0.01 s: importing ray"


# The end


def test_its_exit_code_and_last_words_are_kept_and_it_is_removed(node: Node) -> None:
    node.container.said = READY + b"loading\n  ended: raylet (1)  \n\n"
    node.machine.start()
    node.container.end(1)

    assert node.machine.wait() == 1
    assert node.machine.last_words() == "ended: raylet (1)"
    assert node.machine.last_lines().splitlines() == [node_process.READY, "loading", "ended: raylet (1)"]
    assert node.container.calls[-1] == "remove"


def test_that_ray_was_ready_is_no_last_word(node: Node) -> None:
    node.machine.start()
    node.container.end()
    node.machine.wait()

    assert node.machine.last_words() == ""


def test_last_words_are_cut(node: Node) -> None:
    node.container.said = b"x" * 10_000
    node.machine.start()
    node.container.end(1)
    node.machine.wait()

    assert len(node.machine.last_words()) == 300


def test_ending_it_lets_ray_take_its_leave(node: Node) -> None:
    node.machine.start()
    code = node.beside(node.machine.wait)
    node.machine.end()

    assert code() == 0
    assert "stop" in node.container.calls
    assert "kill" not in node.container.calls


def test_killing_it_is_by_force(node: Node) -> None:
    node.machine.start()
    node.machine.kill()

    assert node.machine.wait() == 137
    assert "stop" not in node.container.calls


@pytest.mark.parametrize("how", ["end", "kill"])
def test_a_paused_container_is_let_go_on_so_that_it_can_end(node: Node, how: str) -> None:
    node.machine.start()
    node.container.paused = True
    getattr(node.machine, how)()

    assert node.container.over.is_set()


def test_ending_it_again_is_no_error(node: Node) -> None:
    node.machine.start()
    node.machine.end()
    node.machine.end()
    node.machine.kill()

    assert node.machine.wait() == 0


@pytest.mark.parametrize("how", ["end", "kill"])
def test_one_that_was_ended_before_its_start_never_starts(node: Node, how: str) -> None:
    getattr(node.machine, how)()

    assert not node.machine.start()
    assert node.machine.wait() == 0
    assert node.client.created == []


def test_one_that_is_ended_while_it_is_made_is_ended_as_soon_as_it_is_there(node: Node) -> None:
    ended: list[Callable[[], Any]] = []
    node.client.during_create = lambda: ended.append(node.beside(node.machine.kill))
    node.container.chunks = []

    assert not node.machine.start()

    ended[0]()

    assert node.machine.wait() == 137


def test_one_that_somebody_removed_was_killed(node: Node) -> None:
    node.machine.start()
    node.container.errors["wait"] = [not_found()]

    assert node.machine.wait() == 137


def test_one_that_somebody_removed_while_it_started_has_not_started(node: Node) -> None:
    node.container.errors["follow"] = [not_found()]

    assert not node.machine.start()


# An engine that is away

AWAY = [GONE, CUT, ConnectionResetError(104, "reset by peer"), requests.ReadTimeout("timed out")]


@pytest.mark.parametrize("error", AWAY)
def test_a_start_goes_on_when_the_engine_is_back(node: Node, error: Exception) -> None:
    node.container.errors = {"follow": [error], "reload": [GONE, GONE]}

    assert node.machine.start()
    assert 0 < node.clock.now < AWAY_S


@pytest.mark.parametrize("error", AWAY)
def test_a_container_outlives_an_engine_that_is_away_for_a_moment(node: Node, error: Exception) -> None:
    node.machine.start()
    node.container.errors = {"wait": [error], "reload": [GONE, GONE]}
    node.container.end(4)

    assert node.machine.wait() == 4


def test_each_moment_that_the_engine_is_away_counts_for_itself(node: Node) -> None:
    node.machine.start()
    shortly_before_too_long = [GONE] * int(AWAY_S)
    node.container.errors["wait"] = [GONE] * 3
    reload = node.container.reload
    away = iter([*shortly_before_too_long, None, *shortly_before_too_long, None, *shortly_before_too_long, None])

    def answer() -> None:
        if (error := next(away)) is not None:
            raise error
        reload()

    node.container.reload = answer  # type: ignore[method-assign]
    node.container.end(4)

    assert node.machine.wait() == 4
    assert node.clock.now > AWAY_S


@pytest.mark.parametrize("call", ["follow", "wait"])
def test_an_engine_that_stays_away_has_lost_the_machine(node: Node, call: str) -> None:
    if call == "wait":
        node.machine.start()
    node.container.errors = {call: [GONE], "reload": [GONE] * 1000}
    with pytest.raises(MachineLost, match=r"orchestrate-c0ffee00-abcdef01: the Docker engine doesn't answer"):
        node.machine.start() if call == "follow" else node.machine.wait()

    assert AWAY_S <= node.clock.now < AWAY_S + 1


@pytest.mark.parametrize("call", ["follow", "wait"])
def test_a_refusal_of_the_engine_is_no_lost_connection_and_not_asked_again(node: Node, call: str) -> None:
    if call == "wait":
        node.machine.start()
    node.container.errors[call] = [refused(500, "cannot read the log")] * 1000
    with pytest.raises(MachineLost, match="cannot read the log"):
        node.machine.start() if call == "follow" else node.machine.wait()

    assert node.clock.now == 0


def test_a_start_is_given_up_though_the_engine_comes_back_again_and_again(node: Node) -> None:
    node.container.errors["follow"] = [CUT] * 1000
    with pytest.raises(MachineLost, match="the Docker engine doesn't answer"):
        node.machine.start()

    assert START_TIMEOUT_S < node.clock.now < START_TIMEOUT_S + 2 * AWAY_S


def test_what_the_engine_refuses_one_node_it_refuses_others_and_a_lost_connection_may_be_back() -> None:
    causes = []
    for refusal in (refused(500, "no space left on device"), GONE):
        with pytest.raises(CannotStart) as told:
            Node(FakeContainer(), refusal).machine.start()
        causes.append(type(told.value.__cause__))

    assert causes == [MissingPrerequisite, type(GONE)]


def test_a_container_that_is_gone_when_the_engine_is_back_was_killed(node: Node) -> None:
    node.machine.start()
    node.container.errors = {"wait": [GONE, not_found()], "reload": [GONE, not_found()]}

    assert node.machine.wait() == 137


def test_an_end_that_the_engine_did_not_hear_of_is_asked_for_again(node: Node) -> None:
    node.machine.start()
    node.container.errors = {"unpause": [GONE], "stop": [GONE], "wait": [GONE]}
    node.machine.end()

    assert not node.container.over.is_set()
    assert node.machine.wait() == 137


def test_last_words_that_cannot_be_read_are_none(node: Node) -> None:
    node.machine.start()
    node.container.end(1)
    node.container.errors = {"logs": [GONE], "remove": [GONE]}

    assert node.machine.wait() == 1
    assert node.machine.last_words() == ""


# Its address


def test_its_address_is_the_one_on_its_network(node: Node) -> None:
    node.machine.start()

    assert node.machine.address() == "10.0.0.7"


@pytest.mark.parametrize("error", [GONE, not_found()])
def test_an_address_that_nobody_tells_is_none(node: Node, error: Exception) -> None:
    node.machine.start()
    node.container.errors["reload"] = [error]

    assert node.machine.address() == ""


def test_a_container_that_was_cut_off_has_no_address(node: Node) -> None:
    node.machine.start()
    node.container.attrs["NetworkSettings"]["Networks"] = {}

    assert node.machine.address() == ""
