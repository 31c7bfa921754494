"""The plots of a whole sweep: what each setting cost by arch, and makespan against cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.analysis.sweep.pareto import pareto_front
from orchestrator.palette import ARCH, MUTED, PAPER, STATE
from orchestrator.report.document.content import Report, idle_cost
from orchestrator.report.document.grids import Cell, Grid
from orchestrator.report.document.plot import HATCHED, Figure, figure_json, plain, rounded


@dataclass(frozen=True)
class CostBar:
    """The cost of one setting's trial by architecture, and the share of idle nodes: dollars, or node-seconds.

    `tasks_per_usd` is the price-performance, empty where prices aren't known.
    """

    label: str
    by_arch: Mapping[str, float]
    idle_by_arch: Mapping[str, float]
    tasks_per_usd: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Point:
    """A setting in the plane of cost and makespan: the medians, their intervals if known, its valid trials."""

    number: int
    label: str
    cost: float
    makespan: float
    cost_interval: tuple[float, float] | None
    makespan_interval: tuple[float, float] | None
    trials: Sequence[tuple[float, float]]
    on_front: bool
    recommended: bool


def sweep_figures(report: Report) -> list[Figure]:
    """Cost and makespan of all settings that have a valid trial."""
    bars, unit = cost_bars(report)
    points = _points(report, unit)
    return [cost(bars, unit), *([front(points, unit)] if points else [])] if bars else []


def cost_bars(report: Report) -> tuple[list[CostBar], str]:
    """Return the cost of each setting's representative trial by architecture, and its unit."""
    chosen = [(section, section.representative) for section in report.sections]
    known = [(s, trial, trial.scorecard) for s, trial in chosen if trial is not None and trial.scorecard is not None]
    labels = {section.number: section.heading for section, _ in chosen}
    if known and all(card.cost_usd is not None for _, _, card in known):
        return [
            CostBar(labels[s.number], card.cost_usd.by_arch, idle_cost(trial, report.prices), card.tasks_per_usd)
            for s, trial, card in known
            if card.cost_usd is not None
        ], "$"
    return [
        CostBar(labels[s.number], card.node_seconds.by_arch, card.idle_node_seconds.by_arch) for s, _, card in known
    ], "node-seconds"


def costs_grid(report: Report) -> Grid | None:
    """Return the bars of the cost figure as a table."""
    bars, unit = cost_bars(report)
    if not bars:
        return None
    digits = 4 if unit == "$" else 0
    arches = list(dict.fromkeys(arch for bar in bars for arch in bar.by_arch))

    def amount(value: float) -> Cell:
        return Cell(f"{value:.{digits}f}", value=value)

    def performance(bar: CostBar, arch: str) -> Cell:
        found = bar.tasks_per_usd.get(arch)
        return Cell("-" if found is None else f"{found:.1f}", value=found)

    priced = arches if unit == "$" else []
    rows = tuple(
        (
            Cell(bar.label),
            amount(sum(bar.by_arch.values())),
            amount(sum(bar.idle_by_arch.values())),
            *(amount(part.get(arch, 0.0)) for arch in arches for part in (bar.by_arch, bar.idle_by_arch)),
            *(performance(bar, arch) for arch in priced),
        )
        for bar in bars
    )
    parts = (f"{arch}{of} {unit}" for arch in arches for of in ("", ", idle share"))
    performances = (f"tasks per $ on {arch}" for arch in priced)
    columns = ("setting", f"total {unit}", f"idle share {unit}", *parts, *performances)
    return Grid(
        "Of each setting's trial with the median makespan. Idle: nodes that could run tasks and ran none.",
        columns,
        rows,
    )


def cost(bars: Sequence[CostBar], unit: str) -> Figure:
    """Return the figure of each setting's cost by architecture, with the part of idle nodes."""
    arches = [arch for arch in ARCH if any(arch in bar.by_arch for bar in bars)]
    rows = [bar.label for bar in bars]
    number = "%{x:.4f}" if unit == "$" else "%{x:.0f}"
    traces = []
    for arch in arches:
        idle = [bar.idle_by_arch.get(arch, 0.0) for bar in bars]
        rest = [bar.by_arch.get(arch, 0.0) - i for bar, i in zip(bars, idle, strict=True)]
        for name, values, pattern in ((f"{arch} busy or between tasks", rest, ""), (f"{arch} idle", idle, "/")):
            traces.append(
                {
                    "type": "bar",
                    "orientation": "h",
                    "name": name,
                    "y": list(range(len(bars))),
                    "x": [round(value, 6) for value in values],
                    "customdata": [plain(label) for label in rows],
                    "marker": {
                        "color": ARCH[arch],
                        "pattern": {"shape": pattern, **HATCHED, "fgcolor": PAPER},
                        "line": {"width": 0},
                    },
                    "hovertemplate": f"%{{customdata}}: {number} {unit}<extra>{name}</extra>",
                }
            )
    spent = "; ".join(
        f"{bar.label}: "
        + ", ".join(
            f"{arch} {_amount(bar.by_arch[arch], unit)}, idle share {_amount(bar.idle_by_arch.get(arch, 0.0), unit)}"
            for arch in arches
            if arch in bar.by_arch
        )
        for bar in bars[:12]
    )
    return Figure(
        title="Cost by architecture" if unit == "$" else "Node-seconds by architecture",
        caption="Of each setting's trial with the median makespan. Hatched: nodes that could run tasks and ran none.",
        alternative=spent + ("; and more, as in the table" if len(bars) > 12 else ""),
        height=120 + 24 * max(3, len(bars)),
        plotly=figure_json(
            traces,
            {
                "barmode": "stack",
                "legend": {"traceorder": "normal"},
                "bargap": 0.3,
                "xaxis": {"title": {"text": "cost ($)" if unit == "$" else unit}, "rangemode": "tozero"},
                "yaxis": {
                    "autorange": "reversed",
                    "tickvals": list(range(len(bars))),
                    "ticktext": [plain(label) for label in rows],
                    "showgrid": False,
                    "zeroline": False,
                },
                "hovermode": "closest",
            },
        ),
    )


def front(points: Sequence[Point], unit: str) -> Figure:
    """Makespan against cost: a numbered point for each setting with its intervals, and the Pareto front."""
    digits = 4 if unit == "$" else 0

    def group(name: str, chosen: Sequence[Point], marker: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "scatter",
            "mode": "markers+text",
            "name": name,
            "x": [round(point.cost, 6) for point in chosen],
            "y": rounded(point.makespan for point in chosen),
            "text": [str(point.number) for point in chosen],
            "textposition": "top right",
            "error_x": _errors([(point.cost, point.cost_interval) for point in chosen]),
            "error_y": _errors([(point.makespan, point.makespan_interval) for point in chosen]),
            "marker": marker,
            "hovertext": [plain(f"{p.number}. {p.label}: {p.makespan:.1f} s, {_amount(p.cost, unit)}") for p in chosen],
            "hoverinfo": "text",
        }

    on_front = sorted((point for point in points if point.on_front), key=lambda point: point.cost)
    trials = [trial for point in points if len(point.trials) > 1 for trial in point.trials]
    taken = [point for point in points if point.recommended]
    groups = {
        "settings": [point for point in points if not point.on_front and not point.recommended],
        "on the front": [point for point in on_front if not point.recommended],
        "recommended": taken,
    }
    markers = {
        "settings": {"size": 9, "color": MUTED, "symbol": "circle-open", "line": {"width": 2}},
        "on the front": {"size": 10, "color": STATE["running"], "symbol": "circle"},
        "recommended": {"size": 14, "color": STATE["running"], "symbol": "star"},
    }
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "Pareto front",
            "x": [round(point.cost, 6) for point in on_front],
            "y": rounded(point.makespan for point in on_front),
            "line": {"shape": "hv", "color": STATE["running"], "width": 1.5},
            "hoverinfo": "skip",
        }
    ]
    if trials:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "trials",
                "x": [round(x, 6) for x, _ in trials],
                "y": rounded(y for _, y in trials),
                "marker": {"size": 4, "color": MUTED, "opacity": 0.5},
                "hoverinfo": "skip",
            }
        )
    traces += [group(name, chosen, markers[name]) for name, chosen in groups.items() if chosen]
    return Figure(
        title="Makespan against cost" if unit == "$" else "Makespan against node-seconds",
        caption="Numbers as in the table of settings; bars are 95 % confidence intervals of the medians. "
        "No setting is both faster and cheaper than one on the front.",
        alternative="On the Pareto front: "
        + "; ".join(f"{p.label} with {p.makespan:.1f} s and {p.cost:.{digits}f} {unit}" for p in on_front),
        height=420,
        plotly=figure_json(
            traces,
            {
                "xaxis": {"title": {"text": "cost ($)" if unit == "$" else unit}},
                "yaxis": {"title": {"text": "makespan (s)"}},
                "hovermode": "closest",
            },
        ),
    )


def _points(report: Report, unit: str) -> list[Point]:
    """Return a point for each setting that has a makespan and a cost."""
    points: list[Point] = []
    for number, (each, row) in enumerate(zip(report.evidence.settings, report.summary, strict=True), start=1):
        makespan, dollars = each.intervals.get("makespan_s"), each.intervals.get("cost_usd")
        spread = dollars if unit == "$" else row.node_seconds
        if makespan is None or spread is None:
            continue
        cost_bounds = None if dollars is None or unit != "$" else _bounds(dollars.low, dollars.high)
        points.append(
            Point(
                number=number,
                label=each.label,
                cost=spread.median,
                makespan=makespan.median,
                cost_interval=cost_bounds,
                makespan_interval=_bounds(makespan.low, makespan.high),
                trials=_trials(report, number, unit),
                on_front=unit == "$" and each.label in report.evidence.front,
                recommended=report.decided and each.label == report.evidence.best,
            )
        )
    if unit != "$":
        best = set(pareto_front((point.number, (point.cost, point.makespan)) for point in points))
        points = [replace(point, on_front=point.number in best) for point in points]
    return points


def _trials(report: Report, number: int, unit: str) -> list[tuple[float, float]]:
    settings = report.evidence.settings[number - 1].settings
    cards = [each.scorecard for each in report.record.trials if each.trial.settings == settings]
    return [
        (card.cost_usd.total if card.cost_usd is not None and unit == "$" else card.node_seconds.total, card.makespan_s)
        for card in cards
        if card is not None and card.valid and card.makespan_s is not None
    ]


def _bounds(low: float | None, high: float | None) -> tuple[float, float] | None:
    return None if low is None or high is None else (low, high)


def _errors(values: Sequence[tuple[float, tuple[float, float] | None]]) -> dict[str, Any]:
    above = [0.0 if interval is None else max(0.0, interval[1] - middle) for middle, interval in values]
    below = [0.0 if interval is None else max(0.0, middle - interval[0]) for middle, interval in values]
    known = any(interval is not None for _, interval in values)
    style = {"visible": known, "color": MUTED, "thickness": 1, "width": 3}
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below, **style}


def _amount(value: float, unit: str) -> str:
    return f"${value:.4f}" if unit == "$" else f"{value:.0f} {unit}"
