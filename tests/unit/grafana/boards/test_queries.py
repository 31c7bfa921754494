"""What the boards ask Prometheus: valid PromQL on metrics that exist, by the rules of Grafana's dashboard-linter."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.grafana.boards.build import build_all
from orchestrator.grafana.boards.compare import VARIABLES
from tests.support.board_queries import fill, panels_of, queries_of

ROOT = Path(__file__).parents[4]
BUILT = build_all()
BOARDS: list[dict[str, Any]] = [json.loads(text) for text in BUILT.values()]

# What Ray 2.60 exports: ray/autoscaler/_private/prom_metrics.py, ray/dashboard/modules/reporter.
RAYS = {
    "autoscaler_active_nodes",
    "autoscaler_cluster_resources",
    "autoscaler_config_validation_exceptions_total",
    "autoscaler_drain_node_exceptions_total",
    "autoscaler_failed_create_nodes_total",
    "autoscaler_node_launch_exceptions_total",
    "autoscaler_pending_nodes",
    "autoscaler_pending_resources",
    "autoscaler_recently_failed_nodes",
    "autoscaler_reset_exceptions_total",
    "autoscaler_started_nodes_total",
    "autoscaler_stopped_nodes_total",
    "autoscaler_update_loop_exceptions_total",
    "autoscaler_update_time_seconds_bucket",
    "autoscaler_update_time_seconds_count",
    "autoscaler_worker_create_node_time_seconds_bucket",
    "ray_cluster_active_nodes",
    "ray_cluster_failed_nodes",
    "ray_cluster_idle_nodes",
    "ray_cluster_pending_nodes",
    "ray_node_cpu_utilization",
}
PROMETHEUS_OWN = {"ALERTS", "up", "scrape_duration_seconds", "scrape_samples_scraped"}

# Counters that stand outside of rate() and increase(), and why.
BARE_COUNTERS = {
    "orchestrator_scaling_events_total": "exact differences: increase() misses the event that a series begins with",
    "orchestrator_faults_total": "exact differences, for the same reason",
    "orchestrator_launched_nodes_total": "exact differences, for the same reason",
    "orchestrator_node_stage_seconds_bucket": "exact differences, for the same reason",
    "orchestrator_node_stage_seconds_count": "begins at 0 with its trial: its last value is the whole trial",
    "orchestrator_task_wait_seconds_bucket": "the same: quantiles of all tasks of the trial so far",
    "autoscaler_failed_create_nodes_total": "exact differences: increase() makes 5, 5 and 6 of 4 nodes",
    "autoscaler_started_nodes_total": "exact differences, for the same reason",
    "autoscaler_stopped_nodes_total": "exact differences, for the same reason",
}

VALUES = {"cluster": "c", "sweep_id": "s", "trial_id": "t", "arch": "x86_64|arm64"}
for name in VARIABLES:
    VALUES |= {name: 'sweep_id="s",trial_id="t"', f"{name}:text": "v2 #1 in s", f"{name}_start": "817315200"}


def expressions() -> list[str]:
    """Each query as Prometheus gets it, those of variables too."""
    asked = {expr for board in BUILT.values() for _, _, expr in queries_of(board, VALUES)}
    known = {**VALUES, "__range": "1h"}
    return sorted(asked | {fill(expr, known) for board in BOARDS for _, expr in options_from_samples(board)})


def options_from_samples(board: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Name and query of each variable whose options are made of the samples of an answer."""
    for variable in board["templating"]["list"]:
        if variable["type"] == "query" and variable["query"]["query"].startswith("query_result("):
            yield variable["name"], variable["query"]["query"].removeprefix("query_result(").removesuffix(")")


def raw_expressions() -> list[str]:
    return sorted(
        {target["expr"] for board in BOARDS for panel in panels_of(board) for target in panel["targets"]}
        | {each["target"]["expr"] for board in BOARDS for each in board["annotations"]["list"] if "expr" in each}
    )


def metrics_in(expr: str) -> set[str]:
    """The names of metrics: what is left without strings, label lists, durations, functions and keywords."""
    rest = re.sub(r'"[^"]*"', "", expr)
    rest = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(by|on|group_left) \([^)]*\)|offset -?\d+\w+", " ", rest)
    names = re.findall(r"[a-zA-Z_:][\w:]*(?!\w|\s*\()", rest)
    return {name for name in names if name not in ("or", "and", "unless", "offset", "Inf", "NaN")}


def documented_metrics() -> dict[str, str]:
    """Each series of docs/metrics.md and its type."""
    series: dict[str, str] = {}
    for line in (ROOT / "docs" / "metrics.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 5 or not cells[1].startswith("`"):
            continue
        for name in re.findall(r"`(\w+)`", cells[1]):
            suffixes = ("_bucket", "_count", "_sum") if cells[2] == "histogram" else ("",)
            series.update({f"orchestrator_{name}{suffix}": cells[2] for suffix in suffixes})
    return series


def recorded_metrics() -> set[str]:
    rules = yaml.safe_load((ROOT / "prometheus" / "rules" / "recording.yml").read_text())
    return {rule["record"] for group in rules["groups"] for rule in group["rules"]}


def test_each_query_asks_for_metrics_that_exist() -> None:
    known = documented_metrics().keys() | recorded_metrics() | RAYS | PROMETHEUS_OWN
    asked = {metric for expr in expressions() for metric in metrics_in(expr)}

    assert asked - known == set()
    assert asked >= RAYS | PROMETHEUS_OWN, "no name stands here in vain"


def test_each_rate_is_over_the_rate_interval() -> None:
    windows = [
        window for expr in raw_expressions() for window in re.findall(r"\b(?:rate|increase)\([^[]*\[([^\]]*)\]", expr)
    ]

    assert set(windows) == {"$__rate_interval"}


def test_counters_are_under_rate_or_increase_but_for_the_exceptions() -> None:
    counters = {name for name, kind in documented_metrics().items() if kind in ("counter", "histogram")}
    counters |= {name for name in RAYS if name.endswith(("_total", "_bucket", "_count"))}
    bare = {
        name
        for expr in raw_expressions()
        for name in counters & metrics_in(expr.replace("$", ""))
        if re.search(rf"(?<!rate\()(?<!increase\(){name}\b", expr)
    }

    assert bare == BARE_COUNTERS.keys()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool isn't installed")
def test_each_query_is_valid_promql(tmp_path: Path) -> None:
    rules = [{"record": f"query_{number}", "expr": expr} for number, expr in enumerate(expressions())]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    result = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr


# Two tasks that waited 3 s were there at the first sample, and no other came; the node that failed is forgotten.
BRIEF = """
rule_files: [{rules}]
evaluation_interval: 5s
tests:
  - interval: 5s
    input_series:
      - {{series: 'orchestrator_task_wait_seconds_bucket{{{of}, arch="arm64", le="2"}}', values: 0x9}}
      - {{series: 'orchestrator_task_wait_seconds_bucket{{{of}, arch="arm64", le="4"}}', values: 2x9}}
      - {{series: 'orchestrator_task_wait_seconds_bucket{{{of}, arch="arm64", le="+Inf"}}', values: 2x9}}
      - {{series: 'orchestrator_nodes{{{of}, arch="arm64", state="running"}}', values: 1x9}}
      - {{series: 'orchestrator_nodes{{{of}, arch="arm64", state="failed"}}', values: 0 0 1 1 0 0 0 0 0}}
      - {{series: 'orchestrator_scaling_events_total{{{of}, arch="arm64", event="failed"}}', values: _ _ 1x7}}
    promql_expr_test:
      - {{expr: '{failed}', eval_time: 5s, exp_samples: [{{labels: '{{arch="arm64"}}', value: 0}}]}}
      - {{expr: '{failed}', eval_time: 40s, exp_samples: [{{labels: '{{arch="arm64"}}', value: 1}}]}}
      - {{expr: '{waited}', eval_time: 0s, exp_samples: [{{labels: '{{arch="arm64"}}', value: 3}}]}}
      - {{expr: '{waited}', eval_time: 40s, exp_samples: [{{labels: '{{arch="arm64"}}', value: 3}}]}}
"""


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool isn't installed")
def test_what_happened_in_a_moment_of_a_trial_is_shown_until_its_end(tmp_path: Path) -> None:
    asked = {title: expr for _, title, expr in reversed(queries_of(BUILT["trial.json"], VALUES))}
    asked |= {title: expr for _, title, expr in queries_of(BUILT["nodes.json"], VALUES)}
    file = tmp_path / "test.yml"
    rules = ROOT / "prometheus" / "rules" / "recording.yml"
    of = 'sweep_id="s", trial_id="t"'
    file.write_text(
        BRIEF.format(rules=rules, of=of, failed=asked["Failed nodes"], waited=asked["Task wait: x86_64|arm64"])
    )
    result = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr


def test_variables_are_filled_in_as_grafana_does() -> None:
    values = {"base": "60", "base:text": "abc", "trial_id": "t"}

    assert fill('x{trial_id="$trial_id"} offset -${base}s', values) == 'x{trial_id="t"} offset -60s'
    assert fill("${base:text} ${trial_id:text} a$", values) == "abc t a$"
    with pytest.raises(KeyError, match="sweep_id"):
        fill("$sweep_id", values)


def test_no_query_keeps_a_variable() -> None:
    assert not [expr for expr in expressions() if re.search(r"\$[a-zA-Z_{]", expr)]
    assert len(expressions()) > 70
