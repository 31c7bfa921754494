"""Tables for the terminal: the facts stand in them, and nothing that a user typed breaks them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import RenderableType

from orchestrator.inputs.cluster_config import ClusterFile
from orchestrator.model.scorecard import ByPart, Quantiles
from orchestrator.model.snapshot import Demand, NodeRow, NodeStatus, PendingNode, Snapshot
from orchestrator.model.spec import SweepSpec
from orchestrator.observer.node_tracker import NodeTraits
from orchestrator.report.terminal.tables import (
    MAX_ROWS_OF_A_PLAN,
    ledger_table,
    plan_tables,
    status_table,
    sweep_table,
    trial_tables,
    trials_table,
)
from orchestrator.sweeps.fit import Machine
from orchestrator.sweeps.plan import Plan, make_plan
from tests.support.builders import SHAPE, T0, scorecard, sweep_record, trial, trial_record

Show = Callable[[RenderableType], str]
FAST, SLOW = trial(upscaling_speed=10), trial(upscaling_speed=1)
MARKUP = "[/tmp/x] and [bold]loud[/bold]"


LARGE, SMALL = Machine(64, 2**38), Machine(1, 2**30)


def planned(machine: Machine = LARGE, **document: Any) -> Plan:
    spec = SweepSpec.model_validate({"fit": "none", **document})
    return make_plan(spec, ClusterFile(Path("local.yaml"), {}, SHAPE, None, None), machine)


def row_of(text: str, begin: str) -> list[str]:
    """The cells of the line that begins so."""
    (line,) = [line for line in text.splitlines() if line.startswith(begin)]
    return line.split()


# A plan


def test_a_plan_shows_what_would_run(show: Show) -> None:
    plan = planned(settings={"upscaling_speed": [1, 5]}, workload={"tasks": 48, "seconds": 5}, repeat=2, seed=7)
    text = show(plan_tables(plan))

    assert "local, isolation reuse" in text
    assert "x86 1-3 x 2 CPU (x86_64, m7i.large) + arm 0-3 x 4 CPU (arm64, m8g.xlarge)" in text
    assert "; 6 workers at most" in text
    assert "48 tasks x 5 s x 1 CPU (sleep), burst" in text
    assert "2 settings x 2, grid order, seed 7" in text
    assert all(each.trial_id in text for each in plan.trials)
    assert row_of(text, "4 ")[-2:] == ["speed=5", "2"]


def test_a_plan_shows_its_notes(show: Show) -> None:
    assert "note: the shape is fitted to this machine" in " ".join(
        show(plan_tables(planned(SMALL, fit="machine"))).split()
    )


def test_a_long_plan_is_cut(show: Show) -> None:
    text = show(plan_tables(planned(settings={"upscaling_speed": list(range(1, 101))})))

    assert f"… and {100 - MAX_ROWS_OF_A_PLAN} more" in text
    assert len(text.splitlines()) < MAX_ROWS_OF_A_PLAN + 11


# A sweep


def test_a_sweeps_trials_are_shown_by_their_ids(show: Show) -> None:
    done, planned = trial_record(FAST, scorecard=scorecard(30.0)), trial_record(SLOW, status="planned", scorecard=None)
    text = show(trials_table(sweep_record(done, planned)))

    assert row_of(text, FAST.trial_id)[1:] == ["speed=10", "1", "done", "30.0", "valid"]
    assert row_of(text, SLOW.trial_id)[1:] == ["speed=1", "1", "planned", "-", "-"]


def test_a_sweep_has_a_row_for_each_setting_and_marks_the_fastest(show: Show) -> None:
    card = scorecard(30.0, launches=3, peak_nodes=4, time_to_first_node_s=9.0, scale_down_s=21.0, cpu_utilisation=0.5)
    text = show(sweep_table(sweep_record(trial_record(FAST), trial_record(SLOW, scorecard=card), name="night run")))

    assert text.splitlines()[0].strip() == "sweep c0ffee00 (night run): done, all with v2"
    assert row_of(text, "speed=10 ")[:4] == ["speed=10", "*", "1", "10.0"]
    assert row_of(text, "speed=1 ") == [
        "speed=1",
        "1",
        "30.0",
        "0.125",
        "9.0",
        "-",
        "21.0",
        "4",
        "3",
        "50%",
        "1.0",
        "valid",
    ]


def test_repeats_are_shown_with_their_spread(show: Show) -> None:
    cards = [scorecard(makespan) for makespan in (10.0, 12.0, 19.0)]
    text = show(sweep_table(sweep_record(*(trial_record(FAST, scorecard=card) for card in cards))))

    assert "12.0 (10.0-19.0)" in text


def test_a_fraction_is_shown_with_the_speed_that_ray_makes_of_it(show: Show) -> None:
    by_fraction = trial(autoscaler="v1", target_utilization_fraction=0.8)
    text = show(sweep_table(sweep_record(trial_record(by_fraction))))

    assert "effective speed 0.25" in " ".join(text.split())


def test_what_weakens_a_sweep_stands_below_it(show: Show) -> None:
    invalid = scorecard(valid=False, invalid_because=("a gap", "the GCS was restarted"), warnings=("busy host",))
    text = show(
        sweep_table(
            sweep_record(
                trial_record(FAST, scorecard=invalid),
                trial_record(SLOW, status="failed", reason="the head died", scorecard=None),
            )
        )
    )

    assert f"invalid: {FAST.trial_id} (v2 speed=10): a gap; the GCS was restarted" in text
    assert f"warning: {FAST.trial_id} (v2 speed=10): busy host" in text
    assert f"failed: {SLOW.trial_id} (v2 speed=1): the head died" in text
    assert "0 of 1" in text
    assert "*" not in text


def test_single_runs_are_told_to_be_no_evidence(show: Show) -> None:
    note = "one run per setting can't show the spread"

    assert note in show(sweep_table(sweep_record(trial_record(FAST), trial_record(SLOW))))
    assert note not in show(sweep_table(sweep_record(*[trial_record(FAST)] * 2, *[trial_record(SLOW)] * 2)))


def test_a_sweep_without_results_is_shown_all_the_same(show: Show) -> None:
    waiting = trial_record(FAST, status="planned", scorecard=None, started=None, ended=None, trace="")
    text = show(sweep_table(sweep_record(waiting, status="running")))

    assert "sweep c0ffee00: running" in text
    assert row_of(text, "v2 speed=10")[2:4] == ["0", "-"]


# A trial


def test_a_trial_is_shown_with_everything_that_its_scorecard_holds(show: Show) -> None:
    card = scorecard(
        35.0,
        launches=2,
        node_seconds=ByPart(total=164.0, by_type={"x86": 107.0, "arm": 57.0}, by_arch={"x86_64": 107.0}),
        cpu_utilisation=0.8,
        task_wait_s={"arm64": Quantiles(p50=1.0, p95=2.0, max=3.0, n=4)},
        launch_s={"arm64": {"boot": Quantiles(p50=5.0, p95=6.0, max=7.0, n=8)}},
        warnings=("busy host",),
    )
    text = show(trial_tables(trial_record(FAST, scorecard=card)))

    assert f"{FAST.trial_id} in sweep c0ffee00" in text
    assert row_of(text, "makespan s") == ["makespan", "s", "35.0"]
    assert row_of(text, "first node s") == ["first", "node", "s", "-"]
    assert row_of(text, "launches") == ["launches", "2"]
    assert "164 (x86 107, arm 57, x86_64 107)" in text
    assert row_of(text, "CPU use") == ["CPU", "use", "80%"]
    assert row_of(text, "task wait s, arm64")[4:] == ["p50", "1.0,", "p95", "2.0,", "max", "3.0,", "n", "4"]
    assert row_of(text, "boot s, arm64")[3:] == ["p50", "5.0,", "p95", "6.0,", "max", "7.0,", "n", "8"]
    assert row_of(text, "warnings")[1:] == ["busy", "host"]
    assert "sweeps/c0ffee00/t.jsonl" in text


def test_a_trial_that_failed_is_shown_with_its_reason(show: Show) -> None:
    text = show(trial_tables(trial_record(FAST, status="failed", reason="the head died", scorecard=None)))

    assert "failed: the head died" in text
    assert "makespan" not in text


# The ledger


def test_the_ledger_has_a_row_for_each_sweep(show: Show) -> None:
    invalid = trial_record(SLOW, scorecard=scorecard(valid=False))
    failed = trial_record(SLOW, status="failed", scorecard=None)
    text = show(ledger_table([sweep_record(trial_record(FAST), invalid, failed, status="failed", name="night")]))

    cells = row_of(text, "c0ffee00")
    assert (cells[1:3], cells[-3:]) == (["night", "local"], ["failed", "2/3", "1"])


def test_an_empty_ledger_has_a_head_only(show: Show) -> None:
    assert len(show(ledger_table([])).splitlines()) == 1


# Text from outside


@pytest.mark.parametrize(
    "table",
    [
        ledger_table([sweep_record(name=MARKUP)]),
        sweep_table(sweep_record(trial_record(FAST), name=MARKUP)),
        trial_tables(trial_record(FAST, status="failed", reason=MARKUP, scorecard=None)),
        trial_tables(trial_record(FAST, scorecard=scorecard(valid=False, invalid_because=(MARKUP,)))),
        trial_tables(trial_record(FAST, trace=MARKUP)),
    ],
    ids=["ledger: name", "sweep: name", "trial: reason", "trial: invalid", "trial: trace"],
)
def test_brackets_are_shown_as_they_are(show: Show, table: RenderableType) -> None:
    assert MARKUP in show(table)


def test_brackets_in_what_weakens_a_sweep_are_shown_as_they_are(show: Show) -> None:
    failed = trial_record(FAST, status="failed", reason=MARKUP, scorecard=None)

    assert MARKUP in show(sweep_table(sweep_record(failed)))


# A cluster's status


def describe(node_type: str, labels: Mapping[str, str], resources: Mapping[str, float]) -> NodeTraits:
    return NodeTraits("arm64" if node_type == "arm" else "x86_64")


def node_row(name: str, node_type: str, status: NodeStatus, used: float = 0.0) -> NodeRow:
    total = {"CPU": 2.0}
    return NodeRow(name, f"i-{name}", node_type, False, status, T0, total=total, used={"CPU": used})


def test_a_cluster_is_shown_by_node_type_and_architecture(show: Show) -> None:
    snapshot = Snapshot(
        t=T0,
        nodes=(
            node_row("a", "x86", "running", 2.0),
            node_row("b", "x86", "running", 1.0),
            node_row("c", "x86", "idle"),
            node_row("d", "x86", "dead"),
            node_row("e", "arm", "draining"),
        ),
        pending=(PendingNode("arm", count=2), PendingNode("arm", "i-new"), PendingNode("x86", "i-a")),
        demand=(Demand({"CPU": 1.0}, 7), Demand({"GPU": 1.0}, 0)),
    )
    text = show(status_table("127.0.0.1:6379", snapshot, describe))

    assert text.startswith("127.0.0.1:6379 at ")
    assert row_of(text, "x86") == ["x86", "x86_64", "2", "1", "0", "0", "1", "3/6"]
    assert row_of(text, "arm") == ["arm", "arm64", "0", "0", "1", "3", "0", "0/2"]
    assert "pending demand: 7 x {CPU=1}" in text
    assert "GPU" not in text


def test_a_cluster_without_demand_says_so(show: Show) -> None:
    assert "pending demand: none" in show(status_table("127.0.0.1:6379", Snapshot(t=T0), describe))
