"""The plots of one trial: what was pending and what ran, demand against supply, the states of each node."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.analysis.trial.series import Hit, Series, Span
from orchestrator.analysis.trial.steps import StepFunction, pieces
from orchestrator.model.arch import Arch
from orchestrator.model.events import NODE_STATES, NodeState
from orchestrator.palette import ARCH, FAULT, INK, MUTED, OVER, STATE, UNDER, translucent
from orchestrator.report.document.plot import (
    HATCHED,
    Figure,
    curve,
    figure_json,
    line_of,
    plain,
    rounded,
    thin,
    thinned,
)

# With more nodes than this a plot would be longer than a screen or two.
MAX_NODES = 60
MAX_SAID = 10

_DASH: Mapping[Arch, str] = {"x86_64": "solid", "arm64": "6px,3px", "unknown": "dot"}
_SYMBOL: Mapping[Arch, str] = {"x86_64": "circle", "arm64": "diamond-open", "unknown": "square-open"}
_PATTERN: Mapping[NodeState, str] = {"idle": "/", "draining": "x"}
_MARKS: tuple[NodeState, ...] = ("failed", "terminated", "draining", "running", "requested")
# A node that failed may be billed until its machine ends; one that terminated has no bar.
_STATES: tuple[NodeState, ...] = tuple(state for state in NODE_STATES if state != "terminated")
_ELAPSED = "time since the submission (s)"


def trial_figures(found: Series | None) -> list[Figure]:
    """Return the three plots of a trial; none of one without a readable trace."""
    return [] if found is None else [make(found) for make in (overlay, provisioning, waterfall)]


def overlay(found: Series) -> Figure:
    """Pending tasks, nodes and CPUs in use by arch, and the scaling events, one above the other on one time axis."""
    until = found.until_s
    drawn = [found.pending_tasks, *found.nodes.values(), *found.capacity.values(), *found.used.values()]
    filled = {"fill": "tozeroy", "fillcolor": translucent(STATE["draining"], 0.18), "showlegend": False}
    traces = [curve(found.pending_tasks, until, "pending tasks", "y", {"color": INK, "width": 2}, **filled)]
    for arch in found.arches:
        line = {"color": ARCH[arch], "dash": _DASH[arch], "width": 2}
        nodes = found.nodes.get(arch, StepFunction((), ()))
        capacity, used = found.capacity.get(arch, StepFunction((), ())), found.used.get(arch, StepFunction((), ()))
        traces.append(curve(nodes, until, arch, "y2", line, legendgroup=arch))
        dotted = {"color": ARCH[arch], "dash": "1px,3px", "width": 1.5}
        traces.append(curve(capacity, until, f"{arch} available", "y3", dotted, legendgroup=arch, showlegend=False))
        traces.append(curve(used, until, f"{arch} in use", "y3", line, legendgroup=arch, showlegend=False))
        traces.append(_events(found, arch))
    rows: list[str] = list(_MARKS)
    if found.hits:
        rows.append("fault")
        traces.append(_hits(found, {hit.node: len(_MARKS) for hit in found.hits}, yaxis="y4"))
    counts = {state: sum(1 for mark in found.marks if mark.state == state) for state in reversed(_MARKS)}
    happened = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "none"
    layout = {
        "hovermode": "x",
        "hoversubplots": "axis",
        "xaxis": {"title": {"text": _ELAPSED}, "range": [0, until], "anchor": "y4"},
        "yaxis": {"title": {"text": "pending tasks"}, "domain": [0.80, 1], "rangemode": "tozero"},
        "yaxis2": {"title": {"text": "nodes"}, "domain": [0.54, 0.74], "rangemode": "tozero"},
        "yaxis3": {"title": {"text": "CPUs in use"}, "domain": [0.28, 0.48], "rangemode": "tozero"},
        "yaxis4": {
            "domain": [0, 0.22],
            "tickvals": list(range(len(rows))),
            "ticktext": rows,
            "range": [-0.6, len(rows) - 0.4],
            "zeroline": False,
        },
        "shapes": [*_struck(found), _end_of_work(found)],
    }
    peaks = "; ".join(
        f"{arch}: at most {_most(found.nodes, arch):g} nodes and {_most(found.used, arch):g} CPUs in use"
        for arch in found.arches
    )
    return Figure(
        title="Pending tasks, nodes and CPUs in use",
        caption=f"Dotted: CPUs available. Vertical line: the last task's end.{_about(found.hits)}{thinned(drawn)}",
        alternative=f"Over {until:.0f} s, at most {max(found.pending_tasks.values, default=0):g} tasks were pending. "
        f"{peaks}. Scaling events: {happened}. The last task ended at {found.makespan_s:.1f} s.{_said(found.hits)}",
        height=600,
        plotly=figure_json(traces, layout),
    )


def provisioning(found: Series) -> Figure:
    """Demand against supply in CPUs, with the areas of too little and too much shaded as far as θ counts them."""
    cap, end = found.servable_cpus, found.makespan_s
    parts = list(pieces(found.demand, found.supply, 0.0, end, cap))
    times = [part[0] for part in parts] + [end]
    demand, supply = ([*(part[i] for part in parts), parts[-1][i]] for i in (2, 3))
    highest, lowest = (
        [*map(either, demand, supply)] for either in (max, min)
    )  # the areas lie between these and the supply
    times, (demand, supply, highest, lowest) = thin(times, (demand, supply, highest, lowest))
    under = sum(max(0.0, d - s) * (until - begin) for begin, until, d, s in parts) / end if end > 0 else 0.0
    over = sum(max(0.0, s - d) * (until - begin) for begin, until, d, s in parts) / end if end > 0 else 0.0
    hidden = {"mode": "lines", "line": {"shape": "hv", "width": 0}, "hoverinfo": "skip", "showlegend": False}

    def area(name: str, edge: Sequence[float], colour: str, pattern: str) -> dict[str, Any]:
        shaded = {
            "fill": "tonexty",
            "fillcolor": translucent(colour, 0.22),
            "fillpattern": {"shape": pattern, **HATCHED, "fgcolor": colour},
        }
        return {**hidden, **shaded, "type": "scatter", "x": times, "y": edge, "name": name, "showlegend": True}

    traces = [
        {**hidden, "type": "scatter", "x": times, "y": supply},
        area("under-provisioned", highest, UNDER, ""),
        {**hidden, "type": "scatter", "x": times, "y": lowest},
        area("over-provisioned", supply, OVER, "/"),
        line_of(times, demand, "demand", {"color": INK, "width": 2, "dash": "dot"}),
        curve(found.supply, found.until_s, "supply", "y", {"color": STATE["running"], "width": 2}),
    ]
    most = max(found.demand.values, default=0.0)
    capped = f" Demand is drawn up to the {cap:g} CPUs that the cluster's limits allow; it was up to {most:g}."
    return Figure(
        title="Demand against supply",
        caption="Shaded until the last task's end." + (capped if most > cap else "") + thinned([found.supply]),
        alternative=f"On average {under:.1f} CPUs were lacking and {over:.1f} CPUs were too many until {end:.1f} s."
        + (capped if most > cap else ""),
        height=300,
        plotly=figure_json(
            traces,
            {
                "xaxis": {"title": {"text": _ELAPSED}, "range": [0, found.until_s]},
                "yaxis": {"title": {"text": "CPUs"}, "rangemode": "tozero"},
                "shapes": [*_struck(found), _end_of_work(found)],
                "legend": {"traceorder": "normal"},
                "hovermode": "x",
            },
        ),
    )


def _told(span: Span) -> str:
    stages = "".join(f", {name} from {t:.1f} s" for name, t in span.stages)
    return f"{span.node} ({span.node_type}): {span.state} {span.begin:.1f} to {span.end:.1f} s{stages}"


def waterfall(found: Series) -> Figure:
    """Return the states of each node over time."""
    arch_of = {span.node: span.arch for span in found.spans}
    nodes = sorted(arch_of, key=lambda node: found.arches.index(arch_of[node]))
    shown = nodes[:MAX_NODES]
    row = {node: number for number, node in enumerate(shown)}
    traces = []
    for state in _STATES:
        spans = [span for span in found.spans if span.state == state and span.node in row]
        if spans:
            traces.append(
                {
                    "type": "bar",
                    "orientation": "h",
                    "name": state,
                    "y": [row[span.node] for span in spans],
                    "x": rounded(span.end - span.begin for span in spans),
                    "base": rounded(span.begin for span in spans),
                    "marker": {
                        "color": STATE[state],
                        "pattern": {"shape": _PATTERN.get(state, ""), **HATCHED, "fgcolor": STATE["running"]},
                        "line": {"width": 0},
                    },
                    "hovertext": [plain(_told(span)) for span in spans],
                    "hoverinfo": "text",
                }
            )
    if any(hit.node in row for hit in found.hits):
        traces.append(_hits(found, row))
    seconds = {state: sum(span.end - span.begin for span in found.spans if span.state == state) for state in _STATES}
    spent = ", ".join(f"{amount:.0f} s {state}" for state, amount in seconds.items() if amount)
    left_out = f" The first {MAX_NODES} of {len(nodes)} nodes are drawn." if len(nodes) > MAX_NODES else ""
    square = "<span style='color:{}'>■</span> {}"
    return Figure(
        title="States of each node",
        caption=f"The square before a node's name has its architecture's colour.{_about(found.hits)}{left_out}",
        alternative=f"{len(nodes)} nodes spent in all {spent or 'no time'}.{left_out}",
        height=110 + 17 * max(4, len(shown)),
        plotly=figure_json(
            traces,
            {
                "barmode": "overlay",
                "legend": {"traceorder": "normal"},
                "bargap": 0.25,
                "xaxis": {"title": {"text": _ELAPSED}, "range": [0, found.until_s]},
                "yaxis": {
                    "autorange": "reversed",
                    "tickvals": list(range(len(shown))),
                    "ticktext": [square.format(ARCH[arch_of[node]], plain(_short(node))) for node in shown],
                    "tickfont": {"size": 10},
                    "showgrid": False,
                    "zeroline": False,
                },
                "shapes": [_end_of_work(found)],
                "hovermode": "closest",
            },
        ),
    )


def _events(found: Series, arch: Arch) -> dict[str, Any]:
    marks = [mark for mark in found.marks if mark.arch == arch]
    beside = 0.14 if arch == "x86_64" else -0.14
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{arch} events",
        "legendgroup": arch,
        "showlegend": False,
        "x": rounded(mark.t for mark in marks),
        "y": [_MARKS.index(mark.state) + beside for mark in marks],
        "yaxis": "y4",
        "marker": {"color": ARCH[arch], "symbol": _SYMBOL[arch], "size": 7},
        "hovertext": [plain(f"{mark.node} ({mark.node_type}) {mark.state} at {mark.t:.1f} s") for mark in marks],
        "hoverinfo": "text",
    }


def _hits(found: Series, rows: Mapping[str, int], **axis: str) -> dict[str, Any]:
    """Return the faults, each in the row of its node."""
    hits = [hit for hit in found.hits if hit.node in rows]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "fault on purpose",
        "x": rounded(hit.t for hit in hits),
        "y": [rows[hit.node] for hit in hits],
        "marker": {"color": FAULT, "symbol": "x", "size": 9},
        "hovertext": [plain(f"{hit.detail} on {hit.node} ({hit.node_type}) at {hit.t:.1f} s") for hit in hits],
        "hoverinfo": "text",
        **axis,
    }


def _struck(found: Series) -> list[dict[str, Any]]:
    """Return a line where a fault hit; an area while one lasted."""
    shapes: list[dict[str, Any]] = []
    for hit in found.hits:
        across = {"xref": "x", "yref": "paper", "x0": round(hit.t, 3), "y0": 0, "y1": 1}
        if hit.until is None:
            shapes.append({"type": "line", **across, "x1": across["x0"], "line": {"color": FAULT, "width": 1}})
        else:
            area = {"fillcolor": translucent(FAULT, 0.12), "line": {"width": 0}, "layer": "below"}
            shapes.append({"type": "rect", **across, "x1": round(hit.until, 3), **area})
    return shapes


def _about(hits: Sequence[Hit]) -> str:
    return " Crosses: faults on purpose." if hits else ""


def _said(hits: Sequence[Hit]) -> str:
    """Return the faults in words, the first few of many."""
    named = [f"{hit.kind} of {hit.node} at {hit.t:.1f} s" for hit in hits[:MAX_SAID]]
    more = f" and {len(hits) - MAX_SAID} more" if len(hits) > MAX_SAID else ""
    return f" Faults on purpose: {', '.join(named)}{more}." if hits else ""


def _end_of_work(found: Series) -> dict[str, Any]:
    end = round(found.makespan_s, 3)
    line = {"color": MUTED, "width": 1, "dash": "dash"}
    return {"type": "line", "xref": "x", "yref": "paper", "x0": end, "x1": end, "y0": 0, "y1": 1, "line": line}


def _most(curves: Mapping[Arch, StepFunction], arch: Arch) -> float:
    return max(curves[arch].values, default=0.0) if arch in curves else 0.0


def _short(node: str) -> str:
    return node if len(node) <= 16 else f"{node[:7]}…{node[-7:]}"
