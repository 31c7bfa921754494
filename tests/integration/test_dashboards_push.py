"""`orchestrate dashboards push` against a strict stand-in for Grafana: each outcome is clear, and can be mended."""

import copy
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestrator.assets import bundled
from orchestrator.cli import main
from orchestrator.errors import OrchestrateError
from orchestrator.grafana import client as access
from orchestrator.grafana.alerts import AlertGroup, read_alerts
from orchestrator.grafana.answers import Folder
from orchestrator.grafana.boards.build import build_all
from orchestrator.grafana.client import ATTEMPTS, TOKEN_VARIABLE, Grafana, RequestRefused, WrongToken
from orchestrator.grafana.push import DATASOURCE_UID, Change, push
from orchestrator.remote_api import ForeignAnswer, Unreachable
from tests.support.grafana_http import Fault, Says, nobody_listens
from tests.support.grafana_standin import TOKEN, Standin

BOARDS = [
    {"uid": f"orchestrate-{name}", "title": name, "schemaVersion": 42, "panels": [{"id": 1, "type": "text"}]}
    for name in ("trial", "nodes", "sweep", "health")
]


@pytest.fixture
def grafana() -> Iterator[Standin]:
    with Standin() as standin:
        yield standin


def connected(url: str, *, token: str = TOKEN, timeout_s: float = 5.0) -> Grafana:
    """Without the waits between attempts."""
    return Grafana(url, token, timeout_s=timeout_s, sleep=lambda seconds: None)


def pushed(standin: Standin, boards: list[dict[str, Any]] | None = None, **options: Any) -> list[Change]:
    with connected(standin.url) as grafana:
        return list(push(grafana, BOARDS if boards is None else boards, **options))


def pushing(url: str, **connection: Any) -> None:
    with connected(url, **connection) as grafana:
        list(push(grafana, BOARDS))


def outcomes(changes: list[Change]) -> dict[str, str]:
    return {change.name: change.outcome for change in changes}


def alerts() -> tuple[AlertGroup, ...]:
    return read_alerts(bundled("prometheus/rules/alerts.yml"), DATASOURCE_UID)


def failing(times: Callable[[str, str], bool], fault: Fault) -> Callable[[str, str], Fault | None]:
    return lambda method, path: fault if times(method, path) else None


# What is pushed


def test_the_first_push_creates_all_and_the_second_writes_nothing(grafana: Standin) -> None:
    boards = [json.loads(text) for text in build_all().values()]
    first = pushed(grafana, boards, alerts=alerts())
    grafana.forget_requests()
    second = pushed(grafana, boards, alerts=alerts())

    assert {change.kind for change in first} == {"folder", "data source", "dashboard", "alert rule", "alert group"}
    assert {change.outcome for change in first if change.kind != "alert group"} == {"created"}
    assert set(grafana.dashboards) == {board["uid"] for board in boards}
    assert {stored["meta"]["folderUid"] for stored in grafana.dashboards.values()} == {"orchestrate"}
    assert {change.outcome for change in second} == {"unchanged"}
    assert grafana.writes == []


def test_a_board_that_changed_is_one_update(grafana: Standin) -> None:
    pushed(grafana)
    grafana.forget_requests()
    changed = copy.deepcopy(BOARDS)
    changed[1]["panels"][0]["type"] = "stat"  # type: ignore[index]
    changes = outcomes(pushed(grafana, changed))

    assert {name for name, outcome in changes.items() if outcome == "updated"} == {"nodes"}
    assert grafana.writes == [("POST", "/api/dashboards/db")]
    assert grafana.dashboards["orchestrate-nodes"]["dashboard"]["panels"][0]["type"] == "stat"


def test_a_board_edited_in_the_browser_is_put_right_and_whose_edit_that_was_is_said(grafana: Standin) -> None:
    pushed(grafana)
    grafana.edit("orchestrate-trial", title="My trial")
    trial = next(change for change in pushed(grafana) if change.name == "trial")

    assert trial.outcome == "updated"
    assert trial.detail == "ada had changed it in Grafana: that is version 2 in its history"
    assert grafana.dashboards["orchestrate-trial"]["dashboard"]["title"] == "trial"


def test_what_grafana_sets_itself_is_no_change(grafana: Standin) -> None:
    pushed(grafana)
    grafana.edit("orchestrate-trial", iteration=17, gnetId=None)

    assert outcomes(pushed(grafana))["trial"] == "unchanged"


def test_an_edit_between_reading_and_writing_is_not_lost(grafana: Standin) -> None:
    pushed(grafana)
    changed = [{**BOARDS[0], "tags": ["new"]}]

    def edited_meanwhile(method: str, path: str) -> Fault | None:
        if method == "POST":
            grafana.edit("orchestrate-trial", tags=["ada's"])
        return None

    grafana.fault = edited_meanwhile
    trial = next(change for change in pushed(grafana, changed) if change.name == "trial")

    assert trial.outcome == "failed"
    assert "changed by someone else" in trial.detail
    assert grafana.dashboards["orchestrate-trial"]["dashboard"]["tags"] == ["ada's"]


def test_a_board_that_grafana_13_stores_in_a_form_of_its_own_is_written_over(grafana: Standin) -> None:
    pushed(grafana)
    grafana.edit("orchestrate-trial", title="My trial")
    uid = "/api/dashboards/uid/orchestrate-trial"
    grafana.fault = failing(lambda method, path: (method, path) == ("GET", uid), 406)
    trial = next(change for change in pushed(grafana) if change.name == "trial")

    assert (trial.outcome, trial.detail) == (
        "updated",
        "somebody had changed it in Grafana: their version is in its history",
    )
    assert grafana.dashboards["orchestrate-trial"]["dashboard"]["title"] == "trial"


def test_boards_and_rules_use_a_data_source_that_is_there_already(grafana: Standin) -> None:
    grafana.datasources["mimir"] = {"uid": "mimir", "name": "Mimir", "type": "prometheus"}
    boards = [json.loads(text) for text in build_all().values()]
    rules = read_alerts(bundled("prometheus/rules/alerts.yml"), "mimir", boards=boards)
    changes = pushed(grafana, boards, alerts=rules, datasource_uid="mimir")
    asked = {node["datasourceUid"] for rule in grafana.rules.values() for node in rule["data"]}

    assert "data source" not in {change.kind for change in changes}
    assert grafana.datasources.keys() == {"mimir"}
    assert asked == {"mimir", "__expr__"}
    for stored in grafana.dashboards.values():
        first = stored["dashboard"]["templating"]["list"][0]
        assert (first["type"], first["current"]["value"]) == ("datasource", "mimir")
    assert {change.outcome for change in pushed(grafana, boards, alerts=rules, datasource_uid="mimir")} == {"unchanged"}


def test_boards_and_rules_go_into_a_folder_that_is_there_already(grafana: Standin) -> None:
    grafana.folders["ray"] = {"uid": "ray", "title": "Ray"}
    changes = pushed(grafana, alerts=alerts(), folder="Ray", folder_uid="ray")

    assert outcomes(changes)["Ray"] == "unchanged"
    assert grafana.folders.keys() == {"ray"}
    assert {stored["meta"]["folderUid"] for stored in grafana.dashboards.values()} == {"ray"}
    assert {rule["folderUID"] for rule in grafana.rules.values()} == {"ray"}
    assert {each.outcome for each in pushed(grafana, alerts=alerts(), folder="Ray", folder_uid="ray")} == {"unchanged"}


def test_a_board_that_was_moved_stays_where_it_is(grafana: Standin) -> None:
    pushed(grafana)
    grafana.folders["team"] = {"uid": "team", "title": "Team"}
    grafana.dashboards["orchestrate-trial"]["meta"]["folderUid"] = "team"
    pushed(grafana, [{**BOARDS[0], "tags": ["new"]}])

    assert grafana.dashboards["orchestrate-trial"]["meta"]["folderUid"] == "team"


def test_a_board_from_a_file_is_refused_before_anything_is_sent(grafana: Standin) -> None:
    grafana.provision(BOARDS[0])
    trial, *others = [change for change in pushed(grafana) if change.kind == "dashboard"]

    assert trial.outcome == "failed"
    assert "reads orchestrate-trial from a file (trial.json)" in trial.detail
    assert {change.outcome for change in others} == {"created"}
    assert len([path for _, path in grafana.writes if path == "/api/dashboards/db"]) == len(others)


def the_source(changes: list[Change]) -> Change:
    return next(change for change in changes if change.kind == "data source")


def test_the_address_of_the_data_source_is_mended_when_it_is_named(grafana: Standin) -> None:
    first = the_source(pushed(grafana))
    grafana.datasources[DATASOURCE_UID]["jsonData"]["manageAlerts"] = False
    again = the_source(pushed(grafana))
    grafana.forget_requests()
    mended = the_source(pushed(grafana, datasource_url="http://prometheus:9090"))
    stored = grafana.datasources[DATASOURCE_UID]

    assert (first.outcome, first.detail) == ("created", "reads http://localhost:9090")
    assert (again.outcome, again.detail) == ("unchanged", "reads http://localhost:9090")
    assert mended.outcome == "updated"
    assert mended.detail == "reads http://prometheus:9090, no longer http://localhost:9090"
    assert (stored["url"], stored["jsonData"]["manageAlerts"]) == ("http://prometheus:9090", False)
    assert grafana.writes == [("PUT", f"/api/datasources/uid/{DATASOURCE_UID}")]
    assert the_source(pushed(grafana)).detail == "reads http://prometheus:9090"


def test_a_data_source_from_a_file_is_left_alone(grafana: Standin) -> None:
    pushed(grafana)
    grafana.datasources[DATASOURCE_UID]["readOnly"] = True
    grafana.forget_requests()
    source = the_source(pushed(grafana, datasource_url="http://other:9090"))

    assert source.outcome == "left alone"
    assert source.detail.startswith("it reads http://localhost:9090, not http://other:9090; it comes from a file")
    assert grafana.writes == []


@pytest.mark.parametrize("outcome", ["created", "unchanged"])
def test_a_data_source_that_reaches_no_prometheus_is_warned_of_each_time(grafana: Standin, outcome: str) -> None:
    grafana.dead_urls = {"http://localhost:9090"}
    if outcome == "unchanged":
        pushed(grafana)
    changes = pushed(grafana)

    assert the_source(changes).outcome == outcome
    assert the_source(changes).detail == (
        "reads http://localhost:9090; warning: Grafana doesn't reach it: "
        "dial tcp [::1]:9090: connect: connection refused (400); another address: --datasource-url URL"
    )
    assert "failed" not in outcomes(changes).values()


@pytest.mark.parametrize("fault", [404, 500, "drop", "a web page"])
def test_a_health_that_cannot_be_asked_fails_nothing(grafana: Standin, fault: Fault) -> None:
    grafana.fault = failing(lambda method, path: path.endswith("/health") and "uid" in path, fault)
    changes = pushed(grafana)

    assert {change.outcome for change in changes} == {"created"}
    assert ("warning" in the_source(changes).detail) is (fault != 404)


def test_an_editor_is_told_to_skip_the_data_source_which_is_not_looked_at_then(grafana: Standin) -> None:
    grafana.role = "Editor"
    with_it, without = pushed(grafana), pushed(grafana, with_datasource=False)

    assert [change.kind for change in with_it if change.outcome == "failed"] == ["data source"]
    assert the_source(with_it).detail.endswith("role Admin; or skip this step: --skip datasource")
    assert "failed" not in outcomes(without).values()


def test_alert_rules_are_changed_by_uid_and_what_people_set_on_them_stays(grafana: Standin) -> None:
    pushed(grafana, alerts=alerts())
    uid = next(iter(grafana.rules))
    grafana.rules[uid].update(title="renamed", isPaused=True)
    grafana.rules[uid]["labels"]["team"] = "x"
    grafana.forget_requests()
    changes = [change for change in pushed(grafana, alerts=alerts()) if change.outcome != "unchanged"]

    assert [change.outcome for change in changes] == ["updated"]
    assert grafana.writes == [("PUT", f"/api/v1/provisioning/alert-rules/{uid}")]
    assert grafana.rules[uid]["isPaused"] is True
    assert "team" not in grafana.rules[uid]["labels"]


def test_the_interval_of_the_rules_is_set_once(grafana: Standin) -> None:
    pushed(grafana, alerts=alerts())

    assert grafana.intervals == {group.name: group.interval_s for group in alerts()}
    assert len(grafana.rules) == sum(len(group.rules) for group in alerts())


def test_people_may_change_what_was_pushed_in_grafana(grafana: Standin) -> None:
    """Grafana locks a rule whose provenance is the API."""
    pushed(grafana, alerts=alerts())
    uid = next(iter(grafana.rules))
    grafana.rules[uid]["labels"]["team"] = "x"
    grafana.intervals = dict.fromkeys(grafana.intervals, 60)
    changed = [change for change in pushed(grafana, alerts=alerts()) if change.outcome == "updated"]

    assert {change.kind for change in changed} == {"alert rule", "alert group"}
    assert [rule["provenance"] for rule in grafana.rules.values() if "provenance" in rule] == []


def test_a_rule_that_grafana_has_locked_is_updated_all_the_same(grafana: Standin) -> None:
    """Grafana takes a rule's provenance away from none that has one."""
    pushed(grafana, alerts=alerts())
    uid = next(iter(grafana.rules))
    grafana.rules[uid].update(provenance="api", title="renamed")
    changed = [change for change in pushed(grafana, alerts=alerts()) if change.outcome != "unchanged"]

    assert [change.outcome for change in changed] == ["updated"]
    assert changed[0].detail == "people can't change it in Grafana: its provenance is api"


def test_rules_from_a_file_are_refused(grafana: Standin) -> None:
    pushed(grafana, alerts=alerts())
    uid = next(iter(grafana.rules))
    grafana.rules[uid]["provenance"] = "file"
    failed = [change for change in pushed(grafana, alerts=alerts()) if change.outcome == "failed"]

    assert [change.detail for change in failed] == [f"this Grafana reads {uid} from a file; remove it there first"]


def test_a_dry_run_says_the_same_and_writes_nothing(grafana: Standin) -> None:
    foretold = pushed(grafana, alerts=alerts(), dry_run=True)

    assert {change.outcome for change in foretold} == {"created"}
    assert grafana.writes == []


# What goes wrong


def test_half_of_the_boards_fail_and_a_second_push_mends_it(grafana: Standin) -> None:
    asked: list[int] = []

    def every_second_board(method: str, path: str) -> bool:
        if (method, path) != ("POST", "/api/dashboards/db"):
            return False
        asked.append(len(asked))
        # Each board is tried ATTEMPTS times before it counts as failed.
        return (len(asked) - 1) // ATTEMPTS % 2 == 0 if len(asked) <= ATTEMPTS else (len(asked) - ATTEMPTS - 2) % 4 < 3

    grafana.fault = failing(every_second_board, 500)
    first = pushed(grafana)
    grafana.fault = failing(lambda *_: False, 500)
    stored = set(grafana.dashboards)
    second = outcomes(pushed(grafana))

    failed = {change.name for change in first if change.outcome == "failed"}
    assert len(failed) == 2
    assert stored == {f"orchestrate-{board['title']}" for board in BOARDS if board["title"] not in failed}
    assert {name for name, outcome in second.items() if outcome == "created"} == failed
    assert "failed" not in second.values()


@pytest.mark.parametrize("fault", [500, 503, 429, "drop"])
def test_a_fault_that_passes_is_not_seen(grafana: Standin, fault: Fault) -> None:
    failed: set[tuple[str, str]] = set()

    def each_request_once(method: str, path: str) -> bool:
        new = (method, path) not in failed
        failed.add((method, path))
        return new

    grafana.fault = failing(each_request_once, fault)

    assert set(outcomes(pushed(grafana, alerts=alerts())).values()) <= {"created", "updated"}


def test_a_write_whose_answer_was_lost_counts_as_done(grafana: Standin) -> None:
    lost: set[str] = set()

    def each_write_once(method: str, path: str) -> bool:
        new = method != "GET" and path not in lost
        lost.add(path)
        return new

    grafana.fault = failing(each_write_once, "done, then drop")
    changes = pushed(grafana, alerts=alerts())

    assert "failed" not in outcomes(changes).values()
    assert len(grafana.dashboards) == len(BOARDS)


def test_what_is_left_is_not_tried_once_grafana_has_gone(grafana: Standin) -> None:
    grafana.fault = failing(lambda method, path: path.endswith("/orchestrate-nodes"), "drop")
    changes = outcomes(pushed(grafana))

    assert changes["trial"] == "created"
    assert [changes[name] for name in ("nodes", "sweep", "health")] == ["failed"] * 3
    assert not [path for _, path in grafana.requests if path.endswith("/orchestrate-sweep")]


def test_a_slow_grafana_is_given_up_after_a_bounded_time(grafana: Standin) -> None:
    grafana.fault = failing(lambda method, path: True, "silence")

    with pytest.raises(Unreachable, match=r"didn't answer within 0\.1 s"):
        pushing(grafana.url, timeout_s=0.1)
    assert len(grafana.requests) <= ATTEMPTS


def test_nothing_listens() -> None:
    with nobody_listens() as url, pytest.raises(Unreachable, match="Connection refused"):
        pushing(url)


def test_no_grafana_but_another_web_server(grafana: Standin) -> None:
    grafana.fault = failing(lambda method, path: True, "a web page")

    with pytest.raises(Unreachable, match="isn't a Grafana"):
        pushed(grafana)


REQUESTS = [
    ("GET", r"/health"),
    ("GET", r"/folders/[^/]+"),
    ("POST", r"/folders"),
    ("GET", r"/datasources/uid/[^/]+"),
    ("POST", r"/datasources"),
    ("PUT", r"/datasources/uid/[^/]+"),
    ("GET", r"/dashboards/uid/[^/]+"),
    ("GET", r"/dashboards/uid/[^/]+/versions"),
    ("POST", r"/dashboards/db"),
    ("GET", r"/v1/provisioning/alert-rules/[^/]+"),
    ("POST", r"/v1/provisioning/alert-rules"),
    ("PUT", r"/v1/provisioning/alert-rules/[^/]+"),
    ("GET", r"/v1/provisioning/folder/[^/]+/rule-groups/[^/]+"),
    ("PUT", r"/v1/provisioning/folder/[^/]+/rule-groups/[^/]+"),
]


def every_request(grafana: Standin) -> None:
    """Create all, and update all."""
    pushed(grafana, alerts=alerts())
    boards = [{**board, "tags": ["new"]} for board in BOARDS]
    rules = [
        replace(group, interval_s=50, rules=tuple({**rule, "annotations": {"summary": "new"}} for rule in group.rules))
        for group in alerts()
    ]
    pushed(grafana, boards, alerts=rules, datasource_url="http://prometheus:9090")


def test_the_list_of_requests_is_complete(grafana: Standin) -> None:
    every_request(grafana)
    seen = {(method, path) for method, path in grafana.requests if not path.endswith(f"{DATASOURCE_UID}/health")}

    for method, path in seen:
        assert [each for each in REQUESTS if each[0] == method and re.fullmatch("/api" + each[1], path)], (method, path)
    for method, path in REQUESTS:
        assert [each for each in seen if each[0] == method and re.fullmatch("/api" + path, each[1])], (method, path)


@pytest.mark.parametrize("fault", ["a web page", Says("signed out"), Says(["signed", "out"]), Says(7)], ids=repr)
@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_an_answer_to_any_request_that_is_not_grafanas_is_one_clear_error(
    grafana: Standin, method: str, path: str, fault: Fault
) -> None:
    grafana.fault = failing(lambda asked, at: asked == method and bool(re.fullmatch("/api" + path, at)), fault)

    with pytest.raises(ForeignAnswer, match="answers, but isn't a Grafana: it answers with") as caught:
        every_request(grafana)
    assert caught.value.exit_code == 3
    assert "sign in" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/health", {"version": 13}),
        ("/health", {}),
        ("/folders/", {"title": ["a"]}),
        ("/datasources/uid/", {"type": {}}),
        ("/datasources/uid/", {"type": "prometheus", "url": 9090}),
        ("/dashboards/uid/", {"dashboard": "a board"}),
        ("/dashboards/uid/", {"meta": {}}),
        ("/dashboards/uid/", {"dashboard": {}, "meta": []}),
        ("/versions", {"versions": "none"}),
        ("/versions", {"versions": [{"message": 5}]}),
        ("/alert-rules/", {"provenance": []}),
        ("/rule-groups/", {"interval": "often"}),
    ],
)
def test_a_field_of_another_type_is_no_grafanas_either(grafana: Standin, path: str, body: Any) -> None:
    grafana.fault = failing(lambda method, at: method == "GET" and path in at, Says(body))

    with pytest.raises(ForeignAnswer, match="JSON of another shape"):
        every_request(grafana)


def test_fields_that_only_a_newer_grafana_has_are_no_error(grafana: Standin) -> None:
    grafana.fault = failing(
        lambda method, at: "/folders/" in at, Says({"title": "Orchestrate", "new": [1], "old": None})
    )

    assert outcomes(pushed(grafana))["Orchestrate"] == "unchanged"


def test_a_redirect_is_named_without_its_query(grafana: Standin) -> None:
    grafana.fault = failing(lambda method, path: True, "redirect")

    with pytest.raises(Unreachable, match=r"redirects to https://elsewhere\.example/api/health$"):
        pushed(grafana)


def test_tls_with_a_server_that_has_none(grafana: Standin) -> None:
    with pytest.raises(Unreachable, match="no trusted connection"):
        pushing(grafana.url.replace("http:", "https:"))


def test_a_wrong_token_ends_it_at_once(grafana: Standin) -> None:
    with pytest.raises(WrongToken, match="401"):
        pushing(grafana.url, token="glsa_wrong")
    assert grafana.writes == []


def test_no_permission_is_said_of_each_thing(grafana: Standin) -> None:
    grafana.role = "Viewer"
    changes = pushed(grafana)

    assert {change.outcome for change in changes} == {"failed"}
    assert all(change.detail.startswith("no permission (403): ") for change in changes)
    assert grafana.folders == {}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 500])
def test_no_error_holds_the_token_even_if_the_server_quotes_it(grafana: Standin, status: int) -> None:
    grafana.fault = failing(lambda method, path: True, status)

    with connected(grafana.url) as client, pytest.raises(OrchestrateError) as caught:
        client.send(lambda api: api.folder.get_folder("x"), Folder)
    error: BaseException | None = caught.value
    assert isinstance(error, RequestRefused | WrongToken)
    assert "upstream failed for Bearer [token]" in error.message
    assert TOKEN not in f"{error!r} {error} {error.__dict__} {error.__cause__!r}"
    assert error.__suppress_context__


# The command


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """Calls `orchestrate dashboards push` in this process; the token is in no word that it says."""
    import signal

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    monkeypatch.setattr(access, "Grafana", partial(Grafana, timeout_s=5.0, sleep=lambda seconds: None))

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["orchestrate", "dashboards", "push", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert TOKEN not in said.out + said.err
        assert "Traceback" not in said.out + said.err
        return int(ended.value.code or 0), said.out, said.err

    yield command
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


Run = Callable[..., tuple[int, str, str]]


def test_the_command_pushes_and_sums_up(run: Run, grafana: Standin, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    first = run("--url", grafana.url)
    again = run("--url", grafana.url + "/", "--token-file", str(file))

    assert (first[0], again[0]) == (0, 0)
    assert "created     folder       Orchestrate" in first[1]
    assert again[1].splitlines()[-1] == f"{len(again[1].splitlines()) - 1} unchanged"


def test_the_commands_dry_run(run: Run, grafana: Standin) -> None:
    code, out, _ = run("--url", grafana.url, "--dry-run", "--skip", "alerts", "--skip", "datasource")

    assert code == 0
    assert out.splitlines()[-1] == f"would be: {1 + len(build_all())} created; nothing was written"
    assert grafana.writes == []


def test_the_command_mends_the_address_of_the_data_source(run: Run, grafana: Standin, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    to = ("--url", grafana.url, "--token-file", "token")
    run(*to)
    code, out, _ = run(*to, "--datasource-url", "http://prometheus:9090/")

    assert code == 0
    assert "updated     data source" in out
    assert grafana.datasources[DATASOURCE_UID]["url"] == "http://prometheus:9090"


def test_the_command_ends_with_1_if_something_failed(run: Run, grafana: Standin) -> None:
    grafana.fault = failing(lambda method, path: path.startswith("/api/datasources"), 500)
    code, out, _ = run("--url", grafana.url, "--skip", "alerts")

    assert code == 1
    assert "failed      data source" in out
    assert out.splitlines()[-1] == f"{1 + len(build_all())} created, 1 failed; push again when the cause is fixed"


def test_the_command_ends_with_2_for_a_wrong_token(run: Run, grafana: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "glsa_expired")
    code, out, err = run("--url", grafana.url)

    assert (code, out) == (2, "")
    assert f"error: {grafana.url} refuses the token (401): Invalid API key" in err
    assert "glsa_expired" not in err


def test_the_command_ends_with_3_where_no_grafana_is(run: Run) -> None:
    with nobody_listens() as url:
        code, _, err = run("--url", url)

    assert code == 3
    assert err.startswith(f"error: no Grafana answers at {url}: Connection refused")


def test_the_command_ends_with_3_where_a_proxy_asks_to_sign_in(run: Run, grafana: Standin) -> None:
    grafana.fault = failing(lambda method, path: path != "/api/health", "a web page")
    code, _, err = run("--url", grafana.url, "--dry-run")

    assert code == 3
    assert err.startswith(f"error: {grafana.url} answers, but isn't a Grafana: it answers with a web page")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--url", "grafana.example.com"], "'grafana.example.com' is not a URL"),
        (["--url", "ftp://grafana"], "is not a URL"),
        (["--url", "http://"], "is not a URL"),
        (["--url", "http://grafana:port"], "not a URL"),
        (["--url", "http://grafana/?orgId=1"], "has more than host and path"),
        (["--url", "http://grafana", "--datasource-url", "nowhere"], "--datasource-url: 'nowhere' is not a URL"),
        (["--url", "http://grafana", "--token-file", "missing"], "--token-file missing can't be read"),
        (
            ["--url", "http://grafana", "--datasource-uid", "x", "--datasource-url", "http://p:9090"],
            "--datasource-uid and --datasource-url exclude each other",
        ),
        ([], "Missing option '--url'"),
    ],
)
def test_the_command_ends_with_2_for_bad_input(run: Run, arguments: list[str], said: str) -> None:
    code, _, err = run(*arguments)

    assert code == 2
    assert said in err


def test_a_password_in_the_url_is_refused_and_not_shown(run: Run) -> None:
    code, _, err = run("--url", "http://admin:hunter2@grafana")

    assert code == 2
    assert "hunter2" not in err


def test_no_token_at_all(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE)
    code, _, err = run("--url", "http://127.0.0.1:1")

    assert code == 2
    assert TOKEN_VARIABLE in err


def test_a_token_without_encryption_is_noted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Grafana, "check", lambda self: (_ for _ in ()).throw(Unreachable("nobody")))
    code, _, err = run("--url", "http://grafana.example.com")

    assert code == 3
    assert "note: the token goes to http://grafana.example.com without encryption" in err
