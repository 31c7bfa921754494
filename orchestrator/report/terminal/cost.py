"""The cost of a plan, and what a sweep changes in the cluster file, for the terminal."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator.model.billing import whole_cents
from orchestrator.replay.cost import Amount, Estimate
from orchestrator.report.terminal.table import FittedTable

_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def estimate_table(estimate: Estimate) -> RenderableType:
    """Return the expected and the worst cost and duration, for each trial and in all."""
    table = FittedTable(
        "cost of", "expected $", "at worst $", "expected min", "at worst min", title="cost, with head, disks, addresses"
    )
    amounts = list(estimate.trials.items())
    for trial_id, amount in amounts if len(amounts) <= _MAX_ROWS else []:
        table.add_row(trial_id, *_cells(amount))
    table.add_row(f"all {len(amounts)} trials", *_cells(estimate.total), style="bold")
    rates = estimate.rates
    lines = [f"{estimate.clusters} cluster{'s' if estimate.clusters != 1 else ''}; prices: {rates.source or 'unknown'}"]
    if estimate.unknown:
        lines.append(f"without the price of {', '.join(estimate.unknown)}, which is unknown")
    return Group(table, *(Text(line, style="yellow") for line in lines))


_MAX_ROWS = 40


def _cells(amount: Amount) -> tuple[str, ...]:
    usd = "-" if amount.usd is None else f"{whole_cents(amount.usd):.2f}"
    minutes = "-" if amount.seconds is None else f"{amount.seconds / 60:.0f}"
    return usd, f"{whole_cents(amount.worst_usd):.2f}", minutes, f"{amount.worst_s / 60:.0f}"


def changes_text(changes: Sequence[str]) -> RenderableType:
    """Return the lines of a diff in colours."""
    lines = [Text(line, style=_STYLES.get(line[:1], ""), no_wrap=False) for line in changes]
    return Group(Text(), Text("what is launched in place of the cluster file:", style="bold"), *lines)
