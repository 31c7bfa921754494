"""The folder of one live cluster, in which the orchestrator, Ray's monitor and node processes exchange messages.

inbox/           messages to the head; only the orchestrator writes here
  cluster.yaml     the config that Ray's monitor reads again at every update
outbox/          messages from the head
  requests.jsonl   requests for nodes, if the head can't make them itself
  settings.jsonl   the settings that the autoscaler has in force
  monitor.log      the log of Ray's monitor, if its own folder can't be read from here
journal.jsonl    the events of each node's life
trial.json       the running trial's id and seed, for the random latencies of its launches
owner.json       the orchestrator process that this cluster belongs to, and the address of its head
lock             held by that process as long as it lives
nodes/           options and log of each node process

A head in a container can read its inbox and write the files of its outbox, and sees nothing else. Treat the outbox as
untrusted input: jobs run in that container, too.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.filesystem import write_atomically


def _append(path: Path, entry: dict[str, Any]) -> None:
    """Append an entry with its time; one `write` of a short line, so that threads don't mix theirs."""
    line = json.dumps({"t": time.time(), **entry}) + "\n"
    with path.open("a") as file:
        file.write(line)


@dataclass(frozen=True)
class ClusterFiles:
    """Paths in a cluster's folder, and the small files in it."""

    root: Path

    def create(self) -> None:
        """Make the folder, for this user only, and the folders in it."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.inbox, self.outbox, self.root / "nodes"):
            folder.mkdir()

    @property
    def inbox(self) -> Path:
        """Messages to the head."""
        return self.root / "inbox"

    @property
    def outbox(self) -> Path:
        """Messages from the head."""
        return self.root / "outbox"

    @property
    def config(self) -> Path:
        """The cluster config that the head was started with."""
        return self.inbox / "cluster.yaml"

    @property
    def requests(self) -> Path:
        """Requests of the provider, see `docker.mailbox`."""
        return self.outbox / "requests.jsonl"

    @property
    def settings(self) -> Path:
        """Settings that the autoscaler has in force: JSON lines with `t` in UNIX seconds. The last one counts."""
        return self.outbox / "settings.jsonl"

    @property
    def journal(self) -> Path:
        """The provider's journal, JSON lines with `t` in UNIX seconds."""
        return self.root / "journal.jsonl"

    @property
    def monitor_log(self) -> Path:
        """The log of Ray's monitor, if its own folder can't be read from here."""
        return self.outbox / "monitor.log"

    @property
    def owner(self) -> Path:
        """The process that runs this cluster, as JSON."""
        return self.root / "owner.json"

    def node_options(self, node_id: str) -> Path:
        """Return the file with the options of a node process."""
        return self.root / "nodes" / f"{node_id}.json"

    def node_log(self, node_id: str) -> Path:
        """Return the file with the standard error of a node process."""
        return self.root / "nodes" / f"{node_id}.log"

    def last_words(self, node_id: str) -> str:
        """Return the last line that a node process wrote to stderr."""
        log = self.node_log(node_id)
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        return lines[-1][:300] if lines else ""

    def append_journal(self, entry: dict[str, Any]) -> None:
        """Append an entry with its time."""
        _append(self.journal, entry)

    def append_settings(self, in_force: dict[str, Any]) -> None:
        """Note the settings that the autoscaler has in force from now on."""
        _append(self.settings, {"settings": in_force})

    def write_trial(self, trial_id: str, seed: int) -> None:
        """Tell the provider which trial begins."""
        write_atomically(self.root / "trial.json", json.dumps({"trial": trial_id, "seed": seed}))

    def read_trial(self) -> tuple[str, int]:
        """Return the running trial's id and seed; empty and 0 before the first."""
        try:
            trial = json.loads((self.root / "trial.json").read_text())
        except FileNotFoundError:
            # not logged: no trial has begun.
            return "", 0
        return trial["trial"], trial["seed"]
