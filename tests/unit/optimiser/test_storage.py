"""Searches are kept as studies, and listed without optuna."""

import warnings
from pathlib import Path

import optuna
import pytest

from orchestrator.errors import InputError
from orchestrator.optimiser.storage import SearchRecord, SearchStore


@pytest.fixture(autouse=True)
def _metric_names_are_experimental() -> None:
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)


def study() -> optuna.Study:
    """A study of two finished trials, and one that was never told."""
    made = optuna.create_study(directions=["minimize", "minimize"])
    made.set_metric_names(["cost_usd", "makespan_s"])
    for cost in (2.0, 1.0):
        asked = made.ask({"speed": optuna.distributions.FloatDistribution(0.1, 100, log=True)})
        asked.set_user_attr("setting", f"speed={asked.params['speed']}")
        made.tell(asked, [cost, 600.0])
    made.ask()
    return made


def test_a_search_is_a_study_with_the_same_trials(tmp_path: Path) -> None:
    store, made = SearchStore(tmp_path / "searches.db"), study()
    store.add(made, "3f2a90c1", {"objective": "cost"})
    kept = optuna.load_study(study_name="3f2a90c1", storage=store.url)

    assert [(trial.params, trial.values, trial.user_attrs) for trial in kept.trials] == [
        (trial.params, trial.values, trial.user_attrs) for trial in made.trials[:2]
    ]
    assert kept.metric_names == ["cost_usd", "makespan_s"]


def test_searches_are_listed_from_the_newest_to_the_oldest(tmp_path: Path) -> None:
    store = SearchStore(tmp_path / "searches.db")
    store.add(study(), "aaaa0001", {"objective": "cost", "seeds": [0, 1]})
    store.add(study(), "aaaa0002", {"objective": "makespan", "best": None})

    assert store.all() == [
        SearchRecord("aaaa0002", {"objective": "makespan", "best": None}),
        SearchRecord("aaaa0001", {"objective": "cost", "seeds": [0, 1]}),
    ]


def test_a_home_without_searches_has_none_and_gets_no_file(tmp_path: Path) -> None:
    store = SearchStore(tmp_path / "searches.db")

    assert store.all() == []
    assert not store.path.exists()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    store = SearchStore(tmp_path / "searches.db")
    store.path.write_text("nothing of the kind, and longer than the header of a database " * 20)

    with pytest.raises(InputError, match=r"searches\.db holds no searches"):
        store.all()
    with pytest.raises(InputError, match="can't be stored"):
        store.add(study(), "aaaa0001", {})
