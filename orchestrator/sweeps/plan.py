"""From a spec to trials: resolve open values, combine the axes, and order the trials."""

import itertools
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from orchestrator.backends import registry
from orchestrator.backends.base import BackendKind
from orchestrator.errors import InputError
from orchestrator.inputs.cluster_config import ClusterFile
from orchestrator.inputs.prices import prices_for
from orchestrator.inputs.problems import first_problem
from orchestrator.model.billing import Rates
from orchestrator.model.cluster import ClusterShape
from orchestrator.model.fault import impossible
from orchestrator.model.group import FEATURES, Feature
from orchestrator.model.prices import Prices
from orchestrator.model.settings import RAYS_IDLE_TIMEOUT_MINUTES, Settings, settings
from orchestrator.model.spec import MAX_TRIALS, Axes, SweepSpec
from orchestrator.model.task_needs import Needs
from orchestrator.model.trial import Trial
from orchestrator.model.workload import Workload
from orchestrator.sweeps.fit import Machine, fit_shape, fitted_workload

ONE_BURST = "all tasks arrive in one burst, so a short idle timeout does no harm here; --arrival waves shows its price"
# Times of a trace have to be dates: with 10^9 minutes a simulated trial ends in the year 3901.
MAX_IDLE_S = 6e10
_DAY_S = 86_400.0
_YEAR_S = 365.25 * _DAY_S
# The version, and the two settings of which Ray reads one only where the other is unset.
_PACE = ("autoscaler", "upscaling_speed", "target_utilization_fraction")


# A hint for a file with empty `resources`, which is usual on AWS.
_NO_CPUS = "; Ray fills in a missing CPU on AWS only: write it into the file, such as `resources: {CPU: 8}`"


@dataclass(frozen=True)
class Plan:
    """The trials in the order in which they run, their common facts, and notes for the user.

    `assumptions` are facts behind the results that the user didn't state. Every result shows them.
    """

    spec: SweepSpec
    shape: ClusterShape
    workload: Workload
    trials: tuple[Trial, ...]
    prices: Prices
    starts: str  # one line about what the backend starts, and where
    notes: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    provider: str | None = None  # of the cluster file
    warnings: tuple[str, ...] = ()
    rates: Rates | None = None  # of machines that cost money

    @property
    def settings(self) -> list[Settings]:
        """Return the different settings, in the order of their first trial."""
        return list(dict.fromkeys(trial.settings for trial in self.trials))


def make_plan(spec: SweepSpec, cluster: ClusterFile, machine: Machine) -> Plan:
    """Return all trials of a sweep. Raises InputError if the spec can't be planned; nothing has been started then."""
    kind = registry.kind(spec.backend)
    if spec.image is not None and not kind.takes_image:
        able = [f"--backend {each.name}" for each in registry.kinds() if each.takes_image]
        raise InputError("--image is for containers", f"add {' or '.join(able)}")
    notes = list(cluster.notes)
    warnings: tuple[str, ...] = ()
    fit = kind.runs_here and spec.fit == "machine"
    shape = fit_shape(cluster.shape, machine) if fit else cluster.shape
    if shape != cluster.shape:
        notes.append(
            f"the shape is fitted to this machine ({machine.describe()}); --fit none takes {cluster.path} as is"
        )
    elif kind.runs_here and (fitting := fit_shape(shape, machine)) != shape:
        warnings = (
            f"this machine ({machine.describe()}) is too small for the shape: it can run about {fitting.max_workers} "
            f"workers with {fitting.max_cpus:g} CPUs in all; trials with more are invalid; leave out --fit none",
        )
    launch = shape.launch
    if kind.real_time and launch.spot_interruptions_per_hour:
        notes.append("only the simulator uses spot_interruptions_per_hour; on docker, use --fault spot@N/h")
    prices = prices_for(cluster, spec.prices)
    if kind.cloud is not None and spec.prices is None:
        prices = kind.cloud.prices(cluster, prices)
    notes += prices.notes
    assumptions: tuple[str, ...] = (cluster.launch_text, prices.assumption, _as_if(kind, shape, prices.prices))
    workload = _workload(spec, shape, fitted=fit)
    _check_features(kind, workload)
    _check_faults(kind, workload, shape)
    settings, more_notes = _all_settings(spec.settings, cluster)
    notes += more_notes
    if workload.all_at_once and len({choice.idle_timeout_minutes for choice in settings}) > 1:
        assumptions = (*assumptions, ONE_BURST)
    notes += _notes_on_keys(workload, shape, settings)
    trials = []
    for choice in settings:
        trial_shape = _shape_under(shape, choice)
        _check_can_run(workload, trial_shape, choice, fitted=shape != cluster.shape)
        trials += [
            Trial(
                backend=spec.backend,
                settings=choice,
                shape=trial_shape,
                workload=workload,
                repeat=repeat,
                seed=spec.seed + repeat - 1,
            )
            for repeat in range(1, spec.repeat + 1)
        ]
        if len(trials) > MAX_TRIALS:
            raise InputError(f"more than {MAX_TRIALS} trials; sweep fewer values or repeats")
    notes += _notes_on_idle_nodes(trials)
    return Plan(
        spec,
        shape,
        workload,
        tuple(_ordered(trials, spec, shared=kind.real_time and spec.isolation == "reuse")),
        prices.prices,
        _starts(kind, cluster),
        tuple(notes),
        tuple(filter(None, assumptions)),
        cluster.foreign_provider,
        warnings,
        None if kind.cloud is None else kind.cloud.rates(cluster, prices.prices),
    )


def _as_if(backend: BackendKind, shape: ClusterShape, prices: Prices) -> str:
    """Return the sentence that a cost is one of machines that don't run here, if that is so."""
    priced = [w.instance_type for w in shape.launchable if prices.of_node(w.name, w.instance_type) is not None]
    if not backend.nodes_are or not priced:
        return ""
    types = ", ".join(dict.fromkeys(priced))
    return f"cost is as if each node were an EC2 machine ({types}); these are {backend.nodes_are} here"


def _starts(kind: BackendKind, cluster: ClusterFile) -> str:
    foreign = cluster.foreign_provider
    unused = "" if foreign is None or kind.cloud is not None else f"; provider {foreign} of {cluster.path} is not used"
    return f"{kind.name}: {kind.starts}{unused}"


def _workload(spec: SweepSpec, shape: ClusterShape, *, fitted: bool) -> Workload:
    base = fitted_workload(shape) if fitted and not _has_own_tasks(spec) else Workload()
    chosen = {name: value for name, value in spec.workload.model_dump().items() if value is not None}
    if chosen.get("observed"):
        raise InputError(
            "workload.observed: what ran on a cluster is in its trace, not in a spec",
            "orchestrate simulate --workload-from ID",
        )
    try:
        return base.replace(**chosen)
    except ValidationError as error:
        problem = first_problem(error)
        raise InputError(f"workload.{problem.key or 'resources'}: {problem.message}") from None


def _has_own_tasks(spec: SweepSpec) -> bool:
    return bool(spec.workload.job or spec.workload.groups)


def _shape_under(shape: ClusterShape, settings: Settings) -> ClusterShape:
    try:
        return shape.with_settings(settings)
    except ValidationError as error:
        raise InputError(f"settings: {first_problem(error).message}") from None


def _check_faults(backend: BackendKind, workload: Workload, shape: ClusterShape) -> None:
    if refused := impossible(workload.faults, backend.faults):
        kind = refused[0].kind
        able = [f"--backend {each.name}" for each in registry.kinds() if kind in each.faults]
        raise InputError(f"{refused[0]}: the {backend.name} backend can't cause a {kind}", f"use {' or '.join(able)}")
    known = [worker.name for worker in shape.launchable]
    for fault in workload.faults:
        if fault.node_type is not None and fault.node_type not in known:
            raise InputError(f"{fault}: {fault.node_type!r} is not a worker type", f"use one of {', '.join(known)}")


_WORDS: dict[Feature, str] = {
    "groups": "groups of tasks",
    "actors": "groups of actors",
    "placement_groups": "placement groups",
    "recorded": "recorded tasks",
    "requests": "resource requests",
}


def _check_features(backend: BackendKind, workload: Workload) -> None:
    for feature in FEATURES:
        if feature in workload.features and feature not in backend.runs:
            able = [f"--backend {each.name}" for each in registry.kinds() if workload.features <= each.runs]
            raise InputError(
                f"workload: the {backend.name} backend can't run {_WORDS[feature]}",
                f"use {' or '.join(able)}" if able else "leave them out: no backend can run all of this workload",
            )


def _check_can_run(workload: Workload, shape: ClusterShape, settings: Settings, *, fitted: bool) -> None:
    """Raise InputError unless the head, a node of the minimum or a launched node can run each task, actor and bundle.

    This also holds for a bundle of a `request_resources`.
    """
    for group in workload.work:
        where = f"group {group.name}: " if workload.groups else ""
        for needs in group.needs:
            _check_memory_is_known(needs, shape, where)
            _check_fits(needs, shape, settings, where, fitted=fitted)
        if group.strategy == "STRICT_PACK" and group.bundles:
            _check_fits(_together(group.needs), shape, settings, f"{where}STRICT_PACK: ", fitted=fitted)
    for request in workload.requests:
        for bundle in request.bundles:
            _check_fits(bundle.needs, shape, settings, f"request at {request.at_s:g} s: ", fitted=fitted)


def _together(needs: Sequence[Needs]) -> Needs:
    """Return the needs of several bundles on one node."""
    total: Counter[str] = Counter()
    for each in needs:
        total.update(each.resources)
    return Needs(dict(total))


def _check_fits(needs: Needs, shape: ClusterShape, settings: Settings, where: str, *, fitted: bool) -> None:
    task = needs.resources, needs.labels
    able = [worker for worker in shape.launchable if worker.max_workers and worker.fits(*task)]
    reached = [
        worker for worker in able if settings.autoscaler == "v1" or worker.min_workers or worker.is_launched_for(*task)
    ]
    if shape.head.fits(*task) or reached:
        return
    if able:
        labels = ", ".join(f"{key}={value}" for key, value in needs.labels.items())
        raise InputError(
            f"{where}Ray's v2 autoscaler never launches a node for a task with the labels {labels}: it knows only the"
            " labels that the cluster file gives a type",
            f"add them under available_node_types.{able[0].name}.labels",
        )
    raise InputError(
        f"{where}no node type can ever run a task that needs {needs.describe()}: Ray calls it infeasible",
        f"the cluster has {shape.describe()}"
        + ("; --fit none takes the file's own sizes" if fitted else "")
        + ("" if all(worker.cpus for worker in shape.launchable) else _NO_CPUS),
    )


def _check_memory_is_known(needs: Needs, shape: ClusterShape, where: str) -> None:
    """Raise InputError if tasks need memory, and may run on nodes of which the cluster file doesn't say how much."""
    if "memory" not in needs.resources:
        return
    others = {name: amount for name, amount in needs.resources.items() if name != "memory"}
    for node_type in (shape.head, *shape.workers):
        if "memory" not in node_type.resources and node_type.fits(others, needs.labels):
            raise InputError(
                f"{where}tasks need memory, and the cluster file doesn't say how much {node_type.name} has: Ray would"
                " take the machine's own",
                f"add it under available_node_types.{node_type.name}.resources, in bytes: {{memory: 8000000000}}",
            )


def _notes_on_keys(workload: Workload, shape: ClusterShape, chosen: Sequence[Settings]) -> list[str]:
    """Return notes about where tasks run, and about keys of the cluster file that an autoscaler doesn't read."""
    notes = []
    slots = [shape.head.slots(needs.resources, needs.labels) for needs in workload.needs]
    if workload.job is not None and not shape.head.cpus:
        slots = []
    if any(each != 0 for each in slots):
        at_once = f", {slots[0]} at once" if len(slots) == 1 and slots[0] is not None else ""
        notes.append(f"Ray runs tasks on the head, too ({shape.head.name}{at_once})")
    if any(settings.autoscaler == "v1" for settings in chosen):
        keys = {
            "priority": [worker.name for worker in shape.launchable if worker.priority],
            "idle_timeout_s": [worker.name for worker in shape.launchable if worker.idle_timeout_s is not None],
        }
        notes += [f"the v1 autoscaler ignores {key} of {', '.join(names)}" for key, names in keys.items() if names]
        if any(needs.labels for needs in workload.needs):
            notes.append("the v1 autoscaler ignores label selectors: it may launch nodes that can't run the tasks")
    return notes


def _notes_on_idle_nodes(trials: Sequence[Trial]) -> list[str]:
    """Return a note about idle nodes that stay for more than a day. Raises InputError for those that stay for ever."""
    longest = max((trial.longest_idle_s for trial in trials), default=0.0)
    if longest > MAX_IDLE_S:
        raise InputError(
            f"an idle timeout of {longest / 60:g} minutes: a trial ends when the idle nodes are gone, which takes more"
            f" than {MAX_IDLE_S / _YEAR_S:.0f} years",
            f"set at most {MAX_IDLE_S / 60:g} minutes",
        )
    if longest <= _DAY_S:
        return []
    return [
        f"idle nodes stay for up to {longest / _DAY_S:.1f} days, and cost and node-seconds count that; compare with"
        " --idle-timeout-minutes 5"
    ]


def _all_settings(axes: Axes, cluster: ClusterFile) -> tuple[list[Settings], list[str]]:
    """Return every combination of the axes. As in Ray, fractions are alternatives to speeds."""
    notes: list[str] = []
    fractions = axes.target_utilization_fraction or ()
    if fractions:
        if "v1" not in axes.autoscaler:
            raise InputError(
                "target_utilization_fraction: Ray's v2 autoscaler rejects it, so these trials would measure nothing",
                "add --autoscaler v1, which turns a fraction f into an upscaling speed of 1/f - 1",
            )
        if "v2" in axes.autoscaler:
            notes.append(
                "target_utilization_fraction is tried under v1 only: Ray's v2 autoscaler rejects it"
                + ("" if axes.upscaling_speed else "; v2 is tried with the cluster file's upscaling_speed")
            )
    from_file = cluster.upscaling_speed
    speeds: tuple[float | None, ...] = axes.upscaling_speed or (from_file,)
    others = _others(axes, cluster)
    if len(axes.autoscaler) * (len(speeds) + len(fractions)) * math.prod(map(len, others.values())) > MAX_TRIALS:
        raise InputError(f"more than {MAX_TRIALS} settings; sweep fewer values")
    choices: list[Settings] = []
    for autoscaler in axes.autoscaler:
        paces: list[dict[str, float | None]] = [{"upscaling_speed": speed} for speed in speeds]
        if autoscaler == "v1" and fractions:
            paces = paces if axes.upscaling_speed else []
            paces += [{"target_utilization_fraction": fraction} for fraction in fractions]
        for pace, combination in itertools.product(paces, itertools.product(*others.values())):
            knobs = dict(zip(others, combination, strict=True))
            choices.append(_settings({"autoscaler": autoscaler, **pace, **knobs}))
    return list(dict.fromkeys(choices)), notes


def idle_timeout_of(cluster: ClusterFile) -> float:
    """Return the idle timeout of a cluster file in minutes, or Ray's default if the file has none."""
    minutes = cluster.idle_timeout_minutes
    return RAYS_IDLE_TIMEOUT_MINUTES if minutes is None else minutes


def _others(axes: Axes, cluster: ClusterFile) -> dict[str, Sequence[float | int]]:
    """Return the values of every knob but version and pace."""
    idle = axes.idle_timeout_minutes or (idle_timeout_of(cluster),)
    values: dict[str, Sequence[float | int]] = {"idle_timeout_minutes": idle}
    for name in settings():
        if name not in (*_PACE, *values) and (chosen := getattr(axes, name)):
            values[name] = chosen
    return values


def _settings(values: dict[str, object]) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        problem = first_problem(error)
        raise InputError(f"{problem.key or 'settings'}: {problem.message}") from None


def _ordered(trials: Sequence[Trial], spec: SweepSpec, *, shared: bool) -> list[Trial]:
    """Return the trials in the order of the spec, grid or random.

    Grid runs each repeat of all settings before the next repeat, so that a drift of the machine affects all settings
    alike. Random shuffles each of these blocks by the seed. If trials share real clusters, those of a block that can
    take place on the same one follow one another: a new head takes minutes and costs money.
    """
    blocks = [[trial for trial in trials if trial.repeat == repeat] for repeat in range(1, spec.repeat + 1)]
    if spec.order == "random":
        rng = random.Random(f"order:{spec.seed}")
        for block in blocks:
            rng.shuffle(block)
    ordered: list[Trial] = []
    for block in blocks:
        ordered += _by_cluster(block, ordered[-1:]) if shared else block
    return ordered


def _by_cluster(block: Sequence[Trial], before: Sequence[Trial]) -> list[Trial]:
    """Return trials grouped by the monitor that they need, first those that need the one of the trial `before`."""
    monitors = [trial.settings.monitor_environment() for trial in (*before, *block)]
    return sorted(block, key=lambda trial: monitors.index(trial.settings.monitor_environment()))
