"""The ledger: sweeps, trials and scorecards in a database, committed at each step."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import JSON, Float, ForeignKey, Integer, String, Text, create_engine, event, select
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from orchestrator.analysis.sweep.evidence import Result
from orchestrator.errors import InputError, UnknownId
from orchestrator.model.billing import Bill
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.trial import Trial

SweepStatus = Literal["running", "done", "failed", "interrupted"]
TrialStatus = Literal["planned", "running", "done", "failed", "interrupted"]
LAST = "@last"


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


@dataclass(frozen=True)
class TrialRecord:
    """A trial in the ledger."""

    sweep_id: str
    trial: Trial
    status: TrialStatus
    reason: str
    started: float | None
    ended: float | None
    trace: str
    scorecard: Scorecard | None

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
        return tuple(self.environment.get("notes", ()))


class Ledger:
    """The database at an SQLAlchemy URL. Tables are created at first use. Raises InputError if it can't be opened."""

    def __init__(self, url: str) -> None:
        try:
            self._engine = create_engine(url)
            if self._engine.dialect.name == "sqlite":
                event.listen(self._engine, "connect", _use_write_ahead_log)
            _Base.metadata.create_all(self._engine)
        except ImportError as error:
            problem = f"the ledger {_without_password(url)} needs a driver: {_cause(error)}"
            raise InputError(problem, "for PostgreSQL: pip install 'ray-orchestrate[postgres]'") from None
        except (SQLAlchemyError, ValueError) as error:
            cause = "not a database URL" if isinstance(error, ArgumentError | ValueError) else _cause(error)
            raise InputError(f"the ledger {_without_password(url)} can't be opened: {cause}") from None

    @contextmanager
    def _session(self) -> Iterator[Session]:
        try:
            with Session(self._engine) as session, session.begin():
                yield session
        except SQLAlchemyError as error:
            raise InputError(f"the ledger can't be used: {_cause(error)}") from None

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
        with self._session() as session:
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
        with self._session() as session:
            row = session.get_one(TrialRow, (sweep_id, trial_id))
            row.status, row.reason, row.started, row.ended = "running", "", time.time(), None
            row.trace, row.scorecard = trace, None

    def end_trial(
        self, sweep_id: str, trial_id: str, status: TrialStatus, reason: str = "", scorecard: Scorecard | None = None
    ) -> None:
        """Record that a trial has ended, successfully or not."""
        with self._session() as session:
            row = session.get_one(TrialRow, (sweep_id, trial_id))
            row.status, row.reason, row.ended = status, reason, time.time()
            row.scorecard = scorecard.model_dump(mode="json") if scorecard is not None else None

    def set_sweep_status(self, sweep_id: str, status: SweepStatus) -> None:
        """Record that the sweep continues, or has ended."""
        with self._session() as session:
            row = session.get_one(SweepRow, sweep_id)
            row.status, row.ended = status, None if status == "running" else time.time()

    def interrupt(self, sweep_id: str, reason: str) -> None:
        """Mark a sweep and its running trial as interrupted."""
        with self._session() as session:
            row = session.get_one(SweepRow, sweep_id)
            row.status, row.ended = "interrupted", time.time()
            for trial in row.trials:
                if trial.status == "running":
                    trial.status, trial.reason, trial.ended = "interrupted", reason, time.time()

    def interrupt_abandoned(self, still_runs: Callable[[dict[str, Any]], bool]) -> list[str]:
        """Mark running sweeps as interrupted if the process in their environment is gone. Returns their ids."""
        with self._session() as session:
            running = session.scalars(select(SweepRow).where(SweepRow.status == "running")).all()
            abandoned = [row.sweep_id for row in running if not still_runs(row.environment.get("process") or {})]
        for sweep_id in abandoned:
            self.interrupt(sweep_id, "the process that ran it was killed")
        return abandoned

    def take_over(self, sweep_id: str, environment: dict[str, Any]) -> None:
        """Record that the calling process continues a sweep."""
        with self._session() as session:
            session.get_one(SweepRow, sweep_id).environment = environment

    def add_notes(self, sweep_id: str, notes: Sequence[str]) -> None:
        """Keep lines for the user with the sweep's result; a line that is there already isn't repeated."""
        with self._session() as session:
            row = session.get_one(SweepRow, sweep_id)
            kept = list(row.environment.get("notes", []))
            row.environment = {**row.environment, "notes": kept + [note for note in notes if note not in kept]}

    def add_bill(self, sweep_id: str, bill: Bill) -> None:
        """Add to what the sweep's machines have cost."""
        with self._session() as session:
            row = session.get_one(SweepRow, sweep_id)
            earlier = Bill.model_validate(row.environment.get("bill") or {})
            row.environment = {**row.environment, "bill": earlier.plus(bill).model_dump(mode="json")}

    # Reading

    def sweeps(self) -> list[SweepRecord]:
        """Return all sweeps, the newest first."""
        with self._session() as session:
            rows = session.scalars(select(SweepRow).order_by(SweepRow.created.desc(), SweepRow.sweep_id))
            return [_sweep_record(row) for row in rows]

    def sweep(self, sweep_id: str) -> SweepRecord:
        """Return the sweep with exactly this id."""
        with self._session() as session:
            return _sweep_record(session.get_one(SweepRow, sweep_id))

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
        with self._session() as session:
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
        query = select(TrialRow).join(SweepRow).order_by(SweepRow.created.desc())
        if sweep_id is not None:
            query = query.where(TrialRow.sweep_id == sweep_id)
        with self._session() as session:
            rows = (
                session.scalars(query.where(TrialRow.trial_id.startswith(part, autoescape=True))).all() if part else []
            )
            ids = sorted({row.trial_id for row in rows})
            if not ids:
                raise UnknownId(f"no sweep or trial begins with {wanted!r}", "see them all: orchestrate list")
            if len(ids) > 1 and part not in ids:
                raise UnknownId(f"{wanted!r} begins {len(ids)} trial ids: {', '.join(ids[:5])}", "give more digits")
            row = next(row for row in rows if row.trial_id == (part if part in ids else ids[0]))
            return _sweep_record(row.sweep), _trial_record(row)


def _use_write_ahead_log(connection: Any, _record: Any) -> None:
    """Turn on the write-ahead log, so that readers (`show`, `list`) and a running sweep don't block each other."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA busy_timeout=10000")
    connection.execute("PRAGMA foreign_keys=ON")


def _definition(trial: Trial) -> dict[str, Any]:
    return json.loads(trial.model_dump_json(exclude={"trial_id"}))  # type: ignore[no-any-return]


def _trial_record(row: TrialRow) -> TrialRecord:
    return TrialRecord(
        sweep_id=row.sweep_id,
        trial=Trial.model_validate(row.definition),
        status=row.status,  # type: ignore[arg-type]
        reason=row.reason,
        started=row.started,
        ended=row.ended,
        trace=row.trace,
        scorecard=Scorecard.model_validate(row.scorecard) if row.scorecard is not None else None,
    )


def _sweep_record(row: SweepRow) -> SweepRecord:
    return SweepRecord(
        sweep_id=row.sweep_id,
        name=row.name,
        backend=row.backend,
        status=row.status,  # type: ignore[arg-type]
        created=row.created,
        ended=row.ended,
        spec=row.spec,
        environment=row.environment,
        trials=tuple(_trial_record(trial) for trial in row.trials),
    )


def _cause(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return str(cause).strip().splitlines()[0][:200]


def _without_password(url: str) -> str:
    """Return a database URL without user, password and query, which may contain a password too."""
    dialect, separator, rest = url.partition("://")
    if not separator:
        return url
    return f"{dialect}://{rest.partition('?')[0].rpartition('@')[2]}"


def results_of(trials: Iterable[TrialRecord]) -> list[Result]:
    """Return trials in order as results. A failed trial has a scorecard too, which is invalid."""
    return [
        Result(each.trial.settings, each.trial.repeat, each.trial.seed, each.trial.trial_id, each.scorecard)
        for each in trials
    ]
