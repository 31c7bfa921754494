"""The Prometheus configuration and its rules: a real promtool tests them, a real server scrapes and records."""

import importlib.util
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.assets import bundled
from orchestrator.model.events import NODE_STATES
from tests.support.prometheus_server import HOW, running
from tests.support.requirements import require

FOLDER = bundled("prometheus")
CONTRACT = Path(__file__).parents[2] / "docs/metrics.md"
SERVER_TIMEOUT_S = 60.0

Rule = dict[str, Any]
Query = Callable[[str], list[dict[str, str]]]


def promtool(*arguments: str | Path) -> str:
    """What promtool prints; it has to be content."""
    program = shutil.which("promtool")
    require("prometheus", program is not None, HOW)
    result = subprocess.run([str(program), *map(str, arguments)], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def rule_groups() -> list[Rule]:
    return [
        group for file in sorted(FOLDER.glob("rules/*.yml")) for group in yaml.safe_load(file.read_text())["groups"]
    ]


def rules(kind: str) -> dict[str, Rule]:
    """The rules of a kind, `record` or `alert`, by name."""
    return {rule[kind]: rule for group in rule_groups() for rule in group["rules"] if kind in rule}


def rule_tests(kind: str) -> list[dict[str, Any]]:
    """The single tests of a kind, `promql_expr_test` or `alert_rule_test`."""
    files = sorted(FOLDER.glob("tests/*.yml"))
    return [test for file in files for case in yaml.safe_load(file.read_text())["tests"] for test in case.get(kind, [])]


def metrics_in(expression: str) -> set[str]:
    """The names of metrics in PromQL."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(by|on|group_left|group_right)\s*\([^)]*\)", "", bare)
    words = re.findall(r"[a-zA-Z_:][\w:]*(?!\w*\s*\()", re.sub(r"\b[\d.]+\w*", "", bare))
    return set(words) - {"and", "or", "unless", "offset", "by", "on"}


def of_the_contract() -> set[str]:
    rows = re.findall(r"^\| (`.*?) \|", CONTRACT.read_text(), re.MULTILINE)
    return {f"orchestrator_{name}" for row in rows for name in re.findall(r"`(\w+)`", row)}


# Files


def test_the_configuration_is_clean() -> None:
    said = promtool("check", "config", "--lint-fatal", FOLDER / "prometheus.yml")

    assert f"{len(list(FOLDER.glob('rules/*.yml')))} rule files found" in said


def test_the_rules_are_clean() -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", *FOLDER.glob("rules/*.yml"))


def test_the_rules_pass_their_unit_tests() -> None:
    said = promtool("test", "rules", *FOLDER.glob("tests/*.yml"))

    assert said.count("SUCCESS") == len(list(FOLDER.glob("tests/*.yml"))) > 0


def test_every_recording_rule_is_tested_for_a_value() -> None:
    tested = {
        name for test in rule_tests("promql_expr_test") if test["exp_samples"] for name in metrics_in(test["expr"])
    }

    assert set(rules("record")) - tested == set()


def test_every_alert_is_tested_to_fire_and_not_to_fire() -> None:
    tests = rule_tests("alert_rule_test")
    firing = {test["alertname"] for test in tests if test["exp_alerts"]}
    silent = {test["alertname"] for test in tests if not test["exp_alerts"]}

    assert firing == silent == set(rules("alert"))


def test_the_tests_evaluate_the_groups_in_the_order_of_the_files() -> None:
    """Alerts rest on recorded series; promtool takes files in any order unless it is told."""
    recording = [group["name"] for group in rule_groups() if "record" in group["rules"][0]]
    alerting = [group["name"] for group in rule_groups() if "alert" in group["rules"][0]]

    for file in FOLDER.glob("tests/*.yml"):
        assert yaml.safe_load(file.read_text())["group_eval_order"] in (recording, recording + alerting)


def test_every_alert_says_how_bad_it_is_which_trial_it_means_and_what_to_do() -> None:
    for name, alert in rules("alert").items():
        assert name.startswith("Orchestrator")
        assert alert["labels"]["severity"] in ("warning", "critical")
        assert "for" in alert
        assert "{{ $labels.trial_id }}" in alert["annotations"]["summary"]
        assert "{{ $labels.sweep_id }}" in alert["annotations"]["description"]


def test_every_recorded_series_names_its_sweep_and_trial() -> None:
    for rule in rules("record").values():
        labels = re.findall(r"\bby \(([^)]*)\)", rule["expr"])
        assert all({"sweep_id", "trial_id"} <= set(each.split(", ")) for each in labels)
        assert labels or all(":" in name for name in metrics_in(rule["expr"]))


def test_every_metric_in_the_rules_exists() -> None:
    spec = importlib.util.find_spec("ray")
    assert spec is not None
    assert spec.origin is not None
    agent = (Path(spec.origin).parent / "dashboard/modules/reporter/reporter_agent.py").read_text()
    used = {name for kind in ("record", "alert") for rule in rules(kind).values() for name in metrics_in(rule["expr"])}

    rays = {name for name in used if name.startswith("ray_")}
    assert {name for name in rays if f'"{name.removeprefix("ray_")}"' not in agent} == set()
    ours = {re.sub(r"_bucket$", "", name) for name in used - rays}
    assert ours - of_the_contract() - set(rules("record")) == {"up"}


def test_the_numbers_of_states_in_the_alerts_are_those_of_node_state() -> None:
    number = {state: number for number, state in enumerate(NODE_STATES, 1)}

    assert f"orchestrator_node_state < {number['running']}" in rules("alert")["OrchestratorNodesStuckLaunching"]["expr"]
    assert f"orchestrator_node_state == {number['idle']}" in rules("alert")["OrchestratorIdleNodesNotRemoved"]["expr"]


# A real server

EXPORTER = """\
orchestrator_pending_tasks{sweep_id="s",trial_id="a",shape="CPU=1"} 7
orchestrator_pending_cpu_cores{sweep_id="s",trial_id="a"} 7
orchestrator_cpu_used_cores{sweep_id="s",trial_id="a",node_type="m8g",arch="arm64"} 2
"""
RAYS_NODE = """\
ray_node_cpu_utilization{ip="127.0.0.1",RayNodeType="worker",IsHeadNode="false"} 50
"""
RAYS_HEAD = """\
ray_node_cpu_utilization{ip="127.0.0.1",RayNodeType="head",IsHeadNode="true"} 99
ray_cluster_active_nodes{node_type="m8g",SessionName="x"} 3
ray_cluster_active_nodes{node_type="m7i",SessionName="x"} 1
a_users_own_metric{arch="none",trial_id="z"} 1
"""


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[[dict[str, str]], int]]:
    """Serves pages, `{path: text}`, and gives the port."""
    servers: list[ThreadingHTTPServer] = []

    def start(pages: dict[str, str]) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = pages.get(self.path, "").encode()
                self.send_response(200 if body else 404)
                kind = "application/json" if self.path == "/sd" else "text/plain; version=0.0.4; charset=utf-8"
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return int(server.server_address[1])

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def query(serve: Callable[[dict[str, str]], int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Query]:
    """Asks a Prometheus that scrapes stand-ins for the exporter and for two nodes of Ray; waits for an answer."""
    ids = {"sweep_id": "s", "trial_id": "a", "ray_port": "node"}
    head = {**ids, "node_type": "head", "arch": "x86_64", "instance_type": "m7i.xlarge", "ray_node_id": "00"}
    worker = {**ids, "node_type": "m8g", "arch": "arm64", "instance_type": "m8g.2xlarge", "ray_node_id": "01"}
    discovered = [
        {"targets": [f"127.0.0.1:{serve({'/metrics': page})}"], "labels": labels}
        for page, labels in ((RAYS_HEAD, head), (RAYS_NODE, worker))
    ]
    exporter = serve({"/metrics": EXPORTER, "/sd": json.dumps(discovered)})
    with running(tmp_path_factory.mktemp("prometheus"), exporter) as prometheus:

        def ask(expression: str) -> list[dict[str, str]]:
            deadline = time.monotonic() + SERVER_TIMEOUT_S
            while not (found := prometheus.ask("query", query=expression)):
                assert time.monotonic() < deadline, f"no {expression}"
                time.sleep(0.5)
            return [{**each["metric"], "value": each["value"][1]} for each in found]

        yield ask


def test_a_server_scrapes_the_exporter_and_records(query: Query) -> None:
    assert [(each["trial_id"], each["value"]) for each in query("trial:orchestrator_pending_tasks:sum")] == [("a", "7")]
    assert [each["value"] for each in query("trial:orchestrator_demand_cores:sum")] == ["9"]


def test_what_ray_exports_gets_the_labels_of_the_discovery(query: Query) -> None:
    [worker] = query('ray_node_cpu_utilization{RayNodeType="worker"}')
    known = {"sweep_id": "s", "trial_id": "a", "arch": "arm64", "node_type": "m8g", "instance_type": "m8g.2xlarge"}

    assert known.items() <= worker.items()
    assert worker["ray_node_id"] == "01"
    assert worker["instance"].startswith("127.0.0.1:")
    assert [(each["arch"], each["value"]) for each in query("trial_arch:ray_node_cpu_utilization:avg")] == [
        ("arm64", "0.5")
    ]


def test_node_counts_of_the_head_keep_rays_node_type_and_lose_the_heads_architecture(query: Query) -> None:
    counts = query("ray_cluster_active_nodes")

    assert {each["node_type"]: each["value"] for each in counts} == {"m8g": "3", "m7i": "1"}
    assert [each["trial_id"] for each in counts] == ["a", "a"]
    assert not {"exported_node_type", "arch", "instance_type"} & {label for each in counts for label in each}


def test_a_users_metric_cannot_pass_for_another_trials(query: Query) -> None:
    [own] = query("a_users_own_metric")

    assert (own["trial_id"], own["exported_trial_id"]) == ("a", "z")
    assert (own["arch"], own["exported_arch"]) == ("x86_64", "none")


def test_a_server_has_no_target_that_it_cannot_scrape(query: Query) -> None:
    query("count(up) == 4")

    assert {each["job"]: each["value"] for each in query("min by (job) (up)")} == {
        "orchestrator": "1",
        "ray": "1",
        "prometheus": "1",
    }
