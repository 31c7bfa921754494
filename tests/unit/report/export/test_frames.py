"""The tables for export, from traces that can be computed by hand. Seconds stand for seconds after the submission."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from orchestrator.analysis.trial.score import score
from orchestrator.model.events import LAUNCH_STAGES, Event
from orchestrator.model.prices import Prices
from orchestrator.model.scorecard import ByPart, Elasticity, Quantiles, Scorecard
from orchestrator.model.settings import Settings
from orchestrator.model.workload import Workload
from orchestrator.report.export.columns import data_dictionary
from orchestrator.report.export.frames import TraceFrames, files, tables, trace_frames, trials_frame, write
from orchestrator.sweeps.ledger import TrialRecord
from orchestrator.trace.file import TraceWriter
from tests.support.builders import T0, baseline, fault, life, node, phase, sound, task, trial, trial_record

PRICES = Prices(usd_per_hour={"m7i.large": 0.36, "m8g.xlarge": 0.72})
TRACE = sound(
    baseline("n0").model_copy(update={"instance_type": "m7i.large"}),
    node(1, "n0", "running"),
    life("a1", "arm", requested=2, allocated=3, installing=8, running=10, idle=30, draining=45, terminated=103),
    node(3, "a1", "allocated", node_type="arm", instance_type="m8g.xlarge"),
    task("n0", 1, 11, count=2),
    task("a1", 12, 30, node_type="arm", submitted=0.5),
    end=110,
)
TRIAL = trial(tasks=3, upscaling_speed=5)


@pytest.fixture
def recorded(tmp_path: Path) -> TrialRecord:
    return record(tmp_path, TRACE)


def record(folder: Path, events: Sequence[Event], **more: Any) -> TrialRecord:
    """A trial of the ledger whose trace holds the events."""
    path = folder / "trace.jsonl"
    with TraceWriter(path, trial=TRIAL) as trace:
        for event in events:
            trace.emit(event)
    return trial_record(TRIAL, trace=str(path), scorecard=score(TRIAL, events, PRICES), **more)


def named(frames: TraceFrames, trials: pl.DataFrame) -> dict[str, pl.DataFrame]:
    return {"trials": trials, **{table.name: getattr(frames, table.name) for table in tables()[1:]}}


# Trials


def test_a_trial_is_a_row_with_its_settings_and_times(recorded: TrialRecord) -> None:
    (row,) = trials_frame([recorded]).to_dicts()

    assert (row["trial_id"], row["setting"], row["status"]) == (TRIAL.trial_id, "v2 speed=5", "done")
    assert (row["upscaling_speed"], row["idle_timeout_minutes"], row["max_launch_batch"]) == (5.0, None, 5)
    assert (row["workload_tasks"], row["workload_arrival"]) == (3, "burst")
    assert row["started"] == datetime.fromtimestamp(T0, UTC)
    assert (row["makespan_s"], row["launches"], row["valid"], row["reason"]) == (30.0, 1, True, None)


def test_a_trial_that_has_not_begun_is_a_row_of_nulls(recorded: TrialRecord) -> None:
    planned = trial_record(TRIAL, status="planned", started=None, ended=None, trace="", scorecard=None)
    frame = trials_frame([recorded, planned])

    assert frame["makespan_s"].to_list() == [30.0, None]
    assert frame["started"].to_list()[1] is None
    assert frame.schema == trials_frame([planned]).schema == trials_frame([]).schema


def test_every_number_of_a_scorecard_is_in_its_row() -> None:
    """Each leaf has a value of its own, from 1 up."""
    numbers = iter(range(1, 1000))

    def quantiles() -> Quantiles:
        return Quantiles(p50=next(numbers), p95=next(numbers), max=next(numbers), n=next(numbers))

    def parts() -> ByPart:
        arches = {"x86_64": next(numbers), "arm64": next(numbers), "unknown": next(numbers)}
        return ByPart(total=next(numbers), by_arch=arches)

    groups = ("all", "x86_64", "arm64", "unknown")
    values: dict[str, Any] = {
        "node_seconds": parts(),
        "idle_node_seconds": parts(),
        "cost_usd": parts(),
        "tasks_per_usd": {group: next(numbers) for group in groups},
        "uncapped": Elasticity(**{name: next(numbers) for name in Elasticity.model_fields}),
        "task_wait_s": {group: quantiles() for group in groups},
        "launch_s": {
            group: {stage: quantiles() for stage in ("request", "boot", "install", "launch")} for group in groups
        },
        "valid": True,
        "invalid_because": ("one", "two"),
        "warnings": ("three",),
    }
    values |= {name: next(numbers) for name in Scorecard.model_fields if name not in values}
    (row,) = trials_frame([trial_record(TRIAL, scorecard=Scorecard(**values))]).to_dicts()
    shown = list(row.values())[list(row).index("makespan_s") :]

    assert sorted(value for value in shown if type(value) in (int, float)) == list(range(1, next(numbers)))
    assert (row["valid"], row["invalid_because"], row["warnings"]) == (True, "one; two", "three")
    assert (row["cost_usd"], row["cost_usd_arm64"]) == (values["cost_usd"].total, values["cost_usd"].by_arch["arm64"])
    assert row["boot_p95_s_arm64"] == values["launch_s"]["arm64"]["boot"].p95
    assert row["task_wait_max_s"] == values["task_wait_s"]["all"].max


def test_every_setting_and_the_workloads_scalars_have_a_column() -> None:
    columns = trials_frame([]).columns

    assert Settings.model_fields.keys() <= set(columns)
    scalars = Workload.model_fields.keys() - {"resources", "labels", "arrival_parameters", "observed"}
    assert {f"workload_{name}" for name in scalars} <= set(columns)


# Traces


def test_a_node_is_a_row_with_its_waterfall_and_its_cost(recorded: TrialRecord) -> None:
    frame = trace_frames([recorded], PRICES).nodes
    there, launched = frame.to_dicts()

    assert {name.removesuffix("_s"): launched[name] for name in frame.columns if name.endswith("_s")} == {
        "queued": 0.5,
        "requested": 2,
        "allocated": 3,
        "installing": 8,
        "running": 10,
        "first_task": 12,
        "idle": 30,
        "draining": 45,
        "terminated": 103,
        "failed": None,
        **dict.fromkeys(LAUNCH_STAGES),  # of clouds with machines
        "billed": 100,
    }
    assert (launched["arch"], launched["cpus"], launched["baseline"], launched["launched"]) == ("arm64", 4, False, True)
    assert (there["arch"], there["baseline"], there["launched"], there["running_s"]) == ("x86_64", True, False, None)
    assert launched["cost_usd"] == pytest.approx(100 * 0.72 / 3600)
    assert there["billed_s"] == 103


def test_the_nodes_cost_what_the_scorecard_says(recorded: TrialRecord) -> None:
    nodes = trace_frames([recorded], PRICES).nodes

    assert recorded.scorecard is not None
    assert recorded.scorecard.cost_usd is not None
    assert nodes["cost_usd"].sum() == pytest.approx(recorded.scorecard.cost_usd.total)
    assert nodes["billed_s"].sum() == pytest.approx(recorded.scorecard.node_seconds.total)


@pytest.mark.parametrize("prices", [None, Prices(usd_per_hour={"m7i.large": 0.36})])
def test_a_node_without_a_price_costs_null(recorded: TrialRecord, prices: Prices | None) -> None:
    there, launched = trace_frames([recorded], prices).nodes.to_dicts()

    assert launched["cost_usd"] is None
    assert launched["billed_s"] == 100
    assert (there["cost_usd"] is None) == (prices is None)


def test_tasks_alike_are_a_row(recorded: TrialRecord) -> None:
    rows = trace_frames([recorded], PRICES).tasks.to_dicts()

    assert [(row["node"], row["arch"], row["count"]) for row in rows] == [("n0", "x86_64", 2), ("a1", "arm64", 1)]
    assert [(row["submitted_s"], row["started_s"], row["ended_s"]) for row in rows] == [(0, 1, 11), (0.5, 12, 30)]


def steps(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    """The rows without their ids."""
    return frame.drop("sweep_id", "trial_id").rows()


def test_demand_is_a_row_for_each_arch_at_each_step(recorded: TrialRecord) -> None:
    demand = trace_frames([recorded], PRICES).demand

    assert demand.columns[2:] == [
        "elapsed_s",
        "arch",
        "pending_tasks",
        "running_tasks",
        "pending_cpus",
        "running_cpus",
    ]
    assert steps(demand) == [
        (0, "arm64", 0, 0, 0, 0),
        (0, "x86_64", 2, 0, 2, 0),
        (0.5, "arm64", 1, 0, 1, 0),
        (0.5, "x86_64", 2, 0, 2, 0),
        (1, "arm64", 1, 0, 1, 0),
        (1, "x86_64", 0, 2, 0, 2),
        (11, "arm64", 1, 0, 1, 0),
        (11, "x86_64", 0, 0, 0, 0),
        (12, "arm64", 0, 1, 0, 1),
        (12, "x86_64", 0, 0, 0, 0),
        (30, "arm64", 0, 0, 0, 0),
        (30, "x86_64", 0, 0, 0, 0),
    ]


def test_supply_has_no_row_where_nothing_changes_and_lasts_beyond_the_trace(recorded: TrialRecord) -> None:
    """The idle node's work, the launch's stages and the end of the trace change no supply."""
    supply = trace_frames([recorded], PRICES).supply

    assert supply.columns[2:] == ["elapsed_s", "arch", "nodes", "cpus", "launching"]
    assert steps(supply.filter(arch="arm64")) == [
        (-100, "arm64", 0, 0, 0),
        (2, "arm64", 0, 0, 1),
        (10, "arm64", 1, 4, 0),
        (45, "arm64", 0, 0, 0),
    ]
    assert set(supply.filter(arch="x86_64")["nodes"]) == {1}


def test_a_scaling_event_is_a_row(recorded: TrialRecord) -> None:
    events = trace_frames([recorded], PRICES).events

    first = events.row(0, named=True)
    assert (first["elapsed_s"], first["state"], first["cause"], first["previous"]) == (-100, "idle", "baseline", None)
    assert first["time"] == datetime.fromtimestamp(T0 - 100, UTC)
    assert events.height == 10


def test_a_fault_is_a_row_with_what_followed(tmp_path: Path) -> None:
    hit = [fault(20, "n0", tasks=2), node(20, "n0", "failed"), *life("n9", running=31)]
    frame = trace_frames([record(tmp_path, sound(baseline("n0"), task("n0", 1, 11, count=3), *hit))], PRICES).faults

    (row,) = frame.drop("sweep_id", "trial_id").rows(named=True)
    assert row == {
        "elapsed_s": 20,
        "fault": "kill@20",
        "kind": "kill",
        "node": "n0",
        "node_type": "x86",
        "arch": "x86_64",
        "tasks": 2,
        "until_s": None,
        "lost_s": 20,
        "replaced_s": 31,
    }


def test_the_faults_of_the_workload_are_a_column() -> None:
    with_faults = trial_record(trial(workload={"faults": ["kill@20", "spot@2/h"]}))

    assert trials_frame([with_faults, trial_record(trial())])["workload_faults"].to_list() == [
        "kill@20, spot@2/h",
        None,
    ]


def test_a_trial_without_a_trace_is_in_no_table_but_that_of_trials(recorded: TrialRecord) -> None:
    planned = trial_record(TRIAL, status="planned", trace="")
    gone = trial_record(TRIAL, trace=f"{recorded.trace}.gone")
    seen: list[TrialRecord] = []
    frames = trace_frames([planned, recorded, gone], PRICES, seen.append)

    assert seen == [recorded]
    assert frames.nodes.height == 2


def test_a_failed_trial_without_a_task_still_has_its_nodes(tmp_path: Path) -> None:
    failed = record(tmp_path, [baseline("n0"), phase(0, "running"), *life("n1", requested=5, failed=6)])
    frames = trace_frames([failed], PRICES)

    assert frames.nodes["failed_s"].to_list() == [None, 6]
    assert frames.nodes["launched"].to_list() == frames.nodes["cost_usd"].to_list() == [None, None]
    assert (frames.tasks.height, frames.demand.height, frames.events.height) == (0, 0, 3)


def test_a_trial_that_failed_before_its_submission_has_no_seconds_after_it(tmp_path: Path) -> None:
    frames = trace_frames([record(tmp_path, [baseline("n0"), phase(3, "failed")])], PRICES)

    assert frames.events["elapsed_s"].to_list() == [None]
    assert frames.events["time"].null_count() == 0


# All tables


def test_frames_have_nulls_and_never_nan(recorded: TrialRecord) -> None:
    for frame in named(trace_frames([recorded], None), trials_frame([recorded])).values():
        for column in frame.iter_columns():
            if column.dtype == pl.Float64:
                assert not column.is_nan().any(), column.name


def described(markdown: str) -> Iterator[tuple[str, list[str]]]:
    """The tables of a data dictionary and their columns."""
    for part in markdown.split("\n## ")[1:]:
        name, *lines = part.splitlines()
        yield name, [line.split("`")[1] for line in lines if line.startswith("| `")]


def test_the_data_dictionary_names_each_column_of_each_table(recorded: TrialRecord) -> None:
    frames: Mapping[str, pl.DataFrame] = named(trace_frames([recorded], PRICES), trials_frame([recorded]))

    assert dict(described(data_dictionary(tables()))) == {name: frame.columns for name, frame in frames.items()}


def test_each_column_has_a_name_of_its_own_and_a_meaning() -> None:
    for table in tables():
        names = [column.name for column in table.columns]

        assert len(set(names)) == len(names)
        assert all(column.meaning for column in table.columns)
        assert all(column.unit for column in table.columns if column.name.endswith(("_s", "_usd", "cpus")))


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_what_is_written_is_what_can_be_read_again(recorded: TrialRecord, tmp_path: Path, format: Any) -> None:
    folder = tmp_path / "new" / "folder"
    trials, frames = trials_frame([recorded]), trace_frames([recorded], PRICES)
    write(folder, format, trials, frames)

    assert sorted(files(folder, format)) == sorted(folder.iterdir())
    for name, frame in named(frames, trials).items():
        path = folder / f"{name}.{format}"
        if format == "parquet":
            assert pl.read_parquet(path).equals(frame)
        else:
            read = pl.read_csv(path, schema_overrides=frame.schema)
            assert read.columns == frame.columns
            assert read.select(pl.selectors.numeric()).equals(frame.select(pl.selectors.numeric()))


FORMULAS = [
    "=1+1",
    "+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    " =1",
    "\r=1",
    "|calc",
    "\uff1d1",
    '=HYPERLINK("http://evil.example")',
]


@pytest.mark.parametrize("name", FORMULAS)
def test_a_name_of_somebody_else_is_no_formula_in_a_spreadsheet(tmp_path: Path, name: str) -> None:
    lives = [each.model_copy(update={"node_type": name}) for each in life("n1", requested=0, allocated=5, running=30)]
    frames = trace_frames([record(tmp_path, sound(*lives))], PRICES)
    write(tmp_path / "csv", "csv", trials_frame([]), frames)
    read = pl.read_csv(tmp_path / "csv" / "nodes.csv", infer_schema=False)

    assert f"'{name}" in read["node_type"].to_list()
    assert not [cell for column in read for cell in column if cell and cell.lstrip()[:1] in "=+@|\uff1d"]


def test_numbers_below_zero_stay_numbers(tmp_path: Path) -> None:
    frames = trace_frames([record(tmp_path, sound(*life("n1", requested=-5, allocated=5, running=30)))], PRICES)
    write(tmp_path / "csv", "csv", trials_frame([]), frames)

    assert "'-" not in (tmp_path / "csv" / "nodes.csv").read_text()
