"""Annotations while a trial runs: they arrive as they should, and whatever Grafana does, the trial doesn't notice."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from orchestrator.errors import InputError, MissingPrerequisite
from orchestrator.grafana.annotator import Annotation, Annotator, Sink, Written, joined
from orchestrator.grafana.client import TOKEN_VARIABLE, Grafana, WrongToken
from orchestrator.lab.annotate import Target, annotating, check, parse_target
from orchestrator.model.events import Event, PhaseEvent
from orchestrator.model.scorecard import ByPart, Scorecard
from tests.support.builders import T0, baseline, fault, node, trial
from tests.support.grafana_http import Fault, nobody_listens
from tests.support.grafana_standin import TOKEN, Role, Standin
from tests.support.reporting import KeptReport

# T0 is in 1970, where an API that takes milliseconds would believe in seconds.
NOW = 1_800_000_000.0


@pytest.fixture
def grafana() -> Iterator[Standin]:
    with Standin() as standin:
        yield standin


def at(event: Event) -> Event:
    times = {name: t for name in ("t", "since") if (t := getattr(event, name, None)) is not None}
    return event.model_copy(update={name: t - T0 + NOW for name, t in times.items()})


def phase(t: float) -> Event:
    return PhaseEvent(t=NOW + t, phase="running")


def annotator(url: str, *, token: str = TOKEN, timeout_s: float = 5.0, **options: Any) -> Annotator:
    """Without pauses, so that a test ends when all is sent."""
    options = {"gather_s": 0.0, "pause_s": 0.0, "close_s": 10.0, **options}
    return Annotator("5e3e9", Sink(Grafana(url, token, timeout_s=timeout_s, attempts=1)), **options)


def always(fault: Fault) -> Callable[[str, str], Fault]:
    return lambda method, path: fault


def run(watcher: Annotator, events: list[Event]) -> Written:
    watcher.trial_started(1, 2, trial(upscaling_speed=5))
    for event in events:
        watcher.event(event)
    watcher.trial_ended(
        trial(upscaling_speed=5), Scorecard(makespan_s=61.4, cost_usd=ByPart(total=0.5), valid=True), ""
    )
    return watcher.close()


def test_a_trial_is_a_region_with_its_result_and_a_scaling_event_a_moment(grafana: Standin) -> None:
    written = run(annotator(grafana.url), [phase(0), at(node(3, "n1", "requested", cause="demand")), phase(60)])
    trial_id = trial(upscaling_speed=5).trial_id
    region, moment = grafana.annotations.values()

    assert (region["time"], region["timeEnd"]) == (NOW * 1000, (NOW + 60) * 1000)
    assert region["tags"] == ["orchestrate", "sweep:5e3e9", f"trial:{trial_id}", "event:trial"]
    assert region["text"].splitlines()[0].startswith("Trial 1 of 2: ")
    assert region["text"].splitlines()[1] == "makespan 61 s, cost $0.50"
    assert moment["time"] == (NOW + 3) * 1000
    assert "timeEnd" not in moment
    assert moment["tags"] == [
        "orchestrate",
        "sweep:5e3e9",
        f"trial:{trial_id}",
        "event:requested",
        "arch:x86_64",
        "node_type:x86",
    ]
    assert moment["text"] == "x86 (x86_64) requested: demand"
    assert written == Written(written=3, dropped=0)


def test_a_trials_beginning_is_there_while_it_runs(grafana: Standin) -> None:
    watcher = annotator(grafana.url)
    watcher.trial_started(1, 1, trial())
    watcher.event(phase(0))
    deadline = time.monotonic() + 10
    while not grafana.annotations and time.monotonic() < deadline:
        time.sleep(0.01)

    assert "timeEnd" not in grafana.annotations[1]
    watcher.close()


def test_a_sweep_that_is_interrupted_closes_its_region(grafana: Standin) -> None:
    watcher = annotator(grafana.url)
    watcher.trial_started(1, 1, trial())
    watcher.event(phase(0))
    watcher.event(phase(9))
    watcher.close()
    (region,) = grafana.annotations.values()

    assert region["timeEnd"] == (NOW + 9) * 1000
    assert region["text"].endswith("\ninterrupted")


def test_a_trial_that_is_not_to_be_trusted_says_so(grafana: Standin) -> None:
    watcher = annotator(grafana.url)
    watcher.trial_started(1, 1, trial())
    watcher.event(phase(0))
    watcher.trial_ended(trial(), Scorecard(makespan_s=61.4, invalid_because=("the host was busy",)), "")
    watcher.close()

    assert grafana.annotations[1]["text"].endswith("\nmakespan 61 s, invalid: the host was busy")


def test_a_trial_that_failed_says_why(grafana: Standin) -> None:
    watcher = annotator(grafana.url)
    watcher.trial_started(1, 1, trial())
    watcher.event(phase(0))
    watcher.trial_ended(trial(), None, "the head died")
    watcher.close()

    assert grafana.annotations[1]["text"].endswith("\nfailed: the head died")


def test_only_scaling_is_annotated(grafana: Standin) -> None:
    quiet = [
        baseline("n0"),
        node(1, "head", "running", node_type="head"),
        node(2, "n0", "running", previous="idle"),
        node(3, "n0", "idle", previous="running"),
    ]
    run(annotator(grafana.url), [phase(0), *map(at, quiet), at(node(4, "n1", "running", previous="installing"))])

    assert [each["tags"][3] for each in grafana.annotations.values()] == ["event:trial", "event:running"]


def test_nodes_that_do_the_same_at_once_are_one_annotation() -> None:
    launch = [Annotation(NOW + t / 10, "x86 requested", ("event:requested",)) for t in range(8)]
    later = Annotation(NOW + 60, "x86 requested", ("event:requested",))
    other = Annotation(NOW, "arm requested", ("event:requested", "arch:arm64"))
    together = joined([*launch, other, later])

    assert [(each.t, each.events) for each in together if isinstance(each, Annotation)] == [
        (NOW, 8),
        (NOW, 1),
        (NOW + 60, 1),
    ]
    assert isinstance(together[0], Annotation)
    assert together[0].body()["text"] == "8 × x86 requested"


@pytest.mark.parametrize("fault", ["silence", "drop", 500, "a web page"])
def test_ten_thousand_events_are_taken_at_once_whatever_grafana_does(grafana: Standin, fault: Fault) -> None:
    grafana.fault = always(fault)
    watcher = annotator(grafana.url, timeout_s=30, capacity=100, close_s=0.1)
    watcher.trial_started(1, 1, trial())
    events = [at(node(t, f"n{t}", "requested")) for t in range(10_000)]
    began = time.monotonic()
    for event in events:
        watcher.event(event)
    took = time.monotonic() - began
    closing = time.monotonic()
    result = watcher.close()

    assert took < 2.0  # 0.1 on an idle machine: 10 µs for each event; one request that is waited for takes 30
    assert time.monotonic() - closing < 5.0  # it waits 0.1 s; a request may take 30
    assert result.written == 0
    assert result.dropped == 10_002  # with the trial's beginning and end


def test_what_does_not_fit_is_dropped_counted_and_said(grafana: Standin) -> None:
    grafana.fault = always("silence")
    watcher = annotator(grafana.url, capacity=10, close_s=0.0)
    result = run(watcher, [phase(0), *(at(node(10 * t, f"n{t}", "requested")) for t in range(50))])

    assert result.written == 0
    assert result.dropped == 52
    assert str(result) == "0 events as annotations in Grafana, 52 not: it was too slow"


def test_a_grafana_that_comes_back_gets_what_waited(grafana: Standin) -> None:
    asked: list[str] = []

    def down_at_first(method: str, path: str) -> Fault | None:
        asked.append(path)
        return "drop" if len(asked) <= 2 else None

    grafana.fault = down_at_first
    watcher = annotator(grafana.url)
    watcher.trial_started(1, 1, trial())
    for t in range(0, 100, 10):
        watcher.event(at(node(t, f"n{t}", "requested")))
        deadline = time.monotonic() + 10
        while len(asked) < min(3, 1 + t // 10) and time.monotonic() < deadline:
            time.sleep(0.005)
    result = watcher.close()

    assert result.dropped == 2
    assert result.written == 10


def test_what_a_busy_grafana_refuses_is_sent_again_and_nothing_is_lost(grafana: Standin) -> None:
    asked: list[str] = []

    def too_many_at_first(method: str, path: str) -> Fault | None:
        asked.append(path)
        return 429 if len(asked) <= 3 else None

    grafana.fault = too_many_at_first
    watcher = annotator(grafana.url)
    watcher.trial_started(1, 1, trial())
    for t in range(0, 100, 10):
        watcher.event(at(node(t, f"n{t}", "requested")))
    deadline = time.monotonic() + 10
    while len(grafana.annotations) < 11 and time.monotonic() < deadline:
        time.sleep(0.005)

    assert watcher.close() == Written(written=12, dropped=0, reason=watcher.result.reason)
    assert len(grafana.annotations) == 11


def test_a_busy_grafana_is_left_alone_for_a_while(grafana: Standin) -> None:
    grafana.fault = always(429)
    watcher = annotator(grafana.url, pause_s=60, close_s=1.0)
    watcher.trial_started(1, 1, trial())
    watcher.event(phase(0))
    deadline = time.monotonic() + 10
    while not grafana.requests and time.monotonic() < deadline:
        time.sleep(0.005)
    for t in range(0, 100, 10):
        watcher.event(at(node(t, f"n{t}", "requested")))
    before = len(grafana.requests)
    result = watcher.close()

    assert before == 1
    assert result.written == 0
    assert result.dropped == 12
    assert "upstream failed" in result.reason


def test_the_end_is_waited_for_once(grafana: Standin) -> None:
    grafana.fault = always("silence")
    watcher = annotator(grafana.url, timeout_s=30, close_s=1.0)
    began = time.monotonic()
    with watcher:
        watcher.trial_started(1, 1, trial())
        watcher.event(phase(0))
        first = watcher.close()
    took = time.monotonic() - began

    assert watcher.close() == first
    assert 1.0 <= took < 1.9


def test_a_wrong_token_is_not_tried_again(grafana: Standin) -> None:
    watcher = annotator(grafana.url, token="glsa_wrong")
    result = run(watcher, [phase(0), *(at(node(10 * t, f"n{t}", "requested")) for t in range(50))])

    assert len(grafana.requests) == 1
    assert result.written == 0
    assert result.dropped == 52
    assert "refuses the token (401)" in str(result)


def test_no_permission_is_not_tried_again_either(grafana: Standin) -> None:
    grafana.role = "Viewer"
    result = run(annotator(grafana.url), [phase(0), at(node(1, "n1", "requested"))])

    assert len(grafana.requests) == 1
    assert "no permission (403)" in result.reason


def test_nobody_is_there() -> None:
    with nobody_listens() as url:
        result = run(annotator(url), [phase(0), at(node(1, "n1", "requested"))])

    assert (result.written, result.dropped) == (0, 3)
    assert "Connection refused" in result.reason


def test_the_option_says_at_the_end_what_was_written(grafana: Standin, out: KeptReport) -> None:
    with annotating(Target(grafana.url, TOKEN), "5e3e9", out) as (watcher,):
        watcher.trial_started(1, 1, trial())
        watcher.event(phase(0))
        watcher.trial_ended(trial(), None, "")

    assert out.text == "annotations: 2 events as annotations in Grafana\n"


def test_without_the_option_there_is_no_watcher() -> None:
    assert parse_target(None) is None
    with annotating(None, "5e3e9", KeptReport()) as watchers:
        assert watchers == []


def test_the_target_needs_a_token_and_does_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    target = parse_target("http://127.0.0.1:3000/")

    assert target == Target("http://127.0.0.1:3000", TOKEN)
    assert TOKEN not in repr(target)
    with pytest.raises(InputError, match="no token"):
        parse_target("http://127.0.0.1:3000")


# Before the first trial


@pytest.fixture
def out() -> KeptReport:
    return KeptReport()


@pytest.mark.parametrize("role", ["Admin", "Editor"])
def test_a_token_that_will_do_is_not_spoken_of(grafana: Standin, out: KeptReport, role: Role) -> None:
    grafana.role = role
    check(Target(grafana.url, TOKEN), out)
    check(None, out)

    assert out.text == ""
    assert grafana.writes == []


def test_a_wrong_token_is_told_before_anything_begins(grafana: Standin, out: KeptReport) -> None:
    with pytest.raises(WrongToken, match="401") as caught:
        check(Target(grafana.url, "glsa_expired"), out)

    assert "Editor for --annotate" in (caught.value.hint or "")


def test_a_token_that_may_only_read_is_told_before_anything_begins(grafana: Standin, out: KeptReport) -> None:
    grafana.role = "Viewer"
    with pytest.raises(MissingPrerequisite, match="may not write annotations") as caught:
        check(Target(grafana.url, TOKEN), out)

    assert caught.value.exit_code == 3


def test_an_old_grafana_that_knows_no_permissions_is_trusted(grafana: Standin, out: KeptReport) -> None:
    grafana.fault = always(404)
    check(Target(grafana.url, TOKEN), out)

    assert out.text == ""


@pytest.mark.parametrize("fault", ["silence", "drop", 500, 429, "a web page", "redirect"])
def test_a_grafana_that_does_not_answer_is_a_note_after_a_bounded_time(
    grafana: Standin, out: KeptReport, fault: Fault
) -> None:
    grafana.fault = always(fault)
    began = time.monotonic()
    check(Target(grafana.url, TOKEN), out)

    assert time.monotonic() - began < 3.0
    assert out.text.startswith("note: --annotate: ")


def test_a_token_without_encryption_is_noted(out: KeptReport) -> None:
    check(Target("http://192.0.2.1:3000", TOKEN), out)

    assert out.text.startswith("note: the token goes to http://192.0.2.1:3000 without encryption\n")


# Faults


def test_a_fault_is_a_moment_and_one_that_lasts_a_region(grafana: Standin) -> None:
    run(
        annotator(grafana.url),
        [phase(0), at(fault(3, "n1")), at(fault(5, "n2", "pause")), at(fault(9, "n2", "pause", since=5)), phase(60)],
    )
    _, kill, pause = grafana.annotations.values()

    assert (kill["time"], kill.get("timeEnd")) == ((NOW + 3) * 1000, None)
    assert kill["text"] == "Fault: kill of x86 (x86_64) n1: kill@3"
    assert "event:fault" in kill["tags"]
    assert (pause["time"], pause["timeEnd"]) == ((NOW + 5) * 1000, (NOW + 9) * 1000)
    assert {"event:fault", "arch:x86_64", "node_type:x86"} <= set(pause["tags"])


def test_two_faults_of_one_node_are_two_regions(grafana: Standin) -> None:
    pauses = [(5, 9), (20, 22)]
    events = [each for t, end in pauses for each in (fault(t, "n", "pause"), fault(end, "n", "pause", since=t))]
    run(annotator(grafana.url), [phase(0), *map(at, events), phase(60)])

    found = [
        (each["time"] / 1000 - NOW, each["timeEnd"] / 1000 - NOW) for each in list(grafana.annotations.values())[1:]
    ]
    assert found == pauses
