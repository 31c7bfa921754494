"""The live view of a sweep: its progress, its nodes and the latest events."""

import time
from collections import Counter, deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.analysis.trial.node_lives import NodeLives
from orchestrator.analysis.trial.steps import StepFunction
from orchestrator.model.events import (
    CURRENT_STATES,
    DemandEvent,
    Event,
    FaultEvent,
    HostEvent,
    NodeEvent,
    NoteEvent,
    PhaseEvent,
    TaskEvent,
    UsageEvent,
)
from orchestrator.model.scorecard import Scorecard
from orchestrator.model.trial import Trial
from orchestrator.report.terminal.trend import Trends

_LAST_EVENTS = 6
_CLUSTER_START_S = 20.0
_SUBMISSION_S = 6.0


def estimate_s(trial: Trial) -> float:
    """Return a first guess at how long a trial takes: ideal makespan, ramp-up, submission, idle timeout."""
    workload = trial.workload
    ramp = trial.shape.launch.boot.expected_s + 3 * trial.settings.update_interval_s
    ideal = max(workload.cpu_seconds / max(trial.shape.max_cpus, 1.0), workload.longest_s)
    return _SUBMISSION_S + ramp + ideal + trial.longest_idle_s + ramp


def duration(seconds: float) -> str:
    """Return seconds as `1:05` or `2:03:04`."""
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def describe_fault(event: FaultEvent) -> str:
    """Return `pause of x86 3f2a90c1 (pause@20+15)`, or the same with `is over`."""
    over = " is over" if event.stage == "end" else ""
    return f"{event.kind} of {event.node_type} {event.node[:8]}{over}" + (f" ({event.detail})" if event.detail else "")


def describe_change(event: NodeEvent) -> str:
    """Return `x86 3f2a90c1 requested (demand)`."""
    return f"{event.node_type} {event.node[:8]} {event.state}" + (f" ({event.cause})" if event.cause else "")


class LiveView:
    """A `Watcher` for people. On a terminal it redraws itself; elsewhere it prints a line for each step."""

    name = "the live view"

    def __init__(self, console: Console, trials: list[Trial], *, clock: Callable[[], float] = time.time) -> None:
        self._console = console
        self._clock = clock
        self._began = clock()
        self._trials = trials
        self._number = self._total = 0
        self._trial: Trial | None = None
        self._runs = False
        self._trial_began = 0.0
        self._ended: list[Trial] = []
        self._actual_s = 0.0
        self._reset()
        self._live: Live | None = None
        if console.is_terminal:
            self._live = Live(console=console, get_renderable=self.render, refresh_per_second=4, transient=True)

    def _reset(self) -> None:
        self._phase = ""
        self._lives = NodeLives()
        self._pending: dict[str, int] = {}
        self._tasks = 0
        self._host = 0.0
        self._last: deque[str] = deque(maxlen=_LAST_EVENTS)
        self._history: dict[str, dict[float, float]] = {"pending tasks": {}, "nodes": {}, "CPUs used": {}}

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    # Watcher

    def trial_started(self, number: int, total: int, trial: Trial) -> None:
        """Show the trial that begins."""
        self._number, self._total, self._trial = number, total, trial
        self._trial_began = self._clock()
        self._runs = True
        self._reset()
        self._say(f"trial {number} of {total}: {trial.label()} ({trial.trial_id})")

    def event(self, event: Event) -> None:
        """Show a new event of the running trial."""
        change = self._lives.add(event)
        if change is not None:
            self._remember("nodes", event.t, len(self._lives.living))
            if not change.is_baseline:
                self._last.append(f"{self._offset(event.t)} {describe_change(change.event)}")
        elif isinstance(event, PhaseEvent) and event.phase != self._phase:
            self._phase = event.phase
            if event.phase == "failed":
                return  # `trial_ended` says why
            self._say(
                f"  {self._offset()} {event.phase.replace('_', ' ')}{f': {event.detail}' if event.detail else ''}"
            )
        elif isinstance(event, FaultEvent):
            text = f"{self._offset(event.t)} {describe_fault(event)}"
            self._last.append(text)
            self._say(f"  {text}")
        elif isinstance(event, DemandEvent):
            self._pending = event.pending
            self._remember("pending tasks", event.t, sum(event.pending.values()))
        elif isinstance(event, UsageEvent):
            self._remember("CPUs used", event.t, sum(used for used, _ in event.cpus.values()))
        elif isinstance(event, TaskEvent):
            self._tasks += event.count
        elif isinstance(event, HostEvent):
            self._host = event.cpu_percent
        elif isinstance(event, NoteEvent):
            self._last.append(f"{self._offset(event.t)} {event.text}")

    def trial_ended(self, trial: Trial, scorecard: Scorecard | None, reason: str) -> None:
        """Show the result of a trial."""
        self._ended.append(trial)
        self._actual_s += self._clock() - self._trial_began
        self._runs = False
        if reason:
            self._print(f"  failed: {reason}", style="red")
        elif scorecard is not None and scorecard.makespan_s is not None:
            verdict = "valid" if scorecard.valid else f"invalid: {'; '.join(scorecard.invalid_because)}"
            self._print(
                f"  {trial.label()}: makespan {scorecard.makespan_s:.1f} s, {scorecard.launches} launches, {verdict}",
                style="green" if scorecard.valid else "red",
            )

    def _remember(self, name: str, t: float, value: float) -> None:
        self._history[name][t - self._trial_began] = value

    # Drawing

    def _say(self, line: str) -> None:
        if self._live is None:
            self._print(line)

    def _print(self, line: str, style: str | None = None) -> None:
        self._console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)

    def _offset(self, t: float | None = None) -> str:
        return duration((self._clock() if t is None else t) - self._trial_began).rjust(5)

    def remaining_s(self) -> float:
        """Return an estimate of the seconds left, from the trials so far if any has ended."""
        scale = self._actual_s / max(1.0, sum(map(estimate_s, self._ended))) if self._ended else 1.0
        to_come = self._trials[len(self._ended) :]
        left = scale * sum(map(estimate_s, to_come))
        if to_come and not self._ended:
            left += _CLUSTER_START_S
        return max(0.0, left - (self._clock() - self._trial_began if self._runs else 0.0))

    def render(self) -> RenderableType:
        """Return the present content of the screen."""
        if self._trial is None:
            return Text("starting…")
        now = self._clock()
        wanted = self._trial.workload.task_count
        head = Text.assemble(
            (f"trial {self._number} of {self._total} ", "bold"),
            (self._trial.label(), "cyan"),
            f"  {self._phase.replace('_', ' ')}",
            f"  trial {duration(now - self._trial_began)}" if self._runs else "",
            f"  sweep {duration(now - self._began)}, about {duration(self.remaining_s())} left",
        )
        done = Table.grid(padding=(0, 1))
        if wanted is None:
            done.add_row("the tasks of a job are read when it has ended")
        else:
            done.add_row(
                "tasks done", ProgressBar(total=wanted, completed=self._tasks, width=40), f"{self._tasks} of {wanted}"
            )
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("node type", "arch", *CURRENT_STATES):
            table.add_column(column, justify="left" if column in ("node type", "arch") else "right")
        counts = Counter((life.node_type, life.arch, life.state) for life in self._lives)
        for node_type in self._trial.shape.launchable:
            cells = [counts.get((node_type.name, node_type.arch, state), 0) for state in CURRENT_STATES]
            table.add_row(node_type.name, node_type.arch, *(str(count) if count else "·" for count in cells))
        ended = counts.total() - len(self._lives.living)
        pending = ", ".join(f"{count} x {shape}" for shape, count in self._pending.items() if count) or "none"
        line = Text(f"pending {pending}   nodes terminated {ended}   host CPU {self._host:.0f} %")
        events = (Text(f"  {text}", style="dim") for text in tuple(self._last))
        return Group(head, done, table, line, self._trends(now), *events)

    def _trends(self, now: float) -> Trends:
        steps = {name: StepFunction(*_ordered(values)) for name, values in self._history.items() if values}
        return Trends([(name, each, None) for name, each in steps.items()], now - self._trial_began)


def _ordered(values: dict[float, float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    times = sorted(values)
    return tuple(times), tuple(values[t] for t in times)
