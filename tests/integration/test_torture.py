"""A part of `make torture`: a simulated sweep struck at dozens of points, and two hundred bad inputs."""

import shutil
import subprocess
import sys

from tests.support.orchestrate_command import ROOT, clean_environment
from tests.support.requirements import require

# The points and the inputs that a seed of its own chooses.
SEED = "11"


def tortured(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.torture", *arguments, "--seed", SEED],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=1200,
    )

    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


def test_nothing_is_lost_wherever_a_sweep_is_struck() -> None:
    require("strace", shutil.which("strace") is not None, "apt install strace")
    tortured("points", "--points", "40")


def test_no_bad_input_ends_in_a_traceback() -> None:
    tortured("inputs", "--inputs", "200")
