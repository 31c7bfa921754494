"""Every query of every panel and annotation, asked of a real Prometheus: after a real sweep, and after a push."""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from orchestrator.analysis.trial.cost import bills
from orchestrator.analysis.trial.node_lives import node_lives, stacked
from orchestrator.analysis.trial.score import score
from orchestrator.analysis.trial.steps import StepFunction
from orchestrator.analysis.trial.window import submission
from orchestrator.assets import bundled
from orchestrator.grafana.boards.build import build_all
from orchestrator.grafana.boards.compare import ZERO_S, ComparedTrial
from orchestrator.grafana.boards.queries import MARGIN_S
from orchestrator.inputs.prices import read_prices
from orchestrator.metrics.server import DEFAULT_PORT
from orchestrator.model.events import (
    ALIVE_STATES,
    PHASES,
    DemandEvent,
    FaultEvent,
    NodeEvent,
    NodeState,
    TaskEvent,
    UsageEvent,
)
from orchestrator.prometheus.client import Prometheus as Api
from orchestrator.prometheus.placement import Placement, moved
from orchestrator.prometheus.recording_rules import recorded, recording_rules
from orchestrator.prometheus.remote_write import send
from orchestrator.prometheus.samples import samples_of
from orchestrator.trace.file import Trace, read_trace
from tests.support.board_queries import fill, panels_of, queries_of
from tests.support.board_variables import chosen, options
from tests.support.orchestrate_command import Orchestrate
from tests.support.prometheus_server import HOW, Prometheus, running
from tests.support.requirements import free_port, require
from tests.support.watched_sweep import TRIALS, Swept, Watched

pytestmark = pytest.mark.alone

SCRAPE_S = 5.0
# The observer looks twice a second, and a busy machine is late now and then.
LATE_S = 2.0


@dataclass(frozen=True)
class Shown:
    """A sweep that a Prometheus has seen, its traces, and the time that the boards look at, in UNIX seconds."""

    prometheus: Prometheus
    sweep_id: str
    traces: list[Trace]
    begin: float
    end: float


def _shown(command: Orchestrate, prometheus: Prometheus, begin: float, end: float) -> Shown:
    document = command.json("show", "@last")
    traces = [read_trace(Path(trial["trace"])) for trial in document["trials"]]
    return Shown(prometheus, document["sweep_id"], traces, begin, end)


@pytest.fixture(scope="module")
def real(watched: Watched) -> Shown:
    """Trials on real local clusters, scraped while they ran by the Prometheus of `sweep --stack`."""
    prometheus = _prometheus(watched)
    assert f"stack: Prometheus {prometheus.url}" in watched.swept.output
    return _of(watched.swept, prometheus)


@pytest.fixture(scope="module")
def real_of_both(watched: Watched, both_autoscalers: Swept) -> Shown:
    """A trial of v1 and one of v2, scraped by the same Prometheus."""
    return _of(both_autoscalers, _prometheus(watched))


def _prometheus(watched: Watched) -> Prometheus:
    found = watched.prometheus
    require("prometheus", found is not None, f"{HOW}, and end what listens on port {DEFAULT_PORT}")
    assert found is not None
    return found


def _of(swept: Swept, prometheus: Prometheus) -> Shown:
    return Shown(prometheus, swept.document["sweep_id"], swept.traces, swept.begin, swept.end)


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """Two simulated trials in which a node is killed after a minute, written by remote write."""
    command = Orchestrate(tmp_path_factory.mktemp("simulated"))
    with running(tmp_path_factory.mktemp("prometheus"), free_port()) as prometheus:
        assert command("simulate", "--upscaling-speed", "1,10", "--fault", "kill@60").returncode == 0
        result = command("push", "--to", prometheus.url)
        assert result.returncode == 0, result.stderr
        end = time.time()
        shown = _shown(command, prometheus, end - 2 * 3600, end)
        by = Placement.read(command.home, shown.sweep_id).moved_by
        shown = replace(shown, traces=[moved(each, by[each.trial.trial_id]) for each in shown.traces if each.trial])
        _observed(prometheus.url, shown.traces[-1])
        yield shown


def _observed(url: str, trace: Trace) -> None:
    """Write a trial's samples as those of a cluster that was only observed, under the name `prod`."""
    api, begin, end = Api(url), trace.events[0].t, trace.events[-1].t
    of_trials = re.compile("orchestrator_(trial_info|trial_verdict|scorecard|sweep_info|setting_verdict)")
    samples = {
        tuple((key, "prod" if key == "trial_id" else value) for key, value in labels): found
        for labels, found in samples_of("observed", trace, read_prices("us-east-1")).items()
        if not of_trials.match(dict(labels)["__name__"])
    }
    send(api, samples)
    for rule in recording_rules(bundled("prometheus/rules/recording.yml")):
        send(api, recorded(api, rule, ("observed", "prod"), begin, end))


# What may be empty, and why. Everything else has to have an answer for one of the trials.
NOBODY = 'trial_id="none"'
MAY_BE_EMPTY = {
    NOBODY: "two trials are compared, not four",
    'event="failed"': "no node fails here",
    "ALERTS{": "no alert is firing",
    "== 0 unless": "no trial is invalid",
    "orchestrator_trial_info{} unless": "no trial is without a verdict",
    "unless on () max by (reason)": "each trial has ended",
    "ray_cluster_failed_nodes": "no node fails here",
    "orchestrator_faults_total": "nothing fails on purpose here",
    "orchestrator_no_launch": "all nodes that are needed may come at once",
    'sweep_id="observed"': "no cluster is only observed here",
    "autoscaler_worker_create_node_time_seconds_bucket": "v1 may launch all before the first scrape",
}
"""Parts of queries, after a real sweep."""
NOT_PUSHED = re.compile(
    rf"ray_|autoscaler_|orchestrator_observer_|scrape_|\(up[){{]|{NOBODY}"
    r"|ALERTS|== 0 unless|unless on \(\) max by \(reason\)|trial_id=\"nothing\"|pause\|partition"
)
"""What Ray, the observer and Prometheus itself export isn't in a trace; no trial is invalid, unfinished or struck."""


def _unanswered(*sweeps: Shown) -> list[tuple[str, str, str]]:
    """File, panel and query of each one that has no answer but NaN, whichever sweep and trial is chosen."""
    boards = build_all()
    answered: dict[tuple[str, int], tuple[str, str, bool]] = {}
    for shown, trace in ((sweep, trace) for sweep in sweeps for trace in sweep.traces):
        assert trace.trial is not None
        values = {
            "sweep_id": shown.sweep_id,
            "trial_id": trace.trial.trial_id,
            "arch": "x86_64|arm64",
            "stage": "launch",
            "marks": "requested|running|terminated|failed",
            "__range": f"{shown.end - shown.begin:.0f}s",
        }
        for name, board in boards.items():
            begin, end = _window(board, shown)
            known = {**values, **chosen(board, shown.prometheus, end, values)}
            queries = zip(queries_of(board, known), _instant(board), strict=True)
            for number, ((_, title, expr), instant) in enumerate(queries):
                ask = shown.prometheus
                found = ask.at(expr, end) if instant else ask.over(expr, begin, end)
                before = answered.get((name, number), (title, expr, False))
                answered[name, number] = (title, expr, before[2] or _has_number(found))
    return [(name, title, expr) for (name, _), (title, expr, found) in answered.items() if not found]


def _has_number(answer: Sequence[Mapping[str, Any]]) -> bool:
    values = [value for series in answer for value in series.get("values", [series.get("value")])]
    return any(value != "NaN" for _, value in values)


def _window(board: str, shown: Shown) -> tuple[float, float]:
    """What the board looks at, in UNIX seconds: the sweep; where its range is fixed, as much as a trial lasts."""
    begin = json.loads(board)["time"]["from"]
    if begin.startswith("now"):
        return shown.begin, shown.end
    fixed = datetime.fromisoformat(begin).timestamp()
    return fixed, fixed + max(trace.events[-1].t - trace.events[0].t for trace in shown.traces)


def _instant(board: str) -> list[bool]:
    """For each query, in the order of `queries_of`, whether it is asked for one instant only."""
    document = json.loads(board)
    panels = [bool(target.get("instant")) for panel in panels_of(document) for target in panel["targets"]]
    return panels + [False for each in document["annotations"]["list"] if "expr" in each]


def test_every_query_of_every_board_has_an_answer_after_a_real_sweep(real: Shown, real_of_both: Shown) -> None:
    """Of the README's sweep, or, what v1 alone exports, of one with v1."""
    empty = [each for each in _unanswered(real, real_of_both) if not any(part in each[2] for part in MAY_BE_EMPTY)]

    assert not empty, "\n".join(map(str, empty))


def test_every_query_has_an_answer_after_a_simulated_sweep_was_pushed(pushed: Shown) -> None:
    unexpected = [each for each in _unanswered(pushed) if not NOT_PUSHED.search(each[2])]

    assert not unexpected, "\n".join(map(str, unexpected))


@pytest.mark.parametrize("shown", ["real", "pushed"])
def test_the_newest_trial_stands_first_and_is_called_by_its_setting(shown: str, request: pytest.FixtureRequest) -> None:
    seen: Shown = request.getfixturevalue(shown)
    known = {"__range": f"{seen.end - seen.begin:.0f}s"}
    offered = options(build_all()["trial.json"], seen.prometheus, seen.end, known)
    trials = [trace.trial for trace in reversed(seen.traces) if trace.trial is not None]

    (called, value), *_ = offered["sweep_id"]
    assert value == seen.sweep_id
    assert re.fullmatch(r".+ · \d\d-\d\d \d\d:\d\d", called)
    assert offered["trial_id"] == [(f"{each.settings.label()} #{each.repeat}", each.trial_id) for each in trials]


@pytest.mark.parametrize("shown", ["real", "pushed"])
def test_the_two_newest_trials_are_compared_unless_others_are_chosen(
    shown: str, request: pytest.FixtureRequest
) -> None:
    seen: Shown = request.getfixturevalue(shown)
    board = build_all()["compare.json"]
    newest, older = seen.traces[:-3:-1]
    # Who scrapes one port all day has the sweeps of other tests, too.
    sweep = {"sweep_id": seen.sweep_id}
    offered = options(board, seen.prometheus, seen.end, sweep)
    swapped = options(board, seen.prometheus, seen.end, {**sweep, "base": _matchers(seen, older)})

    assert seen.sweep_id in [value for _, value in offered["sweep_id"]]
    assert [value for _, value in (offered["base"][0], offered["other"][0])] == [
        _matchers(seen, newest),
        _matchers(seen, older),
    ]
    assert [offered[name][0][0] for name in ("third", "fourth")] == ["none", "none"]
    assert swapped["other"][0][1] == _matchers(seen, newest)
    for name, trace in (("base", newest), ("other", older)):
        assert int(offered[f"{name}_start"][0][1]) == round(_submitted(seen, trace) - ZERO_S)


def _matchers(seen: Shown, trace: Trace) -> str:
    assert trace.trial is not None
    return ComparedTrial(seen.sweep_id, trace.trial.trial_id, 1.0).matchers


def _submitted(seen: Shown, trace: Trace) -> float:
    """When the tasks of a trial were submitted, as Prometheus has it."""
    metric = f"orchestrator_trial_start_timestamp_seconds{{{_matchers(seen, trace)}}}"
    (found,) = seen.prometheus.at(f"max(last_over_time({metric}[{seen.end - seen.begin:.0f}s]))", seen.end)
    return float(found["value"][1])


@pytest.mark.parametrize("shown", ["real", "pushed"])
def test_a_scorecard_leads_to_the_time_of_its_trial(shown: str, request: pytest.FixtureRequest) -> None:
    seen: Shown = request.getfixturevalue(shown)
    values = {"sweep_id": seen.sweep_id, "__range": f"{seen.end - seen.begin:.0f}s"}
    found: dict[str, dict[str, float]] = {}
    for _, title, expr in queries_of(build_all()["sweep.json"], values):
        for sample in seen.prometheus.at(expr, seen.end) if title == "Scorecards" else []:
            labels = sample["metric"]
            found.setdefault(labels["trial_id"], {})[labels["quantity"]] = float(sample["value"][1]) / 1000

    for trace in seen.traces:
        assert trace.trial is not None
        times, began = found[trace.trial.trial_id], submission(trace.events)
        assert began is not None
        assert times["started"] == pytest.approx(_submitted(seen, trace) - MARGIN_S, abs=0.001)
        assert 0 < times["ended"] - times["started"] - 2 * MARGIN_S <= trace.events[-1].t - began + 0.001


def test_a_fault_that_was_pushed_is_marked_once_and_within_a_scrape(pushed: Shown) -> None:
    for trace in pushed.traces:
        assert trace.trial is not None
        (fault,) = [event for event in trace.events if isinstance(event, FaultEvent)]
        values = {"sweep_id": pushed.sweep_id, "trial_id": trace.trial.trial_id, "__interval": "5s"}
        board = build_all()["trial.json"]
        (marks,) = [expr for _, title, expr in queries_of(board, values) if title == "annotation: Faults"]
        (series,) = pushed.prometheus.over(marks, trace.events[0].t, trace.events[-1].t)

        assert series["metric"] == {"arch": fault.arch, "kind": "kill", "node_type": fault.node_type}
        ((t, count),) = series["values"]
        assert (float(count), fault.t <= float(t) <= fault.t + 2 * SCRAPE_S) == (1, True)


def test_a_cluster_is_chosen_by_the_name_under_which_it_was_observed(pushed: Shown) -> None:
    offered = options(build_all()["cluster.json"], pushed.prometheus, pushed.end, {"__range": "7200s"})

    assert offered["cluster"] == [("prod", "prod")]


def test_what_holds_a_cluster_back_is_seen_in_its_order(pushed: Shown) -> None:
    """A burst waits for nodes that are on their way, then at max_workers, then nothing waits."""
    trace = pushed.traces[-1]
    values = {"cluster": "prod"}
    (expr,) = [e for _, title, e in queries_of(build_all()["cluster.json"], values) if title == "Bottleneck"]
    (series,) = pushed.prometheus.over(expr, trace.events[0].t, trace.events[-1].t)
    seen = [int(value) for _, value in series["values"]]

    assert {4, 5, 1} <= set(seen) <= {1, 2, 4, 5}
    assert (seen[0], seen[-1]) == (1, 1)


def test_a_sweeps_trials_are_seen_in_their_phases(pushed: Shown) -> None:
    """A row for each setting: nothing, then the running trial, its scale-down, and nothing again."""
    range_s = round(pushed.end - pushed.begin)
    values = {"sweep_id": pushed.sweep_id, "__range": f"{range_s}s"}
    (expr,) = [e for _, title, e in queries_of(build_all()["sweep.json"], values) if title == "Trials over time"]
    rows = pushed.prometheus.over(expr, pushed.begin, pushed.end)
    phases = {str(number): phase for number, phase in enumerate(PHASES, start=1)}

    assert {row["metric"]["setting"] for row in rows} == {
        trace.trial.settings.label() for trace in pushed.traces if trace.trial
    }
    for row in rows:
        seen = [phases.get(value, "") for _, value in row["values"]]
        assert {"", "running", "scaling_down"} <= set(seen)
        assert seen[0] == seen[-1] == ""


# Numbers agree


def _stats(shown: Shown, trace: Trace, end: float, range_s: int) -> dict[str, list[tuple[str, float]]]:
    """What each large number of the board “Trial” shows of a trial: its series' names and values."""
    assert trace.trial is not None
    board = json.loads(build_all()["trial.json"])
    values = {"sweep_id": shown.sweep_id, "trial_id": trace.trial.trial_id, "__range": f"{range_s}s"}
    found: dict[str, list[tuple[str, float]]] = {}
    for panel in panels_of(board):
        if panel["type"] != "stat":
            continue
        for target in panel["targets"]:
            for sample in shown.prometheus.at(fill(target["expr"], values), end):
                called = target["legendFormat"]
                for label, value in sample["metric"].items():
                    called = called.replace(f"{{{{{label}}}}}", value)
                found.setdefault(panel["title"], []).append((called, float(sample["value"][1])))
    return found


def test_large_numbers_are_the_traces_whatever_the_time_range_is(pushed: Shown) -> None:
    """At ranges of 15 minutes, 6 hours and a day that all end with the trial, as links to it do."""
    prices = read_prices("us-east-1")
    for trace in pushed.traces:
        assert trace.trial is not None
        end, began = trace.events[-1].t, submission(trace.events)
        assert began is not None
        card = score(trace.trial, trace.events, prices)
        lives = node_lives(trace.events)
        paid = sum(bill.usd or 0.0 for bill in bills(lives, prices, trace.events[0].t, end, end))
        supplied = stacked((life.alive(end + 1), life.cpus) for life in lives)
        expected = {
            "Elapsed": end - began,
            "Makespan": card.makespan_s,
            "Cost so far": paid,
            "Pending": 0.0,
            "Demand": 0.0,
            "Supply": supplied.walk()(end),
            "CPU use": card.cpu_utilisation,
            "Wait, p95": card.task_wait_s["all"].p95,
            "Peak": card.peak_nodes,
            "First node": card.time_to_first_node_s,
            "Peak after": card.time_to_peak_s,
            "Scale-down": card.scale_down_s,
            "Launches": card.launches,
            "Failed": card.failed_launches,
            "Excess": card.excess_nodes,
        }
        for range_s in (900, 6 * 3600, 24 * 3600):
            shown = _stats(pushed, trace, end + MARGIN_S, range_s)
            names = {title: [name for name, _ in shown.pop(title)] for title in ("Setting", "Phase", "Valid")}

            assert names == {
                "Setting": [f"{trace.trial.settings.label()} #{trace.trial.repeat}"],
                "Phase": ["done"],
                "Valid": ["valid"],
            }
            assert {title: value for title, [(_, value)] in shown.items()} == pytest.approx(expected, rel=1e-6), range_s


def test_a_sweeps_numbers_are_those_of_all_its_trials_whatever_the_time_range_is(pushed: Shown) -> None:
    prices = read_prices("us-east-1")
    cards = {
        trace.trial.settings.label(): score(trace.trial, trace.events, prices) for trace in pushed.traces if trace.trial
    }
    makespans = {setting: card.makespan_s or 0.0 for setting, card in cards.items()}
    fastest = min(makespans, key=lambda setting: makespans[setting])
    for range_s in (900, 6 * 3600, 24 * 3600):
        values = {"sweep_id": pushed.sweep_id, "__range": f"{range_s}s"}
        asked = {title: expr for _, title, expr in queries_of(build_all()["sweep.json"], values)}
        found = {title: pushed.prometheus.at(asked[title], pushed.end + 7 * 86_400) for title in SWEEP_STATS}

        assert [each["value"][1] for each in found["Ended"]] == [str(len(cards))]
        assert [each["value"][1] for each in found["Invalid"]] == ["0"]
        (lowest,) = found["Lowest median makespan"]
        assert lowest["metric"] == {"setting": fastest}
        assert float(lowest["value"][1]) == pytest.approx(makespans[fastest])


SWEEP_STATS = ("Ended", "Invalid", "Lowest median makespan")


def _node_counts(trace: Trace, arch: str) -> StepFunction:
    last = trace.events[-1].t + 1
    states: frozenset[NodeState] = ALIVE_STATES | {"draining"}
    return stacked((life.intervals(states, last), 1.0) for life in node_lives(trace.events) if life.arch == arch)


def _steps(points: list[tuple[float, float]]) -> StepFunction:
    return StepFunction(tuple(t for t, _ in points), tuple(value for _, value in points))


def _between(steps: StepFunction, begin: float, end: float) -> set[float]:
    """Every value in a window."""
    value = steps.walk()
    return {value(begin), *(value(t) for t in steps.times if begin < t <= end)}


@pytest.mark.parametrize("number", range(TRIALS))
def test_numbers_agree_with_the_trace_within_a_scrape(real: Shown, number: int) -> None:
    """At ten instants: what Prometheus has is what the trace had at some moment since the scrape before."""
    trace = real.traces[number]
    assert trace.trial is not None
    tasks = [event for event in trace.events if isinstance(event, TaskEvent)]
    begin, end = min(task.submitted for task in tasks), trace.events[-1].t
    arches = {worker.name: worker.arch for worker in trace.trial.shape.workers}
    labels = f'trial_id="{trace.trial.trial_id}"'
    demand = [(e.t, float(sum(e.pending.values()))) for e in trace.events if isinstance(e, DemandEvent)]
    usage = [e for e in trace.events if isinstance(e, UsageEvent)]
    expected: dict[str, StepFunction] = {f"sum(orchestrator_pending_tasks{{{labels}}}) or vector(0)": _steps(demand)}
    for name, arch in arches.items():
        of = f'{{{labels}, arch="{arch}"'
        alive = 'state=~"running|idle|draining"'
        expected[f"sum(orchestrator_nodes{of}, {alive}}})"] = _node_counts(trace, arch)
        used = [(e.t, e.cpus.get(name, (0.0, 0.0))[0]) for e in usage]
        expected[f"sum(orchestrator_cpu_used_cores{of}}})"] = _steps(used)
    for n in range(1, 11):
        t = begin + n * (end - begin) / 11
        for query, steps in expected.items():
            (found,) = real.prometheus.at(query, t)

            assert float(found["value"][1]) in _between(steps, t - SCRAPE_S - LATE_S, t), (query, t - begin)


def test_every_scaling_event_of_every_trial_was_scraped(real: Shown) -> None:
    """Also those of a trial's last moment, which no scrape fell into."""
    for trace in real.traces:
        assert trace.trial is not None
        last = f'last_over_time(orchestrator_scaling_events_total{{trial_id="{trace.trial.trial_id}"}}[1h])'
        scraped = {
            tuple(each["metric"].get(label, "") for label in ("node_type", "arch", "event", "cause")): each["value"][1]
            for each in real.prometheus.at(last, real.end)
        }
        told = Counter(
            (event.node_type, event.arch, event.state, event.cause)
            for event in trace.events
            if isinstance(event, NodeEvent) and not event.is_head and event.cause != "baseline"
        )

        assert scraped == {labels: str(count) for labels, count in told.items()}


def test_a_prometheus_of_the_stack_watches_itself_on_its_own_port(real: Shown) -> None:
    assert [each["value"][1] for each in real.prometheus.at('up{job="prometheus"}', real.end)] == ["1"]
