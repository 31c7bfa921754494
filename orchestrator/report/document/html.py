"""The report as one HTML page that needs no other file and no network."""

import base64
import gzip
import json
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from orchestrator.palette import INK, MUTED, PAPER
from orchestrator.report.document.content import Report, SettingSection, trial_facts
from orchestrator.report.document.environment import when
from orchestrator.report.document.grids import faults_grid, launches_grid, why_no_other
from orchestrator.report.document.plot import Figure
from orchestrator.report.document.sweep_plots import costs_grid, sweep_figures
from orchestrator.report.document.trial_plots import trial_figures
from orchestrator.version import __version__

MAX_DOUBTS = 8


@dataclass(frozen=True)
class Placed:
    """A figure, and its place among those that the page holds."""

    index: int
    figure: Figure


@dataclass
class _Figures:
    """The figures of a page, in their order."""

    all: list[Figure] = field(default_factory=list)

    def place(self, figure: Figure) -> Placed:
        self.all.append(figure)
        return Placed(len(self.all) - 1, figure)


def html_page(report: Report) -> str:
    """Return the whole page. What users typed is escaped; the page's own policy forbids it any request."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    figures = _Figures()
    sections = [_section(section, figures) for section in report.sections]
    environment = Environment(
        loader=PackageLoader("orchestrator.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    whole = [figures.place(figure) for figure in sweep_figures(report)]
    packed = json.dumps([figure.plotly for figure in figures.all], separators=(",", ":"), allow_nan=False)
    return environment.get_template("report.html.j2").render(
        report=report,
        record=report.record,
        begun=when(report.record.created),
        sections=sections,
        figures=whole,
        costs=costs_grid(report),
        max_doubts=MAX_DOUBTS,
        version=__version__,
        css=Markup(_resource("report.css")),
        js=Markup(_resource("report.js")),
        stand_ins={"ink": INK, "muted": MUTED, "paper": PAPER},
        packed_figures=_packed(packed.encode()),
        packed_plotly=_packed_plotly(),
    )


def _section(section: SettingSection, figures: _Figures) -> dict[str, Any]:
    valid = sum(1 for row in section.trials.rows if row[-1].text == "valid")
    return {
        "number": section.number,
        "label": section.label,
        "all": section.trials,
        "trials": [
            {
                "id": drawn.record.trial.trial_id,
                "repeat": drawn.record.trial.repeat,
                "of": valid if drawn.record is section.representative and valid > 1 else 0,
                "facts": trial_facts(drawn.record),
                "problem": drawn.problem,
                "faults": None if drawn.series is None else faults_grid(drawn.series.hits),
                "launches": launches_grid(drawn.explanation),
                "why_no_other": why_no_other(drawn.explanation),
                "figures": [figures.place(figure) for figure in trial_figures(drawn.series)],
            }
            for drawn in section.drawn
        ],
    }


def _resource(name: str) -> str:
    return (resources.files("orchestrator.report") / "templates" / name).read_text(encoding="utf-8")


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


@cache
def _packed_plotly() -> str:
    from plotly.offline import get_plotlyjs

    return _packed(get_plotlyjs().encode())
