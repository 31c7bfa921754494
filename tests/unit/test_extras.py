"""A base installation lacks what single commands need, and says how to get it."""

import importlib.metadata
import sys
from pathlib import Path

import pytest

from orchestrator.extras import DISTRIBUTION, extra_of
from orchestrator.version import __version__
from tests.support.command_line import Run
from tests.support.ledgers import write_sweep


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)
    return Run(monkeypatch, capsys)


@pytest.mark.parametrize(
    ("module", "extra"),
    [("plotly.offline", "report"), ("jinja2", "report"), ("polars", "report"), ("optuna", "search"), ("ray", None)],
)
def test_the_extra_of_a_module_comes_from_the_metadata(module: str, extra: str | None) -> None:
    assert extra_of(module) == extra


def test_a_missing_extra_is_one_line_and_the_way_to_get_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sweep(Path(".orchestrate"), {1: [50.0]}).close()
    monkeypatch.setitem(sys.modules, "polars", None)
    code, _, err = run("export", "@last", "--to", "tables")

    assert code == 3
    assert err.splitlines() == ["error: polars isn't installed", f"hint: pip install '{DISTRIBUTION}[report]'"]


def test_the_version_names_rays_version_too(run: Run) -> None:
    code, out, _ = run("--version")

    assert (code, out) == (0, f"orchestrate {__version__} (Ray {importlib.metadata.version('ray')})\n")
