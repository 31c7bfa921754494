"""A sweep's trials and traces as polars frames, and their files."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.model.prices import Prices
from orchestrator.report.export.columns import Kind, TableOf, data_dictionary
from orchestrator.report.export.trace_columns import DEMAND, EVENTS, FAULTS, NODES, SUPPLY, TASKS
from orchestrator.report.export.trace_rows import (
    Recorded,
    demand_rows,
    event_rows,
    fault_rows,
    node_rows,
    supply_rows,
    task_rows,
)
from orchestrator.report.export.trial_columns import TRIALS, trials_table
from orchestrator.sweeps.ledger import TrialRecord
from orchestrator.trace.file import read_trace

if TYPE_CHECKING:
    import polars as pl

Format = Literal["parquet", "csv"]
DICTIONARY = "data-dictionary.md"
# Spreadsheets pass over blanks and control characters before a sign, and know the wide forms of signs, too.
_FORMULA = r"^[\s\x00-\x1f]*[=+\-@|\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}]"

# The tables of one trace: definition, and the rows of it.
_OF_TRACE: tuple[tuple[TableOf[Any], Callable[[Recorded], Sequence[Any]]], ...] = (
    (NODES, node_rows),
    (TASKS, task_rows),
    (DEMAND, demand_rows),
    (SUPPLY, supply_rows),
    (EVENTS, event_rows),
    (FAULTS, fault_rows),
)


def tables() -> tuple[TableOf[Any], ...]:
    """Return the definitions of all tables."""
    return (trials_table(), *(table for table, _ in _OF_TRACE))


@dataclass(frozen=True)
class TraceFrames:
    """The tables that come from traces; `tables` describes their columns."""

    nodes: "pl.DataFrame"
    tasks: "pl.DataFrame"
    demand: "pl.DataFrame"
    supply: "pl.DataFrame"
    events: "pl.DataFrame"
    faults: "pl.DataFrame"


def trials_frame(records: Sequence[TrialRecord]) -> "pl.DataFrame":
    """Return a row for each trial."""
    return _frame(trials_table(), records)


def has_trace(record: TrialRecord) -> bool:
    """Return true if the trial has a trace; a planned trial has none yet."""
    return bool(record.trace) and Path(record.trace).is_file()


def trace_frames(
    records: Iterable[TrialRecord], prices: Prices | None, begin: Callable[[TrialRecord], object] = lambda _: None
) -> TraceFrames:
    """Return the tables of all trials with a trace, calling `begin` for each. Raises SpecError for a damaged trace.

    One trace is in memory at a time.
    """
    import polars as pl

    found: dict[str, list[pl.DataFrame]] = {table.name: [_frame(table, ())] for table, _ in _OF_TRACE}
    for record in records:
        if has_trace(record):
            begin(record)
            recorded = Recorded(record.sweep_id, record.trial, read_trace(Path(record.trace)).events, prices)
            for table, rows in _OF_TRACE:
                found[table.name].append(_frame(table, rows(recorded)))
    return TraceFrames(**{name: pl.concat(frames) for name, frames in found.items()})


def files(folder: Path, format: Format) -> list[Path]:
    """Return the files that `write` would write to the folder."""
    return [*(folder / f"{table.name}.{format}" for table in tables()), folder / DICTIONARY]


def write(
    folder: Path, format: Format, trials: "pl.DataFrame", frames: TraceFrames, assumptions: Sequence[str] = ()
) -> None:
    """Write all tables and their dictionary, over files of these names; makes the folder. Raises OSError.

    The dictionary ends with what the numbers rest on without the user having said so.
    """
    folder.mkdir(parents=True, exist_ok=True)
    named = {TRIALS: trials, **{field.name: getattr(frames, field.name) for field in fields(frames)}}
    for name, frame in named.items():
        with (folder / f"{name}.{format}").open("wb") as file:
            if format == "parquet":
                frame.write_parquet(file)
            else:
                _without_formulas(frame).write_csv(file)
    (folder / DICTIONARY).write_text(data_dictionary(tables(), assumptions), encoding="utf-8")


def _without_formulas(frame: "pl.DataFrame") -> "pl.DataFrame":
    """Return the table with an apostrophe before each text that a spreadsheet would take for a formula and run.

    Names can come from a cluster file or a trace of somebody else. Numbers have columns of their own and stay.
    """
    import polars as pl

    texts = pl.col(pl.String)
    return frame.with_columns(pl.when(texts.str.contains(_FORMULA)).then("'" + texts).otherwise(texts).name.keep())


def _frame(table: TableOf[Any], rows: Sequence[Any]) -> "pl.DataFrame":
    import polars as pl

    types: dict[Kind, pl.DataType] = {
        "text": pl.String(),
        "number": pl.Float64(),
        "count": pl.Int64(),
        "flag": pl.Boolean(),
        "time": pl.Datetime("us", "UTC"),
    }
    values = table.values(rows)
    for column in table.columns:
        if column.kind == "time":
            values[column.name] = [None if t is None else datetime.fromtimestamp(t, UTC) for t in values[column.name]]
    return pl.DataFrame(values, schema={column.name: types[column.kind] for column in table.columns})
