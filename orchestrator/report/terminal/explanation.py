"""The reasons for a trial's launches, for the terminal and as JSON."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator.analysis.trial.explain import Explanation, State
from orchestrator.report.terminal.table import FittedTable

_WHY = "why no more or no fewer"


def explanation_tables(explanation: Explanation, assumptions: Sequence[str] = ()) -> RenderableType:
    """Return all launches with their rules, all ends with their causes, and why no other node came."""
    launches = FittedTable("at s", "nodes", "type", _WHY, title="why nodes came", prose=(_WHY,))
    ends = FittedTable("at s", "nodes", "type", "cause", title="\nwhy nodes went", prose=("cause",))
    for table in (launches, ends):
        table.columns[2].justify = "left"
    for each in explanation.launches:
        failed = f"; {each.failed} failed to launch" if each.failed else ""
        launches.add_row(f"{each.t:.1f}", f"+{len(each.nodes)}", each.node_type, each.text + failed)
    for end in explanation.ends:
        ends.add_row(f"{end.t:.1f}", f"-{len(end.nodes)}", end.node_type, end.cause)
    parts: list[RenderableType] = [launches if explanation.launches else Text("no node was launched")]
    parts += [ends] if explanation.ends else []
    if explanation.after is not None and explanation.after.pending:
        parts += [Text(), *_lines(explanation.after)]
    return Group(*parts, *_told(assumptions))


def state_table(state: State, assumptions: Sequence[str] = ()) -> RenderableType:
    """Return one moment: demand, nodes, and why no other node comes."""
    return Group(*_lines(state), *_told(assumptions))


def _told(assumptions: Sequence[str]) -> Iterable[Text]:
    return [Text(f"assumption: {each}", style="yellow") for each in assumptions]


def _lines(state: State) -> Iterable[Text]:
    pending = ", ".join(f"{count} x {shape}" for shape, count in state.pending.items()) or "none"
    yield Text(f"at {round(state.t, 1):g} s: pending {pending}", style="bold")
    for node_type, counts in state.nodes.items():
        yield Text(f"  {node_type}: {', '.join(f'{count} {name}' for name, count in counts.items())}")
    yield from (Text(f"  {each}") for each in state.obstacles)
    if not state.obstacles:
        yield Text("  nothing is waited for")


def explanation_document(explanation: Explanation, assumptions: Sequence[str] = ()) -> dict[str, Any]:
    """Return the same as JSON; times in seconds after the submission."""
    return {**asdict(explanation), "assumptions": list(assumptions)}


def state_document(state: State, assumptions: Sequence[str] = ()) -> dict[str, Any]:
    """Return one moment as JSON."""
    return {**asdict(state), "assumptions": list(assumptions)}
