"""`orchestrate simulate --optimise` as a user runs it: the same answer each time, kept as a study, clear errors."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from orchestrator.model.settings import Settings, short_labels
from tests.support.orchestrate_command import Orchestrate

CLUSTER = Path(__file__).parents[2] / "cluster" / "simulated.yaml"
SMALL = ("simulate", "--tasks", "64", "--task-seconds", "60")
SEARCH = (*SMALL, "--optimise", "makespan_s + 100*cost_usd", "--candidates", "8", "--repeat", "2")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any], Path]:
    """Stdout, document and home of one search."""
    command = Orchestrate(tmp_path_factory.mktemp("searched") / "home")
    file = command.home.with_name("optimum.json")
    result = command(*SEARCH, "--parallel", "1", "--json", str(file))
    assert result.returncode == 0, result.stderr
    *progress, stored = result.stderr.splitlines()
    assert all("settings tried" in line for line in progress), result.stderr
    assert f"optuna-dashboard sqlite:///{command.home / 'searches.db'}" in stored
    return result.stdout, json.loads(file.read_text()), command.home


def test_the_best_setting_is_printed_beside_the_reference_and_no_sweep_is_recorded(
    searched: tuple[str, dict[str, Any], Path],
) -> None:
    printed, document, home = searched
    lines = printed.splitlines()

    rows = {name: document[name] for name in ("reference", "best")} | {"front": document["front"][0]}
    settings = [Settings.model_validate(row["settings"]) for row in (*rows.values(), *document["front"][1:])]
    _, labels = short_labels(settings)
    for name, label in zip(rows, labels, strict=False):
        assert any(line.startswith(f"{name:<11}{label} ") for line in lines), name
    assert "objective: makespan_s + 100*cost_usd" in printed
    assert [path.name for path in home.glob("*.db")] == ["searches.db"]


def test_the_search_is_an_optuna_study_that_list_shows(searched: tuple[str, dict[str, Any], Path]) -> None:
    import optuna

    _, document, home = searched
    listed = Orchestrate(home)("list").stdout
    (name,) = optuna.get_all_study_names(f"sqlite:///{home / 'searches.db'}")
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{home / 'searches.db'}")
    best = {trial.user_attrs["setting"]: trial.values for trial in study.trials}[document["best"]["label"]]

    assert name in listed
    assert document["best"]["label"] in listed
    assert best == [
        document["best"]["objective"],
        document["best"]["makespan_s"]["median"],
        document["best"]["cost_usd"]["median"],
    ]
    assert study.metric_names == ["makespan_s + 100*cost_usd", "makespan_s", "cost_usd"]


def test_one_burst_is_named_as_an_assumption_of_a_short_idle_timeout(
    searched: tuple[str, dict[str, Any], Path],
) -> None:
    printed, document, _ = searched

    assert "assumption: all tasks arrive in one burst, so a short idle timeout does no harm here" in printed
    assert any("one burst" in each for each in document["assumptions"])


def test_the_best_can_be_pasted_into_a_cluster_config(searched: tuple[str, dict[str, Any], Path]) -> None:
    printed, document, _ = searched
    keys = yaml.safe_load(printed[printed.index("upscaling_speed: ") :])
    settings = document["best"]["settings"]

    assert keys == {name: settings[name] for name in ("upscaling_speed", "idle_timeout_minutes")}
    assert "RAY_enable_autoscaler_v2=1" in printed


def test_the_document_holds_the_whole_answer(searched: tuple[str, dict[str, Any], Path]) -> None:
    _, document, _ = searched
    front = [(row["makespan_s"]["median"], row["cost_usd"]["median"]) for row in document["front"]]

    assert document["seeds"] == [0, 1]
    assert document["searched"] == {"upscaling_speed": [0.1, 100], "idle_timeout_minutes": [0.1, 30]}
    assert document["fixed"] == {"autoscaler": "v2"}
    assert document["evaluated"] >= 8
    assert document["infeasible"] == 0
    assert document["best"]["objective"] < document["reference"]["objective"]
    assert front == sorted(front)
    assert [cost for _, cost in front] == sorted((cost for _, cost in front), reverse=True)


@pytest.mark.parametrize("parallel", ["2", "auto"])
def test_processes_give_the_answer_of_one(
    searched: tuple[str, dict[str, Any], Path], orchestrate: Orchestrate, parallel: str
) -> None:
    result = orchestrate(*SEARCH, "--parallel", parallel, "--json", "-")

    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == searched[1]
    assert "reference" in result.stderr


def test_a_row_is_what_a_sweep_of_its_setting_shows(
    searched: tuple[str, dict[str, Any], Path], orchestrate: Orchestrate
) -> None:
    best = searched[1]["best"]
    speed, idle = (str(best["settings"][name]) for name in ("upscaling_speed", "idle_timeout_minutes"))
    options = ("--upscaling-speed", speed, "--idle-timeout-minutes", idle, "--repeat", "2", "--json", "-")
    (row,) = json.loads(orchestrate(*SMALL, *options).stdout)["summary"]

    assert {**row, "best": True} == {name: value for name, value in best.items() if name != "objective"}


def test_without_a_price_the_front_is_against_node_seconds(orchestrate: Orchestrate, tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("prices: {m7i.2xlarge: 0.4}\n")
    options = (*SMALL, "--prices", str(prices), "--candidates", "4", "--repeat", "1", "--json", "-", "--optimise")
    result, refused = orchestrate(*options, "makespan"), orchestrate(*options, "makespan + cost")

    assert json.loads(result.stdout)["against"] == "node_seconds"
    assert "no price for m8g.2xlarge" in result.stderr
    assert refused.returncode == 2
    assert "no price for m8g.2xlarge" in refused.stderr
    assert "--prices" in refused.stderr


def test_where_nothing_can_be_judged_the_reason_is_told(orchestrate: Orchestrate) -> None:
    result = orchestrate(*SMALL, "--optimise", "makespan", "--candidates", "2", "--repeat", "1", "--timeout", "1s")

    assert result.returncode == 1
    assert "no setting could be judged; v2 speed=1 idle=5: the tasks took longer than 1 virtual s" in result.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--optimise", "cots"), "--optimise: column 1: unknown name 'cots'; use one of makespan, cost"),
        (("--optimise", ""), "--optimise: the expression is empty"),
        (("--optimise", "__import__('os')"), "--optimise: column 1"),
        (("--optimise", "cost", "--resume", "@last"), "--optimise has no --resume"),
        (("--optimise", "cost", "--dry-run"), "--optimise has no --dry-run"),
        (("--optimise", "cost", "--name", "n"), "--optimise has no --name"),
        (("--optimise", "cost", "--order", "random"), "--optimise has no --order"),
        (("--optimise", "cost", "--candidates", "0"), "--candidates: 0 isn't between 1 and 10000"),
        (("--optimise", "cost", "--candidates", "10001"), "--candidates: 10001 isn't between"),
        (("--optimise", "cost", "--candidates", "few"), "'--candidates'"),
        (("--candidates", "8"), "--candidates is for --optimise"),
        (("--optimise", "cost", "--target-utilization-fraction", "0.5,0.8"), "searches upscaling_speed"),
        (("--optimise", "cost", "--upscaling-speed", "1", "--idle-timeout-minutes", "5"), "nothing to search"),
        (("--optimise", "cost", "--upscaling-speed", "0,10"), "upscaling_speed"),
        (("--optimise", "cost", "--json", "nowhere/x.json"), "--json"),
        (("--optimise", "cost", "--parallel", "0"), "--parallel"),
        (("--optimise", "cost", "--set", "min_workers=0,9", "--set", "max_workers=2,9"), "min_workers 9 is above"),
    ],
)
def test_bad_input_is_one_clear_error(orchestrate: Orchestrate, options: tuple[str, ...], said: str) -> None:
    result = orchestrate("simulate", *options)

    assert result.returncode == 2, result.stderr
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 2
    assert not orchestrate.home.exists()


def test_ctrl_c_leaves_nothing(orchestrate: Orchestrate) -> None:
    process = orchestrate.start("simulate", "--optimise", "cost", "--candidates", "10000", "--parallel", "2")
    children = psutil.Process(process.pid).children
    orchestrate.wait_for(lambda: len(children(recursive=True)) >= 3, process, "workers")
    workers = children(recursive=True)
    os.kill(process.pid, signal.SIGINT)
    code = process.wait(30)
    _, alive = psutil.wait_procs(workers, timeout=10)

    assert code == 130
    assert alive == []
    assert [path.name for path in orchestrate.home.iterdir()] == ["output.txt"]


def test_help_does_not_load_optuna() -> None:
    code = "import sys; import orchestrator.cli.app; print('optuna' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "False"
