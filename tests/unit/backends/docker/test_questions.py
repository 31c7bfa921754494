"""What the engine's answers mean for nodes of the other architecture: real ones take an emulator and an image."""

import pytest

from orchestrator.backends.docker import questions
from orchestrator.backends.docker.daemon import DaemonFacts
from orchestrator.backends.docker.questions import Daemon, foreign_nodes
from orchestrator.model.arch import Arch
from orchestrator.readiness import Finding


def asked(
    monkeypatch: pytest.MonkeyPatch, arch: Arch, *foreign: Arch, image: str = "absent", desktop: bool = False
) -> Finding:
    """Of an engine with this architecture that emulates others, and has the other's default image in this state."""
    daemon = Daemon()
    daemon.__dict__["client"] = None
    daemon.__dict__["facts"] = DaemonFacts("27.0", 2, 2**34, arch, False, desktop, "2", frozenset(foreign))

    def state(_client: object, wanted: Arch) -> tuple[str, str]:
        return f"orchestrate-ray:{wanted}", image if wanted in foreign else "present"

    monkeypatch.setattr(questions, "default_image_state", state)
    return foreign_nodes(daemon)


def test_without_an_emulator_they_are_a_label(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(monkeypatch, "x86_64")

    assert found.state == "warning"
    assert found.detail == "x86_64 nodes are native, arm64 ones too, with their architecture as a label only"
    assert "apt install qemu-user-static" in found.hint


def test_without_an_image_an_emulator_makes_none_real(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(monkeypatch, "x86_64", "arm64")

    assert found.state == "warning"
    assert found.detail.endswith("as a label only: qemu could emulate them, but orchestrate-ray:arm64 isn't here")
    assert "docs/docker.md" in found.hint


@pytest.mark.parametrize("image", ["present", "stale"])
def test_with_both_they_are_emulated(monkeypatch: pytest.MonkeyPatch, image: str) -> None:
    assert asked(monkeypatch, "x86_64", "arm64", image=image) == Finding(
        "ok", "x86_64 nodes are native, arm64 ones emulated by qemu, from orchestrate-ray:arm64"
    )


def test_an_arm_machine_is_asked_for_the_other_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, "arm64", "x86_64", image="present", desktop=True) == Finding(
        "ok", "arm64 nodes are native, x86_64 ones emulated by Docker Desktop, from orchestrate-ray:x86_64"
    )


def test_an_engine_of_an_unknown_architecture_runs_all_by_label(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, "unknown").state == "warning"
