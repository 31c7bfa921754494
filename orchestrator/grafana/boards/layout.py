"""What all boards are made of: the frame with its links and annotations, and where panels stand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import DataSourceRef

from orchestrator.grafana.boards.variables import DATASOURCE, Variable, choosing, datasource_variable

TAG = "orchestrate"
COLUMNS = 24
GRAFANA = DataSourceRef(type_val="grafana", uid="-- Grafana --")
# As often as the stack's Prometheus scrapes.
REFRESH = "5s"

# uid and name; the other boards' links lead here.
BOARDS = {
    "orchestrate-trial": "Trial",
    "orchestrate-compare": "Compare",
    "orchestrate-nodes": "Nodes",
    "orchestrate-sweep": "Sweep",
    "orchestrate-health": "Autoscaler health",
}
# Its time axis is elapsed time in the year 2000: such a range means nothing elsewhere.
_OWN_TIME = "orchestrate-compare"
_MOST_ANNOTATIONS = 1000
# Where several sweeps may be chosen, or all: the boards of one can't take that over.
_SEVERAL = ("orchestrate-compare", "orchestrate-health")
_OF_A_TRIAL = ("orchestrate-trial", "orchestrate-nodes")


@dataclass(frozen=True)
class Section:
    """A titled row of a board, and its panels from left to right, top to bottom; their width and height are set."""

    title: str
    panels: Sequence[model.Panel]


def board(
    uid: str,
    description: str,
    *,
    variables: Sequence[Variable],
    sections: Sequence[Section],
    annotations: Sequence[Builder[model.AnnotationQuery]] = (),
    time: tuple[str, str] = ("now-1h", "now"),
    timezone: str = "browser",
    refresh: str = REFRESH,
) -> model.Dashboard:
    """The board `uid` of `BOARDS`; panels get their ids in the order in which they stand."""
    frame = (
        build.Dashboard(f"Orchestrate / {BOARDS[uid]}")
        .uid(uid)
        .description(description)
        .tags([TAG, "ray"])
        .timezone(timezone)
        .time(*time)
        .refresh(refresh)
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .variables([datasource_variable(), *variables])
        .annotations(list(annotations))
        .links([_link(uid, other) for other in BOARDS if other != uid])
        .build()
    )
    frame.panels = list(_placed(sections))
    return frame


def _placed(sections: Sequence[Section]) -> list[model.Panel | model.RowPanel]:
    placed: list[model.Panel | model.RowPanel] = []
    y = 0
    for section in sections:
        row = build.Row(section.title).id(len(placed) + 1).grid_pos(model.GridPos(h=1, w=COLUMNS, x=0, y=y)).build()
        placed.append(row)
        x, y, height = 0, y + 1, 0
        for panel in section.panels:
            assert panel.grid_pos is not None
            width = panel.grid_pos.w
            if x + width > COLUMNS:
                x, y, height = 0, y + height, 0
            panel.id_val = len(placed) + 1
            panel.grid_pos = model.GridPos(h=panel.grid_pos.h, w=width, x=x, y=y)
            placed.append(panel)
            x, height = x + width, max(height, panel.grid_pos.h)
        y += height
    return placed


def _link(here: str, there: str) -> Builder[model.DashboardLink]:
    compares = there == _OWN_TIME and here in _OF_A_TRIAL
    takes_over = here not in _SEVERAL and not compares
    carried = "" if takes_over else "?var-datasource=${datasource}"
    if compares:
        carried += "&" + choosing("base", "${sweep_id}", "${trial_id}")
    return (
        build.DashboardLink(BOARDS[there])
        .type(model.DashboardLinkType.LINK)
        .icon("dashboard")
        .tooltip(f"The board “{BOARDS[there]}”")
        .url(f"/d/{there}{carried}")
        .keep_time(_OWN_TIME not in (here, there))
        .include_vars(takes_over)
    )


# Annotations


def annotation(
    name: str, expr: str, colour: str, *, title: str, text: str = "", tags: str = "", step: str = "5s"
) -> Builder[model.AnnotationQuery]:
    """Marks all graphs of the board wherever `expr` has a sample, at every `step`.

    The query stands in it twice: in `target` for current Grafana, in `expr` for those before 11.
    """
    target = prometheus.Dataquery().datasource(DATASOURCE).expr(expr).range().interval(step).ref_id("Anno")
    return (
        build.AnnotationQuery()
        .name(name)
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color(colour)
        .target(target)
        .expr(expr)
        .step(step)
        .title_format(title)
        .text_format(text)
        .tag_keys(tags)
    )


def tagged(name: str, tags: Sequence[str], colour: str, *, enabled: bool) -> Builder[model.AnnotationQuery]:
    """Marks all graphs of the board wherever Grafana's own database has an annotation with all of these tags."""
    # The SDK knows this target, but lets only those of other data sources stand here.
    target: Any = build.AnnotationTarget().type("tags").tags(list(tags)).match_any(False).limit(_MOST_ANNOTATIONS)
    query = build.AnnotationQuery().name(name).datasource(GRAFANA).target(target)
    return query.enable(enabled).icon_color(colour)
