"""The board of one trial: demand, nodes and CPU use by architecture on one time axis, and what stands around them."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from orchestrator.grafana.boards import queries as q
from orchestrator.grafana.boards import style
from orchestrator.grafana.boards.layout import Section, annotation, board, tagged
from orchestrator.grafana.boards.overrides import DASHED, colour, from_query, named
from orchestrator.grafana.boards.panels import graph, grid, number, timeline
from orchestrator.grafana.boards.queries import TRIAL
from orchestrator.grafana.boards.variables import arch_variable, sweep_variable, trial_variable

UID = "orchestrate-trial"
WRITTEN = ("orchestrate", "sweep:$sweep_id", "trial:$trial_id")
"""The tags of what `sweep --annotate` writes into Grafana itself, see `grafana.annotations`."""

PHASES = {"0": ("", style.INVISIBLE), "1": ("in this phase", style.SUPPLY)}


def trial_board() -> Dashboard:
    """A trial, live or afterwards."""
    return board(
        UID,
        "One trial: what was asked for, what the autoscaler did about it, and what it cost.",
        variables=[sweep_variable(), trial_variable(), arch_variable()],
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
            tagged("Trial (sweep --annotate)", (*WRITTEN, "event:trial"), style.SUPPLY, enabled=True),
            # The marks above again, but for faults as regions, and each node's with its cause.
            tagged("All of sweep --annotate", WRITTEN, style.MUTED, enabled=False),
        ],
        sections=[_header(), _overlay(), _supply(), _nodes(), _cpus()],
    )


def _header() -> Section:
    return Section(
        "Settings and state",
        [
            grid(
                "Settings",
                "What the trial was run with. A column is empty where the cluster file decides.",
                [q.settings(TRIAL)],
                size=(24, 4),
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
            ),
            number(
                "Phase",
                "The phase that the trial is in, or was in when its metrics ended.",
                q.last_phase(TRIAL),
                unit=style.PLAIN,
                only_name=True,
            ),
            number(
                "Elapsed",
                "Time since the workload was submitted; of an ended trial, its last.",
                q.elapsed(TRIAL),
                unit=style.SECONDS,
                decimals=0,
            ),
            number(
                "Pending tasks", "Tasks that wait for a node.", q.pending_tasks(TRIAL), unit=style.COUNT, decimals=0
            ),
            number("Supply", "CPUs of nodes that can run tasks.", q.supply(TRIAL), unit=style.CPUS, decimals=0),
            number(
                "Demand",
                "CPUs asked for by tasks that run and by those that wait.",
                q.demand(TRIAL),
                unit=style.CPUS,
                decimals=0,
            ),
            number(
                "Cost so far",
                "Worker nodes, each from its allocation to its end, at list price. Empty where no price is known.",
                q.cost(TRIAL),
                unit=style.DOLLARS,
                decimals=4,
                no_value="no price known",
            ),
        ],
    )


_SETTINGS = {
    "setting": "Setting",
    "backend": "Backend",
    "autoscaler": "Autoscaler",
    "upscaling_speed": "upscaling_speed",
    "idle_timeout_minutes": "idle_timeout_minutes",
    "target_utilization_fraction": "target_utilization_fraction",
    "workload": "Workload",
    "repeat": "Repeat",
}


def _overlay() -> Section:
    return Section(
        "Demand, nodes and CPU use",
        [
            graph(
                "Pending tasks, nodes and CPU use by architecture",
                "Left axis: tasks that wait (in the text's colour) and CPUs that tasks hold (dashed). Right axis: "
                "nodes that live (filled). A good setting lets the nodes follow the tasks closely. Marks are scaling "
                "events.",
                [q.pending_tasks(TRIAL), q.cpus_used(TRIAL), q.nodes(TRIAL)],
                unit=style.COUNT,
                size=(24, 12),
                decimals=0,
                axis="tasks, CPUs",
                steps=True,
                overrides=[
                    from_query(0, colour(style.INK)),
                    from_query(1, {"custom.lineStyle": DASHED}),
                    from_query(
                        2,
                        {
                            "custom.axisPlacement": "right",
                            "custom.axisLabel": "nodes",
                            "custom.fillOpacity": 15,
                            "custom.lineWidth": 3,
                        },
                    ),
                ],
            ),
            timeline(
                "Phases",
                "When the trial was in which phase; times in results count from the beginning of “running”.",
                q.phases(TRIAL),
                PHASES,
                size=(24, 6),
            ),
        ],
    )


def _supply() -> Section:
    return Section(
        "Demand against supply",
        [
            graph(
                "Demand and supply",
                "CPUs asked for, and CPUs of nodes that can run tasks. Demand above supply is waiting, supply above "
                "demand is money.",
                [q.demand(TRIAL), q.supply(TRIAL), q.pending_cpus(TRIAL)],
                unit=style.CPUS,
                decimals=0,
                steps=True,
                overrides=[
                    from_query(0, colour(style.INK)),
                    from_query(1, {**colour(style.SUPPLY), "custom.fillOpacity": 15}),
                    from_query(2, {**colour(style.BAD), "custom.lineStyle": DASHED}),
                ],
            ),
            graph(
                "Cost so far by architecture",
                "Dollars at list price. Empty where no price is known, as for a local cluster.",
                [q.cost_by_arch(TRIAL)],
                unit=style.DOLLARS,
                decimals=4,
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
                size=(24, 8),
                repeat="arch",
            ),
            graph(
                "Nodes by architecture, and their limits",
                "Nodes that live, and the most that the cluster's shape allows (dashed).",
                [q.nodes(TRIAL), q.most_nodes(TRIAL)],
                unit=style.COUNT,
                decimals=0,
                steps=True,
                overrides=[from_query(1, {"custom.lineStyle": DASHED, "custom.lineWidth": 1})],
            ),
            graph(
                "Scaling events of the last minute",
                "Transitions of nodes into another state, of any kind.",
                [q.scaling_events(TRIAL)],
                unit=style.COUNT,
                decimals=0,
                steps=True,
            ),
        ],
    )


def _cpus() -> Section:
    return Section(
        "CPUs and waiting",
        [
            graph(
                "CPU use by architecture",
                "Share of the logical CPUs that tasks hold, and what the workers' processors do (dashed): tasks that "
                "sleep hold a CPU without using it. More than all is held while tasks end on nodes that drain. On a "
                "local cluster all nodes show the one machine.",
                [q.cpu_share(TRIAL), q.machine_share(TRIAL)],
                unit=style.SHARE,
                decimals=0,
                highest=1,
                overrides=[from_query(1, {"custom.lineStyle": DASHED})],
            ),
            graph(
                "CPUs held and present",
                "Logical CPUs that tasks hold, and those of the nodes that are running or idle (dashed).",
                [q.cpus_used(TRIAL), q.cpus_present(TRIAL)],
                unit=style.CPUS,
                decimals=0,
                steps=True,
                overrides=[from_query(1, {"custom.lineStyle": DASHED})],
            ),
            graph(
                "How long tasks waited",
                "Median and 95th percentile (dashed) from submission to start, over all tasks of the trial that have "
                "ended so far.",
                [q.task_wait(TRIAL, 0.5), q.task_wait(TRIAL, 0.95)],
                unit=style.SECONDS,
                size=(24, 8),
                overrides=[named("^p95 ", {"custom.lineStyle": DASHED})],
                no_value="no task has ended in the time range",
            ),
        ],
    )
