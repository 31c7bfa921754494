"""The architecture that a node type's containers have: its own where the engine runs it, else only by label."""

import pytest

from orchestrator.backends.docker.backend import _arch_to_run
from orchestrator.model.arch import Arch


@pytest.mark.parametrize(
    ("wanted", "native", "real", "found"),
    [
        ("x86_64", "x86_64", True, "x86_64"),
        ("arm64", "arm64", True, "arm64"),
        ("unknown", "x86_64", False, "x86_64"),
        ("unknown", "arm64", False, "arm64"),
        ("arm64", "x86_64", True, "arm64"),
        ("x86_64", "arm64", True, "x86_64"),
    ],
)
def test_a_type_runs_on_its_architecture_where_that_can_be(wanted: Arch, native: Arch, real: bool, found: Arch) -> None:
    assert _arch_to_run(wanted, native, real=real) == (found, "")


def test_an_architecture_that_cannot_be_run_is_a_label_and_it_is_said_why() -> None:
    assert _arch_to_run("arm64", "x86_64", real=False) == ("x86_64", "this machine can't run its programs")
