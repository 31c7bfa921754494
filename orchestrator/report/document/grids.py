"""The tables of the report, as text: what each setting showed, and each of its trials."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.analysis.sweep.evidence import Evidence
from orchestrator.analysis.sweep.statistics import Interval
from orchestrator.analysis.sweep.summary import SettingSummary, Spread
from orchestrator.analysis.trial.explain import Explanation
from orchestrator.analysis.trial.series import Hit
from orchestrator.model.quantities import Quantity, shown_in
from orchestrator.model.scorecard import Scorecard
from orchestrator.sweeps.ledger import TrialRecord

# Spot interruptions may be many.
MAX_FAULTS = 50
MAX_LAUNCHES = 100


@dataclass(frozen=True)
class Cell:
    """A cell of a table: text, a smaller text below it, and the exact number that they show."""

    text: str
    below: str = ""
    value: float | None = None


@dataclass(frozen=True)
class Grid:
    """A table of text; the first column names the row. `marked` are the highlighted rows."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    marked: frozenset[int] = frozenset()


def settings_grid(evidence: Evidence, summary: Sequence[SettingSummary]) -> Grid:
    """Return a row for each setting with its intervals; the best one is marked."""
    quantities = shown_in("report")
    rows = []
    for number, (each, row) in enumerate(zip(evidence.settings, summary, strict=True), start=1):
        label = Cell(f"{number}. {each.label}", _standing(evidence, each.label))
        trust = Cell(f"{each.valid} of {each.trials}")
        measured = [
            _interval_cell(each.intervals.get(quantity.name), quantity)
            if "evidence" in quantity.shown
            else _spread_cell(row.spread(quantity.name), quantity)
            for quantity in quantities
        ]
        rows.append((label, trust, *measured))
    return Grid(
        caption="Medians of the valid trials, and below them 95 % confidence intervals where there are three or more. "
        "θ: CPUs lacking and CPUs too many on average. ‘As good’: makespan and cost are indistinguishable from those "
        "of the best. ‘As fast’: the makespan is. ‘Too few repeats’: there are too few valid trials to compare.",
        columns=("setting", "valid trials", *(each.column for each in quantities)),
        rows=tuple(rows),
        marked=frozenset(i for i, each in enumerate(evidence.settings) if each.label == evidence.best),
    )


def trials_grid(trials: Sequence[TrialRecord], chosen: TrialRecord | None) -> Grid:
    """Return a row for each trial of a setting; `chosen` is the one that has plots."""
    quantities = shown_in("trials")
    rows = []
    for each in trials:
        card = each.scorecard or Scorecard()
        state = each.status if each.scorecard is None or each.status != "done" else "valid" if card.valid else "INVALID"
        rows.append(
            (
                Cell(f"#{each.trial.repeat} {each.trial.trial_id}", "drawn above" if each is chosen else ""),
                Cell(str(each.trial.seed)),
                *(_value_cell(quantity.value(card), quantity) for quantity in quantities),
                Cell(state),
            )
        )
    columns = ("trial", "seed", *(each.column for each in quantities), "state")
    return Grid("All trials of this setting.", columns, tuple(rows))


def faults_grid(hits: Sequence[Hit]) -> Grid | None:
    """Return a row for each fault on purpose of a trial, and what followed; None of one without."""
    if not hits:
        return None

    def after(hit: Hit, t: float | None) -> Cell:
        seconds = None if t is None else t - hit.t
        return Cell(shown_as(seconds, "{:.1f}"), value=seconds)

    rows = [
        (
            Cell(hit.detail),
            Cell(f"{hit.node_type} ({hit.arch})", hit.node),
            Cell(f"{hit.t:.1f}", value=hit.t),
            after(hit, hit.until),
            Cell("-" if hit.tasks is None else str(hit.tasks)),
            after(hit, hit.lost),
            after(hit, hit.replaced),
        )
        for hit in hits[:MAX_FAULTS]
    ]
    more = f" The first {MAX_FAULTS} of {len(hits)} are shown." if len(hits) > MAX_FAULTS else ""
    return Grid(
        "Faults on purpose, and after how many seconds each was over, its node was lost, and as many nodes of its type "
        f"could run tasks again. Tasks: what the node ran when it was hit; Ray runs them again if it is lost.{more}",
        ("fault", "node", "at s", "over after s", "tasks", "lost after s", "replaced after s"),
        tuple(rows),
    )


def launches_grid(explanation: Explanation | None) -> Grid | None:
    """Return a row for each launch with the rules that set its size; None without launches."""
    if explanation is None or not explanation.launches:
        return None
    rows = [
        (
            Cell(f"{each.t:.1f}", value=each.t),
            Cell(f"{len(each.nodes)}", f"{each.failed} failed" if each.failed else "", len(each.nodes)),
            Cell(each.node_type),
            Cell(", ".join(each.rules), each.text),
        )
        for each in explanation.launches[:MAX_LAUNCHES]
    ]
    more = len(explanation.launches) - MAX_LAUNCHES
    rest = f" The first {MAX_LAUNCHES} of {len(explanation.launches)} are shown." if more > 0 else ""
    return Grid(
        f"Each launch, in seconds after the submission, and the rules that set its size.{rest}",
        ("at s", "nodes", "type", "rules"),
        tuple(rows),
    )


def why_no_other(explanation: Explanation | None) -> str:
    """Return in one sentence why no other node came after the last launch; empty if no task waited then."""
    after = None if explanation is None else explanation.after
    if after is None or not after.pending:
        return ""
    waiting = ", ".join(f"{count} x {shape}" for shape, count in after.pending.items())
    reasons = "; ".join(str(each) for each in after.obstacles) or "no rule kept any"
    return f"Why no other node came: {after.t:.1f} s after the submission {waiting} waited. {reasons}."


def shown_as(value: float | None, form: str) -> str:
    """Return the value in a format such as `{:.1f} s`, or a dash."""
    return "-" if value is None else form.format(value)


def _standing(evidence: Evidence, label: str) -> str:
    """Return in a few words how a setting compares with the best."""
    words = []
    if label == evidence.best:
        words.append("lowest median")
    verdicts = {contrast.b: contrast.verdict for contrast in evidence.contrasts}
    if verdicts.get(label) == "indistinguishable":
        cost = {"lower": "as fast, costs less", "higher": "as fast, costs more"}
        words.append(cost.get(evidence.cost_verdict(label) or "", "as good"))
    elif verdicts.get(label) == "too few repeats":
        words.append("too few repeats")
    if label in evidence.front:
        words.append("Pareto front")
    return ", ".join(words)


def _value_cell(value: float | None, quantity: Quantity) -> Cell:
    return Cell(quantity.text(value), value=value)


def _interval_cell(interval: Interval | None, quantity: Quantity) -> Cell:
    if interval is None:
        return Cell("-")
    within = ""
    if interval.low is not None and interval.high is not None:
        within = _range(quantity.text(interval.low), quantity.text(interval.high))
    return Cell(quantity.text(interval.median), within, interval.median)


def _spread_cell(spread: Spread | None, quantity: Quantity) -> Cell:
    if spread is None:
        return Cell("-")
    within = "" if spread.low == spread.high else _range(quantity.text(spread.low), quantity.text(spread.high))
    return Cell(quantity.text(spread.median), within, spread.median)


def _range(low: str, high: str) -> str:
    return f"{low} to {high}" if low.startswith("-") else f"{low}–{high}"
