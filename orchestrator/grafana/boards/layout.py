"""The frame of all boards, with links and annotations, and the layout of panels."""

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
# Half as often as the stack's Prometheus scrapes: more would pile up on a busy machine.
REFRESH = "10s"

# uid and name; the other boards' links lead here.
BOARDS = {
    "orchestrate-trial": "Trial",
    "orchestrate-compare": "Compare",
    "orchestrate-nodes": "Nodes",
    "orchestrate-sweep": "Sweep",
    "orchestrate-health": "Autoscaler health",
    "orchestrate-cluster": "Cluster",
}
SAME_TIME_TAG = "orchestrate-time"
"""The tag of boards that can take over the time range and the chosen trial."""
_MOST_ANNOTATIONS = 1000
# Boards on which you choose several sweeps, all or none: a board of one sweep can't take that over.
_SEVERAL = ("orchestrate-compare", "orchestrate-health", "orchestrate-cluster")
_OF_A_TRIAL = ("orchestrate-trial", "orchestrate-nodes")
# Its axis is elapsed time in the year 2000, which means nothing on other boards.
_OWN_TIME = "orchestrate-compare"
FIT = "Fit time"
"""The link that sets the time range to that of the trial or sweep on the board."""


@dataclass(frozen=True)
class Section:
    """A row of a board: an optional title, and its panels from left to right, top to bottom.

    The panels' width and height are set. A `collapsed` row runs no queries until you open it.
    """

    title: str
    panels: Sequence[model.Panel]
    collapsed: bool = False


def board(
    uid: str,
    description: str,
    *,
    variables: Sequence[Variable],
    sections: Sequence[Section],
    annotations: Sequence[Builder[model.AnnotationQuery]] = (),
    annotated: Sequence[str] = (),
    links: Sequence[build.DashboardLink] = (),
    time: tuple[str, str] = ("now-15m", "now"),
    timezone: str = "browser",
    refresh: str = REFRESH,
    time_picker: bool = True,
) -> model.Dashboard:
    """Return the board `uid` of `BOARDS`; panels get ids in their order on the board.

    `annotations` mark the panels with the titles `annotated`. A variable can choose among them; a switch for each would
    push the panels off the screen. `links` come before the links to all other boards. Without a `time_picker`, controls
    have the whole width.
    """
    frame = (
        build.Dashboard(f"Orchestrate / {BOARDS[uid]}")
        .uid(uid)
        .description(description)
        .tags([TAG, "ray", *([] if uid == _OWN_TIME else [SAME_TIME_TAG])])
        .timezone(timezone)
        .time(*time)
        .refresh(refresh)
        .timepicker(build.TimePicker().hidden(not time_picker))
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .variables([datasource_variable(), *variables])
        .annotations(list(annotations))
        .links([*links, *_links(uid)])
        .build()
    )
    frame.panels = list(_placed(sections))
    marked = [panel.id_val for panel in frame.panels if panel.title in annotated and panel.id_val is not None]
    for each in frame.annotations.list_val or () if frame.annotations is not None else ():
        each.hide = True
        each.filter_val = model.AnnotationPanelFilter(exclude=False, ids=marked)
    return frame


def _placed(sections: Sequence[Section]) -> list[model.Panel | model.RowPanel]:
    placed: list[model.Panel | model.RowPanel] = []
    number, y = 0, 0
    for section in sections:
        row = None
        if section.title:
            number += 1
            at = model.GridPos(h=1, w=COLUMNS, x=0, y=y)
            row = build.Row(section.title).id(number).grid_pos(at).collapsed(section.collapsed).build()
            placed.append(row)
            y += 1
        x, height = 0, 0
        for panel in section.panels:
            assert panel.grid_pos is not None
            number += 1
            width = panel.grid_pos.w
            if x + width > COLUMNS:
                x, y, height = 0, y + height, 0
            panel.id_val = number
            panel.grid_pos = model.GridPos(h=panel.grid_pos.h, w=width, x=x, y=y)
            x, height = x + width, max(height, panel.grid_pos.h)
        if row is not None and section.collapsed:
            row.panels = list(section.panels)
        else:
            placed += section.panels
            y += height
    return placed


# Links


def link(title: str, tooltip: str, url: str, *, with_variables: bool) -> build.DashboardLink:
    """Return a link above the panels. It carries the board's variables but not its time range."""
    return (
        build.DashboardLink(title)
        .type(model.DashboardLinkType.LINK)
        .icon("dashboard")
        .tooltip(tooltip)
        .url(url)
        .keep_time(False)
        .include_vars(with_variables)
    )


def _links(here: str) -> list[build.DashboardLink]:
    """Return a menu of the boards that can take over time range and trial, and a link to Compare.

    The menu includes “Sweep”, whose results don't depend on the time range. “Sweep” itself has no menu, because its
    time range doesn't describe a trial.
    """
    several = here in _SEVERAL
    links: list[build.DashboardLink] = []
    if here == "orchestrate-sweep":
        times = "from=${sweep_from}&to=${sweep_to}"
        health = f"/d/orchestrate-health?{times}&var-datasource=${{datasource}}&var-sweep_id=${{sweep_id}}"
        links.append(link("Health", "The autoscaler's health during the sweep", health, with_variables=False))
    else:
        links.append(
            build.DashboardLink("Boards")
            .type(model.DashboardLinkType.DASHBOARDS)
            .icon("external link")
            .tooltip("Other boards")
            .tags([SAME_TIME_TAG])
            .as_dropdown(True)
            .include_vars(not several)
            .keep_time(here != _OWN_TIME)
        )
    if here != _OWN_TIME:
        base = "&" + choosing("base", "${sweep_id}", "${trial_id}") if here in _OF_A_TRIAL else ""
        url = "/d/orchestrate-compare?var-datasource=${datasource}" + base
        links.append(link("Compare", "Overlay trials on one axis of elapsed time", url, with_variables=False))
    return links


# Annotations


def annotation(
    name: str, expr: str, colour: str, *, title: str, text: str = "", tags: str = "", step: str = "5s"
) -> Builder[model.AnnotationQuery]:
    """Return an annotation that marks all graphs of the board where `expr` has a sample, at every `step`.

    The annotation contains the query twice: in `target` for current Grafana, and in `expr` for Grafana before 11.
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
    """Return an annotation that marks all graphs where Grafana's own database has an entry with all of these tags."""
    # The SDK knows this target but accepts only targets of other data sources here.
    target: Any = build.AnnotationTarget().type("tags").tags(list(tags)).match_any(False).limit(_MOST_ANNOTATIONS)
    query = build.AnnotationQuery().name(name).datasource(GRAFANA).target(target)
    return query.enable(enabled).icon_color(colour)
