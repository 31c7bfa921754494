"""Tables for the terminal: a plan, a sweep's results, one trial, the ledger, a cluster's status."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator.analysis.sweep.evidence import recommend, weigh
from orchestrator.analysis.sweep.summary import SettingSummary, Spread, summarise
from orchestrator.model import quantities
from orchestrator.model.quantities import Quantity, elasticity_fields, quantity, shown_in
from orchestrator.model.scorecard import ByPart, Quantiles, Scorecard
from orchestrator.model.settings import short_labels
from orchestrator.model.snapshot import Snapshot
from orchestrator.model.workload import Workload
from orchestrator.observer.node_tracker import Describe
from orchestrator.optimiser.storage import SearchRecord
from orchestrator.replay.prediction import SEEDS, Foresight
from orchestrator.report.terminal.table import FittedTable
from orchestrator.sweeps.ledger import SweepRecord, TrialRecord, results_of
from orchestrator.sweeps.plan import Plan
from orchestrator.sweeps.runner import assumptions_of, bill_of
from orchestrator.sweeps.way_out import way_out

MAX_ROWS_OF_A_PLAN = 40
_ALWAYS_SHOWN = 2
_STATUS_STYLES = {"done": "green", "failed": "red", "interrupted": "yellow", "running": "cyan", "planned": "dim"}


def _facts() -> FittedTable:
    """Return a table of names and values."""
    table = FittedTable("", "", prose=("",))
    table.show_header = False
    return table


def optional_columns(shown: Sequence[Quantity]) -> list[str]:
    """Return the columns that a narrow table may omit, in the order in which to omit them. The first two stay.

    First come those of which neither more nor less is better, then the others; within both, the last goes first.
    """
    optional = shown[_ALWAYS_SHOWN:][::-1]
    return [each.column for each in sorted(optional, key=lambda each: each.better is not None)]


def all_with(shared: str) -> str:
    """Return the end of a title that names what all rows share."""
    return f"all with {shared}" if shared else ""


def spread_cell(spread: Spread | None, quantity: Quantity) -> str:
    """Return `12.3`, or with repeats `12.3 (11.0-14.2)`."""
    if spread is None:
        return "-"
    middle, low, high = map(quantity.text, (spread.median, spread.low, spread.high))
    return middle if low == high else f"{middle} ({low}-{high})"


def plan_tables(plan: Plan) -> RenderableType:
    """Return the plan: the cluster, the workload, the trials in their order, and notes."""
    spec = plan.spec
    facts = _facts()
    facts.add_row("backend", f"{spec.backend}, isolation {spec.isolation}")
    facts.add_row("starts", plan.starts)
    facts.add_row("shape", f"{plan.shape.describe()}; {plan.shape.max_workers} workers at most")
    for row in _workload_rows(plan.workload):
        facts.add_row(*row)
    facts.add_row("trials", f"{len(plan.settings)} settings x {spec.repeat}, {spec.order} order, seed {spec.seed}")
    shown = plan.trials[:MAX_ROWS_OF_A_PLAN]
    shared, labels = short_labels([trial.settings for trial in shown])
    table = FittedTable("#", "trial", "setting", "repeat", title=all_with(shared))
    table.columns[1].justify = table.columns[2].justify = "left"
    for number, (trial, label) in enumerate(zip(shown, labels, strict=True), start=1):
        table.add_row(str(number), trial.trial_id, label, str(trial.repeat))
    more = len(plan.trials) - MAX_ROWS_OF_A_PLAN
    rest = [Text(f"… and {more} more")] if more > 0 else []
    lines = [f"warning: {each}" for each in plan.warnings]
    lines += [*(f"assumption: {each}" for each in plan.assumptions), *(f"note: {note}" for note in plan.notes)]
    return Group(facts, *(Text(line, style="yellow") for line in lines), Text(), table, *rest)


def _workload_rows(workload: Workload) -> list[tuple[str, str]]:
    """Return the workload in one row, or one for each group and request."""
    if not workload.groups:
        return [("workload", workload.describe())]
    rows = [f"{group.name}: {group.describe()}" for group in workload.groups]
    rows += [request.describe() for request in workload.requests]
    rows += [f"with {fault}" for fault in workload.faults]
    return [("workload", rows[0]), *(("", row) for row in rows[1:])]


def foresight_table(foresight: Foresight) -> RenderableType:
    """Return the simulator's prediction of each setting, and the settings that it can't tell apart."""
    planned = shown_in("plan")
    shared, labels = short_labels([row.settings for row in foresight.rows])
    title = f"prediction of the simulator, {SEEDS} seeds: median (lowest-highest)"
    table = FittedTable(
        "predicted for",
        *(each.column for each in planned),
        title=", ".join(filter(None, (title, all_with(shared)))),
        optional=optional_columns(planned),
    )
    for row, label in zip(foresight.rows, labels, strict=True):
        table.add_row(label, *(spread_cell(row.spread(each.name), each) for each in planned))
    alike = [
        Text(f"predicted to be indistinguishable: {', '.join(settings.label() for settings in group)}", style="yellow")
        for group in foresight.alike
    ]
    never = [
        Text(f"predicted never to finish: {row.label}", style="red") for row in foresight.rows if row.makespan_s is None
    ]
    unknown = ", ".join(map(str, foresight.without))
    left_out = (
        [Text(f"predicted without {unknown}: the simulator has no such fault", style="yellow")] if unknown else []
    )
    return Group(table, *alike, *never, *left_out)


def sweep_table(record: SweepRecord) -> RenderableType:
    """Return the result: one row for each setting, the fastest marked, and below it what weakens the numbers."""
    rows = summarise((trial.trial.settings, trial.scorecard) for trial in record.trials)
    name = f" ({record.name})" if record.name else ""
    shared, labels = short_labels([row.settings for row in rows])
    title = ", ".join(filter(None, (f"sweep {record.sweep_id}{name}: {record.status}", all_with(shared))))
    shown = shown_in("terminal")
    columns = (each.column for each in shown)
    table = FittedTable("setting", "n", *columns, "valid", title=title, optional=optional_columns(shown))
    for row, label in zip(rows, labels, strict=True):
        table.add_row(*_setting_cells(row, label), style="bold green" if row.best else None)
    bill = bill_of(record)
    paid = [] if bill is None else [f"this sweep cost {bill.describe()}"]
    below = [*_verdicts(record, rows), *_weaknesses(record, rows), *paid, *(f"note: {note}" for note in record.notes)]
    last = [Text(line, style="yellow")] if (line := way_out(record)) else []
    return Group(table, *map(Text, below), *last)


def trials_table(record: SweepRecord) -> RenderableType:
    """Return a table of a sweep's trials in their order, by the ids that other commands take."""
    makespan = quantity("makespan_s")
    shared, labels = short_labels([each.trial.settings for each in record.trials])
    table = FittedTable(
        "trial", "setting", "repeat", "status", makespan.column, "valid", title=all_with(shared), optional=("repeat",)
    )
    table.columns[1].justify = table.columns[3].justify = "left"
    for each, label in zip(record.trials, labels, strict=True):
        card = each.scorecard
        table.add_row(
            each.trial.trial_id,
            label,
            str(each.trial.repeat),
            Text(each.status, style=_STATUS_STYLES[each.status]),
            makespan.text(card.makespan_s if card else None),
            "-" if card is None else "valid" if card.valid else "invalid",
        )
    return table


def _verdicts(record: SweepRecord, rows: Sequence[SettingSummary]) -> list[str]:
    """Which differences are real; nothing where no setting has repeats."""
    if len(rows) < 2 or not any(row.valid > 1 for row in rows):
        return []
    evidence = weigh(results_of(record.trials))
    if (advice := recommend(evidence)) is None:
        return []
    said = [*advice.reasons, *(doubt for doubt in advice.doubts if doubt not in evidence.warnings)]
    return [f"fastest: {advice.label}" if advice.decided else advice.headline, *(f"  {line}" for line in said)]


def _setting_cells(row: SettingSummary, label: str) -> list[str | Text]:
    if row.settings.target_utilization_fraction is not None:
        label += f" (effective speed {row.effective_upscaling_speed:g})"
    if row.best:
        label = f"{label} *"
    good = row.valid == row.ended
    verdict = Text("valid" if good else f"{row.valid} of {row.ended}", style="green" if good else "red")
    return [
        label,
        str(row.valid),
        *(spread_cell(row.spread(each.name), each) for each in shown_in("terminal")),
        verdict if row.ended else "-",
    ]


def _weaknesses(record: SweepRecord, rows: Sequence[SettingSummary]) -> list[str]:
    lines = [f"assumption: {each}" for each in assumptions_of(record)]
    for trial in record.trials:
        name = f"{trial.trial.trial_id} ({trial.trial.label()})"
        if trial.status in ("failed", "interrupted"):
            lines.append(f"{trial.status}: {name}: {trial.reason}")
        elif trial.scorecard is not None and not trial.scorecard.valid:
            lines.append(f"invalid: {name}: {'; '.join(trial.scorecard.invalid_because)}")
        if trial.scorecard is not None:
            lines += [f"warning: {name}: {warning}" for warning in trial.scorecard.warnings]
    if any(row.trials == 1 and row.valid for row in rows) and len(rows) > 1:
        lines.append("note: one run per setting can't show the spread; use --repeat 5")
    return lines


def trial_tables(record: TrialRecord, assumptions: Sequence[str] = ()) -> RenderableType:
    """Return everything that a trial's scorecard holds, and the assumptions of its sweep."""
    trial, card = record.trial, record.scorecard
    facts = _facts()
    facts.add_row("trial", f"{trial.trial_id} in sweep {record.sweep_id}")
    facts.add_row("setting", trial.label())
    facts.add_row("status", record.status + (f": {record.reason}" if record.reason else ""))
    facts.add_row("shape", trial.shape.describe())
    facts.add_row("workload", trial.workload.describe())
    facts.add_row("trace", record.trace or "-")
    for each in assumptions:
        facts.add_row("assumption", Text(each, style="yellow"))
    if card is None:
        return facts
    for name, value in _scorecard_rows(card):
        facts.add_row(name, value)
    return facts


def _scorecard_rows(card: Scorecard) -> Iterable[tuple[str, str]]:
    for each in quantities.QUANTITIES:
        yield each.column, each.text(each.value(card)) + _parts(each, each.breakdown(card))
    uncapped = ((each, getattr(card.uncapped, each.name)) for each in elasticity_fields())
    found = (f"{each.heading} {each.text_with_unit(value)}" for each, value in uncapped if value is not None)
    yield "with all demand counted", ", ".join(found) or "-"
    yield "tasks per $", ", ".join(f"{arch} {amount:.4g}" for arch, amount in card.tasks_per_usd.items()) or "-"
    yield from ((f"task wait s, {arch}", _quantiles(found)) for arch, found in card.task_wait_s.items())
    for arch, stages in card.launch_s.items():
        yield from ((f"{stage} s, {arch}", _quantiles(found)) for stage, found in stages.items())
    yield "valid", "yes" if card.valid else "no"
    yield "invalid because", "; ".join(card.invalid_because) or "-"
    yield "warnings", "; ".join(card.warnings) or "-"


def _parts(quantity: Quantity, sums: ByPart | None) -> str:
    """Return the parts of a sum by node type and architecture in parentheses."""
    parts = {} if sums is None else {**sums.by_type, **sums.by_arch}
    return f" ({', '.join(f'{part} {quantity.text(amount)}' for part, amount in parts.items())})" if parts else ""


def _quantiles(found: Quantiles) -> str:
    return f"p50 {found.p50:.1f}, p95 {found.p95:.1f}, max {found.max:.1f}, n {found.n}"


def ledger_table(records: Sequence[SweepRecord]) -> RenderableType:
    """Return all sweeps, the newest first."""
    table = FittedTable(
        "sweep", "name", "backend", "begun", "status", "trials", "valid", prose=("name",), optional=("backend",)
    )
    table.columns[1].justify = table.columns[2].justify = "left"
    for record in records:
        done = sum(1 for trial in record.trials if trial.status == "done")
        valid = sum(1 for trial in record.trials if trial.scorecard is not None and trial.scorecard.valid)
        table.add_row(
            record.sweep_id,
            record.name or "-",
            record.backend,
            datetime.fromtimestamp(record.created).strftime("%Y-%m-%d %H:%M"),
            Text(record.status, style=_STATUS_STYLES.get(record.status, "")),
            f"{done}/{len(record.trials)}",
            str(valid),
        )
    return table


def searches_table(searches: Sequence[SearchRecord], url: str) -> RenderableType:
    """Return all searches, the newest first, and how to look at one."""
    table = FittedTable(
        "search", "objective", "best", "ended", "settings tried", title="\nsearches", prose=("objective", "best")
    )
    table.columns[3].justify = "left"
    for each in searches:
        facts = each.facts
        table.add_row(
            each.search_id,
            str(facts.get("objective", "-")),
            str(facts.get("best") or "-"),
            datetime.fromtimestamp(facts.get("ended", 0.0)).strftime("%Y-%m-%d %H:%M"),
            str(facts.get("evaluated") or "-"),
        )
    return Group(table, Text(f"look at them with: optuna-dashboard {url}"))


def status_table(address: str, snapshot: Snapshot, describe: Describe) -> RenderableType:
    """Return a cluster as `ray status` shows it, but by node type and architecture."""
    groups: dict[tuple[str, str], dict[str, float]] = {}

    def group(node_type: str, arch: str) -> dict[str, float]:
        return groups.setdefault((node_type, arch), {})

    for node in snapshot.nodes:
        cells = group(node.node_type, describe(node.node_type, node.labels, node.total).arch)
        cells[node.status] = cells.get(node.status, 0) + 1
        if node.status != "dead":
            cells["used"] = cells.get("used", 0) + node.used.get("CPU", 0.0)
            cells["total"] = cells.get("total", 0) + node.total.get("CPU", 0.0)
    alive = {node.instance_id for node in snapshot.nodes if node.status != "dead"}
    for pending in snapshot.pending:
        if pending.instance_id not in alive:
            cells = group(pending.node_type, describe(pending.node_type, {}, {}).arch)
            cells["pending"] = cells.get("pending", 0) + pending.count
    when = datetime.fromtimestamp(snapshot.t).strftime("%H:%M:%S")
    table = FittedTable(
        "node type", "arch", "active", "idle", "draining", "pending", "gone", "CPU used", title=f"{address} at {when}"
    )
    for (node_type, arch), cells in sorted(groups.items()):
        counts = [cells.get(name, 0) for name in ("running", "idle", "draining", "pending", "dead")]
        used = f"{cells.get('used', 0):g}/{cells.get('total', 0):g}"
        table.add_row(node_type, arch, *(f"{count:g}" for count in counts), used)
    demand = ", ".join(f"{demand.count} x {{{demand.shape}}}" for demand in snapshot.demand if demand.count)
    return Group(table, Text(f"pending demand: {demand or 'none'}"))
