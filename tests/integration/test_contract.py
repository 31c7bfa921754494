"""What users and their stored data rely on doesn't change by accident."""

import copy
import json
from typing import Any

import pytest

from tests.support.contract import GOLDEN, differences, record

pytestmark = pytest.mark.quick

ACCEPT = "If you intend this change, run `make contract` and commit tests/contract/golden.json with it."


@pytest.fixture(scope="module")
def golden() -> Any:
    return json.loads(GOLDEN.read_text())


def test_the_contract_is_kept(golden: Any) -> None:
    changed = list(differences(golden, record()))

    if changed:
        pytest.fail("\n".join([f"The contract changed in {len(changed)} keys:", *changed, ACCEPT]), pytrace=False)


def test_a_difference_is_one_line_that_names_its_key(golden: Any) -> None:
    changed = copy.deepcopy(golden)
    trial = changed["sweeps"]["seed"]["show"]["trials"][2]
    before, trial["scorecard"]["launches"] = trial["scorecard"]["launches"], 99
    trial["note"] = "new"
    columns = changed["sweeps"]["faults"]["tables"]["nodes"]["columns"]
    last = columns.pop()

    assert list(differences(golden, golden)) == []
    assert list(differences(golden, changed)) == [
        f"sweeps.seed.show.trials[2].scorecard.launches: {before} -> 99",
        'sweeps.seed.show.trials[2].note: added, "new"',
        f'sweeps.faults.tables.nodes.columns[{len(columns)}]: removed, was "{last}"',
    ]


def test_the_golden_contract_has_every_part(golden: Any) -> None:
    seed, faults = (golden["sweeps"][name] for name in ("seed", "faults"))

    assert len(set(seed["trial_ids"])) == len(set(seed["trace_sha256"].values())) == 12
    assert len(set(faults["trial_ids"])) == 2
    assert all(trial["scorecard"]["faults"] > 0 for trial in faults["show"]["trials"])
    assert all(table["rows"] > 0 for table in faults["tables"].values())
    assert "orchestrator_scorecard" in golden["metrics"]["ended"]["families"]
    assert len(golden["boards"]) == 6
