"""The stress job, a Ray driver on the cluster's head: `python -m orchestrator.workload.stress JSON`.

It runs a workload's groups as Ray's own tasks, actors and placement groups, and needs only Ray, so that any cluster can
run it. Each line that starts with `MARK` is JSON: `{"submitted": n, "t": seconds}` after submissions at one time,
`{"tasks": [[node, submitted, started, ended, ok, group, cpus], …]}` as tasks end, and `{"done": n}` at the end. An
actor counts as one task, and a placement group as one for each bundle.
"""

import heapq
import json
import random
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from orchestrator.model.arrivals import arrival_of
from orchestrator.model.sampling import draw

MARK = "@orchestrate "
_REPORT_EVERY_S = 0.5
# Something waits for the end of something else: look more often.
_NOTICE_EVERY_S = 0.1

Group = dict[str, Any]


def hold_cpu(seconds: float, kind: str) -> None:
    """Sleep, or keep a core busy, for `seconds`."""
    if kind == "sleep":
        time.sleep(seconds)
        return
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(MARK + json.dumps(message, separators=(",", ":")) + "\n")  # in one piece
    sys.stdout.flush()


def task_options(group: Group) -> dict[str, Any]:
    """Return the options of Ray for one task or actor: GPUs and memory aren't among the custom resources."""
    custom = dict(group["resources"])
    options = {
        "num_cpus": group["cpus"],
        "num_gpus": custom.pop("GPU", None),
        "memory": custom.pop("memory", None),
        "resources": custom or None,
    }
    if group["labels"]:
        options["label_selector"] = group["labels"]
    return options


def members(group: Group, seed: int) -> list[tuple[float, float]]:
    """Return submission (seconds after the group's start) and duration of each member, as `Group.members` does."""
    offsets = arrival_of(group).offsets(group["count"], seed)
    seconds, rng = group["seconds"], random.Random(f"seconds:{seed}:{group['name']}")
    return [(offset, draw(**seconds, rng=rng)) for offset in offsets]


class Driver:
    """Submits groups as they are due, and reports what ends."""

    def __init__(self, ray: Any, request: dict[str, Any]) -> None:
        self._ray = ray
        self._request = request
        self._groups: list[Group] = request["groups"]
        self._left = {group["name"]: group["count"] for group in self._groups}
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._pending: dict[Any, Callable[[Any], None]] = {}
        self._outcomes: list[list[Any]] = []
        self._submitted = self._scheduled = 0
        waits = any(group["after"] or group["of"] == "placement_groups" for group in self._groups)
        self._look_every_s = _NOTICE_EVERY_S if waits else _REPORT_EVERY_S

        @ray.remote  # type: ignore[untyped-decorator]
        def heavy_task(seconds: float, kind: str) -> tuple[str, float, float]:
            return _hold(ray, seconds, kind)

        class Server:
            def hold(self, seconds: float, kind: str) -> tuple[str, float, float]:
                return _hold(ray, seconds, kind)

        self._task = heavy_task
        # A server whose node is lost starts again elsewhere, as Ray's tasks do.
        self._server = ray.remote(max_restarts=-1, max_task_retries=-1)(Server)

    def run(self) -> None:
        """Run all groups to their end."""
        begin = time.time()
        for group in self._groups:
            if group["after"] is None:
                self._schedule(group, begin + group["at_s"])
        for request in self._request["requests"]:
            self._at(begin + request["at_s"], partial(self._request_resources, request["bundles"]))
        while any(self._left.values()):
            before = self._submitted
            while self._due and self._due[0][0] <= time.time():
                heapq.heappop(self._due)[2]()
            if self._submitted > before:
                _say({"submitted": self._submitted, "t": begin if before == 0 else time.time()})
            self._wait()
            if self._outcomes:
                _say({"tasks": self._outcomes})
                self._outcomes = []
        if self._request["requests"]:
            self._request_resources([])
        _say({"done": self._submitted})

    def _at(self, when: float, call: Callable[[], None]) -> None:
        self._scheduled += 1
        heapq.heappush(self._due, (when, self._scheduled, call))

    def _wait(self) -> None:
        until_next = self._due[0][0] - time.time() if self._due else self._look_every_s
        wait_s = min(self._look_every_s, max(0.0, until_next))
        if not self._pending:
            time.sleep(wait_s)
            return
        done, _ = self._ray.wait(list(self._pending), num_returns=len(self._pending), timeout=wait_s)
        for reference in done:
            self._pending.pop(reference)(reference)

    def _schedule(self, group: Group, start: float) -> None:
        submit = getattr(self, f"_submit_{group['of']}")
        for offset, seconds in members(group, self._request["seed"]):
            self._at(start + offset, partial(submit, group, seconds))

    def _count_submission(self) -> float:
        self._submitted += 1
        return time.time()

    def _submit_tasks(self, group: Group, seconds: float) -> None:
        now = self._count_submission()
        reference = self._task.options(**task_options(group)).remote(seconds, group["kind"])
        self._pending[reference] = partial(self._end_task, group, now, None)

    def _submit_actors(self, group: Group, seconds: float) -> None:
        now = self._count_submission()
        actor = self._server.options(**task_options(group)).remote()
        reference = actor.hold.remote(seconds, group["kind"])
        self._pending[reference] = partial(self._end_task, group, now, actor)

    def _submit_placement_groups(self, group: Group, seconds: float) -> None:
        from ray.util import placement_group

        now = self._count_submission()
        placed = placement_group(group["bundles"], strategy=group["strategy"])
        self._pending[placed.ready()] = partial(self._hold_placement_group, group, now, seconds, placed)

    def _end_task(self, group: Group, submitted: float, actor: Any, reference: Any) -> None:
        try:
            node, started, ended = self._ray.get(reference)
            outcome = [node, submitted, started, ended, True]
        except self._ray.exceptions.RayError:
            # not logged: this runs in the job; the trace says that the task failed.
            now = time.time()
            outcome = ["", submitted, now, now, False]
        if actor is not None:
            self._ray.kill(actor)
        self._outcomes.append([*outcome, group["name"], group["cpus"]])
        self._ended(group)

    def _hold_placement_group(self, group: Group, submitted: float, seconds: float, placed: Any, _: Any) -> None:
        self._at(time.time() + seconds, partial(self._end_placement_group, group, submitted, time.time(), placed))

    def _end_placement_group(self, group: Group, submitted: float, started: float, placed: Any) -> None:
        from ray.util import placement_group_table, remove_placement_group

        nodes = placement_group_table(placed)["bundles_to_node_id"]
        remove_placement_group(placed)
        now = time.time()
        for index, bundle in enumerate(group["bundles"]):
            times = [submitted, started, now, index in nodes]
            self._outcomes.append([nodes.get(index, ""), *times, group["name"], bundle.get("CPU", 0.0)])
        self._ended(group)

    def _ended(self, group: Group) -> None:
        self._left[group["name"]] -= 1
        if not self._left[group["name"]]:
            for other in self._groups:
                if other["after"] == group["name"]:
                    self._schedule(other, time.time())

    def _request_resources(self, bundles: list[dict[str, float]]) -> None:
        from ray.autoscaler.sdk import request_resources

        request_resources(bundles=bundles)


def _hold(ray: Any, seconds: float, kind: str) -> tuple[str, float, float]:
    started = time.time()
    hold_cpu(seconds, kind)
    return ray.get_runtime_context().get_node_id(), started, time.time()


if __name__ == "__main__":
    import ray

    asked = json.loads(sys.argv[1])
    ray.init(address=asked["address"], log_to_driver=False)
    Driver(ray, asked).run()
