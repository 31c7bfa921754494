"""Parts that all plots of the report share: a figure with its texts, step curves, and their Plotly form."""

import bisect
import html
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.analysis.trial.steps import StepFunction

# Beyond this a page would grow too large to send: a curve of more steps is thinned, and its caption says so.
MAX_STEPS = 1500

HATCHED = {"fillmode": "overlay", "size": 6, "solidity": 0.25, "fgopacity": 1}


@dataclass(frozen=True)
class Figure:
    """A plot: its title, its caption, its content in words, its height in pixels, and Plotly's JSON."""

    title: str
    caption: str
    alternative: str
    height: int
    plotly: Any


def figure_json(traces: Sequence[dict[str, Any]], layout: dict[str, Any]) -> Any:
    """Return a figure checked by Plotly's schema, without the default theme, which would be most of its size."""
    import plotly.graph_objects as go

    figure = go.Figure(data=traces, layout={**layout, "template": {}})
    document = json.loads(figure.to_json())
    document["layout"].pop("template", None)
    return document


def curve(
    steps: StepFunction, until: float, name: str, axis: str, line: dict[str, Any], **style: Any
) -> dict[str, Any]:
    """Return a step function from 0 to `until`, drawn as steps."""
    at = bisect.bisect_right(steps.times, 0.0)
    now = steps.values[at - 1] if at else steps.before
    inside = [(t, value) for t, value in _changes(steps) if 0 < t < until]
    times = [0.0, *(t for t, _ in inside), until]
    values = [now, *(value for _, value in inside), inside[-1][1] if inside else now]
    times, (values,) = thin(times, (values,))
    return {**line_of(times, values, name, line), "yaxis": axis, **style}


def line_of(times: Sequence[float], values: Sequence[float], name: str, line: dict[str, Any]) -> dict[str, Any]:
    """Return a step curve through the points."""
    shape = {"shape": "hv", **line}
    return {"type": "scatter", "mode": "lines", "x": rounded(times), "y": list(values), "name": name, "line": shape}


def thin(times: Sequence[float], curves: Sequence[Sequence[float]]) -> tuple[list[float], tuple[list[float], ...]]:
    """Return all curves at every k-th step and the last, where there are more than `MAX_STEPS`."""
    every = math.ceil(len(times) / MAX_STEPS)
    if every <= 1:
        return list(times), tuple(list(curve) for curve in curves)
    kept = [*range(0, len(times) - 1, every), len(times) - 1]
    return [times[i] for i in kept], tuple([curve[i] for i in kept] for curve in curves)


def thinned(curves: Iterable[StepFunction]) -> str:
    """Return the caption's note about thinned curves; empty if there are none."""
    most = max((len(_changes(curve)) for curve in curves), default=0)
    every = math.ceil(most / MAX_STEPS)
    return f" Curves of more than {MAX_STEPS} steps are drawn by each {every}th of them." if every > 1 else ""


def _changes(steps: StepFunction) -> list[tuple[float, float]]:
    """(time, value) of the steps that lead up or down; a node that goes from running to idle makes none."""
    earlier = (steps.before, *steps.values)
    return [(t, value) for t, value, last in zip(steps.times, steps.values, earlier, strict=False) if value != last]


def rounded(values: Iterable[float]) -> list[float]:
    """To milliseconds, which is less to send."""
    return [round(value, 3) for value in values]


def plain(text: str) -> str:
    """Text in which Plotly, which reads some HTML, finds none."""
    return html.escape(text, quote=False)
