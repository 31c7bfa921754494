"""Lines of the v2 monitor's log, as Ray 2.60 writes them."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.observer.monitorlog import InstanceTransition, LogClock, is_unread, is_v1_line, parse_line

HEAD = (
    "2026-11-23 06:45:28,581\tINFO instance_manager.py:247 -- New instance ALLOCATED "
    "(id=b6625403-7952-47f9-8496-d6b30bd4582b, type=head_node, cloud_instance_id=, ray_id=): "
    "allocated unmanaged cloud instance :558d33b619f953b85815a453898cb97dcfaeb3c93aab6c4062000636 (HEAD) from cloud "
    "provider"
)
QUEUED = (
    "2026-11-23 06:45:38,672\tINFO instance_manager.py:247 -- New instance QUEUED "
    "(id=732185c9-9dc3-49cd-9c28-32a9c46c4925, type=x86_worker_node, cloud_instance_id=, ray_id=): "
    "queuing new instance of x86_worker_node from scheduler"
)
REQUESTED = (
    "2026-11-23 06:45:38,672\tINFO instance_manager.py:263 -- Update instance QUEUED->REQUESTED "
    "(id=732185c9-9dc3-49cd-9c28-32a9c46c4925, type=x86_worker_node, cloud_instance_id=, ray_id=): "
    "requested to launch x86_worker_node with request id c0c4406d-f96b-49fb-9c23-2ced5932f93e"
)
ALLOCATED = (
    "2026-11-23 06:45:43,684\tINFO instance_manager.py:263 -- Update instance REQUESTED->ALLOCATED "
    "(id=732185c9-9dc3-49cd-9c28-32a9c46c4925, type=x86_worker_node, cloud_instance_id=, ray_id=): "
    "allocated unassigned cloud instance 86f8cd2242134188561baa1d96e3b428aa4f3decc16b51d993c85662"
)
RAY_RUNNING = (
    "2026-11-23 06:45:48,694\tINFO instance_manager.py:263 -- Update instance ALLOCATED->RAY_RUNNING "
    "(id=99279e59-699a-481f-a624-8bd500a31f3d, type=arm_worker_node, "
    "cloud_instance_id=42b3a83f175c69dc1ec367fb9b53ace3f7a63de71d7d6e3d05a2c8e7, ray_id=): "
    "ray node 42b3a83f175c69dc1ec367fb9b53ace3f7a63de71d7d6e3d05a2c8e7 is IDLE"
)
STOP_REQUESTED = (
    "2026-11-23 06:46:43,861\tINFO instance_manager.py:263 -- Update instance RAY_RUNNING->RAY_STOP_REQUESTED "
    "(id=98f14d82-2303-405e-bf80-24637e1e8273, type=x86_worker_node, "
    "cloud_instance_id=47b14e94e1426f47a15a7aa3c65c00cba13483bcb218e243be05c03a, "
    "ray_id=47b14e94e1426f47a15a7aa3c65c00cba13483bcb218e243be05c03a): "
    "draining ray: idle for 15.908 secs > timeout=15.0 secs"
)
TERMINATED = (
    "2026-11-23 06:46:18,780\tINFO instance_manager.py:263 -- Update instance ALLOCATED->TERMINATED "
    "(id=732185c9-9dc3-49cd-9c28-32a9c46c4925, type=x86_worker_node, "
    "cloud_instance_id=86f8cd2242134188561baa1d96e3b428aa4f3decc16b51d993c85662, ray_id=): "
    "cloud instance 86f8cd2242134188561baa1d96e3b428aa4f3decc16b51d993c85662 no longer found"
)
INSTALLING = ALLOCATED.replace("REQUESTED->ALLOCATED", "ALLOCATED->RAY_INSTALLING").replace(
    "cloud_instance_id=,", "cloud_instance_id=86f8,"
)
LAUNCH_FAILED = REQUESTED.replace("QUEUED->REQUESTED", "REQUESTED->ALLOCATION_FAILED").replace(
    "requested to launch x86_worker_node", "launch failed with InsufficientInstanceCapacity"
)
GARBAGE = [
    "",
    "\n",
    "InstanceType: m7i.2xlarge",
    "2026-11-23 06:45:28,637\tINFO event_logger.py:77 -- Adding 1 node(s) of type arm_worker_node.",
    "2026-11-23 06:45:38,674\tINFO node_provider.py:485 -- Launching 1 nodes of type x86_worker_node.",
    "2026-11-23 06:45:28,582\tINFO scheduler.py:1557 -- Adding 1 nodes to satisfy min count for node type: x86.",
    ALLOCATED[:150],
    ALLOCATED.replace("2026-11-23", "23.11.2026"),
    ALLOCATED.replace("->", " to "),
    "Traceback (most recent call last):",
]


@pytest.fixture(params=["UTC", "Asia/Kolkata", "America/New_York"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("line", "state"),
    [
        (HEAD, "allocated"),
        (REQUESTED, "requested"),
        (ALLOCATED, "allocated"),
        (INSTALLING, "installing"),
        (STOP_REQUESTED, "draining"),
        (TERMINATED, "terminated"),
        (LAUNCH_FAILED, "failed"),
    ],
)
def test_a_transition_that_is_a_stage_of_ours_is_read(line: str, state: str) -> None:
    found = parse_line(line)

    assert found is not None
    assert found.state == state


def test_everything_that_a_line_says_is_kept() -> None:
    found = parse_line(STOP_REQUESTED)

    assert found == InstanceTransition(
        wall=datetime(2026, 11, 23, 6, 46, 43, 861_000, tzinfo=UTC).timestamp(),
        instance="98f14d82-2303-405e-bf80-24637e1e8273",
        cloud_id="47b14e94e1426f47a15a7aa3c65c00cba13483bcb218e243be05c03a",
        node_type="x86_worker_node",
        state="draining",
        detail="draining ray: idle for 15.908 secs > timeout=15.0 secs",
    )


def test_an_instance_that_is_only_requested_has_no_cloud_id() -> None:
    found = parse_line(REQUESTED)

    assert found is not None
    assert found.cloud_id == ""


@pytest.mark.parametrize(
    ("line", "cloud_id"),
    [
        (ALLOCATED, "86f8cd2242134188561baa1d96e3b428aa4f3decc16b51d993c85662"),
        (HEAD, "558d33b619f953b85815a453898cb97dcfaeb3c93aab6c4062000636"),
    ],
)
def test_an_allocation_names_the_cloud_id_in_its_detail(line: str, cloud_id: str) -> None:
    found = parse_line(line)

    assert found is not None
    assert found.cloud_id == cloud_id


def test_without_any_other_time_a_line_is_in_the_zone_of_this_machine(zone: str) -> None:
    offsets_h = {"UTC": 0.0, "Asia/Kolkata": 5.5, "America/New_York": -5.0}
    found = parse_line(REQUESTED)

    assert found is not None
    assert LogClock().time_of(found) == pytest.approx(1795416338.672 - 3600 * offsets_h[zone], abs=1e-6)


def test_lines_of_the_v1_monitor_are_recognised() -> None:
    assert is_v1_line("2026-11-23 06:46:18,780\tINFO autoscaler.py:146 -- StandardAutoscaler: {'cluster_name': 'c'}")
    assert not any(map(is_v1_line, (HEAD, REQUESTED, STOP_REQUESTED, "")))


@pytest.mark.parametrize("prefix", ["[pod/ray-head-abcde/autoscaler] ", "ray-head-1  | "])
@pytest.mark.parametrize("stamp", ["", "2026-11-23T14:45:38.672123456Z "])
def test_the_name_of_the_pod_or_service_before_a_line_is_skipped(prefix: str, stamp: str) -> None:
    assert parse_line(prefix + stamp + ALLOCATED) == parse_line(stamp + ALLOCATED)
    assert not is_unread(prefix + stamp + ALLOCATED)


@pytest.mark.parametrize(
    "line", [ALLOCATED.replace("2026-11-23", "23.11.2026"), f"Nov 23 14:45 head ray[7]: {ALLOCATED}"]
)
def test_a_transition_in_an_unknown_form_is_recognised(line: str) -> None:
    assert parse_line(line) is None
    assert is_unread(line)
    assert not any(map(is_unread, (ALLOCATED, QUEUED, RAY_RUNNING, "", "Adding 1 node(s)")))


@pytest.mark.parametrize("line", [QUEUED, RAY_RUNNING])
def test_a_transition_that_is_no_stage_of_ours_is_passed_over(line: str) -> None:
    assert parse_line(line) is None


@pytest.mark.parametrize("line", GARBAGE)
def test_any_other_line_is_passed_over(line: str) -> None:
    assert parse_line(line) is None


@given(st.text() | st.integers(0, len(STOP_REQUESTED) - 60).map(lambda length: STOP_REQUESTED[:length]))
def test_no_text_is_an_error(line: str) -> None:
    assert parse_line(line) is None


@pytest.mark.parametrize("when", ["2026-99-99 99:99:99,999", "2026-02-30 06:45:28,581", "0000-01-01 00:00:00,000"])
def test_a_time_that_never_was_is_passed_over(when: str) -> None:
    assert parse_line(when + ALLOCATED[23:]) is None
