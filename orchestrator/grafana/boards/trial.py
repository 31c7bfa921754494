"""The board of one trial: demand, nodes and CPU use by architecture on one time axis, and the trial's results."""

from grafana_foundation_sdk.builders.dashboard import DashboardLink as LinkBuilder
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from orchestrator.grafana.boards import queries as q
from orchestrator.grafana.boards import style
from orchestrator.grafana.boards.layout import FIT, Section, annotation, board, link, tagged
from orchestrator.grafana.boards.overrides import (
    DASHED,
    LIMIT,
    NODES_AT_THE_RIGHT,
    UNSTACKED,
    colour,
    from_query,
    lanes_of_architectures,
    named,
)
from orchestrator.grafana.boards.panels import columns, graph, grid, number, timeline
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
"""The tags of annotations that `sweep --annotate` writes into Grafana; see `grafana.annotator`."""

OVERLAY = "Pending tasks, nodes and CPU use by architecture"
IN_CPU_USE = "CPU use"
OF_ONE_ARCH = 'arch=~"$arch"'


def trial_board() -> Dashboard:
    """Return the board of a trial, running or ended."""
    return board(
        UID,
        "One trial: the demand, the response of the autoscaler, and the cost.",
        variables=[
            choice(
                "marks",
                "Marks",
                "Scaling events to mark in the first graph. Faults are always marked.",
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
                title="injected fault: {{kind}} of {{node_type}}",
                text="{{arch}}",
                tags="arch,kind",
            ),
            tagged("Trial (sweep --annotate)", (*WRITTEN, "event:trial"), style.MUTED, enabled=True),
            # The same marks, but faults are regions and each node has its cause.
            tagged("All of sweep --annotate", WRITTEN, style.MUTED, enabled=False),
        ],
        annotated=[OVERLAY],
        links=[fit_trial(UID)],
        sections=[_overlay(), _results(), _supply(), _reasons(), _nodes(), _cpus()],
    )


def fit_trial(uid: str) -> LinkBuilder:
    """Return the link that sets the time range to that of the trial."""
    url = f"/d/{uid}?from=${{trial_from}}&to=${{trial_to}}"
    return link(FIT, "The whole trial, from submission to its end or to now", url, with_variables=True)


def _overlay() -> Section:
    return Section(
        "",
        [
            graph(
                OVERLAY,
                "Left axis, in the text colour: pending tasks. Right axis, filled: live nodes, stacked. Lines: the"
                " share of each architecture's CPUs held by tasks, 0 to 100 % of the height. Where lines coincide,"
                " the wider one shows on both sides of the narrower. With good settings, nodes follow tasks"
                " closely.",
                # Grafana draws them in this order: lines over areas.
                [q.nodes(TRIAL), q.pending_tasks(TRIAL), q.cpu_share(TRIAL, IN_CPU_USE)],
                unit=style.COUNT,
                size=(24, 9),
                decimals=0,
                axis="tasks",
                steps=True,
                listed=True,
                overrides=[
                    *lanes_of_architectures(IN_CPU_USE),
                    named("^nodes ", NODES_AT_THE_RIGHT),
                    from_query(1, colour(style.INK)),
                    from_query(
                        2, {"unit": style.SHARE, "custom.axisPlacement": "hidden", "min": 0, "max": 1.05, "decimals": 0}
                    ),
                ],
            ),
            number(
                "Setting",
                "The setting and repeat of the trial.",
                q.setting(TRIAL_EVER),
                unit=style.PLAIN,
                size=(5, 3),
                only_name=True,
            ),
            number(
                "Phase",
                "The phase of the trial at the end of the time range.",
                q.last_phase(TRIAL),
                unit=style.PLAIN,
                size=(3, 3),
                only_name=True,
            ),
            number(
                "Elapsed",
                "Time from the submission to the end of the time range or of the trial.",
                q.elapsed(TRIAL),
                unit=style.SECONDS,
                size=(3, 3),
                decimals=1,
            ),
            _result("Makespan", "From the submission to the end of the last task.", "makespan_s", style.SECONDS, 1, 3),
            number(
                "Cost so far",
                "Cost of the worker nodes, each from allocation to its end, at list price. It grows until all nodes"
                " have ended; the cost on “Sweep” stops at the scale-down. Empty if no price is known.",
                q.now(TRIAL, "trial:orchestrator_cost_dollars:sum", "cost"),
                unit=style.DOLLARS,
                size=(3, 3),
                decimals=4,
            ),
            number(
                "Valid",
                "The validity of the trial, with the reason if it is invalid. Known when the trial has ended.",
                q.verdicts(TRIAL_EVER),
                unit=style.PLAIN,
                size=(7, 3),
                only_name=True,
                value_size=16,  # a reason is a sentence of up to three lines
                overrides=[from_query(0, colour(style.GOOD)), from_query(1, colour(style.BAD))],
            ),
        ],
    )


def _result(title: str, description: str, quantity: str, unit: str, decimals: int, width: int = 4) -> Panel:
    description = f"{description} Known when the trial has ended."
    query = q.result(TRIAL_EVER, quantity)
    return number(title, description, query, unit=unit, decimals=decimals, size=(width, 3))


def _last(title: str, description: str, rule: str, unit: str) -> Panel:
    description = f"{description}, at the end of the time range or of the trial."
    return number(title, description, q.now(TRIAL, rule, title.lower()), unit=unit, decimals=0)


def _results() -> Section:
    return Section(
        "State and results",
        [
            _last("Pending", "Tasks waiting for a node", "trial:orchestrator_pending_tasks:sum", style.COUNT),
            _last(
                "Demand",
                "CPUs requested by running and pending tasks",
                "trial:orchestrator_demand_cores:sum",
                style.CPUS,
            ),
            _last("Supply", "CPUs of nodes that can run tasks", "trial:orchestrator_supply_cores:sum", style.CPUS),
            _result(
                "CPU use", "Share of the nodes' logical CPU time held by tasks.", "cpu_utilisation", style.SHARE, 0
            ),
            _result("Wait, p95", "95 % of tasks started within this time.", "task_wait_p95_s", style.SECONDS, 1),
            _result("Launches", "Launched nodes.", "launches", style.COUNT, 0),
            _result("First node", "Time until the first launched node ran.", "time_to_first_node_s", style.SECONDS, 1),
            _result("Peak", "Highest number of nodes running at once.", "peak_nodes", style.COUNT, 0, 3),
            _result("Peak after", "Time until the supply peaked.", "time_to_peak_s", style.SECONDS, 1),
            _result("Scale-down", "Time from the last task's end to min_workers.", "scale_down_s", style.SECONDS, 1, 5),
            _result("Failed", "Launched nodes that never ran.", "failed_launches", style.COUNT, 0),
            _result("Excess", "Launched nodes that never ran a task.", "excess_nodes", style.COUNT, 0),
            timeline(
                "Phases",
                "The phases of the trial. Results count from the beginning of “running”.",
                q.phases(TRIAL),
                style.PHASE_NUMBERS,
                size=(24, 4),
                values=True,
            ),
            grid(
                "Settings",
                "The settings of the trial. An empty column means that the cluster file decides.",
                [q.settings(TRIAL_EVER)],
                size=(24, 3),
                transformations=[columns(_SETTINGS, "Time", "Value", "setting", "repeat")],
                unit=style.TEXT,
                overrides=[
                    named("^Workload$", {"custom.width": 480}),
                    named("^(Backend|Autoscaler)$", {"custom.width": 95}),
                ],
            ),
        ],
    )


# Headings of the labels of `trial_info`.
_SETTINGS = {
    "workload": "Workload",
    "backend": "Backend",
    **{name: "Autoscaler" if name == "autoscaler" else name for name in info_settings()},
}


def _supply() -> Section:
    return Section(
        "Demand against supply",
        [
            graph(
                "Demand and supply",
                "Requested CPUs, and CPUs of nodes that can run tasks. Demand above supply makes tasks wait; supply"
                " above demand wastes money.",
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
                "Dollars at list price. Empty if no price is known, as for a local cluster.",
                [q.cost_by_arch(TRIAL)],
                unit=style.DOLLARS,
                stacked=True,
                no_value="no price is known for these nodes",
            ),
        ],
    )


def _reasons() -> Section:
    return Section(
        "Why nodes come",
        [
            graph(
                "Launches and their rules",
                "Nodes that the autoscaler requested, and the rules that set how many: the upscaling speed, the cap of"
                " concurrent launches, the limit of the type or of the cluster, min_workers; “demand” if no more were"
                " needed. `orchestrate explain $trial_id` says it in words.",
                [q.launches_by_rules(TRIAL)],
                unit=style.COUNT,
                decimals=0,
                bars=True,
                stacked=True,
                listed=True,
                size=(12, 10),
                no_value="no node was requested in the time range",
            ),
            timeline(
                "Why no other node comes",
                "Coloured while tasks wait and the reason holds for the node type; “idle rule” while nodes are idle and"
                " nothing waits. `orchestrate explain $trial_id --at 45s` says it in words.",
                q.no_launch(TRIAL),
                {"0": ("no", style.INVISIBLE), "1": ("holds", style.MUTED)},
                size=(12, 10),
                no_value="no task has waited in the time range",
            ),
        ],
    )


def _nodes() -> Section:
    return Section(
        "Nodes",
        [
            graph(
                "Node states: $arch",
                "Nodes of one architecture in each state, stacked in the order of a node's life. Ended nodes are"
                " excluded.",
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
                "Live nodes, stacked, and the limit of the cluster shape for all nodes together (dashed).",
                [q.nodes(TRIAL), q.most_nodes(TRIAL)],
                unit=style.COUNT,
                decimals=0,
                steps=True,
                stacked=True,
                overrides=[from_query(1, {**colour(style.INK), **LIMIT})],
            ),
            graph(
                "Scaling events of the last minute",
                "All transitions of nodes into another state.",
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
        "CPU use and task wait",
        [
            graph(
                "CPU use: $arch",
                "Share of the logical CPUs held by tasks, and the load of the workers' processors (dashed)."
                " Sleeping tasks hold a CPU without using it. All nodes of a local cluster show the same machine.",
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
                "CPUs held and supplied",
                "Logical CPUs held by tasks, stacked, and those of all running or idle nodes (dashed).",
                [q.cpus_used(TRIAL), q.cpus_present_of_all(TRIAL)],
                unit=style.COUNT,
                decimals=0,
                axis="CPUs",
                steps=True,
                stacked=True,
                overrides=[from_query(1, {**colour(style.INK), **LIMIT})],
            ),
            graph(
                "Task wait: $arch",
                "Median and 95th percentile (dashed) from submission to start, over all tasks that have ended so"
                " far. Estimated from a histogram.",
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
