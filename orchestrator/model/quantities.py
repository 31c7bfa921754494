"""The registry of a scorecard's numbers: name, heading, unit, digits, meaning, value, and the places that show it.

Every table, export, metric and comparison loops over `QUANTITIES`. A new number is one entry here, plus a field of
`Scorecard` and its computation in `analysis/trial/score.py` if no existing field yields it.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal, get_args

from orchestrator.model.doc_table import rewrite, with_table
from orchestrator.model.scorecard import ByPart, Elasticity, Scorecard

Unit = Literal["s", "$", "CPUs", "share", "%", "1/min", "nodes", "tasks", "faults", "node-s", ""]
Place = Literal[
    "terminal",  # the table of a sweep's settings in the terminal
    "plan",  # the prediction of a plan
    "recommend",  # the settings behind a recommendation
    "optimum",  # the result of a search
    "report",  # the table of a sweep's settings in a report
    "trials",  # a report's table of a setting's trials
    "facts",  # the main numbers of one trial in a report
    "evidence",  # confidence intervals, and what `compare` compares by default
    "validate",  # a recorded trial next to its replay
    "grafana",  # the table of scorecards on a board
    "metrics",  # `orchestrator_scorecard`, live and pushed
    "junit",  # properties of a test case
    "export",  # the table `trials` and its data dictionary
]

# Places that show a number of all trials of a setting: it has to be in the summary of the setting.
_OF_A_SETTING: frozenset[Place] = frozenset({"terminal", "plan", "recommend", "optimum", "report", "evidence"})
# Units of whole numbers. Their headings say what is counted.
_COUNTED: frozenset[Unit] = frozenset({"nodes", "tasks", "faults"})
# Units that a heading needs. The others are clear from the heading, or stand next to each number.
_IN_HEADINGS: frozenset[Unit] = frozenset({"s", "$", "CPUs", "%", "1/min"})


@dataclass(frozen=True)
class Quantity:
    """One number of a scorecard. `value` is None if a trial doesn't show it. `better` is None if neither direction is.

    `alias` is a shorter name for expressions. `digits` are decimals, or significant digits of a number without a unit.
    Shares are stored as 0 to 1 and shown in percent.
    """

    name: str
    heading: str
    unit: Unit
    digits: int
    meaning: str
    value: Callable[[Scorecard], float | None]
    shown: frozenset[Place]
    better: Literal["lower", "higher"] | None = None
    alias: str = ""

    @property
    def column(self) -> str:
        """Return the heading with its unit, such as `makespan s`."""
        return f"{self.heading} {self.unit}" if self.unit in _IN_HEADINGS else self.heading

    @property
    def counted(self) -> bool:
        """Return true if the number counts things."""
        return self.unit in _COUNTED

    @property
    def summarised(self) -> bool:
        """Return true if the summary of a setting holds it."""
        return bool(self.shown & _OF_A_SETTING)

    def text(self, value: float | None) -> str:
        """Return a value as text without its unit, except for the percent sign of a share; `-` if there is no value."""
        if value is None:
            return "-"
        if self.unit == "share":
            return f"{value:.{self.digits}%}"
        if not self.unit:
            return f"{value:.{self.digits}g}"
        # The median of an even number of counts may be a half.
        return f"{value:.{0 if float(value).is_integer() else 1}f}" if self.counted else f"{value:.{self.digits}f}"

    def text_with_unit(self, value: float | None) -> str:
        """Return a value as text with the unit of its heading."""
        text = self.text(value)
        if value is None or self.unit not in _IN_HEADINGS:
            return text
        return f"${text}" if self.unit == "$" else f"{text} {self.unit}"

    def breakdown(self, card: Scorecard) -> ByPart | None:
        """Return the parts of a sum by node type and architecture; None for any other number."""
        found = getattr(card, self.name, None)
        return found if isinstance(found, ByPart) else None


def _field(name: str) -> Callable[[Scorecard], float | None]:
    return attrgetter(name)


def _total(name: str) -> Callable[[Scorecard], float | None]:
    def total(card: Scorecard) -> float | None:
        parts: ByPart | None = getattr(card, name)
        return None if parts is None else parts.total

    return total


def _wait_p95(card: Scorecard) -> float | None:
    return card.task_wait_s["all"].p95 if "all" in card.task_wait_s else None


def _shown(*places: Place) -> frozenset[Place]:
    return frozenset(places)


_EVERYWHERE = frozenset(get_args(Place))
_KEPT = _shown("export", "metrics")
_ON_BOARDS = _KEPT | _shown("grafana")
_SERVED = "; demand counts as far as it can be served"

QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        "makespan_s", "makespan", "s", 1, "end of the last task",
        _field("makespan_s"), _EVERYWHERE, "lower", alias="makespan",
    ),
    Quantity(
        "cost_usd", "cost", "$", 3, "what the worker nodes cost",
        _total("cost_usd"), _EVERYWHERE - {"validate", "optimum"}, "lower", alias="cost",
    ),
    Quantity(
        "time_to_first_node_s", "first node", "s", 1, "first launched node ran",
        _field("time_to_first_node_s"),
        _ON_BOARDS | _shown("terminal", "report", "facts", "evidence", "validate", "junit"), "lower",
    ),
    Quantity(
        "time_to_peak_s", "peak after", "s", 1, "supply was first at its maximum",
        _field("time_to_peak_s"), _EVERYWHERE - {"trials", "facts"}, "lower",
    ),
    Quantity(
        "scale_down_s", "scale-down", "s", 1,
        "from the last task's end until the cluster was back at its minimum size",
        _field("scale_down_s"),
        _ON_BOARDS | _shown("terminal", "report", "facts", "evidence", "validate", "junit"), "lower",
    ),
    Quantity(
        "peak_nodes", "peak nodes", "nodes", 0, "most worker nodes that ran at once",
        _field("peak_nodes"),
        _ON_BOARDS | _shown("terminal", "optimum", "report", "facts", "validate", "junit"),
    ),
    Quantity(
        "launches", "launches", "nodes", 0, "nodes that were launched",
        _field("launches"),
        _ON_BOARDS | _shown("terminal", "plan", "report", "trials", "facts", "validate", "junit"),
    ),
    Quantity(
        "excess_nodes", "excess nodes", "nodes", 0, "launched nodes that never got a task",
        _field("excess_nodes"), _ON_BOARDS, "lower",
    ),
    Quantity(
        "failed_launches", "failed launches", "nodes", 0, "nodes that were launched and never ran",
        _field("failed_launches"), _ON_BOARDS, "lower",
    ),
    Quantity(
        "terminations", "terminations", "nodes", 0, "nodes that were terminated", _field("terminations"), _KEPT,
    ),
    Quantity(
        "node_failures", "node failures", "nodes", 0, "nodes that failed after they ran",
        _field("node_failures"), _KEPT, "lower",
    ),
    Quantity(
        "faults", "faults", "faults", 0, "faults that were caused on purpose", _field("faults"), _KEPT,
    ),
    Quantity(
        "node_seconds", "node-seconds", "node-s", 0, "time of worker nodes from allocation to end",
        _total("node_seconds"), _ON_BOARDS | _shown("plan", "junit"), "lower",
    ),
    Quantity(
        "idle_node_seconds", "idle node-seconds", "node-s", 0,
        "time of worker nodes that could run tasks and ran none",
        _total("idle_node_seconds"), _ON_BOARDS, "lower",
    ),
    Quantity(
        "cpu_utilisation", "CPU use", "share", 0, "CPU-seconds used of those supplied",
        _field("cpu_utilisation"),
        _ON_BOARDS | _shown("terminal", "report", "facts", "evidence", "junit"), "higher",
    ),
    # The export has it among the quantiles of all durations.
    Quantity(
        "task_wait_p95_s", "wait p95", "s", 1, "95th percentile of the time from a task's submission to its start",
        _wait_p95, _shown("terminal", "report", "evidence", "metrics"), "lower",
    ),
    Quantity(
        "theta_u", "θ under", "CPUs", 2, f"under-provisioning: mean of demand beyond supply{_SERVED}",
        _field("theta_u"),
        _ON_BOARDS | _shown("recommend", "report", "trials", "facts", "evidence", "validate", "junit"), "lower",
    ),
    Quantity(
        "theta_o", "θ over", "CPUs", 2, f"over-provisioning: mean of supply beyond demand{_SERVED}",
        _field("theta_o"),
        _ON_BOARDS | _shown("report", "trials", "facts", "evidence", "validate", "junit"), "lower",
    ),
    Quantity(
        "theta_u_relative", "θ under relative", "", 3, f"the same divided by demand: under-provisioning{_SERVED}",
        _field("theta_u_relative"), _KEPT, "lower",
    ),
    Quantity(
        "theta_o_relative", "θ over relative", "", 3, f"the same divided by demand: over-provisioning{_SERVED}",
        _field("theta_o_relative"), _KEPT, "lower",
    ),
    Quantity(
        "tau_u", "τ under", "share", 0, f"share of the time with demand above supply{_SERVED}",
        _field("tau_u"), _ON_BOARDS, "lower",
    ),
    Quantity(
        "tau_o", "τ over", "share", 0, f"share of the time with supply above demand{_SERVED}",
        _field("tau_o"), _ON_BOARDS, "lower",
    ),
    Quantity(
        "jitter_per_min", "jitter", "1/min", 2, f"changes of supply minus changes of demand; best at 0{_SERVED}",
        _field("jitter_per_min"), _ON_BOARDS,
    ),
    Quantity("tasks", "tasks", "tasks", 0, "tasks that were recorded", _field("tasks"), _KEPT),
    Quantity(
        "effective_upscaling_speed", "effective speed", "", 3, "the speed that Ray acts on",
        _field("effective_upscaling_speed"), _KEPT,
    ),
    Quantity(
        "host_cpu_percent", "host CPU", "%", 1, "mean load of the machine that ran the laboratory",
        _field("host_cpu_percent"), _KEPT,
    ),
)  # fmt: skip
"""All quantities, in the order in which tables show them."""


def shown_in(place: Place) -> tuple[Quantity, ...]:
    """Return the quantities that a place shows, in order."""
    return tuple(each for each in QUANTITIES if place in each.shown)


def summarised() -> tuple[Quantity, ...]:
    """Return the quantities that the summary of a setting holds, in order."""
    return tuple(each for each in QUANTITIES if each.summarised)


def exported() -> tuple[Quantity, ...]:
    """Return the quantities of the exported table: in the order of the scorecard's fields, then all others.

    The order of exported columns doesn't depend on the order in tables.
    """
    order = {name: position for position, name in enumerate(Scorecard.model_fields)}
    return tuple(sorted(shown_in("export"), key=lambda each: order.get(each.name, len(order))))


def find(name: str) -> Quantity | None:
    """Return the quantity of a name or alias, or None."""
    return next((each for each in QUANTITIES if name in (each.name, each.alias)), None)


def quantity(name: str) -> Quantity:
    """Return the quantity of a name or alias. Raises KeyError."""
    if (found := find(name)) is None:
        raise KeyError(name)
    return found


def aliases() -> dict[str, str]:
    """Return the full names by alias."""
    return {each.alias: each.name for each in QUANTITIES if each.alias}


def column_of(name: str) -> str:
    """Return the heading with unit of a name, or the text itself if it is an expression."""
    found = find(name)
    return name if found is None else found.column


def elasticity_fields() -> tuple[Quantity, ...]:
    """Return the quantities that exist again with all demand counted, as fields of `Scorecard.uncapped`."""
    return tuple(each for each in QUANTITIES if each.name in Elasticity.model_fields)


# Documentation


def documentation() -> str:
    """Return the quantities as a Markdown table."""
    lines = ["| name | short | heading | unit | better | meaning |", "|---|---|---|---|---|---|"]
    for each in QUANTITIES:
        short = f"`{each.alias}`" if each.alias else ""
        cells = (f"`{each.name}`", short, each.heading, each.unit, each.better or "", each.meaning)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def documented(page: str) -> str:
    """Return a page with the table of quantities between its two markers."""
    return with_table(page, "quantities", documentation())


if __name__ == "__main__":
    rewrite(sys.argv[1:], documented)
