"""The ledger: sweeps, trials and scorecards in a database, committed at each step.

A ledger can come from somebody else, or from a newer version: what is read from it is checked like any other input.
"""

import json
import logging
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError
from sqlalchemy import JSON, Float, ForeignKey, Integer, String, Text, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from orchestrator.analysis.sweep.evidence import Result
from orchestrator.errors import InputError, SpecError, UnknownId
from orchestrator.inputs.problems import first_problem
from orchestrator.model.billing import Bill
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.trial import Trial
from orchestrator.sweeps.database import Database

SweepStatus = Literal["running", "done", "failed", "interrupted"]
TrialStatus = Literal["planned", "running", "done", "failed", "interrupted"]
LAST = "@last"
SCHEMA_VERSION = 1
"""The version of the tables. A ledger without a version was made before there was one, and is of version 1."""

_log = logging.getLogger(__name__)

_ID = re.compile(r"\w[\w.-]{0,31}", re.ASCII)
_YEAR_3000 = 32_503_680_000.0


class _Base(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: JSON}  # noqa: RUF012 (SQLAlchemy's own idiom)


class SweepRow(_Base):
    """One run of `orchestrate sweep`."""

    __tablename__ = "sweeps"

    sweep_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), default="")
    backend: Mapped[str] = mapped_column(String(32))
    status: Mapped[str] = mapped_column(String(16), default="running")
    created: Mapped[float] = mapped_column(Float)
    ended: Mapped[float | None] = mapped_column(Float, default=None)
    spec: Mapped[dict[str, Any]]
    environment: Mapped[dict[str, Any]]
    trials: Mapped[list["TrialRow"]] = relationship(
        back_populates="sweep", order_by="TrialRow.position", cascade="all, delete-orphan"
    )


class TrialRow(_Base):
    """One trial of a sweep; `definition` is the whole trial, `scorecard` its quantities."""

    __tablename__ = "trials"

    sweep_id: Mapped[str] = mapped_column(ForeignKey("sweeps.sweep_id"), primary_key=True)
    trial_id: Mapped[str] = mapped_column(String(32), primary_key=True, index=True)
    position: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(String(16), default="planned")
    reason: Mapped[str] = mapped_column(Text, default="")
    started: Mapped[float | None] = mapped_column(Float, default=None)
    ended: Mapped[float | None] = mapped_column(Float, default=None)
    trace: Mapped[str] = mapped_column(Text, default="")
    definition: Mapped[dict[str, Any]]
    scorecard: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    sweep: Mapped[SweepRow] = relationship(back_populates="trials")


class SchemaRow(_Base):
    """The version of the tables, in one row."""

    __tablename__ = "schema_version"

    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)


@dataclass(frozen=True)
class TrialRecord:
    """A trial in the ledger. `unknown` names numbers of its scorecard that only a newer version knows."""

    sweep_id: str
    trial: Trial
    status: TrialStatus
    reason: str
    started: float | None
    ended: float | None
    trace: str
    scorecard: Scorecard | None
    unknown: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """True if the trial enters the numbers of its setting."""
        return self.scorecard is not None and self.scorecard.valid

    def finished(self, *, keep_invalid: bool = False) -> bool:
        """Return whether a resumed sweep leaves this trial as it is."""
        return self.status == "done" and (keep_invalid or self.scorecard is None or self.valid)


@dataclass(frozen=True)
class SweepRecord:
    """A sweep in the ledger, with its trials in order."""

    sweep_id: str
    name: str
    backend: str
    status: SweepStatus
    created: float
    ended: float | None
    spec: dict[str, Any]
    environment: dict[str, Any]
    trials: tuple[TrialRecord, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what the user should know of the run itself, such as metrics that stopped."""
        kept = tuple(map(str, _list(self.environment.get("notes"))))
        unknown = sorted({name for trial in self.trials for name in trial.unknown})
        if not unknown:
            return kept
        return (*kept, f"made by a newer version of orchestrate; not shown: {', '.join(unknown)}")


class Ledger:
    """The database at an SQLAlchemy URL. Tables are created at first use. Raises InputError if it can't be opened.

    A database that another program has locked is waited for; then MissingPrerequisite is raised.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self._database.prepare(_Base.metadata, self._check_version, SchemaRow(version=SCHEMA_VERSION))
        self.unreadable: dict[str, str] = {}
        """The sweeps that the last `sweeps` left out, and why."""

    def _check_version(self, session: Session) -> None:
        found = session.scalars(select(SchemaRow.version)).all()
        if any(version > SCHEMA_VERSION for version in found):
            raise InputError(
                f"the ledger {self._database.place} was made by a newer version of orchestrate: its tables have version"
                f" {max(found)}, and this one reads up to {SCHEMA_VERSION}",
                "install the newer version: pip install --upgrade ray-orchestrate",
            )

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with self._database.session() as session:
            yield session

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with self._database.session(writes=True) as session:
            yield session

    def on_long_wait(self, tell: Callable[[float], object]) -> None:
        """Call `tell` when another program has the ledger locked for more than a moment, see `Database`."""
        self._database.on_long_wait = tell

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    # Writing

    def add_sweep(
        self,
        sweep_id: str,
        trials: Sequence[Trial],
        *,
        name: str,
        backend: str,
        spec: dict[str, Any],
        environment: dict[str, Any],
    ) -> None:
        """Record a new sweep with all its trials as planned."""
        rows = [
            TrialRow(trial_id=trial.trial_id, position=position, definition=_definition(trial))
            for position, trial in enumerate(trials)
        ]
        with self._writing() as session:
            session.add(
                SweepRow(
                    sweep_id=sweep_id,
                    name=name,
                    backend=backend,
                    created=time.time(),
                    spec=spec,
                    environment=environment,
                    trials=rows,
                )
            )

    def start_trial(self, sweep_id: str, trial_id: str, trace: str) -> None:
        """Record that a trial begins; `trace` is the path of its trace."""
        with self._writing() as session:
            row = session.get_one(TrialRow, (sweep_id, trial_id))
            row.status, row.reason, row.started, row.ended = "running", "", time.time(), None
            row.trace, row.scorecard = trace, None

    def end_trial(
        self, sweep_id: str, trial_id: str, status: TrialStatus, reason: str = "", scorecard: Scorecard | None = None
    ) -> None:
        """Record that a trial has ended, successfully or not."""
        with self._writing() as session:
            row = session.get_one(TrialRow, (sweep_id, trial_id))
            row.status, row.reason, row.ended = status, reason, time.time()
            row.scorecard = scorecard.model_dump(mode="json") if scorecard is not None else None

    def add_observed(
        self, sweep_id: str, trial: Trial, *, trace: str, started: float, scorecard: Scorecard | None
    ) -> None:
        """Record what an observation found, as a trial that is done, and the observation itself as done."""
        with self._writing() as session:
            row = session.get_one(SweepRow, sweep_id)
            row.status, row.ended = "done", time.time()
            row.trials = [
                TrialRow(
                    trial_id=trial.trial_id,
                    position=0,
                    status="done",
                    started=started,
                    ended=row.ended,
                    trace=trace,
                    definition=_definition(trial),
                    scorecard=scorecard.model_dump(mode="json") if scorecard is not None else None,
                )
            ]

    def set_sweep_status(self, sweep_id: str, status: SweepStatus) -> None:
        """Record that the sweep continues, or has ended."""
        with self._writing() as session:
            row = session.get_one(SweepRow, sweep_id)
            row.status, row.ended = status, None if status == "running" else time.time()

    def interrupt(self, sweep_id: str, reason: str) -> None:
        """Mark a sweep and its running trial as interrupted."""
        with self._writing() as session:
            row = session.get_one(SweepRow, sweep_id)
            row.status, row.ended = "interrupted", time.time()
            for trial in row.trials:
                if trial.status == "running":
                    trial.status, trial.reason, trial.ended = "interrupted", reason, time.time()

    def interrupt_abandoned(self, still_runs: Callable[[SweepRecord], bool]) -> list[str]:
        """Mark running sweeps as interrupted unless their process still runs. Returns their ids."""
        running = [record for record in self.sweeps() if record.status == "running"]
        abandoned = [record.sweep_id for record in running if not still_runs(record)]
        for sweep_id in abandoned:
            self.interrupt(sweep_id, "the process that ran it was killed")
        return abandoned

    def take_over(self, sweep_id: str, environment: dict[str, Any]) -> None:
        """Record that the calling process continues a sweep."""
        with self._writing() as session:
            session.get_one(SweepRow, sweep_id).environment = environment

    def add_notes(self, sweep_id: str, notes: Sequence[str]) -> None:
        """Keep lines for the user with the sweep's result; a line that is there already isn't repeated."""
        with self._writing() as session:
            row = session.get_one(SweepRow, sweep_id)
            kept = list(row.environment.get("notes", []))
            row.environment = {**row.environment, "notes": kept + [note for note in notes if note not in kept]}

    def add_bill(self, sweep_id: str, bill: Bill) -> None:
        """Add to what the sweep's machines have cost."""
        with self._writing() as session:
            row = session.get_one(SweepRow, sweep_id)
            earlier = Bill.model_validate(row.environment.get("bill") or {})
            row.environment = {**row.environment, "bill": earlier.plus(bill).model_dump(mode="json")}

    # Reading

    def sweeps(self) -> list[SweepRecord]:
        """Return all sweeps, the newest first, but those in `unreadable`."""
        records, self.unreadable = [], {}
        with self._reading() as session:
            ids = session.scalars(select(SweepRow.sweep_id).order_by(SweepRow.created.desc(), SweepRow.sweep_id)).all()
            for sweep_id in ids:
                try:
                    records.append(_sweep_record(session, sweep_id))
                except SpecError as error:
                    _log.info("a sweep can't be read", exc_info=True)
                    self.unreadable[sweep_id] = error.message
        return records

    def sweep(self, sweep_id: str) -> SweepRecord:
        """Return the sweep with exactly this id."""
        with self._reading() as session:
            return _sweep_record(session, sweep_id)

    def find(self, wanted: str) -> tuple[SweepRecord, TrialRecord | None]:
        """Return the sweep or trial with a unique prefix; `@last` is the newest sweep, `SWEEP/TRIAL` a trial.

        If several sweeps contain the trial, the newest counts. Raises UnknownId.
        """
        sweep_part, slash, trial_part = wanted.partition("/")
        sweep_id = self._find_sweep(sweep_part) if sweep_part else None
        if slash and sweep_id is None:
            raise UnknownId(f"{wanted!r}: no sweep begins with {sweep_part!r}", "see them all: orchestrate list")
        if sweep_id is not None and not trial_part:
            return self.sweep(sweep_id), None
        return self._find_trial(trial_part or sweep_part, sweep_id, wanted)

    def _find_sweep(self, part: str) -> str | None:
        with self._reading() as session:
            ids = session.scalars(select(SweepRow.sweep_id).order_by(SweepRow.created.desc())).all()
        if part == LAST:
            if not ids:
                raise UnknownId("the ledger holds no sweep yet", "run one: orchestrate sweep --upscaling-speed 1,5,10")
            return ids[0]
        found = [sweep_id for sweep_id in ids if sweep_id.startswith(part)]
        if len(found) > 1 and part not in found:
            raise UnknownId(f"{part!r} begins {len(found)} sweep ids: {', '.join(found[:5])}", "give more digits")
        return part if part in found else next(iter(found), None)

    def _find_trial(self, part: str, sweep_id: str | None, wanted: str) -> tuple[SweepRecord, TrialRecord]:
        query = select(TrialRow.sweep_id, TrialRow.trial_id).join(SweepRow).order_by(SweepRow.created.desc())
        if sweep_id is not None:
            query = query.where(TrialRow.sweep_id == sweep_id)
        with self._reading() as session:
            rows = (
                session.execute(query.where(TrialRow.trial_id.startswith(part, autoescape=True))).all() if part else []
            )
            ids = sorted({row.trial_id for row in rows})
            if not ids:
                raise UnknownId(f"no sweep or trial begins with {wanted!r}", "see them all: orchestrate list")
            if len(ids) > 1 and part not in ids:
                raise UnknownId(f"{wanted!r} begins {len(ids)} trial ids: {', '.join(ids[:5])}", "give more digits")
            row = next(row for row in rows if row.trial_id == (part if part in ids else ids[0]))
            record = _sweep_record(session, row.sweep_id)
        return record, next(trial for trial in record.trials if trial.trial.trial_id == row.trial_id)


def _definition(trial: Trial) -> dict[str, Any]:
    return json.loads(trial.model_dump_json(exclude={"trial_id"}))  # type: ignore[no-any-return]


def _sweep_record(session: Session, sweep_id: str) -> SweepRecord:
    """Return a sweep with its trials. Raises SpecError for what this version can't have written."""
    where = f"the ledger: sweep {sweep_id!r}"
    if not isinstance(sweep_id, str) or not _ID.fullmatch(sweep_id):
        raise SpecError(where, "its id isn't one that orchestrate gives; ids become names of files")
    try:
        row = session.get_one(SweepRow, sweep_id)
        return SweepRecord(
            sweep_id=row.sweep_id,
            name=_text(row.name),
            backend=_text(row.backend),
            status=_text(row.status),  # type: ignore[arg-type]
            created=_time(row.created) or 0.0,
            ended=_time(row.ended),
            spec=_mapping(row.spec),
            environment=_mapping(row.environment),
            trials=tuple(_trial_record(trial) for trial in row.trials),
        )
    except ValidationError as error:
        made_by = _made_by(session, sweep_id)
        problem = f"it was made by {made_by}, and this version can't read all of it: {first_problem(error).message}"
        raise SpecError(where, problem, "install the newer version: pip install --upgrade ray-orchestrate") from None
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise SpecError(where, "it is damaged: a value in it can't be read") from None


def _made_by(session: Session, sweep_id: str) -> str:
    environment = session.get_one(SweepRow, sweep_id).environment
    return f"orchestrate {_text(environment.get('orchestrate', '?'))[:40]}"


def _trial_record(row: TrialRow) -> TrialRecord:
    scorecard, unknown = _scorecard(row.scorecard)
    return TrialRecord(
        sweep_id=row.sweep_id,
        trial=Trial.model_validate(row.definition),
        status=_text(row.status),  # type: ignore[arg-type]
        reason=_text(row.reason),
        started=_time(row.started),
        ended=_time(row.ended),
        trace=_text(row.trace),
        scorecard=scorecard,
        unknown=unknown,
    )


def _scorecard(stored: dict[str, Any] | None) -> tuple[Scorecard | None, tuple[str, ...]]:
    """Return the numbers that this version knows, and the names of the others. Those stay in the database."""
    if stored is None:
        return None, ()
    unknown = tuple(sorted(_mapping(stored).keys() - Scorecard.model_fields.keys()))
    return Scorecard.model_validate({name: stored[name] for name in stored.keys() - set(unknown)}), unknown


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _time(value: Any) -> float | None:
    if value is not None and not (math.isfinite(value) and 0 <= value < _YEAR_3000):
        raise ValueError("not a time")
    return value if value is None else float(value)


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("not a mapping")
    return value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def results_of(trials: Iterable[TrialRecord]) -> list[Result]:
    """Return trials in order as results. A failed trial has a scorecard too, which is invalid."""
    return [
        Result(each.trial.settings, each.trial.repeat, each.trial.seed, each.trial.trial_id, each.scorecard)
        for each in trials
    ]
