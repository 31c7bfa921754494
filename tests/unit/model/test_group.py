"""Groups of a workload: what they may hold, what is refused, and when their members arrive."""

from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.model.group import MAX_TASKS, Group
from orchestrator.model.trial import Trial
from orchestrator.model.workload import Workload
from tests.support.builders import trial

TASKS = {"name": "load", "tasks": 4}
GANG = {"name": "gang", "placement_groups": 2, "bundles": [{"CPU": 1}, {"CPU": 2, "GPU": 1}]}


def of(*groups: dict[str, Any], **more: Any) -> Workload:
    return Workload.model_validate({"groups": groups, **more})


@pytest.mark.parametrize(
    ("group", "problem"),
    [
        ({"name": "a"}, "give the number of either tasks, actors or placement_groups"),
        ({**TASKS, "actors": 1}, "give the number of either"),
        ({**TASKS, "cpu": 1}, "cpu"),
        ({**TASKS, "tasks": MAX_TASKS + 1}, "tasks"),
        ({**TASKS, "seconds": 0}, "seconds must be above 0"),
        ({**TASKS, "seconds": -1}, "mean_s"),
        ({**TASKS, "seconds": float("nan")}, "mean_s"),
        ({**TASKS, "seconds": {"distribution": "lognormal", "mean_s": 5, "sigma": 9}}, "sigma of a lognormal"),
        ({**TASKS, "at_s": -1}, "at_s"),
        ({**TASKS, "resources": {"GPU": 1.5}}, "whole numbers of GPUs"),
        ({**TASKS, "resources": {"GPU": 1e300}}, "GPU"),
        ({**TASKS, "labels": {"market": "in("}}, "no label selector"),
        ({**TASKS, "arrival": "waves:waves=0"}, "waves"),
        ({**TASKS, "bundles": [{"CPU": 1}]}, "bundles doesn't go with tasks"),
        ({**TASKS, "at_s": 5, "after": "b"}, "at_s or after"),
        ({**TASKS, "recorded": [[0, 1]]}, "recorded has 1 tasks, and tasks is 4"),
        ({"name": "a", "recorded": [[0, 1]], "seconds": 3}, "seconds doesn't go with recorded"),
        ({**GANG, "cpus": 1}, "cpus doesn't go with placement_groups"),
        ({**GANG, "bundles": []}, "need bundles"),
        ({**GANG, "bundles": [{}]}, "a bundle needs resources"),
        ({**GANG, "strategy": "TIGHT"}, "strategy"),
    ],
)
def test_a_group_refuses_what_ray_has_no_meaning_for(group: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Group.model_validate(group)


@pytest.mark.parametrize(
    ("groups", "problem"),
    [
        ([TASKS, TASKS], "two groups have the name load"),
        ([TASKS, {**TASKS, "name": "b", "after": "c"}], "there is no group c to start after"),
        (
            [TASKS, {**TASKS, "name": "b", "after": "c"}, {**TASKS, "name": "c", "after": "b"}],
            "wait for each other: b after c after b",
        ),
        ([{**TASKS, "at_s": 5}], "no group starts at 0 s"),
        ([{**TASKS, "tasks": MAX_TASKS}, {**TASKS, "name": "b"}], "at most"),
    ],
)
def test_groups_that_do_not_go_together_are_refused(groups: list[dict[str, Any]], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        of(*groups)


def test_members_arrive_in_their_pattern_and_last_as_their_distribution_says() -> None:
    waves = Group.model_validate({**TASKS, "arrival": "waves", "waves": 2, "arrival_s": 30, "seconds": 5})
    random = Group.model_validate({**TASKS, "seconds": {"distribution": "exponential", "mean_s": 5}})

    assert waves.members(1) == [(0.0, 5.0), (0.0, 5.0), (30.0, 5.0), (30.0, 5.0)]
    assert random.members(1) == random.members(1) != random.members(2)
    assert len({seconds for _, seconds in random.members(1)}) == 4


def test_recorded_tasks_have_their_own_times() -> None:
    group = Group.model_validate({"name": "seen", "recorded": [[3, 2.5], [0, 1]], "cpus": 2})

    assert (group.count, group.members(0)) == (2, [(0.0, 1.0), (3.0, 2.5)])
    assert (group.span_s, group.longest_s, group.cpu_seconds) == (3.0, 2.5, 7.0)


def test_the_short_form_is_one_group_of_tasks() -> None:
    short = Workload(tasks=4, seconds=3, resources={"GPU": 0.5}, arrival="ramp", arrival_s=9)

    assert short.work == (
        Group.model_validate(
            {
                "name": "tasks", "tasks": 4, "seconds": 3, "resources": {"GPU": 0.5},
                "arrival": "ramp", "arrival_s": 9,
            }
        ),
    )  # fmt: skip
    assert short.features == frozenset()


def test_totals_of_groups_add_up() -> None:
    workload = of({**TASKS, "seconds": 5}, {**GANG, "seconds": 10, "after": "load"}, requests=[{"at_s": 3}])

    assert (workload.task_count, workload.cpu_seconds) == (8, 4 * 5 + 2 * 3 * 10)
    assert [need.shape for need in workload.needs] == ["CPU=1", "CPU=2,GPU=1"]
    assert workload.features == {"groups", "placement_groups", "requests"}
    assert (workload.shown("tasks"), workload.all_at_once) == (None, False)


def test_a_workload_of_groups_survives_json_and_has_an_id_of_its_own() -> None:
    one = trial().replace(
        workload=of(TASKS, {**GANG, "strategy": "SPREAD"}, requests=[{"at_s": 1, "bundles": [{"CPU": 4}]}])
    )
    other = trial().replace(workload=of(TASKS, GANG))

    assert Trial.model_validate(one.model_dump(mode="json")) == one
    assert len({trial().trial_id, one.trial_id, other.trial_id}) == 3


def test_defaults_do_not_change_the_id() -> None:
    assert of(TASKS).model_dump(mode="json") == of({**TASKS, "cpus": 1, "kind": "sleep"}).model_dump(mode="json")


def test_groups_refuse_the_fields_of_the_short_form_in_a_spec() -> None:
    from orchestrator.model.spec import WorkloadOverrides

    with pytest.raises(ValidationError, match="move tasks into a group"):
        WorkloadOverrides.model_validate({"groups": [TASKS], "tasks": 4})
