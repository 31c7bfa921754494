"""The size of an observation: a day with 200 000 tasks, on disk and in memory.

It runs in a process of its own, because the peak memory is that of a process.
"""

import json
import subprocess
import sys
from pathlib import Path

TASKS = 200_000
MAX_DISK_BYTES = 300e6
MAX_MEMORY_BYTES = 500e6

OBSERVE = """
import json, resource, sys, time
from pathlib import Path
from orchestrator.model.events import DemandEvent, HostEvent, UsageEvent
from orchestrator.observer.task_follower import TaskFollower
from orchestrator.rayapi.job_records import Run
from orchestrator.rayapi.task_feed import Attempt, Page, Tally
from orchestrator.replay.history import Edits, read_history, replayed
from orchestrator.trace.file import TraceWriter

path, tasks, begin = Path(sys.argv[1]), int(sys.argv[2]), 1_800_000_000.0

class Feed:
    known = ()
    def newest(self, limit): return Page(self.known)
    def failed(self, limit): return Page(())
    def unfinished(self, limit, now): return (), 0
    def tally(self): return Tally(0, 0)
    def living_actors(self, now): return ()
    def actor(self, key, now): return None
    def groups(self): return ()

feed = Feed()
with TraceWriter(path) as trace:
    follower = TaskFollower(feed, lambda node: None, trace.emit, begin=begin)
    for first in range(0, tasks, 500):
        page = []
        for number in range(first, first + 500):
            t = begin + number * 86_400 / tasks
            run = Run("work", "ab" * 28, 1.0, t, t + 1, t + 60, True, resources={"CPU": 1.0}, ready=t)
            page.append(Attempt(number.to_bytes(28, "big"), "task", t, t + 60, run))
        feed.known = tuple(page)
        follower.step()
        for second in range(216):  # demand and use change twice a second
            now = begin + first * 86_400 / tasks + second
            for half in (0.0, 0.5):
                trace.emit(DemandEvent(t=now + half, pending={"CPU=1": second}, pending_cpus=float(second)))
                trace.emit(UsageEvent(t=now + half, cpus={"x86": (float(second), 216.0)}))
    assert follower.found.tasks == tasks
observed = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
history = read_history(path)
assert sum(group["tasks"] for group in replayed(history, Edits(), "x").groups) == tasks
read = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"disk": path.stat().st_size, "observed": observed, "read": read}))
"""


def test_a_day_with_200_000_tasks_is_bounded_on_disk_and_in_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OBSERVE, str(tmp_path / "day.jsonl"), str(TASKS)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    size = json.loads(result.stdout)
    print({name: f"{value / 1e6:.0f} MB" for name, value in size.items()})

    assert size["disk"] < MAX_DISK_BYTES
    assert size["observed"] < MAX_MEMORY_BYTES
    assert size["read"] < MAX_MEMORY_BYTES
