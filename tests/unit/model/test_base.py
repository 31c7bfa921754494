"""Frozen values: a copy with other values is validated as a whole."""

import pytest
from hypothesis import given
from pydantic import ValidationError

from orchestrator.model.cluster import NodeType
from orchestrator.model.trial import Trial
from tests.support.strategies import trials

WORKER = NodeType(name="worker", arch="x86_64", resources={"CPU": 8}, min_workers=1, max_workers=4)


def test_a_copy_has_the_changes_and_all_else() -> None:
    changed = WORKER.replace(min_workers=2)

    assert changed.min_workers == 2
    assert changed.replace(min_workers=1) == WORKER
    assert type(changed) is NodeType


@pytest.mark.parametrize("changes", [{"min_workers": 5}, {"max_workers": -1}, {"min_worker": 1}])
def test_a_copy_is_validated(changes: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        WORKER.replace(**changes)


@given(trials())
def test_a_copy_without_changes_is_equal(trial: Trial) -> None:
    assert trial.replace() == trial
    assert trial.replace().trial_id == trial.trial_id
