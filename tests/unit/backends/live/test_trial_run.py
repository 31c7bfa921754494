"""When a live cluster is at its baseline: requests that the cloud has refused don't count, others do."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.backends.live.trial_run import TrialRun
from orchestrator.model.snapshot import NodeRow, PendingNode, Snapshot
from orchestrator.observer.node_tracker import describe_by
from orchestrator.observer.observer import LogSources, Observer
from tests.support.builders import SHAPE, trial

WANTED = {name: count for name, count in SHAPE.baseline.items() if count}
TYPE = SHAPE.workers[0].name


class Journal:
    """Lines that a provider has written."""

    def __init__(self, *entries: tuple[str, str]) -> None:
        self._lines = [
            json.dumps({"t": 10.0 + number, "event": event, "node": node, "node_type": TYPE})
            for number, (event, node) in enumerate(entries)
        ]

    def read(self) -> list[str]:
        """Return them once."""
        lines, self._lines = self._lines, []
        return lines


def found(*entries: tuple[str, str], awaited: int) -> str | None:
    """Return what keeps a cluster from its baseline of idle nodes, while v2 awaits more nodes."""
    rows = [
        NodeRow(f"{name}-{number}", f"{name}-{number}", name, False, "idle", 1.0)
        for name, count in WANTED.items()
        for number in range(count)
    ]
    pending = (PendingNode(TYPE, count=awaited), PendingNode(TYPE, "i-1")) if awaited else ()
    view = SimpleNamespace(poll=lambda: Snapshot(t=20.0, nodes=tuple(rows), pending=pending))
    observer = Observer(view, describe_by(SHAPE), logs=LogSources(journal=Journal(*entries)), host=None)
    observer.step()
    cluster: Any = SimpleNamespace(inject=None, recover=None)
    trace: Any = SimpleNamespace(emit=lambda event: None)
    return TrialRun(trial(), trace, Path("job.log"), cluster, observer, 60.0, Path())._away_from_baseline()


REFUSED = (("requested", "a"), ("failed", "a"))


@pytest.mark.parametrize(
    ("entries", "awaited", "expected"),
    [
        ((), 0, None),
        ((), 1, "launches are still pending"),
        (REFUSED, 1, None),
        (REFUSED, 2, "launches are still pending"),
        ((*REFUSED, ("requested", "b"), ("failed", "b")), 2, None),
        ((("requested", "a"), ("allocated", "a"), ("failed", "a")), 1, "launches are still pending"),
    ],
)
def test_nodes_that_the_cloud_refused_are_not_pending(
    entries: tuple[tuple[str, str], ...], awaited: int, expected: str | None
) -> None:
    assert found(*entries, awaited=awaited) == expected


def test_a_request_without_an_answer_is_pending() -> None:
    assert "not" in (found(("requested", "a"), awaited=1) or "")
