"""Push dashboards and their prerequisites to a running Grafana. Objects that are up to date aren't written again.

Each step reads first and is independent: if one fails, the others still run, and a second push completes the rest.
"""

import logging
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, Literal

from orchestrator.errors import OrchestrateError
from orchestrator.grafana.alerts import AlertGroup, milliseconds
from orchestrator.grafana.answers import (
    AlertRule,
    DataSource,
    DataSourceHealth,
    Folder,
    Meta,
    RuleGroup,
    StoredDashboard,
    Versions,
)
from orchestrator.grafana.client import Grafana, RequestRefused
from orchestrator.remote_api import ForeignAnswer, Unreachable

_log = logging.getLogger(__name__)

FOLDER_UID = "orchestrate"
DATASOURCE_UID = "orchestrate-prometheus"
DATASOURCE_NAME = "Prometheus (orchestrate)"
DATASOURCE_URL = "http://localhost:9090"
"""The default address of a new data source."""
MESSAGE = "orchestrate dashboards push"

Board = Mapping[str, Any]
Outcome = Literal["created", "updated", "unchanged", "left alone", "failed"]

# Fields that Grafana sets in a stored dashboard.
_GRAFANAS_OWN = ("id", "version", "iteration")
# Fields that Grafana takes in an update. It keeps secrets that aren't sent, and refuses an outdated version.
_OF_A_DATASOURCE = (
    *("uid", "name", "type", "access", "url", "user", "database", "basicAuth", "basicAuthUser"),
    *("withCredentials", "isDefault", "jsonData", "version"),
)
# Grafana's answers for an object that exists already, or in another version.
_TAKEN = (400, 409, 412)
# Fields that users set on a rule in Grafana. A push keeps them.
_PEOPLES_OWN = ("isPaused", "notification_settings")
_DURATIONS = ("for", "keep_firing_for")
# Fields without values of Grafana's own: other entries than ours are removed.
_ALL_OURS = ("labels", "annotations")


@dataclass(frozen=True)
class Change:
    """The outcome of one step; in a dry run, the outcome that it would have."""

    kind: str
    name: str
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True)
class _Step:
    kind: str
    name: str
    run: Callable[[], tuple[Outcome, str]]


def push(
    grafana: Grafana,
    boards: Sequence[Board],
    *,
    folder: str = "Orchestrate",
    folder_uid: str = FOLDER_UID,
    with_datasource: bool = True,
    datasource_url: str | None = None,
    new_datasource_url: str = DATASOURCE_URL,
    datasource_uid: str | None = None,
    alerts: Sequence[AlertGroup] = (),
    dry_run: bool = False,
) -> Iterator[Change]:
    """Do the steps, and yield the change of each.

    Without a `datasource_url` a data source keeps the one it has, and a new one gets `new_datasource_url`.
    New boards and the rules go into the folder `folder_uid`, which is made with the title `folder` if it is missing.
    With a `datasource_uid`, boards and rules use that data source of this Grafana, and ours isn't written.

    Raises Unreachable if no Grafana answers, ForeignAnswer, and WrongToken. Any other problem is a failed change.
    """
    grafana.check()
    if datasource_uid is not None:
        boards = [reading(board, datasource_uid) for board in boards]
    with_datasource = with_datasource and datasource_uid is None
    to = _Push(grafana, dry_run, new_datasource_url, folder_uid)
    todo = _steps(to, boards, folder, with_datasource, datasource_url, alerts)
    for number, step in enumerate(todo, start=1):
        try:
            outcome, detail = step.run()
            yield Change(step.kind, step.name, outcome, detail)
        except RequestRefused as refused:
            _log.info("%s %s failed", step.kind, step.name, exc_info=True)
            yield Change(step.kind, step.name, "failed", refused.message)
        except ForeignAnswer:
            raise
        except Unreachable as unreachable:
            _log.info("%s %s failed", step.kind, step.name, exc_info=True)
            yield Change(step.kind, step.name, "failed", unreachable.message)
            for left in todo[number:]:
                yield Change(left.kind, left.name, "failed", "skipped, because Grafana doesn't answer")
            return


def reading(board: Board, datasource_uid: str) -> Board:
    """Return the board with another data source selected at first."""
    variables = [
        {**each, "current": {"text": datasource_uid, "value": datasource_uid}} if each["type"] == "datasource" else each
        for each in board["templating"]["list"]
    ]
    return {**board, "templating": {**board["templating"], "list": variables}}


def _steps(
    to: "_Push",
    boards: Sequence[Board],
    folder: str,
    with_datasource: bool,
    datasource_url: str | None,
    alerts: Sequence[AlertGroup],
) -> list[_Step]:
    steps = [_Step("folder", folder, partial(to.folder, folder))]
    if with_datasource:
        steps.append(_Step("data source", DATASOURCE_NAME, partial(to.datasource, datasource_url)))
    steps += [_Step("dashboard", board["title"], partial(to.board, board)) for board in boards]
    for group in alerts:
        steps += [_Step("alert rule", rule["title"], partial(to.rule, rule)) for rule in group.rules]
        if group.interval_s is not None:
            steps.append(_Step("alert group", group.name, partial(to.interval, group)))
    return steps


class _Push:
    def __init__(self, grafana: Grafana, dry_run: bool, new_datasource_url: str, folder_uid: str) -> None:
        self._grafana = grafana
        self._dry_run = dry_run
        self._new_datasource_url = new_datasource_url
        self._folder_uid = folder_uid

    def folder(self, title: str) -> tuple[Outcome, str]:
        def look() -> Folder | None:
            return self._grafana.find(lambda api: api.folder.get_folder(self._folder_uid), Folder)

        found = look()
        if found is None:
            self._write(lambda api: api.folder.create_folder(title, uid=self._folder_uid), lambda: look() is not None)
            return "created", ""
        return "unchanged", "" if found.get("title") == title else f"its title there is {found.get('title')!r}"

    def datasource(self, wanted: str | None) -> tuple[Outcome, str]:
        try:
            outcome, detail = self._datasource(wanted)
        except RequestRefused as refused:
            if refused.status != HTTPStatus.FORBIDDEN:
                raise
            raise RequestRefused(
                refused.status,
                f"{refused.message}; the token needs the role Admin; or skip this step: --skip datasource",
            ) from None
        return outcome, detail if self._dry_run or outcome == "left alone" else detail + self._doubt()

    def _datasource(self, wanted: str | None) -> tuple[Outcome, str]:
        def look() -> DataSource | None:
            return self._grafana.find(lambda api: api.datasource.get_datasource_by_uid(DATASOURCE_UID), DataSource)

        def reads(url: str) -> bool:
            there = look()
            return there is not None and (there.get("url") or "").rstrip("/") == url.rstrip("/")

        found = look()
        if found is None:
            url = wanted or self._new_datasource_url
            body = {
                "uid": DATASOURCE_UID,
                "name": DATASOURCE_NAME,
                "type": "prometheus",
                "access": "proxy",
                "url": url,
                "isDefault": False,
                # The scrape interval of prometheus/prometheus.yml: $__rate_interval is four times this.
                "jsonData": {"httpMethod": "POST", "prometheusType": "Prometheus", "timeInterval": "5s"},
            }
            self._write(lambda api: api.datasource.create_datasource(body), lambda: look() is not None)
            return "created", f"reads {url}"
        if found.get("type") != "prometheus":
            return "left alone", f"{DATASOURCE_UID} there is of type {found.get('type')}: the dashboards can't use it"
        now = found.get("url") or ""
        if wanted is None or now.rstrip("/") == wanted.rstrip("/"):
            return "unchanged", f"reads {now}"
        if found.get("readOnly"):
            return "left alone", f"it reads {now}, not {wanted}; it comes from a file of this Grafana: change it there"
        changed = {key: value for key, value in found.items() if key in _OF_A_DATASOURCE} | {"url": wanted}
        self._write(lambda api: api.datasource.update_datasource_by_uid(DATASOURCE_UID, changed), lambda: reads(wanted))
        return "updated", f"reads {wanted}, no longer {now}"

    def _doubt(self) -> str:
        """Return a warning if Grafana's data source can't reach Prometheus; empty if it can, or if that is unknown."""
        try:
            health = self._grafana.send(lambda api: api.datasource.health(DATASOURCE_UID), DataSourceHealth, attempts=1)
        except RequestRefused as refused:
            _log.info("refused: %s", refused.message)
            if refused.status == HTTPStatus.NOT_FOUND:  # before Grafana 9
                return ""
            problem = refused.message
        except OrchestrateError as error:
            _log.info("failed: %s", error.message)
            problem = error.message
        else:
            if health.get("status") == "OK":
                return ""
            problem = " ".join((health.get("message") or "it doesn't say why").split())
        return f"; warning: Grafana doesn't reach it: {problem}; another address: --datasource-url URL"

    def board(self, board: Board) -> tuple[Outcome, str]:
        uid = board["uid"]

        def look() -> StoredDashboard | None:
            return self._grafana.find(lambda api: api.dashboard.get_dashboard(uid), StoredDashboard)

        try:
            found = look()
        except RequestRefused as refused:
            if refused.status != HTTPStatus.NOT_ACCEPTABLE:
                raise
            _log.info("board %s was saved in a browser, so Grafana can't return it", uid)
            return self._replaced(board)
        meta: Meta = {} if found is None else found.get("meta", {})
        if meta.get("provisioned"):
            raise RequestRefused(
                400,
                f"this Grafana reads {uid} from a file ({meta.get('provisionedExternalId') or 'provisioning'});"
                " update that file, or remove it there first",
            )
        if found is not None and _content(found["dashboard"]) == _content(board):
            return "unchanged", ""
        body = {
            # Sends the version that was read, so that Grafana refuses if someone has saved another one since.
            "dashboard": {**_content(board), "id": None, "version": found["dashboard"].get("version") if found else 0},
            # If a user moved it, it stays there.
            "folderUid": self._folder_uid if found is None else meta.get("folderUid", self._folder_uid),
            "overwrite": False,
            "message": MESSAGE,
        }
        edited = self._edited(uid, found["dashboard"].get("version")) if found else ""

        def arrived() -> bool:
            return (now := look()) is not None and _content(now["dashboard"]) == _content(board)

        self._write(lambda api: api.dashboard.update_dashboard(body), arrived)
        return ("created", self.link(uid)) if found is None else ("updated", edited or self.link(uid))

    def _replaced(self, board: Board) -> tuple[Outcome, str]:
        """Overwrite a board that was saved in the browser of Grafana 13, in a form that this API can't read."""
        body = {
            "dashboard": {**_content(board), "id": None},
            "folderUid": self._folder_uid,
            "overwrite": True,
            "message": MESSAGE,
        }
        self._write(lambda api: api.dashboard.update_dashboard(body), lambda: False)
        return "updated", "somebody had changed it in Grafana: their version is in its history"

    def link(self, uid: str) -> str:
        """Return the address of a board."""
        return f"{self._grafana.url}/d/{uid}"

    def _edited(self, uid: str, version: Any) -> str:
        """Return who changed the board in Grafana since the last push; empty if nobody, or if Grafana doesn't say."""
        path = f"/dashboards/uid/{urllib.parse.quote(uid, safe='')}/versions?limit=1"

        def ask(api: Any) -> Any:
            answer = api.client.GET(path)
            return {"versions": answer} if isinstance(answer, list) else answer  # the list alone: before Grafana 11

        try:
            versions = self._grafana.send(ask, Versions).get("versions", [])
        except RequestRefused:
            _log.debug("Grafana doesn't give the versions of board %s", uid, exc_info=True)
            return ""
        if not versions or versions[0].get("message") == MESSAGE:
            return ""
        who = versions[0].get("createdBy") or "somebody"
        return f"{who} had changed it in Grafana: that is version {version} in its history"

    def rule(self, rule: Mapping[str, Any]) -> tuple[Outcome, str]:
        uid = rule["uid"]
        wanted = {**rule, "folderUID": self._folder_uid}

        def look() -> AlertRule | None:
            return self._grafana.find(lambda api: api.alertingprovisioning.get_alertrule(uid), AlertRule)

        def arrived() -> bool:
            return (now := look()) is not None and _holds(now, wanted)

        found = look()
        if found is None:
            self._write(lambda api: api.alertingprovisioning.create_alertrule(wanted, disable_provenance=True), arrived)
            return "created", ""
        if found.get("provenance") == "file":
            raise RequestRefused(400, f"this Grafana reads {uid} from a file; remove it there first")
        if _holds(found, wanted):
            return "unchanged", ""
        body = {**{key: value for key, value in found.items() if key in _PEOPLES_OWN}, **wanted}
        # Without provenance, users can change it in Grafana. An existing provenance can't be removed.
        provenance = found.get("provenance")
        free = not provenance
        self._write(lambda api: api.alertingprovisioning.update_alertrule(uid, body, disable_provenance=free), arrived)
        return "updated", "" if free else f"people can't change it in Grafana: its provenance is {provenance}"

    def interval(self, group: AlertGroup) -> tuple[Outcome, str]:
        name = urllib.parse.quote(group.name, safe="")
        seconds = f"every {group.interval_s} s"

        def look() -> RuleGroup | None:
            return self._grafana.find(
                lambda api: api.alertingprovisioning.get_rule_group(self._folder_uid, name), RuleGroup
            )

        def arrived() -> bool:
            return (now := look()) is not None and now.get("interval") == group.interval_s

        found = look()
        if found is None:
            if self._dry_run:
                return "created", seconds
            raise RequestRefused(404, "none of its rules exists")
        if found.get("interval") == group.interval_s:
            return "unchanged", ""
        body = {**found, "interval": group.interval_s}
        self._write(
            lambda api: api.alertingprovisioning.update_rule_group(
                self._folder_uid, name, body, disable_provenance=True
            ),
            arrived,
        )
        return "updated", seconds

    def _write(self, request: Callable[[Any], Any], arrived: Callable[[], bool]) -> None:
        """Send a write. A conflict can mean that our own first attempt arrived and its answer was lost."""
        if self._dry_run:
            return
        try:
            self._grafana.write(request)
        except RequestRefused as refused:
            _log.debug("refused: %s", refused.message)
            if refused.status not in _TAKEN or not arrived():
                raise


def _content(value: Board) -> dict[str, Any]:
    """Return a dashboard without the fields that Grafana sets. Null counts as absent."""
    return {key: _without_null(inner) for key, inner in value.items() if key not in _GRAFANAS_OWN and inner is not None}


def _without_null(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_null(inner) for key, inner in value.items() if inner is not None}
    return [_without_null(inner) for inner in value] if isinstance(value, list | tuple) else value


def _holds(found: Any, wanted: Any) -> bool:
    """Return true if all wanted values are present. Grafana adds fields and writes durations in its own form."""
    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping):
            return False
        return all(_holds_at(key, found.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list | tuple):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(_holds, found, wanted))
    return bool(found == wanted)


def _holds_at(key: str, found: Any, wanted: Any) -> bool:
    if key in _DURATIONS:
        return _as_long(found, wanted)
    if key in _ALL_OURS or not wanted:  # Grafana leaves out what is empty
        return bool((found or type(wanted)()) == wanted)
    return _holds(found, wanted)


def _as_long(found: Any, wanted: str) -> bool:
    try:
        return milliseconds(found or "0") == milliseconds(wanted)
    except ValueError:
        # not logged: Grafana has another value there, and the push replaces it.
        return False
