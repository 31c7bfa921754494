"""The mailbox, both sides in one folder: what the provider asks arrives, and nothing else does any harm."""

import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.backends.docker import mailbox
from orchestrator.backends.docker.mailbox import MailboxCloud, MailboxServer
from orchestrator.backends.live.cloud import CloudNode, LaunchRequest
from orchestrator.backends.live.cluster_dir import ClusterFiles
from orchestrator.rayapi.virtual.world import LaunchRefused, no_capacity

TIMEOUT_S = 10.0
TAGS = {"ray-user-node-type": "x86", "ray-node-kind": "worker"}


class Cloud:
    """Gives nodes that are there at once, called n1, n2, …; `answer` is raised instead, if there is one."""

    def __init__(self) -> None:
        self.asked: list[LaunchRequest] = []
        self.terminated: list[str] = []
        self.answer: Exception | None = None
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.heard = threading.Condition()
        self._nodes: dict[str, CloudNode] = {}
        self.server: MailboxServer | None = None

    def nodes(self) -> Mapping[str, CloudNode]:
        return dict(self._nodes)

    def create(self, request: LaunchRequest) -> None:
        self._hear(self.asked, request)
        assert self.may_answer.wait(TIMEOUT_S)
        if self.answer is not None:
            raise self.answer
        for _ in range(request.count):
            name = f"n{len(self._nodes) + 1}"
            node = CloudNode(name, request.node_type, request.tags, request.resources, request.labels)
            self._nodes[node.node_id] = node
        assert self.server is not None
        self.server.publish()

    def terminate(self, node_id: str) -> None:
        self._nodes.pop(node_id, None)
        self._hear(self.terminated, node_id)

    def _hear(self, what: list[Any], said: Any) -> None:
        with self.heard:
            what.append(said)
            self.heard.notify_all()

    def wait_for(self, what: list[Any], count: int = 1) -> None:
        with self.heard:
            assert self.heard.wait_for(lambda: len(what) >= count, TIMEOUT_S), "the request didn't arrive"

    def boot(self, node_id: str, ip: str) -> None:
        self._nodes[node_id].booted, self._nodes[node_id].ip = True, ip
        assert self.server is not None
        self.server.publish()


@pytest.fixture
def files(tmp_path: Path) -> ClusterFiles:
    files = ClusterFiles(tmp_path / "cluster")
    files.create()
    return files


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


@pytest.fixture
def server(files: ClusterFiles, cloud: Cloud) -> Iterator[MailboxServer]:
    server = cloud.server = MailboxServer(files)
    server.start(cloud)
    yield server
    cloud.may_answer.set()
    server.stop()


@pytest.fixture
def provider(files: ClusterFiles, server: MailboxServer) -> MailboxCloud:
    return MailboxCloud(files)


def create(provider: MailboxCloud, count: int = 1, node_type: str = "x86") -> None:
    provider.create(LaunchRequest(node_type, count, TAGS, {"CPU": 2.0}, {"zone": "a"}))


def test_a_request_arrives_as_it_was_made(provider: MailboxCloud, cloud: Cloud) -> None:
    create(provider, 2)

    assert cloud.asked == [LaunchRequest("x86", 2, TAGS, {"CPU": 2.0}, {"zone": "a"})]


def test_the_nodes_are_listed_once_the_request_is_answered(provider: MailboxCloud) -> None:
    create(provider, 2)
    nodes = provider.nodes()

    assert list(nodes) == ["n1", "n2"]
    assert (nodes["n1"].node_type, nodes["n1"].tags, nodes["n1"].booted, nodes["n1"].ip) == ("x86", TAGS, False, "")


def test_a_change_of_a_node_is_seen(provider: MailboxCloud, cloud: Cloud) -> None:
    create(provider)
    cloud.boot("n1", "10.0.0.7")

    assert (provider.nodes()["n1"].booted, provider.nodes()["n1"].ip) == (True, "10.0.0.7")


def test_a_refusal_is_raised_with_its_category(provider: MailboxCloud, cloud: Cloud) -> None:
    cloud.answer = no_capacity("arm")
    with pytest.raises(LaunchRefused, match="no capacity for arm") as refused:
        create(provider, node_type="arm")

    assert refused.value.category == "InsufficientInstanceCapacity"


def test_of_the_replies_only_the_last_ones_are_kept(
    provider: MailboxCloud, files: ClusterFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox, "_REPLIES_KEPT", 2)
    for _ in range(4):
        create(provider)

    assert sorted(reply.stem.split("-")[1] for reply in (files.inbox / "replies").iterdir()) == ["3", "4"]


def test_the_provider_writes_into_its_outbox_only(provider: MailboxCloud, files: ClusterFiles) -> None:
    create(provider)
    provider.terminate("n1")

    assert [path.name for path in files.outbox.iterdir()] == ["requests.jsonl"]
    assert {path.name for path in files.inbox.iterdir()} == {"nodes.json", "replies"}


def test_a_node_that_is_terminated_is_gone_at_once(provider: MailboxCloud, files: ClusterFiles, cloud: Cloud) -> None:
    create(provider, 2)
    published = (files.inbox / "nodes.json").read_bytes()
    provider.terminate("n1")
    (files.inbox / "nodes.json").write_bytes(published)  # the orchestrator may not have read it yet

    assert list(provider.nodes()) == ["n2"]

    cloud.wait_for(cloud.terminated)

    assert cloud.terminated == ["n1"]


def test_a_slow_request_keeps_no_other_waiting(provider: MailboxCloud, cloud: Cloud) -> None:
    cloud.may_answer.clear()
    slow = threading.Thread(target=create, args=(provider,))
    slow.start()
    cloud.wait_for(cloud.asked)
    provider.terminate("n9")
    cloud.wait_for(cloud.terminated)

    assert slow.is_alive()

    cloud.may_answer.set()
    slow.join(TIMEOUT_S)

    assert list(provider.nodes()) == ["n1"]


def test_each_of_many_who_ask_at_once_gets_its_own_answer(provider: MailboxCloud, cloud: Cloud) -> None:
    threads = [threading.Thread(target=create, args=(provider,)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)

    assert not any(thread.is_alive() for thread in threads)
    assert len(cloud.asked) == 12


def test_two_providers_never_take_each_others_answers(files: ClusterFiles, server: MailboxServer, cloud: Cloud) -> None:
    """Ray's monitor makes a new one when its config changes."""
    create(MailboxCloud(files))
    cloud.answer = no_capacity("x86")
    with pytest.raises(LaunchRefused):
        create(MailboxCloud(files))

    assert len(cloud.asked) == 2


def test_before_the_orchestrator_serves_there_are_no_nodes(files: ClusterFiles) -> None:
    assert MailboxCloud(files).nodes() == {}


GOOD = {
    "request": "00-1",
    "call": "create",
    "node_type": "x86",
    "tags": {},
    "count": 1,
    "resources": {},
    "labels": {},
}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "not JSON",
        "[1, 2]",
        "{}",
        '{"request": "00-1", "call": "drop"}',
        '{"request": "00-1", "call": "terminate"}',
        json.dumps({**GOOD, "count": 0}),
        json.dumps({**GOOD, "count": 10**9}),
        json.dumps({**GOOD, "resources": {"CPU": -1}}),
        json.dumps({**GOOD, "tags": None}),
        json.dumps({**GOOD, "request": "../../escaped"}),
        json.dumps({**GOOD, "request": "00-1\n"}),
        json.dumps({**GOOD, "request": "00-" + 300 * "1"}),
        json.dumps({**GOOD, "node_type": "x" * 2_000}),
        json.dumps({**GOOD, "tags": {"tag": "x" * mailbox.LONGEST_REQUEST}}),
        "5",
        "[" * 50_000,
        "x" * 3 * mailbox.LONGEST_REQUEST,
        json.dumps({**GOOD, "socket": "/var/run/docker.sock"}),
    ],
)
def test_a_line_that_is_no_request_is_passed_over(
    files: ClusterFiles, provider: MailboxCloud, cloud: Cloud, line: str
) -> None:
    with files.requests.open("a") as requests:
        requests.write(line + "\n")
    create(provider)

    assert len(cloud.asked) == 1
    assert not list(files.root.parent.rglob("escaped*"))


def test_no_more_requests_wait_at_once_than_a_cloud_can_hear(
    files: ClusterFiles, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox, "MOST_AT_ONCE", 1)
    cloud.may_answer.clear()
    server = cloud.server = MailboxServer(files)
    server.start(cloud)
    provider = MailboxCloud(files)
    slow = threading.Thread(target=create, args=(provider,))
    slow.start()
    cloud.wait_for(cloud.asked)
    with pytest.raises(LaunchRefused, match="no capacity"):
        create(provider)
    cloud.may_answer.set()
    slow.join(TIMEOUT_S)
    create(provider)
    server.stop()

    assert list(provider.nodes()) == ["n1", "n2"]


def test_a_pipe_in_the_place_of_the_requests_keeps_nobody_waiting(files: ClusterFiles, cloud: Cloud) -> None:
    os.mkfifo(files.requests)
    server = cloud.server = MailboxServer(files)
    server.start(cloud)
    stopping = threading.Thread(target=server.stop, daemon=True)
    stopping.start()
    stopping.join(TIMEOUT_S)

    assert not stopping.is_alive()
    assert server.failure is None


def test_a_cloud_that_never_answers_does_not_keep_the_server_from_stopping(
    files: ClusterFiles, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox, "CLOSE_S", 0.01)
    may_end = threading.Event()
    terminate = cloud.terminate

    def slowly(node_id: str) -> None:
        terminate(node_id)
        assert may_end.wait(TIMEOUT_S)

    monkeypatch.setattr(cloud, "terminate", slowly)
    server = cloud.server = MailboxServer(files)
    server.start(cloud)
    MailboxCloud(files).terminate("n1")
    cloud.wait_for(cloud.terminated)
    server.stop()

    assert not may_end.is_set()

    may_end.set()


def test_half_a_line_waits_for_its_end(files: ClusterFiles, server: MailboxServer, cloud: Cloud) -> None:
    text = json.dumps({"request": "00-1", "call": "terminate", "node_id": "n1"}) + "\n"
    with files.requests.open("a", buffering=1) as requests:
        requests.write(text[:20])
        requests.flush()
        requests.write(text[20:])
    cloud.wait_for(cloud.terminated)

    assert cloud.terminated == ["n1"]


def test_a_disk_that_is_full_is_the_failure_of_the_server(
    files: ClusterFiles, provider: MailboxCloud, server: MailboxServer, cloud: Cloud
) -> None:
    cloud.answer = OSError(28, "No space left on device")
    files.requests.write_text(json.dumps(GOOD) + "\n")
    cloud.wait_for(cloud.asked)
    tick = threading.Event()
    for _ in range(5000):
        if server.failure is not None:
            break
        tick.wait(0.002)

    assert server.failure is cloud.answer

    provider.terminate("n1")
    cloud.wait_for(cloud.terminated)


def test_a_server_that_has_stopped_writes_nothing_more(files: ClusterFiles, cloud: Cloud) -> None:
    server = cloud.server = MailboxServer(files)
    server.start(cloud)
    server.stop()
    server.stop()
    (files.inbox / "nodes.json").unlink()
    server.publish()

    assert not (files.inbox / "nodes.json").exists()


def test_a_server_that_never_started_can_be_stopped(files: ClusterFiles) -> None:
    server = MailboxServer(files)
    server.publish()
    server.stop()

    assert not (files.inbox / "nodes.json").exists()
