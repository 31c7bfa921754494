"""Keys of a cluster file that decide, on real local clusters: the simulator foretells what Ray does with them.

Each trial is replayed with the boot times that it met: the same launches, and the makespan within 10 %.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.model.events import NodeEvent, TaskEvent
from orchestrator.trace.file import Trace, read_trace
from tests.support.orchestrate_command import Orchestrate, disturbed, ended_well

pytestmark = pytest.mark.alone

FILE = """
cluster_name: live
max_workers: 3
upscaling_speed: 10.0
idle_timeout_minutes: 0.25
provider:
  disable_node_updaters: true
  launch:
    request: {mean_s: 0.5}
    boot: {mean_s: 3.0}
    install: {mean_s: 4.5}
%s
  simulation: {demand_lag: {mean_s: 1.5}, worker_start: {mean_s: 0.9}, task_overhead: {mean_s: 0.1}}
head_node_type: head
available_node_types:
"""
# H19: four tasks, of which the head runs two.
HEADED = (FILE % "").replace("10.0", "1.0") + (
    """
  head: {node_config: {InstanceType: m7i.large}, resources: {CPU: 2}, max_workers: 0}
  worker: {node_config: {InstanceType: m7i.large}, resources: {CPU: 2}, min_workers: 0, max_workers: 2}
"""
)
# The second type is as able as the first, is preferred, and has a short timeout of its own.
PREFERRED = (FILE % "").replace("0.25", "1") + (
    """
  head: {node_config: {}, resources: {CPU: 0}, max_workers: 0}
  first: {node_config: {}, resources: {CPU: 1}, max_workers: 2}
  second: {node_config: {}, resources: {CPU: 1}, max_workers: 2, priority: 1, idle_timeout_s: 6}
"""
)
# The cloud refuses the first call, and has one node only for the second.
REFUSING = FILE % "    failure_rate: 0.5\n    capacity: {worker: 1}" + (
    """
  head: {node_config: {}, resources: {CPU: 2}, max_workers: 0}
  worker: {node_config: {}, resources: {CPU: 2}, max_workers: 3}
"""
)
REFUSES_FIRST_CALL_ONLY = "3"


@dataclass(frozen=True)
class Run:
    """A sweep of one trial: as `show`, the trace, and as `validate`."""

    shown: Any
    trace: Trace
    validated: Any

    @property
    def card(self) -> Any:
        """The scorecard."""
        return self.shown["scorecard"]

    def launched(self) -> Counter[str]:
        """Return the number of requested nodes by type."""
        events = self.trace.events
        return Counter(each.node_type for each in events if isinstance(each, NodeEvent) and each.state == "requested")

    def ran_on(self) -> Counter[str]:
        """Return the number of tasks by the type of the node that ran them."""
        return Counter(each.node_type for each in self.trace.events if isinstance(each, TaskEvent))


def run(folder: Path, text: str, *options: str) -> Run:
    """Run a sweep of one trial; once more if the machine was too busy."""
    (folder / "cluster.yaml").write_text(text)
    arguments = ("sweep", "--cluster", str(folder / "cluster.yaml"), "--fit", "none", "--metrics-port", "0", *options)
    for attempt in ("home", "again"):
        command = Orchestrate(folder / attempt)
        result = command(*arguments)
        assert ended_well(command, result.returncode), result.stdout + result.stderr
        assert command.leftovers() == []
        document = command.json("show", "@last")
        if not disturbed(document):
            break
    (trial,) = document["trials"]
    assert trial["scorecard"]["valid"], trial["scorecard"]["invalid_because"]
    (validated,) = command.json("validate", "@last")
    return Run(trial, read_trace(Path(trial["trace"])), validated)


@pytest.fixture(scope="module")
def headed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(tmp_path_factory.mktemp("headed"), HEADED, "--tasks", "4", "--task-seconds", "20")


@pytest.fixture(scope="module")
def preferred(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(tmp_path_factory.mktemp("preferred"), PREFERRED, "--tasks", "2", "--task-seconds", "12")


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Run:
    options = ("--tasks", "6", "--task-seconds", "12", "--seed", REFUSES_FIRST_CALL_ONLY)
    return run(tmp_path_factory.mktemp("refused"), REFUSING, *options)


def check_foretold(found: Run) -> None:
    """Check the same launches at the same updates, and the makespan. A trial may decide one update late."""
    launches, makespan = found.validated["launches"], found.validated["quantities"]["makespan_s"]
    late = {*launches["updates_late"]}
    assert late in ({0}, {1}), launches
    error = makespan["error"] + late.pop() * found.validated["settings"]["update_interval_s"]

    assert abs(error) <= 0.1 * makespan["recorded"], makespan


def test_the_simulator_foretells_a_head_with_cpus(headed: Run) -> None:
    check_foretold(headed)


def test_a_head_with_cpus_runs_its_part(headed: Run) -> None:
    assert {"worker": 1} == headed.launched()
    assert {"head": 2, "worker": 2} == headed.ran_on()
    assert headed.card["cpu_utilisation"] <= 1


def test_the_simulator_foretells_a_preferred_type_with_a_timeout(preferred: Run) -> None:
    check_foretold(preferred)
    scale_down = preferred.validated["quantities"]["scale_down_s"]

    assert abs(scale_down["error"]) <= preferred.validated["settings"]["update_interval_s"] + 1


def test_ray_launches_the_preferred_type_and_ends_it_by_its_own_timeout(preferred: Run) -> None:
    assert {"second": 2} == preferred.launched()
    assert 6 <= preferred.card["scale_down_s"] < 30


def test_the_simulator_foretells_refused_launches(refused: Run) -> None:
    check_foretold(refused)


def test_each_refused_node_is_counted_once(refused: Run) -> None:
    """v2 awaits the second node of the second call for ten minutes, and the trial ends without it."""
    assert {"worker": 4} == refused.launched()
    assert 3 == refused.card["failed_launches"]
    assert 1 == refused.card["peak_nodes"]
    assert ["3 launches failed"] == [each for each in refused.card["warnings"] if "launch" in each]
