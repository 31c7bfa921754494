"""A stand-in for Grafana's API, as strict as the real one where a push or an annotation could be wrong.

It answers over real HTTP with Grafana's own status codes and messages, keeps what it is given, and fails on request.
"""

import copy
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Self
from urllib.parse import unquote

from orchestrator.grafana.alerts import milliseconds
from tests.support.grafana_http import Fault, serving

TOKEN = "glsa_kWq7SeCrEt0TokenThatNobodyMaySee_1f2e3d4c"
DENIED = "You'll need additional permissions to perform this action."
UID = re.compile(r"[a-zA-Z0-9_-]{1,40}")

Role = Literal["Admin", "Editor", "Viewer"]
Json = dict[str, Any]


class Refused(Exception):
    """An answer that isn't 2xx."""

    def __init__(self, code: int, message: str, /, **more: Any) -> None:
        super().__init__(message)
        self.code = code
        self.body = {"message": message, **more}


def check(condition: object, message: str, status: int = 400) -> None:
    if not condition:
        raise Refused(status, message)


@dataclass
class Standin:
    """What is in it, who may do what, and what it was asked; `fault` is looked at with each request."""

    role: Role = "Admin"
    dead_urls: set[str] = field(default_factory=set)  # where Grafana finds no Prometheus
    folders: dict[str, Json] = field(default_factory=dict)
    datasources: dict[str, Json] = field(default_factory=dict)
    dashboards: dict[str, Json] = field(default_factory=dict)
    history: dict[str, list[Json]] = field(default_factory=dict)
    rules: dict[str, Json] = field(default_factory=dict)
    intervals: dict[str, int] = field(default_factory=dict)
    annotations: dict[int, Json] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    fault: Callable[[str, str], Fault | None] = lambda method, path: None
    url: str = ""
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _provenance: str = ""  # of what the present request writes
    _released: threading.Event = field(default_factory=threading.Event)

    @property
    def writes(self) -> list[tuple[str, str]]:
        """The requests that could have changed something."""
        return [each for each in self.requests if each[0] != "GET"]

    def forget_requests(self) -> None:
        self.requests.clear()

    # What people do in the browser

    def edit(self, uid: str, by: str = "ada", **changes: Any) -> None:
        """Save a board in the browser."""
        stored = self.dashboards[uid]
        stored["dashboard"].update(changes)
        self._saved(uid, by, "")

    def provision(self, board: Json) -> None:
        """Have a board as if Grafana had read it from a file."""
        self.dashboards[board["uid"]] = {
            "dashboard": {**copy.deepcopy(board), "id": 900, "version": 1},
            "meta": {"provisioned": True, "provisionedExternalId": "trial.json", "folderUid": "files"},
        }

    def _saved(self, uid: str, by: str, message: str) -> None:
        stored = self.dashboards[uid]
        version = stored["dashboard"].get("version", 0) + 1
        stored["dashboard"]["version"] = stored["meta"]["version"] = version
        self.history.setdefault(uid, []).insert(0, {"version": version, "createdBy": by, "message": message})

    # The API

    def answer(self, method: str, path: str, headers: Any, raw: bytes) -> tuple[int, Any]:
        """Status and body."""
        with self._lock:
            try:
                if path == "/api/health":
                    return 200, {"database": "ok", "version": "13.2.3", "commit": "abc"}
                check(headers.get("Authorization") == f"Bearer {TOKEN}", "Invalid API key", 401)
                # Its presence counts, whatever it says.
                self._provenance = "api" if headers.get("X-Disable-Provenance") is None else ""
                body = None
                if method != "GET":
                    check(headers.get("Content-Type", "").startswith("application/json"), "bad request data")
                    body = json.loads(raw)
                    check(self.role != "Viewer", DENIED, 403)
                for known, pattern, handler in self._routes():
                    if known == method and (match := re.fullmatch("/api" + pattern, path)):
                        parts = [unquote(part) for part in match.groups()]
                        return handler(*parts) if body is None else handler(*parts, body)
                raise Refused(404, "Not found")
            except Refused as refused:
                return refused.code, refused.body

    def _routes(self) -> list[tuple[str, str, Callable[..., tuple[int, Any]]]]:
        rules, group = "/v1/provisioning/alert-rules", r"/v1/provisioning/folder/([^/]+)/rule-groups/([^/]+)"
        return [
            ("GET", r"/folders/([^/]+)", self._get_folder),
            ("POST", "/folders", self._add_folder),
            ("GET", r"/datasources/uid/([^/]+)", self._get_datasource),
            ("POST", "/datasources", self._add_datasource),
            ("PUT", r"/datasources/uid/([^/]+)", self._change_datasource),
            ("GET", r"/datasources/uid/([^/]+)/health", self._datasource_health),
            ("GET", "/access-control/user/permissions", self._permissions),
            ("GET", r"/dashboards/uid/([^/]+)", self._get_dashboard),
            (
                "GET",
                r"/dashboards/uid/([^/]+)/versions",
                self._get_versions,
            ),
            ("POST", "/dashboards/db", self._save_dashboard),
            ("GET", rules + r"/([^/]+)", self._get_rule),
            ("POST", rules, self._add_rule),
            ("PUT", rules + r"/([^/]+)", self._change_rule),
            ("GET", group, self._get_group),
            ("PUT", group, self._change_group),
            ("POST", "/annotations", self._add_annotation),
            ("PUT", r"/annotations/(\d+)", self._change_annotation),
        ]

    def _get_folder(self, uid: str) -> tuple[int, Json]:
        check(uid in self.folders, "folder not found", 404)
        return 200, self.folders[uid]

    def _add_folder(self, body: Json) -> tuple[int, Json]:
        check(set(body) <= {"uid", "title", "parentUid"}, "bad request data")
        check(body.get("title"), "folder title cannot be empty")
        check(UID.fullmatch(body.get("uid", "")), "invalid uid for folder provided")
        check(body["uid"] not in self.folders, "a folder/dashboard with the same uid already exists", 409)
        self.folders[body["uid"]] = {"id": len(self.folders) + 1, "version": 1, **body}
        return 200, self.folders[body["uid"]]

    def _get_datasource(self, uid: str) -> tuple[int, Json]:
        check(self.role == "Admin", DENIED, 403)
        check(uid in self.datasources, "Data source not found", 404)
        return 200, self.datasources[uid]

    def _valid_datasource(self, body: Json) -> None:
        check(self.role == "Admin", DENIED, 403)
        known = {"uid", "name", "type", "access", "url", "isDefault", "jsonData", "version"}
        check(set(body) <= known, "bad request data")
        check(UID.fullmatch(body.get("uid", "")) and body.get("name") and body.get("type"), "bad request data")
        check(body.get("access") in ("proxy", "direct"), "bad request data")
        check(re.match("https?://", body.get("url", "")), "validation error, invalid data source URL")

    def _add_datasource(self, body: Json) -> tuple[int, Json]:
        self._valid_datasource(body)
        for key in ("uid", "name"):
            taken = {each[key] for each in self.datasources.values()}
            check(body[key] not in taken, f"data source with the same {key} already exists", 409)
        number = len(self.datasources) + 1
        self.datasources[body["uid"]] = {"id": number, "orgId": 1, "readOnly": False, "version": 1, **body}
        return 200, {"message": "Datasource added", "datasource": self.datasources[body["uid"]]}

    def _change_datasource(self, uid: str, body: Json) -> tuple[int, Json]:
        self._valid_datasource(body)
        check(uid in self.datasources, "Data source not found", 404)
        found = self.datasources[uid]
        check(not found["readOnly"], "Cannot update read-only data source", 403)
        same = body.get("version") in (None, found["version"])
        check(same, "Datasource has already been updated by someone else", 409)
        self.datasources[uid] = {**found, "isDefault": False, **body, "version": found["version"] + 1}
        return 200, {"message": "Datasource updated", "datasource": self.datasources[uid]}

    def _datasource_health(self, uid: str) -> tuple[int, Json]:
        check(uid in self.datasources, "Data source not found", 404)
        if self.datasources[uid]["url"] in self.dead_urls:
            return 400, {"status": "ERROR", "message": "dial tcp [::1]:9090: connect: connection refused"}
        return 200, {"status": "OK", "message": "Successfully queried the Prometheus API."}

    def _permissions(self) -> tuple[int, Json]:
        of_dashboards = {"annotations:create": ["annotations:type:dashboard"]}
        of_all = {"annotations:create": ["annotations:type:organization", "annotations:type:dashboard"]}
        return 200, {"dashboards:read": ["dashboards:*"], **(of_dashboards if self.role == "Viewer" else of_all)}

    def _get_dashboard(self, uid: str) -> tuple[int, Json]:
        check(uid in self.dashboards, "Dashboard not found", 404)
        return 200, self.dashboards[uid]

    def _get_versions(self, uid: str) -> tuple[int, Json]:
        return 200, {"versions": self.history.get(uid, [])[:1]}

    def _save_dashboard(self, body: Json) -> tuple[int, Json]:
        check(set(body) <= {"dashboard", "folderUid", "overwrite", "message"}, "bad request data")
        board = body.get("dashboard")
        check(isinstance(board, dict), "bad request data")
        assert isinstance(board, dict)
        uid = board.get("uid", "")
        check(UID.fullmatch(uid), "uid contains illegal characters")
        check(board.get("title"), "Dashboard title cannot be empty")
        check(isinstance(board.get("schemaVersion"), int), "schemaVersion is missing")
        check(board.get("id") is None, "Dashboard not found", 404)
        ids = [panel.get("id") for panel in board.get("panels", [])]
        check(all(isinstance(each, int) for each in ids) and len(ids) == len(set(ids)), "panel ids aren't unique")
        folder = body.get("folderUid", "")
        check(folder == "" or folder in self.folders, "Folder not found", 404)
        found = self.dashboards.get(uid)
        if found is not None:
            check(not found["meta"].get("provisioned"), "Cannot save provisioned dashboard")
            if found["dashboard"]["version"] != board.get("version") and not body.get("overwrite"):
                raise Refused(412, "The dashboard has been changed by someone else", status="version-mismatch")
        version = found["dashboard"]["version"] if found else 0
        number = found["dashboard"]["id"] if found else 100 + len(self.dashboards)
        self.dashboards[uid] = {
            "dashboard": {**board, "id": number, "version": version},
            "meta": {"provisioned": False, "provisionedExternalId": "", "folderUid": folder, "slug": "x"},
        }
        self._saved(uid, "sa-orchestrate", body.get("message", ""))
        return 200, {"status": "success", "uid": uid, "version": version + 1, "url": f"/d/{uid}/x"}

    def _get_rule(self, uid: str) -> tuple[int, Json]:
        check(uid in self.rules, "", 404)
        return 200, self.rules[uid]

    def _valid_rule(self, body: Json) -> Json:
        states = ("noDataState", "execErrState")
        for key in ("uid", "title", "ruleGroup", "folderUID", "condition", "for", "data", *states):
            check(body.get(key), f"invalid alert rule: {key} is missing")
        check(UID.fullmatch(body["uid"]), "invalid alert rule: uid")
        check(body["folderUID"] in self.folders, "folder does not exist")
        check(body["condition"] in [node["refId"] for node in body["data"]], "invalid alert rule: condition")
        check(body["noDataState"] in ("OK", "Alerting", "NoData", "KeepLast"), "unknown no data state")
        check(body["execErrState"] in ("OK", "Alerting", "Error", "KeepLast"), "unknown execution error state")
        for node in body["data"]:
            known = node["datasourceUid"] == "__expr__" or node["datasourceUid"] in self.datasources
            check(known, f"invalid alert rule: data source {node['datasourceUid']} not found")
            check(node["model"]["refId"] == node["refId"], "invalid alert rule: refId")
            check(node["datasourceUid"] == "__expr__" or node["relativeTimeRange"]["from"] > 0, "invalid time range")
        same = [each for each in self.rules.values() if each["uid"] != body["uid"] and each["title"] == body["title"]]
        check(not same, "rule title under the same organisation and folder should be unique", 409)
        # As Grafana writes it back: with fields of its own, and durations in its own words.
        own = {"orgID": 1, "updated": "2030-01-01T00:00:00Z", "record": None}
        stored = {**copy.deepcopy(body), **own}
        self._set_provenance(stored)
        stored["for"] = words(milliseconds(body["for"]))
        stored["keep_firing_for"] = words(milliseconds(body.get("keep_firing_for", "0s")))
        stored.setdefault("isPaused", False)
        if not stored.get("labels"):
            stored.pop("labels", None)
        return stored

    def _set_provenance(self, rule: Json) -> None:
        """A rule without one may be changed in the browser; Grafana leaves the field out then."""
        rule.pop("provenance", None)
        if self._provenance:
            rule["provenance"] = self._provenance

    def _add_rule(self, body: Json) -> tuple[int, Json]:
        check(body.get("uid") not in self.rules, "a conflicting alert rule is found", 409)
        self.rules[body["uid"]] = {"id": 1 + len(self.rules), **self._valid_rule(body)}
        self.intervals.setdefault(body["ruleGroup"], 60)
        return 201, self.rules[body["uid"]]

    def _change_rule(self, uid: str, body: Json) -> tuple[int, Json]:
        check(uid in self.rules, "", 404)
        stored = self.rules[uid].get("provenance", "")
        changes = f"cannot change provenance from '{stored}' to '{self._provenance}'"
        check(stored in ("", self._provenance), changes, 500)
        self.rules[uid] = {"id": self.rules[uid]["id"], **self._valid_rule(body)}
        return 200, self.rules[uid]

    def _get_group(self, folder: str, name: str) -> tuple[int, Json]:
        rules = [each for each in self.rules.values() if (each["folderUID"], each["ruleGroup"]) == (folder, name)]
        check(rules, "rule group not found", 404)
        return 200, {"title": name, "folderUid": folder, "interval": self.intervals[name], "rules": rules}

    def _change_group(self, folder: str, name: str, body: Json) -> tuple[int, Json]:
        _, now = self._get_group(folder, name)
        check(body.get("interval", 0) > 0 and body["interval"] % 10 == 0, "interval should be a multiple of 10 seconds")
        kept = {rule["uid"] for rule in body["rules"]}
        for rule in now["rules"]:
            if rule["uid"] not in kept:
                del self.rules[rule["uid"]]
        # Another interval changes all rules of the group, and whoever changes them says whose they are.
        if body["interval"] != self.intervals[name]:
            for rule in now["rules"]:
                stored = rule.get("provenance", "")
                needs = f"cannot update with provided provenance '{self._provenance}', needs '{stored}'"
                check(stored in ("", self._provenance) or (stored, self._provenance) == ("api", ""), needs, 409)
            for rule in now["rules"]:
                self._set_provenance(rule)
        self.intervals[name] = body["interval"]
        return 200, body

    def _valid_annotation(self, body: Json) -> Json:
        check(set(body) <= {"time", "timeEnd", "tags", "text"}, "bad request data")
        check(body.get("text"), "Failed to save annotation: text field should not be empty")
        check(isinstance(body.get("time"), int) and body["time"] > 10**11, "time is in milliseconds")
        check(isinstance(body.get("timeEnd", 0), int), "bad request data")
        check(all(isinstance(tag, str) and tag for tag in body.get("tags", [])), "bad request data")
        return dict(body)

    def _add_annotation(self, body: Json) -> tuple[int, Json]:
        number = len(self.annotations) + 1
        self.annotations[number] = self._valid_annotation(body)
        return 200, {"message": "Annotation added", "id": number}

    def _change_annotation(self, number: str, body: Json) -> tuple[int, Json]:
        check(int(number) in self.annotations, "Annotation not found", 404)
        self.annotations[int(number)] = self._valid_annotation(body)
        return 200, {"message": "Annotation updated"}

    # The server

    def __enter__(self) -> Self:
        self._server = serving(self, self._fault_of, self._released)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def _fault_of(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self.requests.append((method, path))
            return self.fault(method, path)

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()


def words(milliseconds_: int) -> str:
    """A duration as Prometheus prints it: `90s` is `1m30s`."""
    seconds, text = milliseconds_ // 1000, ""
    for unit, length in (("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= length:
            text += f"{seconds // length}{unit}"
            seconds %= length
    return text or "0s"
