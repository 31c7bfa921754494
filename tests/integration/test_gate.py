"""The gate for pull requests: a changed cluster file passes, is breached or stays undecided, as an exit code."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.orchestrate_command import ROOT, clean_environment

ACTION = ROOT / ".github/actions/autoscaler-gate"
SMALL = "--tasks 64 --task-seconds 120"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """The built-in cluster file, and one whose machines take two minutes longer to boot."""
    base, head = tmp_path / "base.yaml", tmp_path / "head.yaml"
    text = (ROOT / "cluster/simulated.yaml").read_text()
    slower, changed = re.subn(r"(boot: .*mean_s: )23\.5", r"\g<1>143.5", text)
    assert changed == 1
    base.write_text(text)
    head.write_text(slower)
    return base, head


@pytest.mark.parametrize(
    ("repeat", "swapped", "code"),
    [("3", False, 4), ("3", True, 0), ("1", False, 5)],
    ids=["breached", "passed", "undecided"],
)
def test_a_slower_cluster_file_fails(
    files: tuple[Path, Path], tmp_path: Path, repeat: str, swapped: bool, code: int
) -> None:
    base, head = reversed(files) if swapped else files
    output, summary = tmp_path / "output", tmp_path / "summary"
    (step,) = yaml.safe_load((ACTION / "action.yml").read_text())["runs"]["steps"]
    environment = clean_environment(
        BASE=str(base),
        HEAD=str(head),
        FAIL_IF="makespan_s>+10%",
        UNDECIDED="error",
        REPEAT=repeat,
        SIMULATE=SMALL,
        COLUMNS="120",
        RUNNER_TEMP=str(tmp_path),
        GITHUB_OUTPUT=str(output),
        GITHUB_STEP_SUMMARY=str(summary),
        GITHUB_ACTION_PATH=str(ACTION),
    )
    done = subprocess.run(["bash", "-c", step["run"]], env=environment, capture_output=True, text=True, cwd=tmp_path)

    assert done.returncode == code, done.stderr
    comment = Path(output.read_text().strip().removeprefix("comment="))
    assert comment.read_text() == summary.read_text()
    assert "makespan s" in comment.read_text()
    assert "fail-if: makespan_s>+10%" in comment.read_text()
