"""What killed runs left: found by folder, process and label, while what a running one needs is let alone."""

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestrator.backends.cleanup import Leftover, find_leftovers
from orchestrator.backends.docker import cleanup as remains
from orchestrator.backends.docker import daemon
from orchestrator.backends.docker.cleanup import Remains
from orchestrator.backends.live.ownership import Owner

ALIVE = Owner.this_process("a", "", "", backend="docker")
DEAD = replace(ALIVE, pid=2**22 + 1)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> dict[str, Remains]:
    """What the engine has of the home's clusters, by their ids."""
    found: dict[str, Remains] = {}
    monkeypatch.setattr(daemon, "connect", lambda: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(remains, "find_remains", lambda client, home: found)
    return found


def owned(home: Path, cluster_id: str, owner: Owner) -> str:
    folder = home / "clusters" / cluster_id
    folder.mkdir(parents=True)
    (folder / "owner.json").write_text(json.dumps(asdict(owner)))
    return str(folder)


def clusters(home: Path, *, force: bool = False) -> list[Leftover]:
    return find_leftovers(home, force=force).clusters


def test_a_cluster_whose_orchestrator_runs_is_let_alone(home: Path, left: dict[str, Remains]) -> None:
    folder = owned(home, "a", ALIVE)
    left["a"] = Remains(["head"], ["network"])

    assert clusters(home) == []
    assert clusters(home, force=True) == [Leftover("a", [], [folder], ["head"], ["network"])]


def test_one_whose_orchestrator_is_gone_is_found_with_all_it_has(home: Path, left: dict[str, Remains]) -> None:
    folder = owned(home, "a", DEAD)
    left["a"] = Remains(["head"], ["network"])

    assert clusters(home) == [Leftover("a", [], [folder], ["head"], ["network"])]


@pytest.mark.parametrize("what", [Remains(["head"]), Remains(networks=["network"]), Remains(["probe"], owner=DEAD)])
def test_what_nobody_owns_is_found_without_a_folder(home: Path, left: dict[str, Remains], what: Remains) -> None:
    left["a"] = what

    assert clusters(home) == [Leftover("a", [], [], what.containers, what.networks)]


def test_a_container_of_no_cluster_is_let_alone_while_whose_it_is_runs(home: Path, left: dict[str, Remains]) -> None:
    left["a"] = Remains(["probe"], owner=ALIVE)

    assert clusters(home) == []
    assert clusters(home, force=True) == [Leftover("a", [], [], ["probe"], [])]


def test_a_folder_without_an_owner_is_let_alone_while_it_is_young(home: Path, left: dict[str, Remains]) -> None:
    folder = home / "clusters" / "a"
    folder.mkdir(parents=True)

    assert clusters(home) == []

    os.utime(folder, (0, 0))

    assert clusters(home) == [Leftover("a", [], [str(folder)], [], [])]
