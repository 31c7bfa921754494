"""The table `trials`: a trial's ids, settings, workload and status, and its scorecard, flattened."""

from collections.abc import Callable, Iterator
from functools import partial
from operator import attrgetter
from typing import Any, get_args

from orchestrator.model import arrivals
from orchestrator.model.arch import Arch
from orchestrator.model.quantities import Quantity, elasticity_fields, exported
from orchestrator.model.scorecard import ByPart, Scorecard
from orchestrator.model.settings import settings, type_of
from orchestrator.model.workload import parameters, plain_type
from orchestrator.report.export.columns import Column, Kind, TableOf
from orchestrator.sweeps.ledger import TrialRecord

ARCHES: tuple[str, ...] = get_args(Arch)
TRIALS = "trials"

TrialColumn = Column[TrialRecord]

_KINDS: dict[type | None, Kind] = {str: "text", float: "number", int: "count"}
_UNITS = {"$": "USD", "share": ""}
# Sums over all nodes, which have columns for their parts too.
_SUMS = frozenset(name for name, field in Scorecard.model_fields.items() if field.annotation in (ByPart, ByPart | None))
# `task_wait_s` and the stages of `launch_s`.
_DURATIONS: tuple[tuple[str, str], ...] = (
    ("task_wait", "from a task's submission to its start"),
    ("request", "from a node's request to its allocation"),
    ("boot", "from a node's allocation until its set-up began"),
    ("install", "from the beginning of a node's set-up until it ran"),
    ("launch", "from a node's request until it ran"),
)
_STATISTICS: tuple[tuple[str, str], ...] = (("p50", "median"), ("p95", "95th percentile of the"), ("max", "longest"))


def _columns() -> Iterator[TrialColumn]:
    yield Column("sweep_id", "text", "", "the sweep", attrgetter("sweep_id"))
    yield Column("trial_id", "text", "", "the trial: a hash of all that determines it", attrgetter("trial.trial_id"))
    yield Column("backend", "text", "", "what ran it", attrgetter("trial.backend"))
    yield Column("setting", "text", "", "the settings in short", lambda record: record.trial.settings.label())
    yield Column("repeat", "count", "", "which repeat of its settings, from 1", attrgetter("trial.repeat"))
    yield Column("seed", "count", "", "fixes what is random in the trial", attrgetter("trial.seed"))
    for name, setting in settings().items():
        yield Column(name, _KINDS[type_of(name)], setting.unit, setting.meaning, attrgetter(f"trial.settings.{name}"))
    for name, about in parameters().items():
        of_workload = _KINDS.get(plain_type(name), "text")
        yield Column(f"workload_{name}", of_workload, about.unit, about.meaning, partial(_of_workload, name))
    yield Column("workload_job", "text", "", "the command of the user's own script", _job)
    yield Column("workload_groups", "text", "", "the groups of the workload, in short", _groups)
    yield Column("workload_requests", "text", "", "the requests for resources, in short", _requests)
    for pattern in arrivals.ARRIVALS.values():
        for name, own in arrivals.own_parameters(pattern).items():
            yield Column(
                f"workload_{name}",
                _KINDS[int if own.metadata["whole"] else float],
                own.metadata["unit"],
                f"{own.metadata['meaning']}, for arrival {pattern.name}",
                partial(_of_arrival, name),
            )
    yield Column("workload_faults", "text", "", "what happens to nodes on purpose, by commas", _faults)
    yield Column("status", "text", "", "planned, running, done, failed or interrupted", attrgetter("status"))
    yield Column("reason", "text", "", "why it failed or was interrupted", lambda record: record.reason or None)
    yield Column("started", "time", "", "when it began", attrgetter("started"))
    yield Column("ended", "time", "", "when it ended", attrgetter("ended"))
    sums = [each for each in exported() if each.name in _SUMS]
    for each in exported():
        if each not in sums:
            yield Column(each.name, "count" if each.counted else "number", _unit(each), each.meaning, _number(each))
    yield Column("valid", "flag", "", "whether the trial can be trusted", _of_card(attrgetter("valid")))
    because = "why not; several reasons are separated by semicolons"
    yield Column("invalid_because", "text", "", because, _of_card(attrgetter("invalid_because")))
    weakens = "what weakens the numbers, separated by semicolons"
    yield Column("warnings", "text", "", weakens, _of_card(attrgetter("warnings")))
    for each in elasticity_fields():
        meaning = f"{each.meaning.partition(';')[0]}; all demand counts"
        yield Column(
            f"uncapped_{each.name}", "number", _unit(each), meaning, _of_card(attrgetter(f"uncapped.{each.name}"))
        )
    for each in sums:
        yield Column(each.name, "number", _unit(each), each.meaning, _number(each))
        for arch in ARCHES:
            value = _of_card(partial(_part, each, arch))
            yield Column(f"{each.name}_{arch}", "number", _unit(each), f"{each.meaning}: {arch}", value)
    for group in ("all", *ARCHES):
        suffix, where = ("", "") if group == "all" else (f"_{group}", f": {group}")
        meaning = f"tasks that ran for each dollar of worker nodes{where}"
        yield Column(f"tasks_per_usd{suffix}", "number", "1/USD", meaning, _of_card(partial(_tasks_per_usd, group)))
    for name, meaning in _DURATIONS:
        for group in ("all", *ARCHES):
            yield from _quantile_columns(name, meaning, group)


def _quantile_columns(name: str, meaning: str, group: str) -> Iterator[TrialColumn]:
    suffix, where = ("", "") if group == "all" else (f"_{group}", f": {group}")
    for statistic, called in _STATISTICS:
        value = _of_card(partial(_quantile, name, group, statistic))
        yield Column(f"{name}_{statistic}_s{suffix}", "number", "s", f"{called} time {meaning}{where}", value)
    yield Column(
        f"{name}_n{suffix}",
        "count",
        "",
        f"how many times {meaning}{where}",
        _of_card(partial(_quantile, name, group, "n")),
    )


def _of_card(value: Callable[[Scorecard], Any]) -> Callable[[TrialRecord], Any]:
    """Return a column's value from the scorecard; None as long as there is none."""

    def of_record(record: TrialRecord) -> Any:
        found = None if record.scorecard is None else value(record.scorecard)
        return ("; ".join(found) or None) if isinstance(found, tuple) else found

    return of_record


def _of_workload(name: str, record: TrialRecord) -> Any:
    return record.trial.workload.shown(name)


def _job(record: TrialRecord) -> str | None:
    job = record.trial.workload.job
    return None if job is None else job.entrypoint


def _groups(record: TrialRecord) -> str | None:
    return "; ".join(f"{group.name}: {group.describe()}" for group in record.trial.workload.groups) or None


def _requests(record: TrialRecord) -> str | None:
    return "; ".join(request.describe() for request in record.trial.workload.requests) or None


def _of_arrival(name: str, record: TrialRecord) -> float | None:
    workload = record.trial.workload
    value: float | None = getattr(workload.work[0].pattern, name, None) if workload.shown("arrival") else None
    return value


def _faults(record: TrialRecord) -> str | None:
    return ", ".join(map(str, record.trial.workload.faults)) or None


def _number(quantity: Quantity) -> Callable[[TrialRecord], Any]:
    return _of_card(quantity.value)


def _unit(quantity: Quantity) -> str:
    return _UNITS.get(quantity.unit, quantity.unit)


def _part(quantity: Quantity, arch: str, card: Scorecard) -> float | None:
    sums = quantity.breakdown(card)
    return None if sums is None else sums.by_arch.get(arch, 0.0)


def _tasks_per_usd(group: str, card: Scorecard) -> float | None:
    return card.tasks_per_usd.get(group)


def _quantile(name: str, group: str, statistic: str, card: Scorecard) -> float | None:
    groups = card.task_wait_s if name == "task_wait" else card.launch_s.get(group, {})
    found = groups.get(group if name == "task_wait" else name)
    return None if found is None else getattr(found, statistic)


def trials_table() -> TableOf[TrialRecord]:
    """Return the table with a column for each setting, workload parameter and quantity."""
    return TableOf(TRIALS, "A row is a trial.", tuple(_columns()))
