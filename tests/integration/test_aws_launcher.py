"""The process of Ray's launcher, which may not outlive its orchestrator: it could launch machines that nobody ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from orchestrator.rayapi import launcher


def test_the_launcher_ends_with_its_orchestrator(tmp_path: Path) -> None:
    config = tmp_path / "ray-up.yaml"
    os.mkfifo(config)  # nobody writes the config, so the launcher waits for it
    command = [sys.executable, "-P", "-m", launcher.__name__, str(config)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdin is not None
        with open(config, "w"):  # until the launcher reads it
            process.stdin.close()

            assert process.wait(20) == -signal.SIGKILL
