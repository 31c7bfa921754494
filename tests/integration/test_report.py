"""`orchestrate report` in a real browser without a network, and on what can't be reported."""

import functools
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from junitparser import JUnitXml
from playwright.sync_api import Browser

from orchestrator.model.quantities import shown_in
from tests.support.browser import Opened, opened
from tests.support.orchestrate_command import Orchestrate

SWEEP = ("simulate", "--autoscaler", "v1,v2", "--upscaling-speed", "1,5,10", "--idle-timeout-minutes", "1,5")
PER_TRIAL = 3
OF_THE_SWEEP = 2
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Orchestrate:
    command = Orchestrate(tmp_path_factory.mktemp("simulated"))
    assert command(*SWEEP, "--name", "<script>alert(1)</script> & co").returncode == 0
    return command


@pytest.fixture(scope="module")
def page_file(simulated: Orchestrate) -> Path:
    path = simulated.home / "report.html"
    result = simulated("report", "--to", str(path))
    assert result.returncode == 0, result.stderr
    return path


Window = Callable[..., Opened]


@pytest.fixture(scope="module")
def window(page_file: Path, browser: Browser) -> Window:
    """The report in a window of some width, light or dark; each is opened once."""

    @functools.cache
    def once(width: int, scheme: str) -> Opened:
        return opened(browser, page_file, width, scheme)

    return lambda width=1280, scheme="light": once(width, scheme)


def test_every_plot_is_drawn_offline_without_an_error(window: Window) -> None:
    plots = window().page.locator(".plot")

    assert plots.count() == 12 * PER_TRIAL + OF_THE_SWEEP
    for number in range(12):
        overlay, provisioning, waterfall = (plots.nth(PER_TRIAL * number + i) for i in range(3))
        assert overlay.locator(".scatterlayer .trace").count() == 1 + 2 * 4
        assert overlay.locator(".scatterlayer .trace .point").count() >= 4 * 14
        assert provisioning.locator(".scatterlayer .trace").count() == 6
        assert provisioning.locator(".scatterlayer .js-fill[d]").count() >= 2
        assert waterfall.locator(".barlayer .trace").count() >= 5
        assert waterfall.locator(".yaxislayer-above .ytick").count() == 16
    cost, front = plots.nth(36), plots.nth(37)
    assert cost.locator(".barlayer .trace").count() == 4
    assert cost.locator(".barlayer .point").count() == 4 * 12
    assert front.locator(".scatterlayer .trace .point").count() == 12
    assert front.locator(".scatterlayer .js-line[d]").count() == 1
    assert window().said == []
    assert window().asked == []


def test_plots_are_drawn_when_they_come_near(page_file: Path, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    page = context.new_page()
    page.goto(page_file.as_uri())
    page.wait_for_function("window.drawAll !== undefined")
    page.locator("#cost").scroll_into_view_if_needed()
    page.locator(".plot[data-figure='36'][data-drawn]").wait_for()

    assert page.locator(".plot[data-drawn]").count() < 20


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_window(window: Window, width: int) -> None:
    page = window(width).page
    wide = """[...document.querySelectorAll('body *')].filter((each) => !each.closest('.scroll') &&
        each.getBoundingClientRect().right > innerWidth + 1).map((each) => each.tagName + '.' + each.className)"""

    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(wide) == []


def test_text_is_large_enough_to_read(window: Window) -> None:
    sizes = """[...document.querySelectorAll('main *, .plot text')].filter((each) => each.childNodes.length &&
        [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
        .map((each) => parseFloat(getComputedStyle(each).fontSize))"""

    assert min(window(390).page.evaluate(sizes)) >= 10


def test_dark_mode_is_applied_to_page_and_plots(window: Window) -> None:
    light, dark = window(1280, "light"), window(1280, "dark")
    page = "getComputedStyle(document.body).backgroundColor"
    text = "getComputedStyle(document.querySelector('.plot .xtick text')).fill"
    line = "getComputedStyle(document.querySelector('.plot .scatterlayer .js-line')).stroke"

    for found in (page, text, line):
        assert light.page.evaluate(found) != dark.page.evaluate(found)
    assert dark.page.evaluate(page) == "rgb(21, 24, 28)"
    light.page.emulate_media(color_scheme="dark")
    assert light.page.evaluate(page) == "rgb(21, 24, 28)"
    light.page.wait_for_function(f"{text} === {dark.page.evaluate(text)!r}")
    light.page.emulate_media(color_scheme="light")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(window: Window, scheme: str, width: int) -> None:
    found = Axe().run(window(width, scheme).page)

    assert found.response["violations"] == [], found.generate_report()


def test_paper_gets_all_plots_in_light_colours(page_file: Path, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="dark", offline=True)
    page = context.new_page()
    page.goto(page_file.as_uri())
    page.wait_for_function("window.drawAll !== undefined")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")

    assert page.locator(".plot[data-drawn]").count() == 12 * PER_TRIAL + OF_THE_SWEEP
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.querySelector('.plot svg').clientWidth") <= 680
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.querySelector('.plot svg').clientWidth") > 680


def test_without_script_every_number_is_there(page_file: Path, browser: Browser, simulated: Orchestrate) -> None:
    page = browser.new_context(java_script_enabled=False, offline=True).new_page()
    page.goto(page_file.as_uri())
    text = page.inner_text("body")

    assert "The plots need JavaScript" in text
    assert text.count("tasks were pending") == 12
    for row in simulated.json("show", "@last")["summary"]:
        assert f"{row['makespan_s']['median']:.1f}" in text


def test_the_numbers_are_those_of_show(window: Window, simulated: Orchestrate) -> None:
    shown = simulated.json("show", "@last")["summary"]
    page = window().page
    headings = page.locator("#settings-table thead th").all_inner_texts()
    columns = {each.column: each.name for each in shown_in("report")}

    assert headings == ["setting", "valid trials", *columns]
    cells = """[...document.querySelectorAll('#settings-table tbody tr')].map((row) =>
        [...row.cells].map((cell) => [cell.firstChild.data ?? cell.firstChild.innerText, cell.firstChild.value]))"""
    for number, (row, (label, _, *measured)) in enumerate(zip(shown, page.evaluate(cells), strict=True), start=1):
        assert label[0] == f"{number}. {row['label']}"
        for name, (text, value) in zip(columns.values(), measured, strict=True):
            shown_number = float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
            digits = len(text.rstrip("%").partition(".")[2]) + (2 if text.endswith("%") else 0)
            assert float(value) == pytest.approx(row[name]["median"], abs=1e-12)
            assert shown_number == pytest.approx(row[name]["median"], abs=0.51 * 10**-digits)


def test_the_recommendation_is_the_first_thing_to_read(window: Window) -> None:
    page = window().page
    box = page.locator("#recommendation").bounding_box()

    assert box is not None
    assert box["y"] < 300
    assert page.locator("#headline").inner_text().startswith("Not decided: v")
    assert page.locator("h1").inner_text().endswith(": <script>alert(1)</script> & co")


@pytest.mark.quick
def test_the_file_is_small_and_names_no_host(page_file: Path) -> None:
    html = page_file.read_text()

    assert len(html.encode()) < 5 * MEGABYTE
    assert not re.search(r"https?://", html)


def test_the_command_to_repeat_it_plans_the_same_trials(window: Window, simulated: Orchestrate) -> None:
    command = window().page.locator("#command").inner_text()
    planned = simulated(*shlex.split(command)[1:], "--dry-run").stdout

    assert all(trial["trial_id"] in planned for trial in simulated.json("show", "@last")["trials"])


@pytest.mark.quick
def test_markdown_json_and_junit(simulated: Orchestrate) -> None:
    markdown = simulated("report", "--format", "md", "--to", "-")
    junit = simulated("report", "--format", "junit", "--to", "-")
    suite = next(iter(JUnitXml.fromstring(junit.stdout.encode())))

    assert "## Not decided: v" in markdown.stdout
    assert "<script>" not in markdown.stdout.partition("## Repeat it")[0]
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (12, 0, 0, 0)
    as_json = simulated("report", "--format", "json", "--to", str(simulated.home / "r.json"))
    assert as_json.returncode == 0
    assert (simulated.home / "r.json").read_text() == simulated("show", "@last", "--json").stdout


@pytest.mark.quick
def test_what_can_not_be_reported(simulated: Orchestrate, tmp_path: Path) -> None:
    trial = simulated.json("show", "@last")["trials"][0]["trial_id"]
    cases = {
        "no sweep or trial begins with 'f00'": ("f00",),
        "is a trial: a report is about a sweep": (trial,),
        "'pdf' is not one of 'html', 'md', 'json', 'junit'": ("--format", "pdf"),
        f"--to: {tmp_path} can't be written": ("--to", str(tmp_path)),
        "/r.html can't be written": ("--to", str(tmp_path / "no" / "such" / "r.html")),
    }
    for message, arguments in cases.items():
        result = simulated("report", *arguments)

        assert result.returncode == 2, message
        assert message in result.stderr
        assert len(result.stderr.strip().splitlines()) <= 2


@pytest.mark.quick
def test_it_says_where_it_wrote(simulated: Orchestrate, tmp_path: Path) -> None:
    result = simulated("report", "--to", str(tmp_path / "r.html"))

    assert f"{tmp_path / 'r.html'} (2" in result.stderr.replace("\n", "")
    assert result.stdout == ""


def test_a_damaged_trace_costs_only_its_plots(simulated: Orchestrate, browser: Browser, tmp_path: Path) -> None:
    trace = Path(simulated.json("show", "@last")["trials"][0]["trace"])
    whole = trace.read_text()
    try:
        trace.write_text("not a trace\n")
        assert simulated("report", "--to", str(tmp_path / "r.html")).returncode == 0
    finally:
        trace.write_text(whole)
    damaged = opened(browser, tmp_path / "r.html")

    assert damaged.count(".plot[data-drawn]") == 11 * PER_TRIAL + OF_THE_SWEEP
    assert f"no plots: {trace}:1: no trace" in damaged.page.inner_text("main")
    assert damaged.said == []
