"""The report in its four forms: what it says first, what it never hides, and what it makes of text that users typed."""

import base64
import gzip
import json
import re
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped

from orchestrator.analysis.trial.score import score
from orchestrator.analysis.trial.series import series
from orchestrator.errors import SpecError
from orchestrator.model.events import Event, SettingsEvent
from orchestrator.model.prices import Prices
from orchestrator.model.scorecard import ByPart
from orchestrator.model.spec import SweepSpec
from orchestrator.model.trial import Trial
from orchestrator.palette import ARCH
from orchestrator.report.document import content
from orchestrator.report.document.content import Report, gather, idle_cost
from orchestrator.report.document.grids import MAX_FAULTS, faults_grid
from orchestrator.report.document.html import html_page
from orchestrator.report.document.markdown import escaped, markdown
from orchestrator.report.document.trial_plots import MAX_NODES, overlay, provisioning, waterfall
from orchestrator.report.junit import junit_xml
from orchestrator.sweeps.ledger import SweepRecord, TrialRecord
from orchestrator.trace.file import TraceWriter
from tests.support.builders import (
    T0,
    baseline,
    demand,
    fault,
    life,
    node,
    scorecard,
    sound,
    sweep_record,
    task,
    trial,
    trial_record,
)

PRICES = Prices(
    region="us-east-1", as_of="2026-07-20", source="a list", usd_per_hour={"m7i.large": 0.36, "m8g.xlarge": 0.72}
)
EVIL = "<script>alert('x')</script>"


def events_of(makespan: float) -> list[Event]:
    return sound(
        baseline("a"),
        node(1, "a", "running"),
        task("a", 1, 11, count=2),
        life("b", "arm", requested=2, allocated=3, installing=6, running=8),
        task("b", 9, makespan, node_type="arm"),
        node(makespan, "b", "idle", node_type="arm"),
        life("b", "arm", draining=makespan + 9, terminated=makespan + 10),
        SettingsEvent(t=T0 - 2, in_force={"autoscaler": "v2", "max_workers": 6}, as_wanted=True),
        end=makespan + 20,
    )


def recorded(of: Trial, folder: Path, makespan: float, **more: Any) -> TrialRecord:
    """A trial whose trace is on disk."""
    path, events = folder / f"{of.trial_id}.jsonl", events_of(makespan)
    with TraceWriter(path, trial=of) as trace:
        for event in events:
            trace.emit(event)
    cost = ByPart(total=0.5, by_type={"x86": 0.2, "arm": 0.3}, by_arch={"x86_64": 0.2, "arm64": 0.3})
    card = score(of, events).model_copy(update={"cost_usd": cost})
    return trial_record(of, **{"trace": str(path), "scorecard": card, **more})


def sweep(*trials: TrialRecord, **more: Any) -> SweepRecord:
    environment = {"ray": "2.60.0", "orchestrate": "0.1.0", "prices": PRICES.model_dump(mode="json")}
    spec = SweepSpec.model_validate({"settings": {"upscaling_speed": [1, 10]}}).model_dump(mode="json")
    return sweep_record(*trials, **{"environment": environment, "spec": spec, **more})


@pytest.fixture
def two(tmp_path: Path) -> SweepRecord:
    fast, slow = trial(tasks=3, upscaling_speed=10), trial(tasks=3, upscaling_speed=1)
    return sweep(recorded(slow, tmp_path, 40), recorded(fast, tmp_path, 20), name="night run")


class Page(HTMLParser):
    """What a browser would make of the page: its tags with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def figures_of(html: str) -> list[dict[str, Any]]:
    packed = re.search(r'id="figures">([^<]+)<', html)
    assert packed is not None
    found: list[dict[str, Any]] = json.loads(gzip.decompress(base64.b64decode(packed.group(1))))
    return found


# The page


def test_the_recommendation_comes_first(two: SweepRecord) -> None:
    text = Page(html_page(gather(two))).text
    places = [
        text.index(each)
        for each in ("Not decided: v2 speed=10 was", "Medians of the valid trials", "Pending tasks, nodes")
    ]

    assert places == sorted(places)
    assert "night run" in text


def test_the_sections_stand_in_their_order(two: SweepRecord) -> None:
    page = Page(html_page(gather(two)))

    assert [tag.get("id") for tag in page.named("h2")] == [
        "headline",
        "settings",
        "trials",
        "cost",
        "trust",
        "environment",
        "repeat",
    ]


def test_the_page_loads_nothing(two: SweepRecord) -> None:
    page = Page(html_page(gather(two)))
    sources = [value for _, tag in page.tags for name, value in tag.items() if name in ("src", "srcset", "action")]
    links = [tag["href"] or "" for name in ("a", "link") for tag in page.named(name)]

    assert sources == []
    assert all(link.startswith(("#", "data:,")) for link in links)
    assert any("default-src 'none'" in (tag.get("content") or "") for tag in page.named("meta"))


def test_text_of_users_is_never_markup(tmp_path: Path) -> None:
    record = recorded(trial(tasks=3), tmp_path, 20, scorecard=scorecard(valid=False, invalid_because=(EVIL,)))
    broken = trial_record(trial(tasks=4), status="failed", reason=f"a|b {EVIL}", scorecard=None, trace="")
    found = gather(sweep(record, broken, name=EVIL))
    html = html_page(found)

    assert EVIL not in html
    assert Page(html).text.count("alert('x')") >= 3
    assert EVIL not in markdown(found)
    assert EVIL not in junit_xml(found.record)


def test_names_of_nodes_are_text_in_the_plots_too(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    of = trial(tasks=1)
    with TraceWriter(path, trial=of) as trace:
        for event in sound(baseline("<b>n</b>"), task("<b>n</b>", 0, 10)):
            trace.emit(event)
    html = html_page(gather(sweep(trial_record(of, trace=str(path)))))

    assert "<b>n" not in json.dumps(figures_of(html))
    assert "&lt;b&gt;n" in json.dumps(figures_of(html))


def test_each_trial_has_three_plots_and_the_sweep_two(two: SweepRecord) -> None:
    html = html_page(gather(two))

    assert len(figures_of(html)) == 2 * 3 + 2
    plots = [tag for tag in Page(html).named("div") if tag.get("class") == "plot"]
    assert [tag["data-figure"] for tag in plots] == [str(i) for i in range(8)]
    assert all(len(tag["aria-label"] or "") > 40 for tag in plots)


def test_every_plot_names_its_axes_with_units(two: SweepRecord) -> None:
    for figure in figures_of(html_page(gather(two))):
        axes = [axis for name, axis in figure["layout"].items() if name.startswith(("xaxis", "yaxis"))]
        titles = [axis["title"]["text"] for axis in axes if "title" in axis]

        assert any("(s)" in title or "($)" in title for title in titles)


def test_numbers_of_the_table_are_exact_behind_what_is_shown(two: SweepRecord) -> None:
    page = Page(html_page(gather(two)))
    values = {float(tag["value"] or "nan") for tag in page.named("data")}

    assert {20.0, 40.0} <= values


def test_the_environment_tells_versions_prices_and_what_was_in_force(two: SweepRecord) -> None:
    text = Page(html_page(gather(two))).text

    assert "Ray 2.60.0" in text
    assert "us-east-1 on demand; as of 2026-07-20; a list; m7i.large $0.36/h, m8g.xlarge $0.72/h" in text
    assert "max_workers 6" in text
    assert "orchestrate sweep --upscaling-speed 1,10" in text


# What is never hidden


def written(report: Report) -> Iterable[str]:
    yield Page(html_page(report)).text
    yield markdown(report).replace("\\", "")


def test_invalid_trials_are_mentioned_and_in_no_number(tmp_path: Path) -> None:
    good, bad = trial(tasks=3, upscaling_speed=1), trial(tasks=3, upscaling_speed=10)
    card = scorecard(1.25, valid=False, invalid_because=("the host slept",))
    found = gather(sweep(recorded(good, tmp_path, 20), recorded(bad, tmp_path, 20, scorecard=card)))

    assert found.headline == "Not decided: only v2 speed=1 has a valid trial"
    for text in written(found):
        assert f"{bad.trial_id} (v2 speed=10)" in text
        assert "the host slept" in text
        assert "0 of 1" in text
    row = found.settings.rows[1]
    assert [cell.text for cell in row[2:]] == ["-"] * len(row[2:])


def test_a_sweep_without_a_finished_trial_says_so() -> None:
    record = trial_record(trial(), status="planned", scorecard=None, started=None, ended=None, trace="")
    found = gather(sweep(record, status="running", ended=None))

    for text in written(found):
        assert "No trial has finished yet" in text
        assert f"{record.trial.trial_id} (v2): planned" in text


def test_a_sweep_without_a_valid_trial_recommends_nothing(tmp_path: Path) -> None:
    card = scorecard(valid=False, invalid_because=("nothing ran",))
    found = gather(sweep(recorded(trial(tasks=3), tmp_path, 20, scorecard=card)))

    for text in written(found):
        assert "No setting can be recommended" in text


def test_a_trial_without_its_trace_keeps_its_numbers(two: SweepRecord) -> None:
    Path(two.trials[0].trace).unlink()
    found = gather(two)

    assert len(figures_of(html_page(found))) == 3 + 2
    for text in written(found):
        assert f"no plots: {two.trials[0].trace}: can't be read" in text
        assert "40.0" in text


def test_a_damaged_trace_is_named_with_its_line(two: SweepRecord) -> None:
    path = Path(two.trials[0].trace)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], "garbage", *lines[3:]]) + "\n")

    for text in written(gather(two)):
        assert f"{path}:4: damaged" in text


def test_a_reader_that_fails_leaves_all_plots_out(two: SweepRecord) -> None:
    def broken(path: Path) -> Any:
        raise SpecError(str(path), "no")

    assert all(drawn.series is None for each in gather(two, read=broken).sections for drawn in each.drawn)


def test_of_many_trials_each_setting_shows_the_one_with_the_median(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "MAX_DRAWN_TRIALS", 2)
    trials = [recorded(trial(tasks=3, repeat=repeat), tmp_path, 20 + repeat) for repeat in (1, 2, 3)]
    (section,) = gather(sweep(*trials)).sections

    assert [drawn.record.trial.repeat for drawn in section.drawn] == [2]
    assert len(section.trials.rows) == 3


# The plots


def test_every_curve_is_drawn_as_steps(two: SweepRecord) -> None:
    found = gather(two).sections[0].drawn[0].series
    assert found is not None

    for figure in (overlay(found), provisioning(found)):
        for trace in figure.plotly["data"]:
            assert trace["mode"] == "markers" or trace["line"]["shape"] == "hv"


def test_the_steps_of_a_curve_are_those_of_the_trace(two: SweepRecord) -> None:
    found = gather(two).sections[0].drawn[0].series
    assert found is not None
    (pending, *_) = overlay(found).plotly["data"]

    assert pending["x"] == [0, 1, 9, 60]
    assert pending["y"] == [3, 1, 0, 0]


def test_an_arch_has_one_colour_in_all_plots(two: SweepRecord) -> None:
    for figure in figures_of(html_page(gather(two))):
        for trace in figure["data"]:
            if (arch := str(trace.get("name", "")).split(" ")[0]) in ARCH:
                colour = trace.get("line", {}).get("color") or trace["marker"]["color"]
                assert colour == dict(ARCH)[arch]  # type: ignore[index]


def test_a_plot_of_very_many_nodes_shows_the_first_and_says_so() -> None:
    nodes = [baseline(f"n{i}") for i in range(MAX_NODES + 5)]
    found = series(trial(), sound(*nodes, task("n0", 0, 10)))
    assert found is not None
    figure = waterfall(found)

    assert f"The first {MAX_NODES} of {MAX_NODES + 5} nodes are drawn" in figure.caption
    assert len(figure.plotly["layout"]["yaxis"]["tickvals"]) == MAX_NODES


# Faults


@pytest.fixture
def faulty(tmp_path: Path) -> SweepRecord:
    """A trial in which b is killed at 15 s and replaced at 30 s, and a paused from 20 s to 25 s."""
    of = trial(tasks=2, workload={"faults": ["kill@15:arm", "pause@20+5:x86"]})
    events = sound(
        baseline("a"),
        life("b", "arm", requested=1, running=5, failed=15),
        fault(15, "b", node_type="arm", detail="kill@15:arm", tasks=1),
        fault(20, "a", "pause", detail="pause@20+5:x86"),
        fault(25, "a", "pause", detail="pause@20+5:x86", since=20),
        life("c", "arm", requested=16, running=30),
        task("a", 1, 35),
        task("c", 30, 40, node_type="arm"),
        end=60,
    )
    path = tmp_path / "faulty.jsonl"
    with TraceWriter(path, trial=of) as trace:
        for event in events:
            trace.emit(event)
    return sweep(trial_record(of, trace=str(path), scorecard=score(of, events)))


def test_faults_are_a_table_with_what_followed(faulty: SweepRecord) -> None:
    page = Page(html_page(gather(faulty))).text
    rows = [line for line in markdown(gather(faulty)).splitlines() if line.startswith(("| kill", "| pause"))]

    assert "kill@15:arm arm (arm64) b 15.0 - 1 0.0 15.0" in page
    assert "pause@20+5:x86 x86 (x86_64) a 20.0 5.0 - - -" in page
    assert rows == [
        "| kill@15:arm | arm (arm64) (b) | 15.0 | - | 1 | 0.0 | 15.0 |",
        "| pause@20+5:x86 | x86 (x86\\_64) (a) | 20.0 | 5.0 | - | - | - |",
    ]


def test_faults_are_marked_in_each_plot_of_their_trial(faulty: SweepRecord) -> None:
    over_time, provision, by_node = figures_of(html_page(gather(faulty)))[:3]

    for figure in (over_time, provision):
        kill, pause = figure["layout"]["shapes"][:2]
        assert (kill["type"], kill["x0"], kill["x1"]) == ("line", 15, 15)
        assert (pause["type"], pause["x0"], pause["x1"]) == ("rect", 20, 25)
    assert "fault" in over_time["layout"]["yaxis4"]["ticktext"]
    (crosses,) = [trace for trace in by_node["data"] if trace["name"] == "fault on purpose"]
    named = by_node["layout"]["yaxis"]["ticktext"]
    assert [(x, named[y].split()[-1]) for x, y in zip(crosses["x"], crosses["y"], strict=True)] == [
        (15, "b"),
        (20, "a"),
    ]


def test_faults_are_told_to_those_who_see_no_plots(faulty: SweepRecord) -> None:
    assert "Faults on purpose: kill of b at 15.0 s, pause of a at 20.0 s." in markdown(gather(faulty))


def test_a_report_without_faults_speaks_of_none(two: SweepRecord) -> None:
    assert "ault" not in re.sub(r"(?i)default", "", markdown(gather(two)))


def test_of_very_many_faults_the_first_are_shown() -> None:
    found = series(
        trial(), sound(baseline("a"), task("a", 0, 90), *(fault(second, "a", "pause") for second in range(80)))
    )
    assert found is not None
    grid = faults_grid(found.hits)

    assert grid is not None
    assert len(grid.rows) == MAX_FAULTS
    assert f"The first {MAX_FAULTS} of 80 are shown" in grid.caption
    assert "and 70 more" in overlay(found).alternative


def test_idle_nodes_cost_their_idle_seconds() -> None:
    card = scorecard(idle_node_seconds={"total": 150, "by_type": {"x86": 100, "arm": 50}, "by_arch": {}})

    assert idle_cost(trial_record(trial(), scorecard=card), PRICES) == pytest.approx({"x86_64": 0.01, "arm64": 0.01})
    assert idle_cost(trial_record(trial(), scorecard=card), None) == {}


def test_without_prices_node_seconds_stand_for_cost(two: SweepRecord) -> None:
    cards = [each.scorecard for each in two.trials]
    trials = [
        trial_record(each.trial, trace=each.trace, scorecard=card.model_copy(update={"cost_usd": None}))
        for each, card in zip(two.trials, cards, strict=True)
        if card is not None
    ]
    html = html_page(gather(sweep(*trials, environment={})))

    assert [figure["layout"]["xaxis"]["title"]["text"] for figure in figures_of(html)[-2:]] == ["node-seconds"] * 2


# Markdown and JUnit


def test_markdown_tables_are_whole(two: SweepRecord) -> None:
    lines = markdown(gather(two)).splitlines()
    tables = re.findall(r"(?:^\|.*\|\n)+", "\n".join(lines) + "\n", re.MULTILINE)

    assert len(tables) >= 2
    for table in tables:
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(columns) == 1


@pytest.mark.parametrize("text", ["a|b", "*bold*", "<b>", "[x](y)", "`code`", "# no heading", "two\nlines"])
def test_markdown_takes_text_as_text(text: str) -> None:
    assert not re.search(r"(?<!\\)[|*<\[`#\n]", escaped(text))


def test_junit_has_a_case_for_each_trial(tmp_path: Path) -> None:
    done = recorded(trial(tasks=3, upscaling_speed=1), tmp_path, 20)
    failed = trial_record(trial(upscaling_speed=2), status="failed", reason="no cluster\x00", scorecard=None)
    invalid = trial_record(trial(upscaling_speed=3), scorecard=scorecard(valid=False, invalid_because=("gap",)))
    planned = trial_record(trial(upscaling_speed=4), status="planned", scorecard=None, started=None, ended=None)
    stopped = trial_record(trial(upscaling_speed=5), status="interrupted", reason="Ctrl-C", scorecard=None)
    suite = next(iter(JUnitXml.fromstring(junit_xml(sweep(done, failed, invalid, planned, stopped)).encode())))
    results = {case.name: case.result for case in suite}

    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (5, 1, 1, 2)
    assert results["v2 speed=1 #1"] == []
    assert isinstance(results["v2 speed=2 #1"][0], Failure)
    assert isinstance(results["v2 speed=3 #1"][0], Skipped)
    assert results["v2 speed=3 #1"][0].message == "invalid: gap"
    assert isinstance(results["v2 speed=5 #1"][0], Error)


def test_one_run_of_each_setting_is_amber_and_says_that_nothing_is_decided(two: SweepRecord) -> None:
    found = gather(two)
    page = html_page(found)

    assert found.headline == "Not decided: v2 speed=10 was lowest in one run"
    assert '<section class="advice open" id="recommendation"' in page
    assert "## Not decided: v2 speed=10 was lowest in one run" in markdown(found)


def test_enough_runs_are_green_and_name_the_setting_to_take(tmp_path: Path) -> None:
    trials = [
        recorded(
            trial(tasks=3, upscaling_speed=speed, repeat=n, seed=n), tmp_path, 20, scorecard=scorecard(makespan + n)
        )
        for speed, makespan in ((1, 60.0), (10, 20.0))
        for n in range(1, 6)
    ]
    found = gather(sweep(*trials))

    assert found.headline == "Take v2 speed=10"
    assert '<section class="advice" id="recommendation"' in html_page(found)


def test_no_setting_to_recommend_is_amber() -> None:
    invalid = trial_record(trial(), scorecard=scorecard(valid=False, invalid_because=("gap",)), trace="")
    found = gather(sweep(invalid))

    assert found.headline == "No setting can be recommended: no trial is valid"
    assert '<section class="advice open" id="recommendation"' in html_page(found)


def test_each_trial_says_why_its_nodes_came(tmp_path: Path) -> None:
    requested = [node(5, "n1", "requested", node_type="arm", cause="demand"), node(9, "n1", "running", node_type="arm")]
    tried, path = trial(tasks=3, upscaling_speed=1), tmp_path / "explained.jsonl"
    with TraceWriter(path, trial=tried) as writer:
        for event in sound(baseline("n0"), list(requested), task("n0", 6, 16)):
            writer.emit(event)
    report = gather(sweep(trial_record(tried, trace=str(path))))
    page, text = html_page(report), markdown(report)

    assert "Why nodes came: 1 launches" in page
    for told in (page, text):
        assert "speed 1 with 0 running allows 1 in one update" in told


def test_each_trial_says_why_no_other_node_came_for_tasks_that_waited(tmp_path: Path) -> None:
    tried, path = trial(tasks=3, upscaling_speed=1), tmp_path / "full.jsonl"
    with TraceWriter(path, trial=tried) as writer:
        for event in sound(baseline("n0"), demand(1, **{"CPU=1,Graviton=9": 2}), task("n0", 6, 16)):
            writer.emit(event)
    report = gather(sweep(trial_record(tried, trace=str(path))))
    page, text = html_page(report), markdown(report)

    for told in (page, text):
        assert "Why no other node came: 6.0 s after the submission 2 x CPU=1,Graviton=9 waited." in told
        assert "infeasible: no node type holds it" in told


def test_in_junit_a_sweep_without_a_valid_trial_is_no_success() -> None:
    invalid = trial_record(trial(), scorecard=scorecard(valid=False, invalid_because=("gap",)))
    suite = next(iter(JUnitXml.fromstring(junit_xml(sweep(invalid)).encode())))

    assert (suite.errors, suite.skipped) == (1, 0)


def test_junit_holds_the_main_numbers(tmp_path: Path) -> None:
    record = recorded(trial(tasks=3), tmp_path, 20)

    assert f'<property name="makespan_s" value="{20.0}"' in junit_xml(sweep(record))
    assert '<property name="valid" value="true"' in junit_xml(sweep(record))
