"""The evidence of a sweep and the recommended setting, for the terminal and as JSON."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator.analysis.sweep.evidence import Evidence, no_choice, recommend
from orchestrator.analysis.sweep.statistics import Interval
from orchestrator.model.quantities import Quantity, shown_in
from orchestrator.model.settings import short_labels
from orchestrator.report.cluster_lines import cluster_lines
from orchestrator.report.terminal.table import FittedTable
from orchestrator.report.terminal.tables import all_with, optional_columns


def recommendation_tables(
    evidence: Evidence,
    assumptions: Sequence[str] = (),
    provider: str | None = None,
    unpriced: Sequence[str] = (),
) -> RenderableType:
    """Return the setting, reasons, doubts, assumptions, lines for a cluster config, all settings with intervals."""
    advice = recommend(evidence)
    told = [Text(f"  assumption: {each}", style="yellow") for each in assumptions]
    if advice is None:
        return Group(Text(no_choice(evidence, unpriced), style="yellow"), *map(Text, evidence.warnings), *told)
    return Group(
        Text(advice.headline, style="bold" if advice.decided else "bold yellow"),
        *(Text(f"  because: {reason}") for reason in advice.reasons),
        *(Text(f"  but: {doubt}", style="yellow") for doubt in advice.doubts),
        *told,
        Text(),
        *(Text(f"  {line}") for line in cluster_lines(advice.settings, provider).splitlines()),
        Text(),
        _settings_table(evidence),
    )


def _settings_table(evidence: Evidence) -> RenderableType:
    quantities = shown_in("recommend")
    columns = (each.column for each in quantities)
    shared, labels = short_labels([each.settings for each in evidence.settings])
    title = ", ".join(filter(None, ("median (95 % interval)", all_with(shared))))
    rows = FittedTable("setting", "n", *columns, "front", title=title, optional=optional_columns(quantities))
    for each, label in zip(evidence.settings, labels, strict=True):
        front = "x" if each.label in evidence.front else ""
        rows.add_row(
            f"{label} *" if each.label == evidence.best else label,
            str(each.valid),
            *(interval_text(each.intervals.get(quantity.name), quantity) for quantity in quantities),
            front,
            style="bold" if each.label == evidence.best else None,
        )
    return rows


def interval_text(interval: Interval | None, quantity: Quantity) -> str:
    """Return `53.1 (52.0-54.4)`, or the median alone if too few values give no interval."""
    if interval is None:
        return "-"
    middle = quantity.text(interval.median)
    if interval.low is None or interval.high is None:
        return middle
    return f"{middle} ({quantity.text(interval.low)}-{quantity.text(interval.high)})"


def recommendation_document(
    evidence: Evidence, assumptions: Sequence[str] = (), provider: str | None = None
) -> dict[str, Any]:
    """Return the recommendation (null without a valid trial), the evidence and what it rests on as JSON."""
    advice = recommend(evidence)
    lines = {} if advice is None else {"cluster_config": cluster_lines(advice.settings, provider)}
    return {
        "recommendation": None if advice is None else {**advice.model_dump(mode="json"), **lines},
        "evidence": evidence.model_dump(mode="json"),
        "assumptions": list(assumptions),
    }
