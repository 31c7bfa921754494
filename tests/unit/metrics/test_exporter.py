"""What a scrape gets, from trial to trial, with scorecards and the observer's own metrics; and that it is sound."""

import math
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import parser
from prometheus_client.exposition import choose_encoder

from orchestrator.metrics.catalogue import METRICS
from orchestrator.metrics.exporter import LINGER_S, LONGEST_LINGER_S, Exporter, numbers
from orchestrator.model.events import NODE_STATES, Event, UsageEvent
from orchestrator.model.prices import Prices
from orchestrator.model.scorecard import ByPart
from orchestrator.observer.node_tracker import NodeTraits
from orchestrator.observer.observer import Observer
from tests.support.builders import (
    T0,
    demand,
    fault,
    host,
    life,
    node,
    note,
    phase,
    scorecard,
    settings_in_force,
    task,
    trial,
)
from tests.support.scraped_exporter import (
    ARM,
    INSTANCE_TYPES,
    LIVES,
    OPENMETRICS,
    PRICES,
    WHOLE,
    X86,
    Clock,
    EmptyCluster,
    Series,
    costs,
    exporter_of,
    exposed,
    families,
    feed,
    in_states,
    parsed,
    present,
    priced,
    registry_of,
    series,
    watched_cluster,
)
from tests.support.strategies import events

DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"


# From trial to trial


def test_the_series_of_a_trial_that_ended_end() -> None:
    clock = Clock(40)
    exporter = exporter_of(life("n1", **WHOLE), demand(1), phase(0, "running"), clock=clock)
    running = set(families(exporter))
    exporter.trial_ended(trial(upscaling_speed=5), None, "it failed")
    ids, after = exporter.ids, []
    for clock.now in (40, 40 + LINGER_S - 0.1, 40 + LINGER_S):
        after.append(set(families(exporter)))

    assert {"trial_info", "nodes", "scaling_events", "pending_tasks"} < running
    assert after == [running, running, set()]
    assert ids == {"sweep_id": "c0ffee00"}


@pytest.mark.parametrize(("first_scrape", "seen"), [(1, True), (30, True), (LONGEST_LINGER_S, False)])
def test_what_happened_after_the_last_scrape_is_seen_by_the_next_one(first_scrape: float, seen: bool) -> None:
    clock = Clock()
    exporter = exporter_of(clock=clock)
    families(exporter)
    feed(exporter, life("n1", terminated=1))
    exporter.trial_ended(trial(upscaling_speed=5), None, "")
    exporter.trial_started(2, 2, trial(upscaling_speed=1))
    clock.now = first_scrape
    first = series(exporter, "scaling_events", "scaling_events_total")
    clock.now += LINGER_S
    second = series(exporter, "scaling_events", "scaling_events_total")

    assert first == ({(*X86, "terminated", ""): 1.0} if seen else {})
    assert second == {}


def test_a_trial_that_ended_costs_no_more() -> None:
    clock = Clock(100)
    exporter = exporter_of(priced(life("n1", allocated=0, running=10)), prices=PRICES, clock=clock)
    exporter.trial_ended(trial(upscaling_speed=5), None, "")
    clock.now = 104

    assert costs(exporter) == pytest.approx({X86: 0.01})


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_two_trials_at_once_share_their_families(accept: str) -> None:
    events = phase(0, "running"), LIVES, demand(1), task("n1", 3, 13)
    exporter = exporter_of(*events, prices=PRICES)
    exporter.trial_ended(trial(upscaling_speed=5), scorecard(), "")
    exporter.trial_started(2, 2, trial(upscaling_speed=1))
    feed(exporter, *events)
    lines = exposed(exporter, accept).splitlines()
    kinds = [line.split()[2] for line in lines if line.startswith("# TYPE")]

    assert len(kinds) == len(set(kinds))
    for name, family in parsed(exporter, accept).items():
        per_trial = Counter(sample.labels["trial_id"] for sample in family.samples)
        assert len(set(per_trial.values())) <= 1, (name, per_trial)
        once = (
            "orchestrator_scorecard",
            "orchestrator_trial_verdict",
            "orchestrator_faults",
            "orchestrator_infeasible_tasks",
            "orchestrator_no_launch",
        )
        assert name in once or len(per_trial) == 2, name


def test_another_attempt_at_a_trial_takes_its_series_over() -> None:
    exporter = exporter_of(life("n1", **WHOLE))
    exporter.trial_ended(trial(upscaling_speed=5), None, "it failed")
    exporter.trial_started(1, 1, trial(upscaling_speed=5))

    assert in_states(exporter) == {}


@pytest.mark.parametrize(("scraped", "waited"), [(True, [LINGER_S]), (False, [])])
def test_at_the_sweeps_end_who_scrapes_is_waited_for(scraped: bool, waited: list[float]) -> None:
    sleeps: list[float] = []
    exporter = exporter_of(life("n1", **WHOLE), sleep=sleeps.append)
    if scraped:
        families(exporter)
    exporter.end()

    assert sleeps == waited
    assert in_states(exporter) == {("x86", "running"): 1.0}


def test_an_event_between_two_trials_is_nobodys() -> None:
    exporter = exporter_of()
    exporter.trial_ended(trial(upscaling_speed=5), None, "")
    feed(exporter, life("n1", **WHOLE))
    exporter.trial_started(2, 2, trial(upscaling_speed=1))

    assert present(series(exporter, "nodes")) == {}


def test_a_trial_is_active_until_it_has_ended() -> None:
    exporter = exporter_of()
    running = series(exporter, "trial_active")
    exporter.trial_ended(trial(upscaling_speed=5), None, "")
    ended = series(exporter, "trial_active")
    exporter.trial_started(2, 2, trial(upscaling_speed=1))
    by_trial = {each.labels["trial_id"]: each.value for each in families(exporter)["trial_active"].samples}

    assert (running, ended) == ({(): 1.0}, {(): 0.0})
    assert by_trial == {trial(upscaling_speed=5).trial_id: 0.0, trial(upscaling_speed=1).trial_id: 1.0}


def test_while_an_exporter_waits_for_the_last_scrape_its_trial_is_not_active_any_more() -> None:
    """That is how an end is told from an exporter that vanished; a trial that was interrupted ends just so."""
    seen: list[Series] = []
    exporter: Exporter = exporter_of(sleep=lambda _: seen.append(series(exporter, "trial_active")))
    families(exporter)
    exporter.end()

    assert seen == [{(): 0.0}]


@pytest.mark.parametrize(("after", "shown"), [(LONGEST_LINGER_S - 0.1, True), (LONGEST_LINGER_S, False)])
def test_a_scorecard_is_shown_for_a_minute(after: float, shown: bool) -> None:
    clock = Clock(40)
    exporter = exporter_of(clock=clock)
    exporter.trial_ended(trial(upscaling_speed=5), scorecard(12.5), "")
    families(exporter)
    clock.now = 40 + after

    assert ("scorecard" in families(exporter)) == shown


def test_the_scorecards_of_ended_trials_are_shown_together() -> None:
    exporter = exporter_of()
    first, second = trial(upscaling_speed=5), trial(upscaling_speed=1, repeat=2)
    exporter.trial_ended(first, scorecard(12.5, launches=3), "")
    exporter.trial_started(2, 2, second)
    exporter.trial_ended(second, scorecard(30.0, valid=False), "the cluster died")
    found = series(exporter, "scorecard")

    assert found["v2 speed=5", "1", "true", "makespan_s"] == 12.5
    assert found["v2 speed=5", "1", "true", "launches"] == 3
    assert found["v2 speed=1", "2", "false", "makespan_s"] == 30.0
    assert {sample.labels["trial_id"] for sample in families(exporter)["scorecard"].samples} == {
        first.trial_id,
        second.trial_id,
    }


def test_the_numbers_of_a_scorecard_are_plain_ones_and_totals() -> None:
    card = scorecard(None, launches=3, theta_u=0.5, cost_usd=ByPart(total=0.125), warnings=("slow",))
    found = dict(numbers(card))

    assert found["launches"] == 3
    assert found["theta_u"] == 0.5
    assert found["cost_usd"] == 0.125
    assert found["node_seconds"] == 20.0
    assert not {"makespan_s", "valid", "warnings", "task_wait_s", "uncapped"} & set(found)


def test_two_trials_after_each_other_do_not_mix() -> None:
    clock = Clock()
    exporter = exporter_of(life("n1", **WHOLE), demand(1), phase(0, "running"), task("n1", 3, 13), clock=clock)
    second = trial(upscaling_speed=1)
    exporter.trial_ended(trial(upscaling_speed=5), None, "")
    exporter.trial_started(2, 2, second)
    feed(exporter, life("n1", requested=100))
    clock.now = LONGEST_LINGER_S
    fresh = Exporter("c0ffee00", clock=Clock())
    fresh.trial_started(1, 1, second)
    feed(fresh, life("n1", requested=100))

    assert exposed(exporter) == exposed(fresh)
    assert exporter.ids == {"sweep_id": "c0ffee00", "trial_id": second.trial_id}


def test_every_series_of_a_trial_leads_back_to_it() -> None:
    exporter = exporter_of(LIVES, demand(1), phase(0, "running"), task("n1", 3, 13), prices=PRICES)
    ids = {"sweep_id": "c0ffee00", "trial_id": trial(upscaling_speed=5).trial_id}

    assert all(ids.items() <= sample.labels.items() for family in exporter.collect() for sample in family.samples)


def test_a_cluster_that_is_only_observed_has_metrics_without_a_trial() -> None:
    exporter = Exporter("observed", prices=PRICES, clock=Clock(100))
    exporter.watch("20260101-120000")
    feed(exporter, priced(life("n1", allocated=0, running=10)), demand(1), UsageEvent(t=T0, cpus={"x86": (1, 2)}))

    assert exporter.ids == {"sweep_id": "observed", "trial_id": "20260101-120000"}
    assert in_states(exporter) == {("x86", "running"): 1.0}
    assert series(exporter, "cpu_used_cores") == {X86: 1.0}
    assert costs(exporter) == pytest.approx({X86: 0.01})
    assert not {"trial_info", "min_workers", "max_workers", "cluster_max_workers"} & set(families(exporter))


def test_of_a_cluster_whose_config_is_known_the_limits_are_too() -> None:
    exporter = Exporter("observed", clock=Clock())
    exporter.watch("20260101-120000", trial().shape)

    assert series(exporter, "max_workers") == {X86: 3.0, ARM: 3.0}
    assert "trial_info" not in families(exporter)


def test_events_of_other_kinds_change_nothing() -> None:
    exporter = exporter_of()
    before = exposed(exporter)
    feed(exporter, host(1, 50), note(2, "observer_gap"), settings_in_force())

    assert exposed(exporter) == before


# The observer


def test_the_observers_own_metrics_are_there_while_one_watches() -> None:
    observers = [watched_cluster(errors=2)]
    exporter = Exporter("c0ffee00", clock=Clock(4.5), observer=lambda: observers[0] if observers else None)

    assert series(exporter, "observer_lag_seconds") == {(): 4.5}
    assert series(exporter, "observer_errors", "observer_errors_total") == {("gcs_unreachable",): 2.0}
    assert series(exporter, "observer_poll_seconds", "observer_poll_seconds_count") == {(): 1.0}
    observers.clear()
    assert families(exporter) == {}
    assert exporter.lag_s() is None


def test_an_observer_that_has_not_looked_yet_has_no_lag() -> None:
    observer = Observer(EmptyCluster(), lambda *_: NodeTraits("x86_64"), host=None)
    exporter = Exporter("c0ffee00", observer=lambda: observer)

    assert set(families(exporter)) == {"observer_poll_seconds", "observer_errors"}
    assert exporter.lag_s() is None


def test_a_look_from_the_future_is_no_negative_lag() -> None:
    observer = watched_cluster()
    exporter = Exporter("c0ffee00", clock=Clock(-1), observer=lambda: observer)

    assert series(exporter, "observer_lag_seconds") == {(): 0.0}


# The exposition


@pytest.fixture
def full() -> Exporter:
    """An exporter that has something to say of every metric."""
    observer = watched_cluster()
    first = trial(upscaling_speed=5, idle_timeout_minutes=1)
    exporter = Exporter(
        "c0ffee00",
        name="nightly",
        created=T0,
        prices=PRICES,
        verdicts=lambda: {first.settings.label(): 1},
        clock=Clock(100),
        observer=lambda: observer,
    )
    exporter.trial_started(1, 2, first)
    exporter.trial_ended(first, scorecard(), "")
    exporter.trial_started(2, 2, trial(upscaling_speed=1, idle_timeout_minutes=1))
    usage = UsageEvent(t=T0, cpus={"x86": (1, 2)})
    feed(exporter, phase(0, "running"), LIVES, life("n1", **WHOLE), fault(1, "n0"), usage, task("n1", 3, 13))
    feed(exporter, demand(1, **{"CPU=1": 7, "GPU=1": 1}))
    return exporter


def documented() -> dict[str, tuple[str, frozenset[str]]]:
    """Type and labels of each metric in the table of docs/metrics.md."""
    rows = [line.split("|")[1:4] for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    return {
        name: (kind.strip(), frozenset(re.findall(r"`(\w+)`", labels)))
        for names, kind, labels in rows
        for name in re.findall(r"`(\w+)`", names)
    }


def with_labels(exporter: Exporter) -> dict[str, tuple[str, frozenset[str]]]:
    """The same of what is served; the ids, and the bounds of buckets, are told of elsewhere."""
    found = {}
    for family in exporter.collect():
        name = family.name.removeprefix("orchestrator_") + ("_total" if family.type == "counter" else "")
        labels = {label for sample in family.samples for label in sample.labels}
        found[name] = (family.type, frozenset(labels - {"sweep_id", "trial_id", "le"}))
    return found


def test_the_metrics_and_their_labels_are_the_documented_ones(full: Exporter) -> None:
    served = with_labels(full)
    by_fraction = Exporter("c0ffee00")
    by_fraction.trial_started(1, 1, trial(autoscaler="v1", target_utilization_fraction=0.8))
    kind, labels = served["trial_info"]
    served["trial_info"] = kind, labels | with_labels(by_fraction)["trial_info"][1]

    assert len(served) > 15
    assert served == documented()


def test_all_but_the_observers_series_carry_the_ids(full: Exporter) -> None:
    of_the_sweep = ("orchestrator_sweep_info", "orchestrator_setting_verdict")
    for family in full.collect():
        ids = {label for sample in family.samples for label in sample.labels} & {"sweep_id", "trial_id"}
        of_a_sweep = {"sweep_id"} if family.name in of_the_sweep else {"sweep_id", "trial_id"}

        assert ids == (set() if family.name.startswith("orchestrator_observer_") else of_a_sweep), family.name


def test_a_sweep_has_its_name_and_the_day_it_was_begun_and_each_setting_its_verdict(full: Exporter) -> None:
    setting = trial(upscaling_speed=5, idle_timeout_minutes=1).settings.label()

    assert series(full, "sweep_info") == {("nightly", "1970-01-12 13:46"): 1.0}
    assert series(full, "setting_verdict") == {(setting,): 1.0}


def test_a_sweep_that_nothing_is_known_of_has_no_info() -> None:
    assert "sweep_info" not in families(exporter_of(demand(1)))


def test_an_invalid_trial_says_why() -> None:
    exporter = exporter_of(demand(1))
    invalid = scorecard().model_copy(update={"valid": False, "invalid_because": ("2 tasks failed", "gap")})
    exporter.trial_ended(trial(upscaling_speed=5), invalid, "")

    assert list(series(exporter, "trial_verdict").values()) == [0.0]
    assert [labels[-1] for labels in series(exporter, "trial_verdict")] == ["2 tasks failed; gap"]


def test_elapsed_time_counts_from_the_submission_and_stands_still_when_the_trial_has_ended() -> None:
    clock = Clock()
    exporter = exporter_of(phase(0, "starting"), clock=clock)
    assert series(exporter, "trial_elapsed_seconds") == {}

    feed(exporter, phase(10, "running"))
    clock.now = 25.0
    assert series(exporter, "trial_elapsed_seconds") == {(): 15.0}

    exporter.trial_ended(trial(upscaling_speed=5), None, "")
    clock.now = 29.0
    assert series(exporter, "trial_elapsed_seconds") == {(): 15.0}


def test_what_the_nodes_cost_in_an_hour_is_of_those_that_are_billed_now() -> None:
    exporter = exporter_of(priced(life("n1", allocated=0, running=10)), prices=PRICES, now=100)
    assert series(exporter, "hourly_cost_dollars") == {X86: pytest.approx(0.36)}

    feed(exporter, priced(life("n1", terminated=50)))
    assert series(exporter, "hourly_cost_dollars") == {X86: 0.0}


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_the_exposition_is_read_again_with_types_help_and_values(full: Exporter, accept: str) -> None:
    read = parsed(full, accept)
    told = {family.name: family for family in full.collect()}

    assert read.keys() == told.keys()
    for name, family in told.items():
        assert read[name].type == family.type
        assert read[name].documentation == family.documentation != ""
        assert read[name].unit == (family.unit if accept else "")
        assert Counter(map(_fact, read[name].samples)) == Counter(map(_fact, family.samples))


def _fact(sample: Any) -> tuple[str, frozenset[tuple[str, str]], float]:
    return sample.name, frozenset(sample.labels.items()), sample.value


def test_openmetrics_is_told_the_unit_that_a_name_ends_with(full: Exporter) -> None:
    ends = {family.name: family.name.rpartition("_")[2] for family in full.collect()}
    told = dict(re.findall(r"^# UNIT (\S+) (\S+)$", exposed(full, OPENMETRICS), re.MULTILINE))

    assert told == {name: end for name, end in ends.items() if end in {each.unit for each in METRICS if each.unit}}
    assert {"seconds", "cores", "dollars"} == set(told.values())


def test_openmetrics_ends_with_its_mark(full: Exporter) -> None:
    assert exposed(full, OPENMETRICS).endswith("# EOF\n")


def test_no_series_tells_when_a_counter_was_created(full: Exporter) -> None:
    assert "_created" not in exposed(full) + exposed(full, OPENMETRICS)


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "a\rb", "ä€", "a b{c=}", "\x85\u2028", "\\n"])
def test_any_name_of_a_node_type_survives(name: str) -> None:
    exporter = exporter_of(node(1, "n1", "running").model_copy(update={"node_type": name, "node": name}))

    for accept in ("", OPENMETRICS):
        (sample,) = parsed(exporter, accept)["orchestrator_node_state"].samples
        assert sample.labels["node_type"] == sample.labels["node"] == name


def never_to_fall(exporter: Exporter) -> Series:
    """All samples of counters and histograms."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in exporter.collect()
        if family.type in ("counter", "histogram")
        for sample in family.samples
    }


@given(st.lists(events(), max_size=12))
def test_after_any_events_the_exposition_is_sound(happened: list[Event]) -> None:
    exporter = exporter_of(prices=Prices(usd_per_hour={"m7i.large": 1.0}))
    before: Series = {}
    for event in happened:
        feed(exporter, event.model_copy(update={"instance_type": "m7i.large"}))
        now = never_to_fall(exporter)
        assert all(now[key] >= value for key, value in before.items())
        before = now

    for accept in ("", OPENMETRICS):
        for family in parsed(exporter, accept).values():
            assert family.type != "gauge" or all(math.isfinite(sample.value) for sample in family.samples)
    for (node_type, arch, _), count in series(exporter, "nodes").items():
        assert count >= 0, (node_type, arch)


lives_of_nodes = st.lists(
    st.builds(
        lambda t, name, state, kind: node(t, name, state, node_type=kind, instance_type=INSTANCE_TYPES[kind]),
        st.floats(-10, 500),
        st.sampled_from(["n1", "n2", "n3"]),
        st.sampled_from(NODE_STATES),
        st.sampled_from(["x86", "arm"]),
    ),
    max_size=15,
)


@given(lives_of_nodes, st.lists(st.floats(0, 100), min_size=15, max_size=15))
def test_whatever_nodes_do_and_however_late_it_is_heard_counters_never_fall(
    happened: list[Event], pauses: list[float]
) -> None:
    clock = Clock()
    exporter = exporter_of(prices=PRICES, clock=clock)
    before: Series = {}
    for event, pause in zip(happened, pauses, strict=False):
        clock.now += pause
        feed(exporter, event)
        now = never_to_fall(exporter)
        assert all(now[key] >= value for key, value in before.items())
        before = now


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads that take turns every few bytecodes, so that few events suffice to meet in every place."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("restless")
def test_a_thread_may_scrape_while_events_come_in() -> None:
    exporter = exporter_of(prices=PRICES, now=100)
    registry, encode = registry_of(exporter), choose_encoder("")[0]
    ended, failures, scrapes = threading.Event(), list[Exception](), list[bytes]()

    def scrape() -> None:
        while not ended.is_set():
            try:
                scrapes.append(encode(registry))
            except Exception as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=scrape) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(1000):
        name = f"n{number}"
        feed(exporter, priced(life(name, requested=1, allocated=2, running=3)), task(name, 4, 14))
        feed(exporter, demand(5, **{f"CPU={number % 7}": number}))
        feed(exporter, priced(life(name, terminated=20)) if number % 3 else [])
        if number % 300 == 299:
            exporter.trial_ended(trial(upscaling_speed=5), scorecard(), "")
            exporter.trial_started(1, 1, trial(upscaling_speed=5))
    ended.set()
    for thread in threads:
        thread.join(30)

    assert failures == []
    assert len(scrapes) > 1
    for text in (scrapes[0], scrapes[len(scrapes) // 2], scrapes[-1]):
        assert list(parser.text_string_to_metric_families(text.decode()))


def test_tasks_that_no_node_type_could_run_are_counted_where_the_shape_is_known() -> None:
    waits = demand(1, **{"CPU=1": 3, "CPU=64": 2, "GPU=1": 1, "CPU=1,memory=1e+09": 4, "CPU=1,Intel=1": 5})
    exporter = exporter_of(waits)

    assert series(exporter, "infeasible_tasks") == {("CPU=64",): 2.0, ("GPU=1",): 1.0}
    foreign = Exporter("observed", clock=Clock())
    foreign.watch("prod")
    feed(foreign, waits)
    assert "infeasible_tasks" not in families(foreign)
