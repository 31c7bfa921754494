"""Which backends there are: the built-in ones, and those of other packages, of which none can break the others."""

import re
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.backends import registry
from orchestrator.backends.base import BackendKind
from orchestrator.backends.registry import AWS, DOCKER, LOCAL, SIMULATED
from orchestrator.errors import InputError, MissingPrerequisite
from orchestrator.inputs.cluster_config import read_cluster_file
from orchestrator.simulator.fault_driver import POSSIBLE

PACKAGE = Path(__file__).parents[3] / "orchestrator"
MOON = BackendKind("moon", "landers on the moon", Path, LOCAL.create)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The entry points of other packages."""
    points: list[Any] = []
    monkeypatch.setattr(registry, "_entry_points", lambda: points)
    return points


def point(name: str, loaded: object) -> Any:
    """An entry point that loads this, or raises it."""

    def load() -> object:
        if isinstance(loaded, Exception):
            raise loaded
        return loaded

    return SimpleNamespace(name=name, value=f"{name}lab:KIND", load=load, dist=SimpleNamespace(name=f"{name}-lab"))


def test_there_are_four_built_in_backends(installed: list[Any]) -> None:
    assert registry.names() == ("local", "docker", "aws", "simulated")
    assert registry.kinds() == (LOCAL, DOCKER, AWS, SIMULATED)


@pytest.mark.parametrize("kind", registry.BUILT_IN, ids=lambda kind: kind.name)
def test_the_default_cluster_file_of_each_is_one_that_it_accepts(kind: BackendKind) -> None:
    kind.check(read_cluster_file(kind.default_cluster()))


def test_the_simulated_backend_offers_the_faults_that_the_simulator_can_cause() -> None:
    assert SIMULATED.faults == POSSIBLE


def test_a_backend_of_another_package_is_one_more(installed: list[Any]) -> None:
    installed.append(point("moon", MOON))

    assert registry.names() == ("local", "docker", "aws", "simulated", "moon")
    assert registry.kind("moon") is MOON
    assert registry.kinds()[-1] is MOON


def test_a_name_that_is_none_is_an_error_with_the_nearest_one(installed: list[Any]) -> None:
    with pytest.raises(InputError, match="there is no backend 'dock'") as refused:
        registry.kind("dock")

    assert refused.value.hint == "did you mean docker? there are local, docker, aws, simulated"
    assert registry.find("dock") is None
    assert registry.real_time("dock")
    assert not registry.real_time("simulated")


@pytest.mark.parametrize(
    ("loaded", "why"),
    [
        (ModuleNotFoundError("No module named 'rocket'"), "ModuleNotFoundError: No module named 'rocket'"),
        (ZeroDivisionError("oops"), "ZeroDivisionError: oops"),
        ("a string", "moonlab:KIND is no BackendKind"),
        (BackendKind("mars", "", Path, LOCAL.create), "moonlab:KIND calls itself 'mars'"),
    ],
)
def test_a_package_that_cannot_be_used_is_named_and_the_others_go_on(
    installed: list[Any], loaded: object, why: str
) -> None:
    installed.append(point("moon", loaded))
    with pytest.raises(MissingPrerequisite) as refused:
        registry.kind("moon")

    assert refused.value.message == f"the backend moon of the package moon-lab can't be used: {why}"
    assert registry.kinds() == registry.BUILT_IN
    (unusable,) = (each for each in registry.all_backends() if not isinstance(each, BackendKind))
    assert unusable.error.message == refused.value.message


def test_no_package_replaces_a_built_in_backend(installed: list[Any]) -> None:
    installed.append(point("local", BackendKind("local", "elsewhere", Path, DOCKER.create)))

    assert registry.kind("local") is LOCAL
    assert "its name is taken" in str(next(e for e in registry.all_backends() if not isinstance(e, BackendKind)).error)


def test_entry_points_are_those_of_our_group(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def entry_points(**wanted: str) -> list[EntryPoint]:
        asked.append(wanted)
        return [EntryPoint("b", "b:KIND", registry.GROUP), EntryPoint("a", "a:KIND", registry.GROUP)]

    monkeypatch.setattr(registry, "entry_points", entry_points)

    assert registry.names()[4:] == ("a", "b")
    assert asked == [{"group": "orchestrate.backends"}]


def test_no_other_module_compares_with_the_name_of_a_backend() -> None:
    """The name of a backend, as a string of its own, is in the registry's modules and in defaults of stored data."""
    names = re.compile(r"""["'](local|docker|aws|simulated)["']""")
    allowed = {
        *(f"backends/{name}/{file}.py" for name in registry._BUILT_IN for file in ("kind", "backend", "cluster")),
        "aws/preflight.py",  # what needs an answer
        "backends/aws/bootstrap.py",  # a key of Ray's
        "backends/docker/labels.py",
        "backends/docker/questions.py",  # what needs an answer
        "backends/live/ownership.py",  # owner files of earlier versions name no backend
        "inputs/cluster_config.py",  # a provider of Ray's
        "inputs/foreign_files.py",
        "inputs/launch_profiles.py",
        "rayapi/cluster_file.py",
        "model/spec.py",  # the default, which recorded specs rely on
        "rayapi/virtual/autoscaler_v1.py",  # these name a session of Ray
        "rayapi/virtual/autoscaler_v2.py",
        "rayapi/virtual/config.py",
        "report/terminal/progress.py",  # these head a column, or a bar
        "report/terminal/replay.py",
        "stack/compose.py",  # the program
    }
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if any(names.search(line.partition("#")[0]) for line in path.read_text().splitlines())
    }

    assert found <= allowed, found - allowed
