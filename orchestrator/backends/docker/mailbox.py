"""A mailbox of files by which the autoscaler in the head's container asks the orchestrator for nodes.

No container holds a Docker socket, and nothing listens on a network. See `live.cluster_dir` for the two folders:

outbox/requests.jsonl   requests of the provider, a line each
inbox/replies/ID.json   the answer to one request, `{}` or a refusal; removed after many later ones
inbox/nodes.json        the nodes that exist

Treat requests as untrusted input: jobs run in the head's container, too, and can write what the provider can.
"""

import itertools
import json
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from orchestrator.backends.live.cloud import Cloud, CloudNode, LaunchRequest
from orchestrator.backends.live.cluster_dir import ClusterFiles
from orchestrator.backends.live.modelled_cloud import CLOSE_S
from orchestrator.filesystem import write_atomically
from orchestrator.model.base import FrozenModel, NonNegative
from orchestrator.rayapi.virtual.world import LaunchRefused, no_capacity
from orchestrator.trace.tail import Tail

_log = logging.getLogger(__name__)

POLL_S = 0.02
# Ray's own requests have some hundred bytes; it makes some tens at a time, and reads an answer at once.
LONGEST_REQUEST = 64_000
MOST_AT_ONCE = 500
_REPLIES_KEPT = 1_000
# Ray asks for a few nodes at a time.
MAX_COUNT = 10_000

# It names a file: it must not lead out of the folder.
Name = Annotated[str, Field(pattern=r"^[0-9a-f]+-[0-9]+\z", max_length=100)]


class _Create(FrozenModel):
    request: Name
    call: Literal["create"]
    node_type: Annotated[str, Field(max_length=1_000)]
    tags: dict[str, str]
    count: Annotated[int, Field(ge=1, le=MAX_COUNT)]
    resources: dict[str, NonNegative]
    labels: dict[str, str]

    def launch(self) -> LaunchRequest:
        return LaunchRequest(self.node_type, self.count, self.tags, self.resources, self.labels)


class _Terminate(FrozenModel):
    request: Name
    call: Literal["terminate"]
    node_id: str


_REQUEST: TypeAdapter[_Create | _Terminate] = TypeAdapter(_Create | _Terminate)


class _Paths:
    def __init__(self, files: ClusterFiles) -> None:
        self.requests = files.requests
        self.replies = files.inbox / "replies"
        self.nodes = files.inbox / "nodes.json"

    def reply(self, request: str) -> Path:
        return self.replies / f"{request}.json"


class MailboxCloud:
    """The provider's side: a `Cloud` that the orchestrator runs."""

    def __init__(self, files: ClusterFiles) -> None:
        self._paths = _Paths(files)
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._sender = secrets.token_hex(4)
        self._terminated: set[str] = set()

    def nodes(self) -> Mapping[str, CloudNode]:
        """See `Cloud.nodes`."""
        try:
            rows = json.loads(self._paths.nodes.read_bytes())
        except FileNotFoundError:
            # not logged: nothing has been written yet.
            return {}
        # A node that was just terminated must be gone at once, before the orchestrator has read the request.
        return {row["node_id"]: CloudNode(**row) for row in rows if row["node_id"] not in self._terminated}

    def create(self, request: LaunchRequest) -> None:
        """See `Cloud.create`; called in a thread of the autoscaler that may wait."""
        name = self._name()
        self._post(
            _Create(
                request=name,
                call="create",
                node_type=request.node_type,
                tags=dict(request.tags),
                count=request.count,
                resources=dict(request.resources),
                labels=dict(request.labels),
            )
        )
        reply = self._paths.reply(name)
        while not reply.exists():
            time.sleep(POLL_S)
        if answer := json.loads(reply.read_bytes()):
            raise LaunchRefused(**answer)

    def terminate(self, node_id: str) -> None:
        """See `Cloud.terminate`."""
        self._terminated.add(node_id)
        self._post(_Terminate(request=self._name(), call="terminate", node_id=node_id))

    def _name(self) -> str:
        return f"{self._sender}-{next(self._numbers)}"

    def _post(self, request: FrozenModel) -> None:
        with self._lock, self._paths.requests.open("a") as file:
            file.write(request.model_dump_json() + "\n")


class MailboxServer:
    """The orchestrator's side: passes requests on to a cloud, and keeps the list of its nodes up to date.

    `failure` is an error after which it can't go on.
    """

    def __init__(self, files: ClusterFiles) -> None:
        self._paths = _Paths(files)
        self._requests = Tail(self._paths.requests, longest=LONGEST_REQUEST)
        self._writing = threading.Lock()
        self._free = threading.Semaphore(MOST_AT_ONCE)
        self._replies: deque[Path] = deque()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._cloud: Cloud | None = None
        self.failure: Exception | None = None

    def start(self, cloud: Cloud) -> None:
        """Serve in a thread until `stop`."""
        self._cloud = cloud
        self._paths.replies.mkdir()
        self.publish()
        self._thread = threading.Thread(target=self._run, name="orchestrate-mailbox", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Serve no more; safe to call twice. Returns after CLOSE_S seconds at the latest."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(CLOSE_S)

    def publish(self) -> None:
        """Write the list of nodes."""
        if self._cloud is None or self._stopping.is_set():
            return
        with self._writing:
            rows = [
                {"node_id": node.node_id, "node_type": node.node_type, "tags": dict(node.tags)}
                | {"booted": node.booted, "ip": node.ip}
                for node in self._cloud.nodes().values()
            ]
            write_atomically(self._paths.nodes, json.dumps(rows))

    def _run(self) -> None:
        while not self._stopping.wait(POLL_S):
            try:
                self._serve()
            except Exception as error:  # such as a full disk; the cluster's `check_alive` reports it
                if self.failure is None:  # the next round fails alike
                    _log.exception("the mailbox can't serve its requests")
                self.failure = error

    def _serve(self) -> None:
        """Serve the requests that are new since the last call."""
        assert self._cloud is not None
        for line in self._requests.read():
            try:
                request = _REQUEST.validate_json(line)
            except ValueError:
                _log.warning("an unreadable request in the mailbox: %.200r", line)
                continue
            if isinstance(request, _Terminate):
                self._cloud.terminate(request.node_id)
            elif self._free.acquire(blocking=False):
                # The cloud takes its time to answer, and other requests may come meanwhile.
                threading.Thread(target=self._create, args=(self._cloud, request), daemon=True).start()
            else:
                self._reply(request, no_capacity(request.node_type))

    def _create(self, cloud: Cloud, request: _Create) -> None:
        """Pass a request on and answer it. Any error but a refusal ends the trial: the autoscaler waits."""
        refusal = None
        try:
            try:
                cloud.create(request.launch())
            except LaunchRefused as answer:
                _log.info("a launch is refused: %s", answer.description)
                refusal = answer
            self._reply(request, refusal)
        except Exception as error:
            _log.exception("a launch can't be answered")
            self.failure = error
        finally:
            self._free.release()

    def _reply(self, request: _Create, refusal: LaunchRefused | None) -> None:
        answer = {} if refusal is None else {"category": refusal.category, "description": refusal.description}
        with self._writing:
            if self._stopping.is_set():
                return
            reply = self._paths.reply(request.request)
            write_atomically(reply, json.dumps(answer))
            self._replies.append(reply)
            if len(self._replies) > _REPLIES_KEPT:
                self._replies.popleft().unlink(missing_ok=True)
