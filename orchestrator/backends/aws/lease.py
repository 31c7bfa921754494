"""Leases: each machine ends itself if nobody needs it any more, without a call to AWS.

- From its boot on, a timer in the user data ends a machine that nobody sets up.
- The head's lease is renewed by the orchestrator over SSH.
- A worker's lease is renewed by the head, as long as its GCS answers.
"""

from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files

DEFAULT_MINUTES = 10.0
SETUP_MINUTES = 30
SCRIPT = "lease.sh"
UNIT = "orchestrate-lease"

USER_DATA = f"#!/bin/bash\nshutdown -P +{SETUP_MINUTES} 'orchestrate: nobody has set this machine up'\n"


@dataclass(frozen=True)
class Lease:
    """A lease of so many minutes. It must be longer than Ray's start on the head takes."""

    minutes: float = DEFAULT_MINUTES

    @property
    def seconds(self) -> int:
        """Return its length in whole seconds."""
        return max(1, round(self.minutes * 60))

    @property
    def setup(self) -> timedelta:
        """Return the longest that a machine may live without anybody: the timer of its boot, and a lease."""
        return timedelta(minutes=SETUP_MINUTES + self.minutes)

    @property
    def renewed_every_s(self) -> float:
        """Return the time between two renewals: an orchestrator may miss nine of them."""
        return self.seconds / 10

    def begin(self, kind: str, renewed_by: str, folder: str) -> str:
        """Return the shell command that begins the lease of a `head` or `worker`, in place of the timer of its boot.

        `folder` is that of the script on the machine. `renewed_by` is the file or the address of `lease.sh`.
        """
        script = f"bash {folder}/{SCRIPT} {kind} {renewed_by} {self.seconds}"
        # A pending `shutdown +N` keeps users from logging in during its last minutes, so it is no lease by itself.
        with_systemd = (
            f"systemctl stop {UNIT} 2>/dev/null; systemd-run --quiet --collect --unit={UNIT} -p Restart=always {script}"
        )
        without = f"setsid {script} </dev/null >/dev/null 2>&1 &"
        begin = f"shutdown -c; if [ -d /run/systemd/system ]; then {with_systemd}; else {without} fi"
        return f'sudo bash -c "{begin}"'


def script() -> str:
    """Return the text of the script that runs on each machine."""
    return files(__package__).joinpath(SCRIPT).read_text()
