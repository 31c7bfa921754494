"""Progress in a notebook: what each cell shows, and what it ends with."""

from collections.abc import Callable

import pytest

from orchestrator.model.events import PhaseEvent
from orchestrator.report.notebook.reporter import NotebookReporter, in_notebook
from tests.support.builders import trial


class Cell:
    """The output of a cell: what was shown, the newest last."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def __call__(self, html: str) -> Callable[[str], None]:
        self.shown.append(html)
        return self.shown.append


@pytest.fixture
def cell() -> Cell:
    return Cell()


def test_trials_are_counted_and_failures_stay(cell: Cell) -> None:
    trials = [trial(repeat=1), trial(repeat=2)]
    with NotebookReporter(cell).running(trials, real_time=False) as watcher:
        for number, each in enumerate(trials, start=1):
            watcher.trial_started(number, 2, each)
            watcher.trial_ended(each, None, "the <job> failed" if number == 2 else "")

    assert 'value="0" max="2"' in cell.shown[0]
    assert 'value="2" max="2"' in cell.shown[-1]
    assert "failed: the &lt;job&gt; failed" in cell.shown[-1]


@pytest.mark.parametrize("real_time", [True, False])
def test_phases_are_shown_in_real_time_only(cell: Cell, real_time: bool) -> None:
    with NotebookReporter(cell).running([trial()], real_time=real_time) as watcher:
        watcher.trial_started(1, 1, trial())
        watcher.event(PhaseEvent(t=0.0, phase="scaling_down"))

    assert any("scaling down" in html for html in cell.shown) is real_time
    assert "scaling down" not in cell.shown[-1]


def test_a_resumed_sweep_counts_the_trials_before(cell: Cell) -> None:
    with NotebookReporter(cell).running([trial()] * 3, real_time=False) as watcher:
        watcher.trial_started(3, 3, trial())

    assert 'value="2" max="3"' in cell.shown[-1]


def test_a_search_shows_the_lowest_objective(cell: Cell) -> None:
    with NotebookReporter(cell).searching(8) as tell:
        tell(1, None)
        tell(8, 1.25)

    assert "none judged yet" in cell.shown[-2]
    assert 'value="8" max="8"' in cell.shown[-1]
    assert "lowest objective 1.25" in cell.shown[-1]


def test_work_is_shown_while_it_lasts_even_if_it_fails(cell: Cell) -> None:
    def fail() -> None:
        with NotebookReporter(cell).working("reading") as update:
            update("reading <2>")
            raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        fail()

    assert cell.shown == ["<div>reading</div>", "<div>reading &lt;2&gt;</div>", ""]


def test_steps_have_details(cell: Cell) -> None:
    with NotebookReporter(cell).steps() as step:
        step("pulling", "3 MB")
        step("starting", "")

    assert cell.shown[1:3] == ["<div>pulling: 3 MB</div>", "<div>starting</div>"]


def test_a_test_is_no_notebook() -> None:
    assert not in_notebook()
