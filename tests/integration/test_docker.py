"""The docker backend on a real engine: clusters of containers that scale, report their own CPU, and leave nothing."""

import contextlib
import json
import os
import re
import signal
import socket
import statistics
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from orchestrator.metrics.server import DEFAULT_PORT
from tests.support.cuttable_socket import CuttableSocket
from tests.support.docker_engine import Engine
from tests.support.docker_sweeps import (
    ARM,
    X86,
    assert_nothing_is_left,
    cluster_file,
    containers,
    events,
    in_docker,
    options,
)
from tests.support.orchestrate_command import Orchestrate, ended_well
from tests.support.prometheus_server import Prometheus
from tests.support.requirements import free_port

if TYPE_CHECKING:
    from docker.models.containers import Container

pytestmark = pytest.mark.alone


@pytest.fixture
def lab(ray_engine: Engine, tmp_path: Path) -> Iterator[Orchestrate]:
    """A home of its own; whatever a failing test leaves in the engine is removed."""
    command = in_docker(ray_engine, tmp_path / "home")
    yield command
    command("clean", "--force")


def lives(trace: list[dict[str, Any]]) -> dict[str, list[str]]:
    """The states of each worker that was launched, in the order of time."""
    found: dict[str, list[str]] = {}
    for event in sorted((each for each in trace if each["type"] == "node"), key=lambda each: each["t"]):
        if event["cause"] == "baseline" or event["node"] in found or event["state"] == "requested":
            found.setdefault(event["node"], []).append(event["state"])
    return {node: states for node, states in found.items() if states[0] == "requested"}


# A sweep, watched by the stack


@contextlib.contextmanager
def the_stack(lab: Orchestrate) -> Iterator[Prometheus]:
    """Prometheus and Grafana as `orchestrate stack up` starts them, on ports of their own."""
    port = free_port()
    up = lab("stack", "up", "--prometheus-port", str(port), "--grafana-port", str(free_port()))
    assert up.returncode == 0, up.stderr
    try:
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        down = lab("stack", "down", "--volumes")
        assert down.returncode == 0, down.stderr


@dataclass(frozen=True)
class Swept:
    """A home with a sweep of two speeds, and the Prometheus that watched it."""

    lab: Orchestrate
    document: dict[str, Any]
    prometheus: Prometheus
    folder: Path

    def traces(self) -> list[list[dict[str, Any]]]:
        paths = [Path(trial["trace"]) for trial in self.document["trials"]]
        return [[json.loads(line) for line in path.read_text().splitlines()[1:]] for path in paths]


@pytest.fixture(scope="module")
def swept(ray_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swept]:
    """Once more if the machine was too busy for a valid sweep."""
    folder = tmp_path_factory.mktemp("docker")
    lab = in_docker(ray_engine, folder / "home")
    result = folder / "result.json"
    with the_stack(lab) as prometheus:
        for _ in range(2):
            done = lab(
                *options(folder),
                *("--upscaling-speed", "1,5", "--tasks", "12", "--task-seconds", "8"),
                *("--metrics-port", str(DEFAULT_PORT), "--json", str(result)),
            )
            assert ended_well(lab, done.returncode), done.stderr + done.stdout
            if done.returncode == 0:
                break
        yield Swept(lab, json.loads(result.read_text()), prometheus, folder)
    lab("clean", "--force")


def test_a_sweep_of_two_speeds_is_done_and_valid(swept: Swept) -> None:
    cards = [trial["scorecard"] for trial in swept.document["trials"]]

    assert [trial["status"] for trial in swept.document["trials"]] == ["done", "done"]
    assert [card["valid"] for card in cards] == [True, True], [card["warnings"] for card in cards]
    assert [card["peak_nodes"] for card in cards] == [4, 4]
    assert [card["launches"] for card in cards] == [2, 2]


def test_idle_nodes_go_until_the_minimum_is_left(swept: Swept) -> None:
    for trace in swept.traces():
        nodes = [event for event in trace if event["type"] == "node" and not event["is_head"]]
        last = {event["node"]: event for event in sorted(nodes, key=lambda event: event["t"])}

        assert {event["cause"] for event in nodes if event["state"] == "terminated"} == {"idle"}
        assert sorted(event["node_type"] for event in last.values() if event["state"] == "terminated") == [ARM, X86]
        assert sorted(event["node_type"] for event in last.values() if event["state"] == "idle") == [ARM, X86]


def test_nothing_of_a_sweep_is_left(swept: Swept, ray_engine: Engine) -> None:
    assert_nothing_is_left(ray_engine, swept.lab.home)


def test_the_stacks_prometheus_scrapes_every_node_by_its_own_address(swept: Swept) -> None:
    peak = next(event["t"] for event in swept.traces()[0] if event.get("phase") == "scaling_down")
    found = [series["metric"] for series in swept.prometheus.at("ray_node_cpu_count", peak)]

    assert sorted(each["node_type"] for each in found) == [ARM, ARM, "head_node", X86, X86]
    assert len({each["instance"].split(":")[0] for each in found}) == 5


def test_burning_shows_on_the_node_that_burns_and_on_no_other(swept: Swept, ray_engine: Engine) -> None:
    """One arm node burns, one x86 node idles: Ray's own metric, the container's and not the host's."""
    done = swept.lab(
        *options(swept.folder, **{"max_workers: 8": "max_workers: 1"}),
        *("--tasks", "1", "--task-seconds", "45", "--task-kind", "burn", "--task-resources", "Graviton=1"),
        *("--metrics-port", str(DEFAULT_PORT)),
    )
    assert ended_well(swept.lab, done.returncode), done.stderr + done.stdout
    task = events(swept.lab.home, "task")[0]
    assert task["arch"] == "arm64"
    begin, end = task["started"] + 20, task["ended"]  # Ray reports every 10 s
    used = {
        series["metric"]["arch"]: [float(value) for _, value in series["values"]]
        for series in swept.prometheus.over(
            'max by (arch) (ray_node_cpu_utilization{node_type=~".*_worker_node"})', begin, end
        )
    }

    assert statistics.median(used["arm64"]) >= 85, used
    assert max(used["x86_64"]) <= 10, used


def test_the_three_backends_give_the_same_kind_of_trace(swept: Swept, tmp_path: Path) -> None:
    others = {}
    for backend in ("local", "simulated"):
        other = Orchestrate(tmp_path / backend)
        cluster = tmp_path / f"{backend}.yaml"
        text = Path(cluster_file(tmp_path)).read_text()
        cluster.write_text(re.sub(r"memory: \dg", "", text.replace("docker.DockerNode", "local.LocalNode")))
        done = other(
            *("sweep", "--backend", backend, "--fit", "none", "--cluster", str(cluster), "--upscaling-speed", "5"),
            *("--tasks", "12", "--task-seconds", "8", "--json", str(tmp_path / f"{backend}.json")),
        )
        assert ended_well(other, done.returncode), done.stderr + done.stdout
        others[backend] = other.trace(), json.loads((tmp_path / f"{backend}.json").read_text())
    traces = {"docker": swept.traces()[1], **{backend: trace for backend, (trace, _) in others.items()}}
    cards = {
        "docker": swept.document["trials"][1]["scorecard"],
        **{backend: document["trials"][0]["scorecard"] for backend, (_, document) in others.items()},
    }

    for backend, trace in traces.items():
        assert_a_trace_of_the_contract(backend, trace)
    assert len({frozenset(card) for card in cards.values()}) == 1
    assert {(card["launches"], card["peak_nodes"], card["terminations"]) for card in cards.values()} == {(2, 4, 2)}


def assert_a_trace_of_the_contract(backend: str, trace: list[dict[str, Any]]) -> None:
    """What holds of every trace of that spec, whichever backend made it."""
    kinds = {event["type"] for event in trace}
    assert kinds - {"host", "note"} == {"phase", "settings", "demand", "node", "usage", "task"}, backend
    phases = [event["phase"] for event in trace if event["type"] == "phase"]
    expected = ["starting", "preparing", "submitting", "running", "scaling_down", "done"]
    assert phases == [phase for phase in expected if phase in phases], backend
    assert {"preparing", "running", "scaling_down", "done"} <= set(phases), backend
    assert all(event["as_wanted"] for event in trace if event["type"] == "settings"), backend
    workers = [event for event in trace if event["type"] == "node" and not event["is_head"]]
    assert {(event["node_type"], event["arch"], event["instance_type"]) for event in workers} == {
        (X86, "x86_64", "m7i.2xlarge"),
        (ARM, "arm64", "m8g.2xlarge"),
    }, backend
    for states in lives(trace).values():
        assert states[:4] == ["requested", "allocated", "installing", "running"], (backend, states)
        assert "draining" not in states or states[-2:] == ["draining", "terminated"], (backend, states)
    tasks = [event for event in trace if event["type"] == "task"]
    assert sum(event["count"] for event in tasks) == 12, backend
    assert {event["node_type"] for event in tasks} == {X86, ARM}, backend
    assert all(event["submitted"] <= event["started"] < event["ended"] for event in tasks), backend
    shapes = {shape for event in trace if event["type"] == "demand" for shape in event["pending"]}
    assert shapes == {"CPU=1"}, backend


# Faults


def test_struck_nodes_are_replaced_or_go_on(lab: Orchestrate, ray_engine: Engine, tmp_path: Path) -> None:
    done = lab(
        *options(tmp_path),
        *("--upscaling-speed", "5", "--tasks", "12", "--task-seconds", "8"),
        # The first update sees the new nodes after 5 s: v2 counts one that was lost just then for minutes.
        *("--fault", f"kill@9:{X86}", "--fault", f"pause@12+3:{ARM}", "--fault", f"partition@18+3:{ARM}"),
    )
    assert ended_well(lab, done.returncode), done.stderr
    faults = events(lab.home, "fault")
    nodes = events(lab.home, "node")
    killed = next(event["node"] for event in faults if event["kind"] == "kill")
    failed = next(event for event in nodes if event["node"] == killed and event["state"] == "failed")
    later = [event for event in nodes if event["state"] == "running" and event["previous"] == "installing"]
    replaced = [event for event in later if event["t"] > failed["t"] and event["node_type"] == X86]

    assert {event["kind"] for event in faults} == {"kill", "pause", "partition"}
    assert failed["cause"] == "fault"
    assert replaced, "Ray starts another node in its place"
    assert not [event for event in nodes if event["state"] == "failed" and event["node_type"] == ARM]
    assert sum(event["count"] for event in events(lab.home, "task") if event["ok"]) == 12
    assert not re.search("nodes? failed", done.stdout + done.stderr)
    assert not [event for event in events(lab.home, "note") if event["kind"] == "fault_failed"]
    assert_nothing_is_left(ray_engine, lab.home)


def test_a_node_too_slow_for_ray_becomes_a_failed_one(lab: Orchestrate, ray_engine: Engine, tmp_path: Path) -> None:
    """A twentieth of a core doesn't bring a raylet up within the 30 s that Ray gives it."""
    section = f"{X86}:\n    node_config: {{InstanceType: m7i.2xlarge, memory: 2g"
    sweep = lab.start(
        *options(tmp_path, **{section: f"{section}, cpus: 0.05", "1}\n    min_workers: 1": "1}\n    min_workers: 0"}),
        *("--upscaling-speed", "1", "--tasks", "80", "--task-seconds", "8"),
    )
    # On a busy machine it imports for half a minute before those begin.
    lab.wait_for(lambda: any(event.get("state") == "failed" for event in lab.trace()), sweep, "failed node")
    sweep.send_signal(signal.SIGINT)
    assert sweep.wait(60) == 130, lab.output()
    failed = [event for event in events(lab.home, "node") if event["state"] == "failed"]

    assert {(event["node_type"], event["cause"], event["previous"]) for event in failed} == {
        (X86, "launch", "installing")
    }
    assert all("timed out during startup" in event["detail"] for event in failed)
    assert_nothing_is_left(ray_engine, lab.home)


# Whatever is killed


def begun(lab: Orchestrate, *arguments: str) -> "subprocess.Popen[str]":
    """A sweep whose cluster has a head and a node of each type."""
    process = lab.start(*arguments, "--upscaling-speed", "5", "--tasks", "40", "--task-seconds", "8")

    def settled() -> bool:
        return {event["node_type"] for event in lab.trace() if event.get("state") == "running"} >= {X86, ARM}

    lab.wait_for(settled, process, "node of each type")
    return process


@pytest.fixture(scope="module")
def killed(ray_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Killed"]:
    """A cluster whose stack went down and whose orchestrator was killed; it runs on."""
    folder = tmp_path_factory.mktemp("killed")
    lab = in_docker(ray_engine, folder / "home")
    with the_stack(lab):
        sweep = begun(lab, *options(folder))
    assert sweep.poll() is None, lab.output()
    os.kill(sweep.pid, signal.SIGKILL)
    sweep.wait()
    yield Killed(lab, containers(ray_engine, lab.home))
    lab("clean", "--force")


@dataclass(frozen=True)
class Killed:
    """A home and its containers by node type."""

    lab: Orchestrate
    left: "dict[str, Container]"


def test_a_cluster_runs_on_when_the_stack_goes_down(killed: Killed) -> None:
    assert killed.left.keys() == {"head_node", X86, ARM}
    assert {container.status for container in killed.left.values()} == {"running"}


def test_no_container_holds_a_socket_of_the_engine_or_a_secret(killed: Killed) -> None:
    inspected = json.dumps([container.attrs for container in killed.left.values()])

    assert "docker.sock" not in inspected
    assert (killed.lab.home / "ray_token").read_text() not in inspected


def test_containers_may_do_no_more_than_they_need(killed: Killed) -> None:
    limits = {name: container.attrs["HostConfig"] for name, container in killed.left.items()}

    assert [each["CapDrop"] for each in limits.values()] == [["ALL"]] * 3
    assert [each["SecurityOpt"] for each in limits.values()] == [["no-new-privileges:true"]] * 3
    assert limits[X86]["NanoCpus"] == limits[ARM]["NanoCpus"] == 10**9
    assert limits[X86]["Memory"] == limits[ARM]["Memory"] == 2 * 2**30
    assert [each["MemorySwap"] for each in limits.values()] == [each["Memory"] for each in limits.values()]
    assert [each["ShmSize"] for each in limits.values()] == [256 * 2**20] * 3


def test_a_job_in_the_head_reaches_nothing_of_this_machine_but_the_files_of_its_outbox(killed: Killed) -> None:
    head = killed.left["head_node"]
    (folder,) = (killed.lab.home / "clusters").iterdir()
    before = {path.name for path in folder.iterdir()}
    refused = [
        "touch /orchestrate/inbox/new",
        "echo 1 > /orchestrate/inbox/nodes.json",
        "rm /orchestrate/inbox/cluster.yaml",
        "ln -sf /etc/passwd /orchestrate/inbox/replies/00-1.json",
        "ln -sf /etc/passwd /orchestrate/outbox/monitor.log",
        "rm /orchestrate/outbox/requests.jsonl",
        "echo 1 > /run/orchestrate/node.json",
        "echo 1 > /run/orchestrate/ray_token",
    ]
    own = ["touch /orchestrate/journal.jsonl", "touch /orchestrate/outbox/new", "mkfifo /orchestrate/outbox/pipe"]
    codes = {attempt: head.exec_run(["sh", "-c", attempt]).exit_code for attempt in (*refused, *own)}
    noted = head.exec_run(["sh", "-c", "echo a word >> /orchestrate/outbox/settings.jsonl"])
    writable = {mount["Destination"] for mount in head.attrs["Mounts"] if mount["RW"]}

    assert [attempt for attempt in refused if codes[attempt] == 0] == [], "what is mounted stays as it is"
    assert noted.exit_code == 0, noted.output
    assert (folder / "outbox/settings.jsonl").read_text().endswith("a word\n")
    assert writable == {f"/orchestrate/outbox/{name}" for name in ("requests.jsonl", "settings.jsonl", "monitor.log")}
    assert {path.name for path in folder.iterdir()} == before
    assert {path.name for path in (folder / "outbox").iterdir()} == {Path(path).name for path in writable}
    assert not [mount for name in (X86, ARM) for mount in killed.left[name].attrs["Mounts"] if mount["RW"]]


def test_the_head_is_reached_on_loopback_and_by_token_only(killed: Killed) -> None:
    head = killed.left["head_node"]
    published = [binding for ports in head.attrs["NetworkSettings"]["Ports"].values() for binding in ports or ()]
    dashboard = head.attrs["NetworkSettings"]["Ports"]["8265/tcp"][0]
    answer = requests.get(f"http://127.0.0.1:{dashboard['HostPort']}/api/jobs/", timeout=30)

    assert {binding["HostIp"] for binding in published} == {"127.0.0.1"}
    assert answer.status_code == 401


def test_clean_removes_what_a_killed_orchestrator_left_and_nothing_else(killed: Killed, ray_engine: Engine) -> None:
    lab, head = killed.lab, killed.left["head_node"]
    with contextlib.closing(ray_engine.client()) as client:
        foreign = client.containers.create(
            str(head.attrs["Image"]),
            name=f"{head.name}-of-somebody-else",
            labels={"dev.orchestrate.home": "/elsewhere"},
        )
        try:
            told = lab("clean", "--dry-run")
            assert told.returncode == 0, told.stderr
            assert "would remove cluster" in told.stdout
            assert "1 network" in told.stdout
            assert containers(ray_engine, lab.home).keys() == killed.left.keys()
            done = lab("clean")
            assert done.returncode == 0, done.stderr
            foreign.reload()
        finally:
            foreign.remove(force=True)
    assert_nothing_is_left(ray_engine, lab.home)
    assert "nothing to clean" in lab("clean").stdout


def test_a_head_that_is_killed_fails_the_trial_and_nothing_is_left(
    lab: Orchestrate, ray_engine: Engine, tmp_path: Path
) -> None:
    sweep = begun(lab, *options(tmp_path))
    containers(ray_engine, lab.home)["head_node"].kill("SIGKILL")

    assert sweep.wait(120) == 1, lab.output()
    assert "the head of the cluster ended" in lab.output()
    assert "Traceback" not in lab.output()
    assert_nothing_is_left(ray_engine, lab.home)


def test_a_connection_to_the_engine_that_is_cut_ends_the_sweep_and_clean_removes_the_rest(
    lab: Orchestrate, ray_engine: Engine, tmp_path: Path
) -> None:
    real = ray_engine.environment["DOCKER_HOST"]
    cuttable = CuttableSocket(tmp_path / "cut.sock", Path(real.removeprefix("unix://")))
    lab.environment["DOCKER_HOST"] = cuttable.url
    try:
        sweep = begun(lab, *options(tmp_path))
        cuttable.cut()
        code = sweep.wait(120)
        hidden = lab("clean")
    finally:
        cuttable.cut()
    lab.environment["DOCKER_HOST"] = real

    assert code in (1, 3), lab.output()
    assert "the Docker engine doesn't answer" in lab.output()
    assert "Traceback" not in lab.output()
    assert (hidden.returncode, len(hidden.stderr.strip().splitlines())) == (3, 2), hidden.stderr
    assert lab("clean").returncode == 0
    assert_nothing_is_left(ray_engine, lab.home)


def test_a_dashboard_port_that_is_taken_is_one_line_and_nothing_is_left(
    lab: Orchestrate, ray_engine: Engine, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = lab(*options(tmp_path, **{"  # dashboard_port: 8265": f"  dashboard_port: {port}"}), "--tasks", "4")

    assert done.returncode == 3, done.stderr + done.stdout
    assert "a port or address is in use" in done.stderr
    assert str(port) in done.stderr
    assert_nothing_is_left(ray_engine, lab.home)
