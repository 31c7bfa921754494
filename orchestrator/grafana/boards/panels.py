"""Panel types with their defaults: an empty panel explains itself, counts are drawn as steps, and axes begin at 0."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
    xychart,
)
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as shown
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heat
from grafana_foundation_sdk.models import statetimeline as statetimeline_model
from grafana_foundation_sdk.models import xychart as xy
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from orchestrator.grafana.boards import style
from orchestrator.grafana.boards.overrides import Override, known_colours, named, ref_id
from orchestrator.grafana.boards.queries import Query
from orchestrator.grafana.boards.variables import DATASOURCE

AnyPanel = TypeVar(
    "AnyPanel",
    bargauge.Panel,
    heatmap.Panel,
    stat.Panel,
    statetimeline.Panel,
    table.Panel,
    timeseries.Panel,
    xychart.Panel,
)

PLUGIN_VERSION = "12.2.0"
"""The Grafana version of the panel options. Grafana treats a panel without one as older than 11.1 and rewrites it."""
_AXIS_WIDTH = 60
_LEGEND_WIDTH = 260
_WIDE = 24
_STAT_VALUE = 20

# Panels


def graph(
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    unit: str,
    size: tuple[int, int] = (12, 8),
    decimals: int | None = None,
    highest: float | None = None,
    most: float | None = None,
    axis: str = "",
    steps: bool = False,
    stacked: bool = False,
    bars: bool = False,
    listed: bool = False,
    overrides: Sequence[Override] = (),
    summary: Sequence[str] = ("lastNotNull", "max"),
    no_value: str = style.NO_TRIAL,
    repeat: str = "",
) -> model.Panel:
    """Return lines over time, on an axis from 0 that reaches at least `highest` and at most `most`.

    `steps` draws counts, which hold until they change. The legend is a table at the right. Where there is no room, or
    with `listed`, it is a list below.
    """
    panel = (
        _common(timeseries.Panel(), title, description, queries, size, no_value)
        .unit(unit)
        .min(0)
        .axis_label(axis)
        .axis_width(_AXIS_WIDTH)
        .line_width(1 if stacked else 2)
        .line_interpolation(shown.LineInterpolation.STEP_AFTER if steps else shown.LineInterpolation.LINEAR)
        .fill_opacity(60 if stacked or bars else 0)
        .show_points(shown.VisibilityMode.NEVER)
        .span_nulls(False)
        .draw_style(shown.GraphDrawStyle.BARS if bars else shown.GraphDrawStyle.LINE)
        .stacking(
            common.StackingConfig().mode(shown.StackingMode.NORMAL if stacked else shown.StackingMode.NONE).group("A")
        )
        .legend(_legend(summary) if size[0] >= _WIDE and not listed else _legend((), as_table=False))
        .tooltip(common.VizTooltipOptions().mode(shown.TooltipDisplayMode.MULTI).sort(shown.SortOrder.DESCENDING))
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
    )
    if decimals is not None:
        panel.decimals(decimals)
    # Without this, an axis with only zeros would reach 100.
    if highest is not None or unit == style.COUNT:
        panel.axis_soft_max(1 if highest is None else highest)
    if most is not None:
        panel.max(most)
    if repeat:
        panel.repeat(repeat).repeat_direction("h").max_per_row(2)
    return _finished(panel, queries, overrides)


def number(
    title: str,
    description: str,
    query: Query | Sequence[Query],
    *,
    unit: str,
    size: tuple[int, int] = (4, 3),
    decimals: int | None = None,
    show_name: bool = False,
    only_name: bool = False,
    no_value: str = "–",
    colour: str = style.INK,
    value_size: int = _STAT_VALUE,
    overrides: Sequence[Override] = (),
) -> model.Panel:
    """Return the newest value as a large number, with the name of its series or only that name.

    Its queries are instant queries. A `value_size` of 0 fits a text of any length.
    """
    queries = [query] if isinstance(query, Query) else query
    assert all(each.kind == "instant" for each in queries), "a range query's last value depends on its step"
    mode = shown.BigValueTextMode.VALUE
    if show_name or only_name:
        mode = shown.BigValueTextMode.NAME if only_name else shown.BigValueTextMode.VALUE_AND_NAME
    panel = (
        _common(stat.Panel(), title, description, queries, size, no_value)
        .unit(unit)
        .text_mode(mode)
        .color_mode(shown.BigValueColorMode.VALUE)
        .graph_mode(shown.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color(colour))
    )
    if decimals is not None:
        panel.decimals(decimals)
    if value_size:
        panel.text(common.VizTextDisplayOptions().value_size(value_size))
    return _finished(panel, [], overrides)


def timeline(
    title: str,
    description: str,
    query: Query,
    meanings: Mapping[str, tuple[str, str]],
    *,
    size: tuple[int, int] = (24, 10),
    rows: int = 0,
    values: bool = False,
    no_value: str = style.NO_TRIAL,
) -> model.Panel:
    """Return a row per series, coloured by value, with `rows` rows per page or 0 for all.

    `meanings` maps values to text and colour. Value names or the tooltip explain the colours.
    """
    panel = (
        _common(statetimeline.Panel(), title, description, [query], size, no_value)
        .unit(style.PLAIN)
        .merge_values(True)
        .show_value(shown.VisibilityMode.AUTO if values else shown.VisibilityMode.NEVER)
        .row_height(0.85)
        .line_width(0)
        .fill_opacity(85)
        .mappings(_mappings(meanings))
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color(style.MUTED))
        .legend(common.VizLegendOptions().show_legend(False))
        .tooltip(common.VizTooltipOptions().mode(shown.TooltipDisplayMode.SINGLE))
    )
    if rows:
        panel.per_page(rows)
    built = _finished(panel, [], [])
    if not rows:
        # The SDK's default is 20 rows per page, and the pager takes space even with a single page.
        assert isinstance(built.options, statetimeline_model.Options)
        built.options.per_page = None
    return built


def heat_map(
    title: str, description: str, query: Query, *, unit: str, size: tuple[int, int] = (24, 9), no_value: str
) -> model.Panel:
    """Return a heat map: the number of observations per bucket of a histogram, over time."""
    panel = (
        _common(heatmap.Panel(), title, description, [query], size, no_value)
        .unit(style.COUNT)
        .calculate(False)
        .cell_gap(1)
        .color(
            heatmap.HeatmapColorOptions()
            .mode(heat.HeatmapColorMode.SCHEME)
            # Visible from one launch on, in a light and in a dark theme.
            .scheme("Spectral")
            .scale(heat.HeatmapColorScale.LINEAR)
            .min(0)
            .steps(32)
        )
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .cell_values(heatmap.CellValues().unit(style.COUNT).decimals(0))
        .y_axis(heatmap.YAxisConfig().unit(unit).min(0))
        .tooltip(heatmap.HeatmapTooltip().mode(shown.TooltipDisplayMode.SINGLE).y_histogram(True))
        .show_legend()
    )
    return _finished(panel, [], [])


def grid(
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    size: tuple[int, int] = (24, 8),
    unit: str = style.COUNT,
    transformations: Sequence[tuple[str, Mapping[str, Any]]] = (),
    overrides: Sequence[Override] = (),
    no_value: str = style.NO_TRIAL,
) -> model.Panel:
    """Return a table."""
    panel = _common(table.Panel(), title, description, queries, size, no_value).unit(unit)
    panel.show_header(True).cell_height(shown.TableCellHeight.SM)
    panel.transformations(_transformations(transformations))
    return _finished(panel, [], overrides)


def scatter(
    title: str,
    description: str,
    query: Query,
    *,
    x: tuple[str, str, str],
    y: tuple[str, str, str],
    size_by: str,
    transformations: Sequence[tuple[str, Mapping[str, Any]]],
    size: tuple[int, int] = (12, 10),
    no_value: str,
) -> model.Panel:
    """Return rings. `x` and `y` give a column's name, its axis label and its unit. Each frame is one series.

    The column `size_by` sizes the rings, so that equal points don't hide each other.
    """

    def axis(of: tuple[str, str, str]) -> Override:
        return named(
            _field(of[0]),
            {"custom.axisLabel": of[1], "unit": of[2], **({"decimals": 4} if of[2] == style.DOLLARS else {})},
        )

    def of_column(name: str) -> xychart.MatcherConfig:
        return xychart.MatcherConfig().id("byRegexp").options(f"/{_field(name)}/")

    series = (
        xychart.XYSeriesConfig()
        .x(xychart.XychartXYSeriesConfigX().matcher(of_column(x[0])))
        .y(xychart.XychartXYSeriesConfigY().matcher(of_column(y[0])))
        .size(xychart.XychartXYSeriesConfigSize().matcher(of_column(size_by)))
    )
    panel = (
        _common(xychart.Panel(), title, description, [query], size, no_value)
        .unit(style.COUNT)
        .mapping(xy.SeriesMapping.AUTO)
        .series([series])
        .show(xy.XYShowMode.POINTS)
        .point_size(xychart.XychartFieldConfigPointSize().fixed(9).min(4).max(24))
        .point_stroke_width(2)
        .fill_opacity(0)
        .legend(_legend((), as_table=False))
        .tooltip(common.VizTooltipOptions().mode(shown.TooltipDisplayMode.SINGLE))
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
        .transformations(_transformations(transformations))
    )
    return _finished(panel, [], [axis(x), axis(y)])


# Shared parts


def _field(name: str) -> str:
    """Return a matcher for a field as Grafana calls it after partitioning: by its name, then by its labels."""
    return f"^{name}( |$)"


def _common(
    panel: AnyPanel, title: str, description: str, queries: Sequence[Query], size: tuple[int, int], no_value: str
) -> AnyPanel:
    panel.title(title).description(description).datasource(DATASOURCE).no_value(no_value)
    panel.grid_pos(model.GridPos(w=size[0], h=size[1], x=0, y=0))
    for position, query in enumerate(queries):
        panel.with_target(_target(query, ref_id(position)))
    return panel


def _target(query: Query, ref: str) -> prometheus.Dataquery:
    formats = {"table": PromQueryFormat.TABLE, "heatmap": PromQueryFormat.HEATMAP}
    target = (
        prometheus.Dataquery()
        .datasource(DATASOURCE)
        .expr(query.expr)
        .ref_id(ref)
        .format(formats.get(query.kind, PromQueryFormat.TIME_SERIES))
    )
    if query.legend:
        target.legend_format(query.legend)
    return target.instant() if query.kind in ("instant", "table") else target.range()


def _finished(panel: AnyPanel, queries: Sequence[Query], overrides: Sequence[Override]) -> model.Panel:
    for matcher, properties in [*known_colours(queries), *overrides]:
        panel.with_override(matcher, properties)
    built = panel.build()
    built.plugin_version = PLUGIN_VERSION
    return built


def _legend(summary: Sequence[str], *, as_table: bool = True) -> common.VizLegendOptions:
    legend = common.VizLegendOptions().show_legend(True).calcs(list(summary))
    if as_table:
        legend.display_mode(shown.LegendDisplayMode.TABLE).width(_LEGEND_WIDTH)
        return legend.placement(shown.LegendPlacement.RIGHT)
    return legend.display_mode(shown.LegendDisplayMode.LIST).placement(shown.LegendPlacement.BOTTOM)


def _mappings(meanings: Mapping[str, tuple[str, str]]) -> list[model.ValueMapping]:
    results = {
        value: model.ValueMappingResult(text=text, color=colour, index=index)
        for index, (value, (text, colour)) in enumerate(meanings.items())
    }
    return [model.ValueMap(options=results)]


def columns(headings: Mapping[str, str], *hidden: str) -> tuple[str, Mapping[str, Any]]:
    """Return the transformation that gives a table's columns these headings and this order, without hidden ones."""
    return "organize", {
        "excludeByName": dict.fromkeys(hidden or ("Time",), True),
        "indexByName": {name: position for position, name in enumerate(headings)},
        "renameByName": headings,
    }


def _transformations(wanted: Sequence[tuple[str, Mapping[str, Any]]]) -> list[model.DataTransformerConfig]:
    return [model.DataTransformerConfig(id_val=name, options=dict(options)) for name, options in wanted]
