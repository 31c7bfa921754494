"""The nodes board: the life of each node of a trial, the duration of launch stages, and failures."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from orchestrator.grafana.boards import queries as q
from orchestrator.grafana.boards import style
from orchestrator.grafana.boards.layout import Section, annotation, board
from orchestrator.grafana.boards.overrides import DASHED, column, lanes_of_architectures, named
from orchestrator.grafana.boards.panels import columns, graph, grid, heat_map, timeline
from orchestrator.grafana.boards.queries import TRIAL
from orchestrator.grafana.boards.trial import fit_trial
from orchestrator.grafana.boards.variables import (
    arch_variable,
    choice,
    sweep_variable,
    times_of_sweep,
    times_of_trial,
    trial_variable,
)
from orchestrator.model.events import STATE_NUMBERS

UID = "orchestrate-nodes"

LIVES = "Node states"
PROCESSORS = "CPU load by node"
STATES = {"0": (style.BLANK, style.INVISIBLE)} | {
    str(value): (state, style.STATE[state]) for state, value in STATE_NUMBERS.items()
}
OF_CHOSEN_ARCHS = 'arch=~"$arch"'
NO_LAUNCH = "no launch has ended in the time range"


def nodes_board() -> Dashboard:
    """Return the board of a trial's nodes."""
    stage = choice(
        "stage",
        "Stage",
        "The launch stage: request (until allocated), boot, install (until running), or launch (all of them).",
        [(f"stage: {name}", name) for name in q.STAGES],
        labelled=False,
    )
    return board(
        UID,
        "The nodes of one trial: the life of each node, launch durations and failures.",
        variables=[
            stage,
            sweep_variable(),
            trial_variable(),
            arch_variable(shown=False),
            *times_of_trial(),
            *times_of_sweep(),
        ],
        annotations=[
            annotation(
                "Faults",
                # The life of a killed or reclaimed node ends in “failed”, so a mark would only hide other nodes.
                q.fault_marks('kind=~"pause|partition"'),
                style.FAULT,
                title="injected fault: {{kind}} of {{node_type}}",
                text="{{arch}}",
                tags="arch,kind",
            )
        ],
        annotated=[LIVES, PROCESSORS],
        links=[fit_trial(UID)],
        sections=[_lives(), _stages(), _failures(), _processors()],
    )


def _lives() -> Section:
    return Section(
        "Node lives",
        [
            timeline(
                LIVES,
                "One row per worker node, from request to end, 30 per page. A failed node ends in “failed”; a"
                " removed node just ends. With more than 1000 nodes at once, none is shown.",
                q.node_life(TRIAL, OF_CHOSEN_ARCHS),
                STATES,
                size=(24, 14),
                rows=30,
                values=True,
            ),
        ],
    )


def _stages() -> Section:
    return Section(
        "Launches",
        [
            grid(
                "Stages of a launch",
                "Over all launches of the trial. request: until the cloud allocates the node; boot: until its"
                " set-up begins; install: until it runs; launch: all of them. Values are estimated from histogram"
                " buckets.",
                q.stages_of_trial(TRIAL),
                size=(12, 10),
                unit=style.PLAIN,
                transformations=[
                    ("merge", {}),
                    columns(
                        {
                            "stage": "Stage",
                            "arch": "Arch",
                            "Value #A": "p50, s",
                            "Value #B": "p95, s",
                            "Value #C": "Launches",
                        }
                    ),
                    ("sortBy", {"sort": [{"field": "Stage", "desc": False}]}),
                ],
                overrides=[
                    column("Stage", {"custom.width": 110}),
                    column("Arch", {"custom.width": 80}),
                    column("p50, s", {"decimals": 1, "custom.width": 80}),
                    column("p95, s", {"decimals": 1, "custom.width": 80}),
                    column("Launches", {"decimals": 0, "custom.width": 90}),
                ],
                no_value=NO_LAUNCH,
            ),
            graph(
                "Duration of ${stage:raw} by architecture",
                "Median and 95th percentile (dashed) over the trial's launches so far. Where lines coincide, the"
                " wider one shows on both sides of the narrower.",
                [q.stage_quantile(TRIAL, "p50"), q.stage_quantile(TRIAL, "p95")],
                unit=style.SECONDS,
                decimals=0,
                size=(12, 10),
                steps=True,
                overrides=[
                    *lanes_of_architectures("p50"),
                    *lanes_of_architectures("p95"),
                    named("^p95 ", {"custom.lineStyle": DASHED}),
                ],
                no_value=NO_LAUNCH,
            ),
            heat_map(
                "Launches by duration of ${stage:raw}",
                "Number of launches by completion time (horizontal) and stage duration (vertical).",
                q.stage_heat(TRIAL),
                unit=style.SECONDS,
                no_value=NO_LAUNCH,
            ),
        ],
    )


def _failures() -> Section:
    return Section(
        "Failures",
        [
            graph(
                "Failed nodes",
                "Nodes that have failed so far: launches that never ran, and nodes that crashed.",
                [q.failed_nodes(TRIAL)],
                unit=style.COUNT,
                decimals=0,
                steps=True,
                stacked=True,
            ),
            grid(
                "Node failures by cause",
                "Failed nodes over the whole trial, by cause.",
                [q.failures_of_trial(TRIAL)],
                size=(12, 8),
                unit=style.PLAIN,
                transformations=[
                    columns({"cause": "Cause", "node_type": "Node type", "arch": "Arch", "Value": "Nodes"})
                ],
                overrides=[
                    column("Cause", {"custom.width": 150}),
                    column("Arch", {"custom.width": 80}),
                    column("Nodes", {"custom.width": 70}),
                ],
                no_value="no node failed",
            ),
        ],
    )


def _processors() -> Section:
    return Section(
        "CPU load",
        [
            graph(
                PROCESSORS,
                "Share of each worker machine's CPU time in use, measured by Ray every 10 s. The names match those"
                " above. All nodes of a local cluster show the same machine.",
                [q.machine_share_by_node(TRIAL, OF_CHOSEN_ARCHS)],
                unit=style.SHARE,
                size=(24, 8),
                decimals=0,
                most=1.05,
                no_value="Ray's own metrics of this trial weren't scraped: see “Autoscaler health”",
            ),
        ],
    )
