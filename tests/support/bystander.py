"""A Ray cluster of somebody else on the same machine."""

import contextlib
import subprocess
from dataclasses import dataclass

import psutil

from orchestrator.backends.live import node_process as nodehost
from tests.support.orchestrate_command import BIN, clean_environment


@dataclass
class Bystander:
    """A Ray cluster started by hand, which no command of ours may ever touch."""

    address: str
    session: int

    def answers(self) -> bool:
        """Whether `ray status` works."""
        result = subprocess.run(
            [str(BIN / "ray"), "status", "--address", self.address],
            capture_output=True,
            text=True,
            env=clean_environment(RAY_AUTH_MODE="disabled"),
        )
        return result.returncode == 0 and "Node status" in result.stdout

    def processes(self) -> set[int]:
        """Ids of its raylet, GCS and monitor; idle workers come and go by themselves."""
        lasting = ("raylet", "gcs_server", "monitor.py")
        found = set()
        for member in nodehost.session_members(self.session):
            with contextlib.suppress(psutil.NoSuchProcess):
                if any(name in " ".join(member.cmdline()) for name in lasting):
                    found.add(member.pid)
        return found
