"""`orchestrate export` on simulated sweeps."""

import sqlite3
from pathlib import Path

import polars as pl
import pytest

from tests.support.orchestrate_command import Orchestrate

TABLES = ("trials", "nodes", "tasks", "demand", "supply", "events", "faults")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Orchestrate:
    command = Orchestrate(tmp_path_factory.mktemp("simulated"))
    assert command("simulate", "--upscaling-speed", "1,10", "--tasks", "64", "--arrival", "waves").returncode == 0
    return command


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_a_sweep_is_seven_tables_and_their_dictionary(simulated: Orchestrate, tmp_path: Path, format: str) -> None:
    folder = tmp_path / "tables"
    result = simulated("export", "--format", format, "--to", str(folder))

    assert (result.returncode, result.stderr) == (0, "")
    assert "2 trials" in result.stdout
    assert {path.name for path in folder.iterdir()} == {*(f"{name}.{format}" for name in TABLES), "data-dictionary.md"}
    assert all(path.stat().st_size > 0 for path in folder.iterdir())


def test_the_tables_agree_with_show(simulated: Orchestrate, tmp_path: Path) -> None:
    assert simulated("export", "--to", str(tmp_path)).returncode == 0
    trials, nodes = (pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("trials", "nodes"))
    cost = dict(nodes.group_by("trial_id").agg(pl.col("cost_usd").sum()).rows())

    for trial in simulated.json("show")["trials"]:
        (row,) = trials.filter(trial_id=trial["trial_id"]).to_dicts()
        assert row["makespan_s"] == trial["scorecard"]["makespan_s"]
        assert row["cost_usd"] == trial["scorecard"]["cost_usd"]["total"]
        assert cost[trial["trial_id"]] == pytest.approx(row["cost_usd"])
    assert nodes.filter("launched").height == trials["launches"].sum()


def test_one_trial_goes_into_a_folder_of_its_name(
    simulated: Orchestrate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trial = simulated.json("show")["trials"][1]["trial_id"]

    assert simulated("export", trial[:6]).returncode == 0
    frame = pl.read_parquet(f"{trial}-export/trials.parquet")
    assert frame["trial_id"].to_list() == [trial]


def test_an_earlier_export_is_overwritten_by_force_only(simulated: Orchestrate, tmp_path: Path) -> None:
    arguments = ("export", "--to", str(tmp_path))
    assert simulated(*arguments).returncode == 0
    before = (tmp_path / "trials.parquet").stat().st_mtime_ns
    again = simulated(*arguments)

    assert again.returncode == 2
    assert "holds trials.parquet already" in again.stderr
    assert (tmp_path / "trials.parquet").stat().st_mtime_ns == before
    assert simulated(*arguments, "--force").returncode == 0
    assert (tmp_path / "trials.parquet").stat().st_mtime_ns > before


def test_a_trial_without_a_trace_is_noted_and_a_damaged_trace_is_an_error(
    orchestrate: Orchestrate, tmp_path: Path
) -> None:
    assert orchestrate("simulate", "--upscaling-speed", "1,10", "--tasks", "16").returncode == 0
    planned, other = orchestrate.json("show")["trials"]
    with sqlite3.connect(orchestrate.home / "ledger.db") as ledger:
        ledger.execute(
            "UPDATE trials SET trace = '', status = 'planned', scorecard = NULL WHERE trial_id = ?",
            (planned["trial_id"],),
        )
    ledger.close()
    result = orchestrate("export", "--to", str(tmp_path))

    assert result.returncode == 0
    assert result.stderr == f"note: no trace, so only a row in trials: {planned['trial_id']} (planned)\n"
    assert pl.read_parquet(tmp_path / "trials.parquet").height == 2
    assert set(pl.read_parquet(tmp_path / "nodes.parquet")["trial_id"]) == {other["trial_id"]}

    trace = Path(other["trace"])
    trace.write_text(trace.read_text().replace('"type":"node"', '"type":"node', 1))
    result = orchestrate("export", "--to", str(tmp_path / "again"))

    assert result.returncode == 2
    assert "damaged: this line is not an event" in result.stderr
    assert not (tmp_path / "again").exists()


def test_what_can_not_be_exported(simulated: Orchestrate, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    cases = {
        "no sweep or trial begins with 'f00'": ("f00",),
        "'xlsx' is not one of": ("--format", "xlsx"),
        f"{file} can't be written": ("--to", str(file)),
        f"{file / 'below'} can't be written": ("--to", str(file / "below")),
        "/proc/nowhere can't be written": ("--to", "/proc/nowhere"),
    }
    for message, arguments in cases.items():
        result = simulated("export", *arguments)

        assert result.returncode == 2, message
        assert message in result.stderr
        assert len(result.stderr.strip().splitlines()) <= 2
