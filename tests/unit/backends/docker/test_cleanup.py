"""What belongs to a home's clusters in an engine is found by its labels and removed; nothing else is touched."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.backends.base import Orphan
from orchestrator.backends.docker import labels
from orchestrator.backends.docker.cleanup import REMOVAL_S, find_orphans, remove_all
from orchestrator.errors import ClusterFailed, MissingPrerequisite
from tests.support.fake_docker_sdk import GONE, not_found, refused


class Thing:
    """A container or a network."""

    def __init__(self, engine: "Engine", name: str, marks: dict[str, str]) -> None:
        self.name = name
        self.labels = marks
        self.attrs = {"Labels": marks}
        self.refusal: Exception | None = None
        self._engine = engine

    def remove(self, **_how: bool) -> None:
        if self.refusal is not None:
            raise self.refusal
        if self.name.startswith("network") and self._engine.containers_of(self):
            raise refused(403, f"error while removing network: {self.name} has active endpoints")
        self._engine.things.remove(self)


class Engine:
    """Lists by labels, as the real one does: all of them have to be there. Time passes only while somebody sleeps.

    A cluster's network is held by its containers.
    """

    def __init__(self) -> None:
        self.things: list[Thing] = []
        self.away: Exception | None = None
        self.now = 0.0
        self.meanwhile: Callable[[], object] = lambda: None

    def containers_of(self, network: Thing) -> list[Thing]:
        things = [thing for thing in self.things if thing.name.startswith("container")]
        return [thing for thing in things if network.labels.items() <= thing.labels.items()]

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile()

    def add(self, name: str, marks: dict[str, str]) -> Thing:
        self.things.append(Thing(self, name, marks))
        return self.things[-1]

    def names(self) -> list[str]:
        return [thing.name for thing in self.things]

    @property
    def containers(self) -> "Listing":
        return Listing(self, "container")

    @property
    def networks(self) -> "Listing":
        return Listing(self, "network")


class Listing:
    def __init__(self, engine: Engine, kind: str) -> None:
        self._engine, self._kind = engine, kind

    def list(self, *, filters: dict[str, Any], all: bool = False, ignore_removed: bool = False) -> list[Thing]:
        if self._engine.away is not None:
            raise self._engine.away
        assert self._kind == "network" or (all and ignore_removed), "one that has ended is left, too"
        wanted = dict(label.split("=", 1) for label in filters["label"])
        things = [thing for thing in self._engine.things if thing.name.startswith(self._kind)]
        return [thing for thing in things if wanted.items() <= thing.labels.items()]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def engine(home: Path) -> Any:
    """Two clusters of this home, one of another, and a stranger of a similar name."""
    engine = Engine()
    for name, marks in (
        ("container-a-head", labels.cluster_labels(home, "a")),
        ("container-a-worker", labels.cluster_labels(home, "a")),
        ("network-a", labels.cluster_labels(home, "a")),
        ("container-b-head", labels.cluster_labels(home, "b")),
        ("container-of-another-home", labels.cluster_labels(home.with_name("home2"), "a")),
        ("container-a-stranger", {"owner": "somebody"}),
    ):
        engine.add(name, marks)
    return engine


def test_what_is_left_is_found_by_cluster(engine: Any, home: Path) -> None:
    assert find_orphans(engine, home) == [
        Orphan("a", {"container": ("container-a-head", "container-a-worker"), "network": ("network-a",)}),
        Orphan("b", {"container": ("container-b-head",), "network": ()}),
    ]


def test_a_container_of_no_cluster_says_whose_it_is(engine: Any, home: Path) -> None:
    marks = labels.lone_labels(home)
    engine.add("container-alone", marks)
    found = find_orphans(engine, home)[-1]

    assert found == Orphan(marks[labels.CLUSTER], {"container": ("container-alone",), "network": ()}, in_use=True)
    assert len({labels.lone_labels(home)[labels.CLUSTER] for _ in range(100)}) == 100


def test_a_cluster_is_removed_and_nothing_else(engine: Any, home: Path) -> None:
    remove_all(engine, home, "a")
    remove_all(engine, home, "a")

    assert engine.names() == ["container-b-head", "container-of-another-home", "container-a-stranger"]


def removed(engine: Engine, home: Path) -> None:
    """Remove cluster a, as in a moment in which nothing else takes time."""
    remove_all(engine, home, "a", clock=engine.clock, sleep=engine.sleep)  # type: ignore[arg-type]


def test_what_is_gone_when_its_turn_comes_is_no_error(engine: Any, home: Path) -> None:
    engine.things[0].refusal = not_found()
    engine.things[2].refusal = not_found()
    removed(engine, home)

    assert "container-a-worker" not in engine.names()
    assert engine.now == 0


def test_a_container_whose_removal_is_under_way_is_waited_for(engine: Any, home: Path) -> None:
    going = engine.things[0]
    going.refusal = refused(409, "removal of container a is already in progress")
    engine.meanwhile = lambda: engine.now > 5 and going in engine.things and engine.things.remove(going)
    removed(engine, home)

    assert engine.names() == ["container-b-head", "container-of-another-home", "container-a-stranger"]
    assert engine.now > 5


def test_one_that_stays_keeps_no_other_from_going_and_is_said_in_one_line(engine: Any, home: Path) -> None:
    engine.things[0].refusal = refused(500, "could not kill: no such process\ndetails")
    with pytest.raises(ClusterFailed) as failed:
        removed(engine, home)

    assert failed.value.message == "removing the cluster's containers: could not kill: no such process"
    assert "container-a-worker" not in engine.names()
    assert REMOVAL_S <= engine.now < REMOVAL_S + 1


def test_an_engine_that_is_away_is_a_missing_prerequisite(engine: Any, home: Path) -> None:
    engine.away = GONE
    for act in (lambda: find_orphans(engine, home), lambda: remove_all(engine, home, "a")):
        with pytest.raises(MissingPrerequisite, match="the Docker engine doesn't answer"):
            act()


def test_a_home_has_the_same_labels_from_wherever_it_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    monkeypatch.chdir(home)

    assert labels.cluster_labels(Path(), "a") == labels.cluster_labels(home, "a")
    assert labels.label_filter(Path("../home")) == labels.label_filter(home)


def test_the_filter_finds_what_a_cluster_carries(home: Path) -> None:
    carried = [f"{key}={value}" for key, value in labels.cluster_labels(home, "a").items()]

    assert labels.label_filter(home, "a") == {"label": carried}
    assert labels.label_filter(home) == {"label": carried[:1]}
