"""The board of a trial's nodes: the life of each, how long the stages of a launch took, and what failed."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from orchestrator.grafana.boards import queries as q
from orchestrator.grafana.boards import style
from orchestrator.grafana.boards.layout import Section, annotation, board
from orchestrator.grafana.boards.overrides import DASHED, column, lanes_of_architectures, named
from orchestrator.grafana.boards.panels import graph, grid, heat_map, timeline
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

LIVES = "States of nodes"
PROCESSORS = "Processors of each node"
STATES = {"0": ("gone", style.INVISIBLE)} | {
    str(value): (state, style.STATE[state]) for state, value in STATE_NUMBERS.items()
}
OF_CHOSEN_ARCHS = 'arch=~"$arch"'
NO_LAUNCH = "no launch has ended in the time range"


def nodes_board() -> Dashboard:
    """Return the nodes of a trial."""
    stage = choice(
        "stage",
        "Stage",
        "Of a launch: request (until allocated), boot, install (until it runs), or launch (all of them).",
        [(f"stage: {name}", name) for name in q.STAGES],
        labelled=False,
    )
    return board(
        UID,
        "The nodes of one trial: what each did when, and how long launches took.",
        variables=[stage, sweep_variable(), trial_variable(), arch_variable(), *times_of_trial(), *times_of_sweep()],
        annotations=[
            annotation(
                "Faults",
                q.fault_marks(),
                style.FAULT,
                title="fault on purpose: {{kind}} of {{node_type}}",
                text="{{arch}}",
                tags="arch,kind",
            )
        ],
        annotated=[LIVES, PROCESSORS],
        links=[fit_trial(UID)],
        sections=[_lives(), _stages(), _failures()],
    )


def _lives() -> Section:
    return Section(
        "The life of each node",
        [
            timeline(
                LIVES,
                "One row for each worker node, from its request to its end; 30 on a page. A node that failed ends in "
                "“failed”, one that was removed just ends. Of more than 1000 nodes at once, none is shown here.",
                q.node_life(TRIAL, OF_CHOSEN_ARCHS),
                STATES,
                size=(24, 14),
                rows=30,
                values=True,
            ),
            graph(
                PROCESSORS,
                "Share of each worker machine's CPU time that is used, as Ray measures it, every 10 s, "
                "under the node's name as above. Nodes of a local cluster all show the one machine.",
                [q.machine_share_by_node(TRIAL, OF_CHOSEN_ARCHS)],
                unit=style.SHARE,
                size=(24, 8),
                decimals=0,
                most=1.05,
                no_value="Ray's own metrics of this trial weren't scraped: see “Autoscaler health”",
            ),
        ],
    )


def _stages() -> Section:
    return Section(
        "Launches",
        [
            grid(
                "Stages of a launch",
                "Over all launches of the trial. request: until the cloud allocated it; boot: until its set-up began; "
                "install: until it ran; launch: all of them. Buckets of the histogram make these estimates.",
                q.stages_of_trial(TRIAL),
                size=(12, 9),
                unit=style.PLAIN,
                transformations=[
                    ("merge", {}),
                    (
                        "organize",
                        {
                            "excludeByName": {"Time": True},
                            "indexByName": {"stage": 0, "arch": 1, "Value #A": 2, "Value #B": 3, "Value #C": 4},
                            "renameByName": {
                                "stage": "Stage",
                                "arch": "Arch",
                                "Value #A": "p50, s",
                                "Value #B": "p95, s",
                                "Value #C": "Launches",
                            },
                        },
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
                "Median and 95th percentile (dashed) over the launches of the trial so far. Where architectures are "
                "equal, the wider line shows on both sides of the narrower.",
                [q.stage_quantile(TRIAL, "p50"), q.stage_quantile(TRIAL, "p95")],
                unit=style.SECONDS,
                decimals=0,
                size=(12, 9),
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
                "How many launches ended when (across) and how long this stage took them (upwards).",
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
                "Nodes that failed so far: launches that never ran, and nodes that died.",
                [q.failed_nodes(TRIAL)],
                unit=style.COUNT,
                decimals=0,
                steps=True,
                stacked=True,
            ),
            grid(
                "Why nodes failed",
                "Failed nodes of the whole trial by cause.",
                [q.failures_of_trial(TRIAL)],
                size=(12, 8),
                unit=style.PLAIN,
                transformations=[
                    (
                        "organize",
                        {
                            "excludeByName": {"Time": True},
                            "indexByName": {"cause": 0, "node_type": 1, "arch": 2, "Value": 3},
                            "renameByName": {
                                "cause": "Cause",
                                "node_type": "Node type",
                                "arch": "Arch",
                                "Value": "Nodes",
                            },
                        },
                    )
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
