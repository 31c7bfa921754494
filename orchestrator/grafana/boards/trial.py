"""The board of one trial: demand, nodes and CPU use by architecture on one time axis, and how the trial ended."""

from grafana_foundation_sdk.builders.dashboard import DashboardLink as LinkBuilder
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from orchestrator.grafana.boards import queries as q
from orchestrator.grafana.boards import style
from orchestrator.grafana.boards.layout import FIT, Section, annotation, board, link, tagged
from orchestrator.grafana.boards.overrides import (
    DASHED,
    LIMIT,
    UNSTACKED,
    colour,
    from_query,
    lanes_of_architectures,
    named,
)
from orchestrator.grafana.boards.panels import graph, grid, number, timeline
from orchestrator.grafana.boards.queries import TRIAL, TRIAL_EVER
from orchestrator.grafana.boards.variables import (
    arch_variable,
    choice,
    sweep_variable,
    times_of_sweep,
    times_of_trial,
    trial_variable,
)
from orchestrator.model.settings import info_settings

UID = "orchestrate-trial"
WRITTEN = ("orchestrate", "sweep:$sweep_id", "trial:$trial_id")
"""The tags of what `sweep --annotate` writes into Grafana itself, see `grafana.annotations`."""

OVERLAY = "Pending tasks, nodes and CPU use by architecture"
PHASES = {str(number): (phase, shade) for number, (phase, shade) in enumerate(style.PHASE.items(), start=1)}
IN_CPU_USE = "CPU use"
OF_ONE_ARCH = 'arch=~"$arch"'


def trial_board() -> Dashboard:
    """Return a trial, live or afterwards."""
    return board(
        UID,
        "One trial: what was asked for, what the autoscaler did about it, and what it cost.",
        variables=[
            choice(
                "marks",
                "Marks",
                "Scaling events that are marked in the first graph; faults always are.",
                [
                    ("marks: failures", "failed"),
                    ("marks: scaling events", "|".join(q.ANNOTATED_EVENTS)),
                    ("marks: faults", "none"),
                ],
                labelled=False,
            ),
            sweep_variable(),
            trial_variable(),
            arch_variable(shown=False),
            *times_of_trial(),
            *times_of_sweep(),
        ],
        annotations=[
            annotation(
                f"Nodes {event}",
                q.scaling_event_marks(event),
                style.STATE[event],
                title=f"{{{{node_type}}}} {event}",
                text="{{arch}}",
                tags="arch,event",
            )
            for event in q.ANNOTATED_EVENTS
        ]
        + [
            annotation(
                "Faults",
                q.fault_marks(),
                style.FAULT,
                title="fault on purpose: {{kind}} of {{node_type}}",
                text="{{arch}}",
                tags="arch,kind",
            ),
            tagged("Trial (sweep --annotate)", (*WRITTEN, "event:trial"), style.MUTED, enabled=True),
            # The marks above again, but for faults as regions, and each node's with its cause.
            tagged("All of sweep --annotate", WRITTEN, style.MUTED, enabled=False),
        ],
        annotated=[OVERLAY],
        links=[fit_trial(UID)],
        sections=[_overlay(), _results(), _supply(), _nodes(), _cpus()],
    )


def fit_trial(uid: str) -> LinkBuilder:
    """Return the link that makes the time range that of the trial."""
    url = f"/d/{uid}?from=${{trial_from}}&to=${{trial_to}}"
    return link(FIT, "The whole trial, from its submission to its end or to now", url, with_variables=True)


def _overlay() -> Section:
    return Section(
        "",
        [
            graph(
                OVERLAY,
                "Left axis, in the text's colour: tasks that wait. Right axis, filled: nodes that live, stacked. "
                "Lines: the share of each architecture's CPUs that tasks hold, from 0 to 100 % of the height; the "
                "wider one shows on both sides of the narrower where they are equal. A good setting lets the nodes "
                "follow the tasks closely.",
                [q.pending_tasks(TRIAL), q.nodes(TRIAL), q.cpu_share(TRIAL, IN_CPU_USE)],
                unit=style.COUNT,
                size=(24, 9),
                decimals=0,
                axis="tasks",
                steps=True,
                listed=True,
                overrides=[
                    *lanes_of_architectures(IN_CPU_USE),
                    from_query(0, colour(style.INK)),
                    from_query(
                        1,
                        {
                            "custom.axisPlacement": "right",
                            "custom.axisLabel": "nodes",
                            "custom.stacking": {"mode": "normal", "group": "nodes"},
                            "custom.fillOpacity": 35,
                            "custom.lineWidth": 0,
                        },
                    ),
                    from_query(
                        2, {"unit": style.SHARE, "custom.axisPlacement": "hidden", "min": 0, "max": 1.05, "decimals": 0}
                    ),
                ],
            ),
            number(
                "Setting",
                "The setting of the trial, and its repeat.",
                q.setting(TRIAL_EVER),
                unit=style.PLAIN,
                only_name=True,
            ),
            number(
                "Phase",
                "The phase that the trial is in, or was in at the end of the time range.",
                q.last_phase(TRIAL),
                unit=style.PLAIN,
                only_name=True,
            ),
            number(
                "Elapsed",
                "Time since the workload was submitted, until the end of the time range or of the trial.",
                q.elapsed(TRIAL),
                unit=style.SECONDS,
                decimals=1,
            ),
            _result("Makespan", "From the submission to the end of the last task.", "makespan_s", style.SECONDS, 1),
            number(
                "Cost so far",
                "Worker nodes, each from its allocation to its end, at list price. It goes on until all are gone; the "
                "cost on “Sweep” ends with the scale-down. Empty where no price is known.",
                q.now(TRIAL, "trial:orchestrator_cost_dollars:sum", "cost"),
                unit=style.DOLLARS,
                decimals=4,
            ),
            number(
                "Valid",
                "Whether the trial's numbers can be trusted, and why not; known when it has ended.",
                q.verdicts(TRIAL_EVER),
                unit=style.PLAIN,
                only_name=True,
                value_size=14,
                overrides=[from_query(0, colour(style.GOOD)), from_query(1, colour(style.BAD))],
            ),
        ],
    )


def _result(title: str, description: str, quantity: str, unit: str, decimals: int) -> Panel:
    description = f"{description} Known when the trial has ended."
    return number(title, description, q.result(TRIAL_EVER, quantity), unit=unit, decimals=decimals)


def _last(title: str, description: str, rule: str, unit: str) -> Panel:
    description = f"{description}, at the end of the time range or of the trial."
    return number(title, description, q.now(TRIAL, rule, title.lower()), unit=unit, decimals=0)


def _results() -> Section:
    return Section(
        "State and results",
        [
            _last("Pending", "Tasks that wait for a node", "trial:orchestrator_pending_tasks:sum", style.COUNT),
            _last(
                "Demand",
                "CPUs asked for by tasks that run and by those that wait",
                "trial:orchestrator_demand_cores:sum",
                style.CPUS,
            ),
            _last("Supply", "CPUs of nodes that can run tasks", "trial:orchestrator_supply_cores:sum", style.CPUS),
            _result("CPU use", "Share of the nodes' CPU time that tasks held.", "cpu_utilisation", style.SHARE, 0),
            _result("Wait, p95", "95 of 100 tasks started sooner than this.", "task_wait_p95_s", style.SECONDS, 1),
            _result("Peak", "Most nodes that ran at once.", "peak_nodes", style.COUNT, 0),
            _result("First node", "Until the first new node ran.", "time_to_first_node_s", style.SECONDS, 1),
            _result("Peak after", "Until most nodes ran.", "time_to_peak_s", style.SECONDS, 1),
            _result("Scale-down", "From the last task to a small cluster.", "scale_down_s", style.SECONDS, 1),
            _result("Launches", "Nodes that were launched.", "launches", style.COUNT, 0),
            _result("Failed", "Launches that never ran.", "failed_launches", style.COUNT, 0),
            _result("Excess", "Launched nodes that never got a task.", "excess_nodes", style.COUNT, 0),
            timeline(
                "Phases",
                "The phase that the trial was in; results count from the beginning of “running”.",
                q.phases(TRIAL),
                PHASES,
                size=(24, 4),
                values=True,
            ),
            grid(
                "Settings",
                "What the trial was run with. A column is empty where the cluster file decides.",
                [q.settings(TRIAL_EVER)],
                size=(24, 3),
                transformations=[
                    (
                        "organize",
                        {
                            "excludeByName": {"Time": True, "Value": True},
                            "indexByName": {name: position for position, name in enumerate(_SETTINGS)},
                            "renameByName": _SETTINGS,
                        },
                    )
                ],
                unit=style.PLAIN,
                overrides=[named("^Workload$", {"custom.width": 420})],
            ),
        ],
    )


# The labels of `trial_info`, and their headings.
_SETTINGS = {
    "workload": "Workload",
    "backend": "Backend",
    **{name: "Autoscaler" if name == "autoscaler" else name for name in info_settings()},
    "setting": "Setting",
    "repeat": "Repeat",
}


def _supply() -> Section:
    return Section(
        "Demand against supply",
        [
            graph(
                "Demand and supply",
                "CPUs asked for, and CPUs of nodes that can run tasks. Demand above supply is waiting, supply above "
                "demand is money.",
                [q.supply(TRIAL), q.demand(TRIAL), q.pending_cpus(TRIAL)],
                unit=style.COUNT,
                decimals=0,
                axis="CPUs",
                steps=True,
                overrides=[
                    from_query(0, {**colour(style.SUPPLY), "custom.fillOpacity": 25, "custom.lineWidth": 5}),
                    from_query(1, colour(style.INK)),
                    from_query(2, {**colour(style.BAD), "custom.lineStyle": DASHED}),
                ],
            ),
            graph(
                "Cost so far by architecture",
                "Dollars at list price. Empty where no price is known, as for a local cluster.",
                [q.cost_by_arch(TRIAL)],
                unit=style.DOLLARS,
                stacked=True,
                no_value="no price is known for these nodes",
            ),
        ],
    )


def _nodes() -> Section:
    return Section(
        "Nodes",
        [
            graph(
                "Node states: $arch",
                "Nodes of one architecture in each state, stacked in the order of a node's life; without those that "
                "are gone.",
                q.node_states(TRIAL),
                unit=style.COUNT,
                decimals=0,
                steps=True,
                stacked=True,
                listed=True,
                size=(24, 8),
                repeat="arch",
            ),
            graph(
                "Nodes by architecture, and their limits",
                "Nodes that live, stacked, and the most that the cluster's shape allows for all together (dashed).",
                [q.nodes(TRIAL), q.most_nodes(TRIAL)],
                unit=style.COUNT,
                decimals=0,
                steps=True,
                stacked=True,
                overrides=[from_query(1, {**colour(style.INK), **LIMIT})],
            ),
            graph(
                "Scaling events of the last minute",
                "Transitions of nodes into another state, of any kind.",
                [q.scaling_events(TRIAL)],
                unit=style.COUNT,
                decimals=0,
                steps=True,
                stacked=True,
            ),
        ],
    )


def _cpus() -> Section:
    return Section(
        "CPUs and waiting",
        [
            graph(
                "CPU use: $arch",
                "Share of the logical CPUs that tasks hold, and what the workers' processors do (dashed): tasks that "
                "sleep hold a CPU without using it. On a local cluster all nodes show the one machine.",
                [q.cpu_share(TRIAL, "held by tasks", OF_ONE_ARCH), q.machine_share(TRIAL, OF_ONE_ARCH)],
                unit=style.SHARE,
                decimals=0,
                most=1.05,
                size=(24, 8),
                listed=True,
                overrides=[
                    from_query(0, {"custom.lineWidth": 4}),
                    from_query(1, {**colour(style.INK), "custom.lineStyle": DASHED}),
                ],
                repeat="arch",
            ),
            graph(
                "CPUs held and present",
                "Logical CPUs that tasks hold, stacked, and those of all nodes that are running or idle (dashed).",
                [q.cpus_used(TRIAL), q.cpus_present_of_all(TRIAL)],
                unit=style.COUNT,
                decimals=0,
                axis="CPUs",
                steps=True,
                stacked=True,
                overrides=[from_query(1, {**colour(style.INK), **LIMIT})],
            ),
            graph(
                "How long tasks waited: $arch",
                "Median and 95th percentile (dashed) from submission to start, over all tasks of the trial that have "
                "ended so far; estimated from a histogram.",
                [q.task_wait(TRIAL, 0.5, OF_ONE_ARCH), q.task_wait(TRIAL, 0.95, OF_ONE_ARCH)],
                unit=style.SECONDS,
                decimals=0,
                size=(24, 8),
                listed=True,
                overrides=[
                    named("^p50 ", {**UNSTACKED, "custom.lineWidth": 4}),
                    named("^p95 ", {"custom.lineStyle": DASHED}),
                ],
                no_value="no task has ended in the time range",
                repeat="arch",
            ),
        ],
    )
