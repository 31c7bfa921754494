"""The contract of a backend, which turns a trial into a trace. The rest of the program can't tell backends apart.

A backend registers itself by one `BackendKind`: see `registry` for where.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from concurrent.futures import Future

    from orchestrator.errors import TrialFailed
    from orchestrator.inputs.cluster_config import ClusterFile
    from orchestrator.inputs.prices import ClusterPrices
    from orchestrator.metrics.discovery import Target
    from orchestrator.model.billing import Bill, Rates
    from orchestrator.model.fault import FaultKind
    from orchestrator.model.group import Feature
    from orchestrator.model.prices import Prices
    from orchestrator.model.spec import SweepSpec
    from orchestrator.model.trial import Trial
    from orchestrator.observer.observer import Observer
    from orchestrator.readiness import Question
    from orchestrator.trace.file import TraceWriter


class Backend(Protocol):
    """Runs trials one after another. `close` ends everything that was started; it may be called twice.

    `observer` watches the running cluster, and is None while there is nothing to watch. A `reproducible` backend gives
    the same trace for the same trial, so nothing about the run itself may be in it. `left` names what couldn't be
    ended: no trial fails for that, and `orchestrate clean` finds it.
    """

    name: str
    observer: "Observer | None"
    reproducible: bool
    left: Sequence[str]

    def expect(self, trials: "Sequence[Trial]") -> None:
        """Announce the trials that `run` will get, in this order. A backend that can may begin with them."""
        ...

    def run(self, trial: "Trial", trace: "TraceWriter", log_path: Path) -> None:
        """Run one trial: write its events to `trace` and the workload's own output to `log_path`.

        Raises TrialFailed if the trial can't be finished; the next `run` then starts from a sound state all the same.
        """
        ...

    def targets(self) -> "list[Target]":
        """Return the addresses at which Prometheus finds what the cluster exports now. Any thread may call it."""
        ...

    def close(self) -> None:
        """End everything that was started; add what can't be ended to `left`."""
        ...


@runtime_checkable
class BilledBackend(Protocol):
    """A backend whose machines cost money, and which knows how much. A trial that exceeds `max_usd` is ended."""

    def bill(self) -> "Bill":
        """Return what all machines since its creation have cost until now. Any thread may call it."""
        ...


@dataclass(frozen=True)
class Recording:
    """The events of a simulated trial as JSON lines, and the reason if it failed."""

    events: Sequence[str]
    failure: "TrialFailed | None"


class Executor(Protocol):
    """Records simulated trials outside this process's main thread, up to `width` at a time."""

    width: int

    def submit(self, trial: "Trial", timeout_s: float) -> "Future[Recording]":
        """Begin to simulate a trial."""
        ...

    def close(self) -> None:
        """Give up what isn't done and leave nothing running. It may be called twice."""
        ...


Say = Callable[[str], None]


def _say_nothing(line: str) -> None:
    pass


@dataclass(frozen=True)
class BackendRequest:
    """Everything that a backend gets for one sweep.

    Ray's logs go to `logs_dir` when a cluster ends. `start_executor` and `lazy` are for simulated trials, see
    `simulated.executors.RunAhead`. `note` takes lines that the user should read, `progress` the current step.
    `sweep_id` is for tags of machines in a cloud, `rates` is their cost an hour, `max_usd` the most that they may cost.
    """

    home: Path
    spec: "SweepSpec"
    cluster: "ClusterFile"
    logs_dir: Path | None = None
    start_executor: Callable[[], Executor] | None = None
    lazy: bool = False
    note: Say = _say_nothing
    progress: Say = _say_nothing
    sweep_id: str = ""
    rates: "Rates | None" = None
    max_usd: float | None = None


@dataclass(frozen=True)
class Orphan:
    """Parts of one cluster, such as its processes, containers or folders, which outlive a killed orchestrator.

    `parts` are names by kind in the singular: `{"container": ("orchestrate-1a2b3c4d-head",)}`. `in_use` says whether
    the cluster's orchestrator still runs, where the parts themselves show it; None where they don't. `details` are
    lines about single parts, `usd` is what those in a cloud have cost, `owner` says who uses them, and until when.
    """

    cluster_id: str
    parts: Mapping[str, tuple[str, ...]]
    in_use: bool | None = None
    sweep_id: str = ""
    details: tuple[str, ...] = ()
    usd: float | None = None
    owner: str = ""

    def describe(self) -> str:
        """Return the number of parts by kind, such as `2 processes, 1 folder`."""
        return ", ".join(f"{len(names)} {_plural(kind, names)}" for kind, names in self.parts.items() if names)


def _plural(kind: str, names: Sized) -> str:
    return kind if len(names) == 1 else kind + ("es" if kind.endswith("s") else "s")


STRESS_JOB_RUNS: "frozenset[Feature]" = frozenset({"groups", "actors", "placement_groups", "requests"})
"""The features of a workload that the stress job runs on a real cluster."""


def _accept(cluster: "ClusterFile") -> None:
    pass


def _no_orphans(home: Path) -> tuple[Orphan, ...]:
    return ()


def _remove_nothing(home: Path, cluster_id: str) -> None:
    pass


def _no_questions(home: Path) -> "tuple[Question, ...]":
    return ()


@dataclass(frozen=True)
class Cloud:
    """The part of a `BackendKind` for machines that cost money. Nothing asks it unless a user names the backend.

    complete   fill in what the user's own configuration decides, such as the region; no call is made. Raises InputError
    preflight  questions about what a sweep with this cluster file needs of the account
    prices     return current prices in place of those of the catalogue, or these with a note that says why not
    rates      return what each machine of the cluster costs an hour, with its disk and address
    changes    return the lines of a diff: what a sweep launches instead of what the file says
    regions    return the kind that looks for leftovers in another region, or in `all`. Raises InputError
    """

    complete: "Callable[[ClusterFile], ClusterFile]"
    preflight: "Callable[[ClusterFile], Iterable[Question]]"
    prices: "Callable[[ClusterFile, ClusterPrices], ClusterPrices]"
    rates: "Callable[[ClusterFile, Prices], Rates]"
    changes: "Callable[[ClusterFile], Sequence[str]]"
    regions: "Callable[[str], BackendKind]"


@dataclass(frozen=True)
class BackendKind:
    """A backend as the rest of the program knows it. A module that defines one imports nothing heavy.

    name             the value of `--backend`
    starts           what a sweep starts, and where, for the plan: "containers on this machine"
    default_cluster  return the cluster file for sweeps that name none
    create           create the backend for a sweep; start nothing yet. Raises MissingPrerequisite, SpecError
    faults           the faults that it can cause
    runs             what a workload may have, apart from equal tasks or a job: see `model.group.Feature`
    real_time        its trials take as long as they say: metrics, annotations and the live view are possible
    runs_here        its nodes share this machine, so `--fit machine` makes the cluster fit it
    takes_image      `--image` is meant for it
    nodes_are        what nodes are in place of machines, such as "containers"; empty if they are machines, or simulated
    check            check the backend's own keys of a cluster file, and anything else that a plan depends on
    orphans          find parts of its clusters outside `HOME/clusters`, also of clusters that are in use
    remove           remove those parts of one cluster; safe to call twice
    questions        questions for `orchestrate doctor`
    cloud            set if its machines cost money: a sweep is confirmed first, and no command reaches the account
                     unless the user names the backend
    """

    name: str
    starts: str
    default_cluster: Callable[[], Path]
    create: Callable[[BackendRequest], Backend]
    faults: "frozenset[FaultKind]" = field(default_factory=frozenset)
    runs: "frozenset[Feature]" = field(default_factory=frozenset)
    real_time: bool = True
    runs_here: bool = False
    takes_image: bool = False
    nodes_are: str = ""
    check: "Callable[[ClusterFile], None]" = _accept
    orphans: Callable[[Path], Iterable[Orphan]] = _no_orphans
    remove: Callable[[Path, str], None] = _remove_nothing
    questions: "Callable[[Path], Iterable[Question]]" = _no_questions
    cloud: Cloud | None = None
