"""Abandoned clusters: found by folder, and by what their backends report, while a running one is left alone."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pytest

from orchestrator.backends import registry
from orchestrator.backends.base import BackendKind, BackendRequest, Cloud, Orphan
from orchestrator.backends.cleanup import Search, find_abandoned, remove
from orchestrator.backends.live.ownership import Owner
from orchestrator.errors import MissingPrerequisite
from orchestrator.liveness import Lock

ALIVE = Owner.this_process("a", "", "", backend="moon")
DEAD = replace(ALIVE, pid=2**22 + 1)


@dataclass
class Moon:
    """A backend whose clusters have the parts in `orphans`; asking for them may fail."""

    orphans: list[Orphan] = field(default_factory=list)
    fault: Exception | None = None
    removed: list[str] = field(default_factory=list)

    def find(self, home: Path) -> Iterable[Orphan]:
        if self.fault is not None:
            raise self.fault
        return self.orphans

    @property
    def kind(self) -> BackendKind:
        def create(request: BackendRequest) -> object:
            raise AssertionError("no sweep runs here")

        return BackendKind(
            "moon",
            "nothing",
            Path,
            create,  # type: ignore[arg-type]
            orphans=self.find,
            remove=lambda home, cluster_id: self.removed.append(cluster_id),
        )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def moon(monkeypatch: pytest.MonkeyPatch) -> Moon:
    """The only backend there is."""
    moon = Moon()
    monkeypatch.setattr(registry, "BUILT_IN", ())
    monkeypatch.setattr(registry, "_BUILT_IN", {"moon": moon.kind})
    return moon


def owned(home: Path, cluster_id: str, owner: Owner) -> str:
    folder = home / "clusters" / cluster_id
    folder.mkdir(parents=True)
    (folder / "owner.json").write_text(json.dumps(asdict(owner)))
    return str(folder)


def found(home: Path, *, force: bool = False) -> dict[str, dict[str, tuple[str, ...]]]:
    """The parts of abandoned clusters, without the kinds that there are none of."""
    search = find_abandoned(home, force=force)
    assert search.problem() is None
    return {
        each.cluster_id: {kind: names for kind, names in each.orphan.parts.items() if names} for each in search.clusters
    }


def test_a_cluster_whose_orchestrator_runs_is_left_alone(home: Path, moon: Moon) -> None:
    folder = owned(home, "a", ALIVE)
    moon.orphans = [Orphan("a", {"lander": ("head",)})]

    assert found(home) == {}
    assert found(home, force=True) == {"a": {"lander": ("head",), "folder": (folder,)}}


def test_a_cluster_whose_orchestrator_is_gone_is_found_with_all_its_parts(home: Path, moon: Moon) -> None:
    folder = owned(home, "a", DEAD)
    moon.orphans = [Orphan("a", {"lander": ("head", "worker"), "folder": ("/tmp/scratch",)})]

    assert found(home) == {"a": {"lander": ("head", "worker"), "folder": (folder, "/tmp/scratch")}}
    (cluster,) = find_abandoned(home).clusters
    assert cluster.orphan.describe() == "2 landers, 2 folders"


@pytest.mark.parametrize("in_use", [None, False])
def test_parts_without_a_folder_are_found(home: Path, moon: Moon, in_use: bool | None) -> None:
    moon.orphans = [Orphan("a", {"lander": ("head",)}, in_use)]

    assert found(home) == {"a": {"lander": ("head",)}}


def test_parts_that_say_that_they_are_in_use_are_left_alone(home: Path, moon: Moon) -> None:
    moon.orphans = [Orphan("a", {"lander": ("probe",)}, in_use=True)]

    assert found(home) == {}
    assert found(home, force=True) == {"a": {"lander": ("probe",)}}


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"kustomization.yaml": "kind: Kustomization"},
        {"owner.json": "{}"},
        {"owner.json": '{"owner": "team-a"}'},
        {"owner.json": DEAD.as_json()},  # of cluster a: a copy of its folder, not a cluster's own
    ],
)
def test_a_folder_without_proof_is_never_removed_whatever_its_age(
    home: Path, moon: Moon, content: dict[str, str]
) -> None:
    folder = home / "clusters" / "production"
    folder.mkdir(parents=True)
    for name, text in content.items():
        (folder / name).write_text(text)
    os.utime(folder, (0, 0))
    moon.orphans = [Orphan("production", {"lander": ("head",)})]  # a marker that somebody else wrote

    search = find_abandoned(home, force=True)
    for cluster in search.clusters:
        remove(home, cluster)

    assert sorted(path.name for path in folder.iterdir()) == sorted(content)
    assert found(home, force=True) == {"production": {"lander": ("head",)}}


def test_folders_without_proof_are_named(home: Path, moon: Moon) -> None:
    (home / "clusters" / "staging").mkdir(parents=True)

    assert find_abandoned(home).foreign == (home / "clusters" / "staging",)


def test_a_link_to_a_folder_elsewhere_is_never_followed(home: Path, moon: Moon, tmp_path: Path) -> None:
    elsewhere = tmp_path / "a"
    elsewhere.mkdir()
    (elsewhere / "owner.json").write_text(DEAD.as_json())
    (home / "clusters").mkdir(parents=True)
    (home / "clusters" / "a").symlink_to(elsewhere)

    assert found(home) == {}
    assert (elsewhere / "owner.json").is_file()


@pytest.mark.parametrize("cluster_id", ["../../etc", "..", ".", "", "a/b", "a\n", "x" * 99])
def test_ids_that_could_lead_elsewhere_are_no_clusters(home: Path, moon: Moon, cluster_id: str) -> None:
    moon.orphans = [Orphan(cluster_id, {"lander": ("head",)})]

    assert found(home, force=True) == {}


def test_a_folder_that_was_being_made_or_removed_by_a_killed_process_is_found(home: Path, moon: Moon) -> None:
    folder = home / "clusters" / f".0a0b0c0d.{DEAD.pid}"
    folder.mkdir(parents=True)
    (home / "clusters" / f".0a0b0c0e.{os.getpid()}").mkdir()
    (home / "clusters" / f".0a0b0c0f.{DEAD.pid}").mkdir()
    (home / "clusters" / f".0a0b0c0f.{DEAD.pid}" / "notes.txt").write_text("mine")
    (cluster,) = find_abandoned(home).clusters
    remove(home, cluster)

    assert sorted(path.name for path in (home / "clusters").iterdir()) == [
        f".0a0b0c0e.{os.getpid()}",
        f".0a0b0c0f.{DEAD.pid}",
    ]


def test_a_cluster_whose_lock_is_held_is_left_alone_even_if_its_process_seems_to_be_gone(
    home: Path, moon: Moon
) -> None:
    """The process may be in another container, or the clock may have moved."""
    folder = Path(owned(home, "a", DEAD))
    lock = Lock.take(folder / "lock")
    assert lock is not None

    assert found(home) == {}

    lock.release()

    assert found(home) == {"a": {"folder": (str(folder),)}}


def test_a_removal_that_is_cut_short_leaves_the_proof(home: Path, moon: Moon, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(owned(home, "a", DEAD))
    (folder / "a-first.txt").write_text("")
    (folder / "z-last.txt").write_text("")

    def killed(path: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "unlink", killed)
    with pytest.raises(KeyboardInterrupt):
        remove(home, find_abandoned(home).clusters[0])
    monkeypatch.undo()

    assert (folder / "owner.json").is_file()


def test_two_cleans_at_once_both_end_well(home: Path, moon: Moon) -> None:
    folder = Path(owned(home, "a", DEAD))
    (cluster,) = find_abandoned(home).clusters
    remove(home, cluster)
    remove(home, cluster)

    assert not folder.exists()
    assert list((home / "clusters").iterdir()) == []


def test_removing_a_cluster_ends_its_parts_and_then_its_folder(home: Path, moon: Moon) -> None:
    folder = owned(home, "a", DEAD)
    (cluster,) = find_abandoned(home).clusters
    remove(home, cluster)

    assert moon.removed == ["a"]
    assert not Path(folder).exists()


# Backends that can't look


def hidden(search: Search) -> str:
    problem = search.problem()
    assert problem is not None
    return problem.message


@pytest.mark.parametrize("fault", [MissingPrerequisite("the sky is cloudy"), KeyError("crater")])
def test_a_folder_stays_while_its_backend_cannot_look(home: Path, moon: Moon, fault: Exception) -> None:
    owned(home, "a", DEAD)
    moon.fault = fault
    search = find_abandoned(home)

    assert search.clusters == []
    assert str(fault) in hidden(search)
    assert "moon: " in hidden(search)


def test_a_folder_stays_while_its_backend_is_not_installed(home: Path, moon: Moon) -> None:
    owned(home, "a", replace(DEAD, backend="mars"))
    search = find_abandoned(home)

    assert search.clusters == []
    assert hidden(search).endswith("mars: it isn't installed")


def test_a_built_in_backend_that_cannot_look_matters_only_where_it_was_used(
    home: Path, moon: Moon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "BUILT_IN", (moon.kind,))
    moon.fault = MissingPrerequisite("there is no Docker engine")

    assert found(home) == {}

    owned(home, "a", DEAD)

    assert "there is no Docker engine" in hidden(find_abandoned(home))


# Backends in a cloud


def cloudy(moon: Moon) -> BackendKind:
    """The same backend as one whose account is in a cloud."""
    no = Cloud(*[lambda *arguments: None] * 6)  # type: ignore[arg-type]
    return replace(moon.kind, cloud=no)


def test_an_account_in_a_cloud_is_asked_only_if_its_backend_is_named(
    home: Path, moon: Moon, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = cloudy(moon)
    monkeypatch.setattr(registry, "BUILT_IN", (kind,))
    monkeypatch.setattr(registry, "_BUILT_IN", {"moon": kind})
    moon.orphans = [Orphan("a", {"lander": ("head",)}, in_use=False, details=("lander head: on the moon",), usd=2.5)]

    assert found(home) == {}

    (cluster,) = find_abandoned(home, only=kind).clusters

    assert (cluster.orphan.parts["lander"], cluster.orphan.usd) == (("head",), 2.5)
    assert cluster.orphan.details == ("lander head: on the moon",)

    owned(home, "a", DEAD)

    assert "orchestrate clean --backend moon" in str(find_abandoned(home).problem().hint)  # type: ignore[union-attr]


def test_only_clusters_of_the_named_backend_are_found(home: Path, moon: Moon) -> None:
    owned(home, "a", DEAD)
    owned(home, "b", replace(DEAD, backend="local"))
    search = find_abandoned(home, only=moon.kind)

    assert [cluster.cluster_id for cluster in search.clusters] == ["a"]


def test_a_cluster_in_use_is_told_with_its_owner(home: Path, moon: Moon) -> None:
    moon.orphans = [Orphan("a", {"lander": ("head",)}, in_use=True, owner="alice until noon")]
    search = find_abandoned(home, only=moon.kind)

    assert (search.clusters, [each.owner for each in search.in_use]) == ([], ["alice until noon"])


def test_a_named_backend_that_cannot_look_always_matters(home: Path, moon: Moon) -> None:
    moon.fault = MissingPrerequisite("the sky is cloudy")

    assert "the sky is cloudy" in hidden(find_abandoned(home, only=moon.kind))


def test_what_was_found_elsewhere_is_removed_there(home: Path, moon: Moon) -> None:
    moon.orphans = [Orphan("a", {"lander": ("head",)}, in_use=False)]
    elsewhere: list[str] = []
    there = replace(moon.kind, remove=lambda home, cluster_id: elsewhere.append(cluster_id))
    (cluster,) = find_abandoned(home, only=there).clusters
    remove(home, cluster, there)

    assert (elsewhere, moon.removed) == (["a"], [])
