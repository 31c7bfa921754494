"""What all boards are made of: the frame with its links, variables, annotations, and where panels stand."""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import DataSourceRef

TAG = "orchestrate"
COLUMNS = 24
DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
REFRESH = "10s"

# uid and name; the other boards' links lead here.
BOARDS = {
    "orchestrate-trial": "Trial",
    "orchestrate-compare": "Compare",
    "orchestrate-nodes": "Nodes",
    "orchestrate-sweep": "Sweep",
    "orchestrate-health": "Autoscaler health",
}
# Its time axis is elapsed time in the year 2000: neither its range nor its variables mean anything elsewhere.
_OWN_TIME = "orchestrate-compare"

Variable = Builder[model.VariableModel]


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
    own_time = _OWN_TIME in (here, there)
    return (
        build.DashboardLink(BOARDS[there])
        .type(model.DashboardLinkType.LINK)
        .icon("dashboard")
        .tooltip(f"The board “{BOARDS[there]}”")
        .url(f"/d/{there}")
        .keep_time(not own_time)
        .include_vars(not own_time)
    )


# Variables


def datasource_variable() -> Variable:
    """Which Prometheus the whole board asks."""
    return (
        build.DatasourceVariable("datasource")
        .label("Prometheus")
        .description("Where the metrics of the trials are.")
        .type("prometheus")
        .current(model.VariableOption(text="default", value="default"))
    )


def sweep_variable(*, all_of_them: bool = False) -> Variable:
    """`$sweep_id`: the sweeps that have samples in the time range: of a trial that runs, or of one that has ended."""
    series = '{__name__=~"orchestrator_trial_phase|orchestrator_scorecard"}'
    return _labels("sweep_id", "Sweep", series, all_of_them=all_of_them)


def trial_variable(*, all_of_them: bool = False) -> Variable:
    """`$trial_id`: the trials of `$sweep_id`."""
    matcher = 'sweep_id=~"$sweep_id"' if all_of_them else 'sweep_id="$sweep_id"'
    return _labels("trial_id", "Trial", f"orchestrator_trial_phase{{{matcher}}}", all_of_them=all_of_them)


def arch_variable() -> Variable:
    """`$arch`: the architectures of the trial's nodes, all of them unless some are chosen."""
    series = 'orchestrator_nodes{sweep_id="$sweep_id", trial_id="$trial_id"}'
    return _labels("arch", "Architecture", series, all_of_them=True, several=True)


def _labels(name: str, label: str, series: str, *, all_of_them: bool = False, several: bool = False) -> Variable:
    query = f"label_values({series}, {name})"
    variable = (
        build.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .definition(query)
        .query({"query": query, "refId": name, "qryType": 5})
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(several)
        .include_all(all_of_them)
    )
    if all_of_them:
        variable.all_value(".*").current(model.VariableOption(text="All", value="$__all"))
    return variable


def choice(name: str, label: str, description: str, options: Sequence[tuple[str, str]]) -> Variable:
    """A variable with fixed options, each text and value; the first is chosen."""
    listed = [
        model.VariableOption(selected=number == 0, text=text, value=value)
        for number, (text, value) in enumerate(options)
    ]
    return (
        build.CustomVariable(name)
        .label(label)
        .description(description)
        .values(", ".join(f"{text} : {value}" for text, value in options))
        .options(listed)
        .current(listed[0])
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
