"""What `sweep --annotate` writes is what the boards ask Grafana for."""

import json
from typing import Any

from orchestrator.grafana.annotator import Annotator, Sink
from orchestrator.grafana.boards.build import build_all
from orchestrator.grafana.client import Grafana
from tests.support.board_queries import fill
from tests.support.builders import T0, fault, node, trial


class Kept(Sink):
    """Keeps annotations instead of sending them."""

    def __init__(self) -> None:
        super().__init__(Grafana("http://127.0.0.1:9", "token"))
        self.kept: list[Any] = []

    def add(self, annotation: Any) -> int:
        self.kept.append(annotation)
        return len(self.kept)

    def change(self, number: int, annotation: Any) -> None:
        self.kept[number - 1] = annotation


def test_a_board_shows_trials_as_regions_and_all_the_rest_on_request() -> None:
    sink, ran = Kept(), trial()
    with Annotator("5f2a90c1", sink, gather_s=0.0) as annotator:
        annotator.trial_started(1, 1, ran)
        for event in (node(T0 + 1, "n1", "requested"), fault(T0 + 2, "n1", "kill")):
            annotator.event(event)
        annotator.trial_ended(ran, None, "")
    values = {"sweep_id": "5f2a90c1", "trial_id": ran.trial_id}
    shown = {}
    for name in ("trial.json", "sweep.json"):
        for query in json.loads(build_all()[name])["annotations"]["list"]:
            if query["datasource"] == {"type": "grafana", "uid": "-- Grafana --"}:
                tags = {fill(tag, values) for tag in query["target"]["tags"]}
                found = [each for each in sink.kept if tags <= set(each.tags)]
                shown[name, query["enable"]] = [each.tags[3].removeprefix("event:") for each in found]
                assert (query["target"]["type"], query["target"]["matchAny"]) == ("tags", False)

    assert shown == {
        ("trial.json", True): ["trial"],
        ("trial.json", False): ["trial", "requested", "fault"],
        ("sweep.json", True): ["trial"],
    }
