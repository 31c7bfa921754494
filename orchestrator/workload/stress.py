"""The stress job, a Ray driver on the cluster's head: `python -m orchestrator.workload.stress JSON`.

It needs only Ray, so that any cluster can run it. Each line that starts with `MARK` is JSON:
`{"submitted": n, "t": seconds}` after each group of submissions,
`{"tasks": [[node, submitted, started, ended, ok], …]}` as tasks end, and `{"done": n}` at the end.
"""

import json
import sys
import time
from typing import Any

from orchestrator.model.arrivals import arrival_of

MARK = "@orchestrate "
_REPORT_EVERY_S = 0.5


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


def task_options(workload: dict[str, Any]) -> dict[str, Any]:
    """Return the options of Ray for one task: GPUs and memory aren't among the custom resources."""
    custom = dict(workload["resources"])
    options = {
        "num_cpus": workload["cpus"],
        "num_gpus": custom.pop("GPU", None),
        "memory": custom.pop("memory", None),
        "resources": custom or None,
    }
    if workload["labels"]:
        options["label_selector"] = workload["labels"]
    return options


def run(workload: dict[str, Any], seed: int, address: str) -> None:
    """Submit the workload's tasks to the cluster at `address` as they arrive, and report each as it ends."""
    import ray

    ray.init(address=address, log_to_driver=False)
    seconds, kind = workload["seconds"], workload["kind"]

    @ray.remote  # type: ignore[untyped-decorator]
    def heavy_task() -> tuple[str, float, float]:
        started = time.time()
        hold_cpu(seconds, kind)
        return ray.get_runtime_context().get_node_id(), started, time.time()

    task = heavy_task.options(**task_options(workload))
    offsets = arrival_of(workload).offsets(workload["tasks"], seed)
    submitted: dict[Any, float] = {}
    position, ended, begin = 0, 0, time.time()
    while ended < len(offsets):
        before = position
        while position < len(offsets) and begin + offsets[position] <= time.time():
            now = time.time()
            submitted[task.remote()] = now
            position += 1
        if position > before:
            _say({"submitted": position, "t": begin if before == 0 else now})
        until_next = begin + offsets[position] - time.time() if position < len(offsets) else _REPORT_EVERY_S
        wait_s = min(_REPORT_EVERY_S, max(0.0, until_next))
        if not submitted:
            time.sleep(wait_s)
            continue
        done, _ = ray.wait(list(submitted), num_returns=len(submitted), timeout=wait_s)
        if done:
            _say({"tasks": [_outcome(ray, reference, submitted.pop(reference)) for reference in done]})
            ended += len(done)
    _say({"done": ended})


def _outcome(ray: Any, reference: Any, submitted: float) -> list[Any]:
    try:
        node, started, ended = ray.get(reference)
        return [node, submitted, started, ended, True]
    except ray.exceptions.RayError:
        # not logged: this runs in the job; the trace says that the task failed.
        now = time.time()
        return ["", submitted, now, now, False]


if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    run(request["workload"], request["seed"], request["address"])
