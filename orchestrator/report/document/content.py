"""The content of a report, gathered once for HTML, Markdown and JUnit."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.analysis.sweep.evidence import Evidence, Recommendation, no_choice, recommend, weigh
from orchestrator.analysis.sweep.summary import SettingSummary, summarise
from orchestrator.analysis.trial.explain import Explanation, explain
from orchestrator.analysis.trial.series import Series, series
from orchestrator.errors import SpecError
from orchestrator.model.events import SettingsEvent
from orchestrator.model.prices import Prices
from orchestrator.model.quantities import shown_in
from orchestrator.model.settings import Settings
from orchestrator.report.cluster_lines import cluster_lines
from orchestrator.report.document.environment import environment, in_force_under
from orchestrator.report.document.grids import Grid, settings_grid, trials_grid
from orchestrator.report.document.reproduce import Repeat, repeat
from orchestrator.sweeps.ledger import SweepRecord, TrialRecord, results_of
from orchestrator.sweeps.runner import assumptions_of, prices_of, provider_of, unpriced_of
from orchestrator.trace.file import Trace, read_trace

_log = logging.getLogger(__name__)

# With more trials than this, only one of each setting is drawn; with more settings, only the first so many.
MAX_DRAWN_TRIALS = 24
MAX_DRAWN_SETTINGS = 60


@dataclass(frozen=True)
class DrawnTrial:
    """A trial that gets plots, or the reason why it has none; what the autoscaler said to have in force."""

    record: TrialRecord
    series: Series | None
    problem: str
    in_force: dict[str, Any]
    explanation: Explanation | None = None


@dataclass(frozen=True)
class SettingSection:
    """One setting: its number and label, its trials that are drawn, and a table of all its trials."""

    number: int
    label: str
    drawn: tuple[DrawnTrial, ...]
    trials: Grid
    representative: TrialRecord | None

    @property
    def heading(self) -> str:
        """Number and label."""
        return f"{self.number}. {self.label}"


@dataclass(frozen=True)
class Report:
    """All of it. `headline` and `reasons` and `doubts` are sentences; `problems` a line for each doubtful trial."""

    record: SweepRecord
    evidence: Evidence
    summary: tuple[SettingSummary, ...]
    advice: Recommendation | None
    headline: str
    facts: tuple[tuple[str, str], ...]
    cluster_config: str
    settings: Grid
    sections: tuple[SettingSection, ...]
    left_out: str
    problems: tuple[tuple[str, str, str], ...]
    unfinished: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    in_force: Grid | None
    prices: Prices | None
    repeat: Repeat | None

    @property
    def decided(self) -> bool:
        """True if the trials show which setting to take."""
        return self.advice is not None and self.advice.decided


def gather(record: SweepRecord, *, cluster: Path | None = None, read: Callable[[Path], Trace] = read_trace) -> Report:
    """Return the report of a sweep. A trace that can't be read costs that trial its plots, and is mentioned."""
    evidence = weigh(results_of(record.trials))
    advice = recommend(evidence)
    summary = summarise((each.trial.settings, each.scorecard) for each in record.trials)
    sections = _sections(record, read)
    said = [(each.heading, drawn.in_force) for each in sections for drawn in each.drawn[:1] if drawn.in_force]
    alike, in_force = in_force_under(said)
    left_out = max(0, len(sections) - MAX_DRAWN_SETTINGS)
    return Report(
        record=record,
        evidence=evidence,
        summary=tuple(summary),
        advice=advice,
        headline=_headline(record, evidence, advice),
        facts=tuple(_facts(record)),
        cluster_config=cluster_lines(advice.settings, provider_of(record)) if advice is not None else "",
        settings=settings_grid(evidence, summary),
        sections=sections,
        left_out=f"{left_out} settings have no plots, to keep this page small." if left_out else "",
        problems=tuple(_problems(record)),
        unfinished=tuple(_unfinished(record)),
        environment=(*environment(record), ("in force under all settings", alike or "unknown: no trace says it")),
        in_force=in_force,
        prices=prices_of(record),
        repeat=repeat(record, cluster if cluster is not None and cluster.is_file() else None),
    )


def trial_facts(record: TrialRecord) -> list[tuple[str, str]]:
    """Return the main numbers of one trial as names and values."""
    card = record.scorecard
    if card is None:
        return [("status", record.status)]
    return [
        *((each.heading, each.text_with_unit(each.value(card))) for each in shown_in("facts")),
        ("trust", "valid" if card.valid else "INVALID: " + "; ".join(card.invalid_because)),
    ]


def idle_cost(record: TrialRecord, prices: Prices | None) -> dict[str, float]:
    """Dollars that nodes cost while they could run tasks and ran none, by arch; nothing of types without a price."""
    card, shape = record.scorecard, record.trial.shape
    cost: dict[str, float] = {}
    for name, seconds in (card.idle_node_seconds.by_type if card is not None else {}).items():
        node_type = shape.node_type(name)
        usd = None if prices is None or node_type is None else prices.of_node(name, node_type.instance_type)
        if node_type is not None and usd is not None:
            cost[node_type.arch] = cost.get(node_type.arch, 0.0) + seconds * usd / 3600
    return cost


def _headline(record: SweepRecord, evidence: Evidence, advice: Recommendation | None) -> str:
    if advice is not None:
        return _capitalised(advice.headline)
    if not any(each.scorecard is not None for each in record.trials):
        return "No trial has finished yet"
    return _capitalised(no_choice(evidence, unpriced_of(record)))


def _capitalised(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _facts(record: SweepRecord) -> list[tuple[str, str]]:
    settings = len({each.trial.settings for each in record.trials})
    done = sum(1 for each in record.trials if each.scorecard is not None)
    valid = sum(1 for each in record.trials if each.scorecard is not None and each.scorecard.valid)
    trials = f"{valid} valid of {len(record.trials)}" + (
        f"; {len(record.trials) - done} not finished" if done < len(record.trials) else ""
    )
    facts = [("status", record.status), ("backend", record.backend), ("settings", str(settings)), ("trials", trials)]
    if record.trials:
        facts.append(("workload", record.trials[0].trial.workload.describe()))
    return facts + [("assumption", each) for each in assumptions_of(record)]


def _sections(record: SweepRecord, read: Callable[[Path], Trace]) -> tuple[SettingSection, ...]:
    groups: dict[Settings, list[TrialRecord]] = {}
    for each in record.trials:
        groups.setdefault(each.trial.settings, []).append(each)
    few = len(record.trials) <= MAX_DRAWN_TRIALS
    sections = []
    for number, (settings, own) in enumerate(groups.items(), start=1):
        chosen = _representative(own)
        drawn = own if few else ([] if chosen is None or number > MAX_DRAWN_SETTINGS else [chosen])
        sections.append(
            SettingSection(
                number=number,
                label=settings.label(),
                drawn=tuple(_draw(each, read) for each in drawn if each.trace),
                trials=trials_grid(own, chosen),
                representative=chosen,
            )
        )
    return tuple(sections)


def _representative(trials: Sequence[TrialRecord]) -> TrialRecord | None:
    """Return the valid trial with the (lower) median makespan."""
    valid = [each for each in trials if each.scorecard is not None and each.scorecard.valid]
    ordered = sorted(valid, key=lambda each: (each.scorecard and each.scorecard.makespan_s) or math.inf)
    return ordered[(len(ordered) - 1) // 2] if ordered else None


def _draw(record: TrialRecord, read: Callable[[Path], Trace]) -> DrawnTrial:
    try:
        trace = read(Path(record.trace))
    except SpecError as error:
        _log.warning("no plots of trial %s", record.trial.trial_id, exc_info=True)
        return DrawnTrial(record, None, f"no plots: {error.message}", {})
    said = [event.in_force for event in trace.events if isinstance(event, SettingsEvent)]
    found = series(record.trial, trace.events)
    return DrawnTrial(
        record,
        found,
        "" if found is not None else "no plots: no task was recorded",
        dict(said[-1]) if said else {},
        explain(record.trial, trace.events),
    )


def _problems(record: SweepRecord) -> list[tuple[str, str, str]]:
    """(kind, trial, text) for each trial that failed, is invalid, or has a warning."""
    lines: list[tuple[str, str, str]] = []
    for each in record.trials:
        name = f"{each.trial.trial_id} ({each.trial.label()})"
        card = each.scorecard
        if each.status in ("failed", "interrupted"):
            lines.append((each.status, name, each.reason or "no reason was recorded"))
        if card is not None and not card.valid:
            lines.append(("invalid", name, "; ".join(card.invalid_because)))
        if card is not None:
            lines += [("warning", name, warning) for warning in card.warnings]
    return lines


def _unfinished(record: SweepRecord) -> list[str]:
    return [
        f"{each.trial.trial_id} ({each.trial.label()}): {each.status}"
        for each in record.trials
        if each.status in ("planned", "running")
    ]
