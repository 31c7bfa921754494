"""The folder of one live cluster: what the orchestrator, Ray's monitor and the node hosts tell each other.

inbox/           what the head is told; only the orchestrator writes here
  cluster.yaml     the config that Ray's monitor reads again at every update
outbox/          what the head says
  requests.jsonl   which nodes it asks for, where it can't make them itself
  settings.jsonl   which settings the autoscaler has in force
  monitor.log      what Ray's monitor logs, where its own folder can't be seen from here
journal.jsonl    what became of each node
trial.json       the running trial's id and seed, for the random latencies of its launches
owner.json       the orchestrator process that this cluster belongs to, and the address of its head
nodes/           options and log of each node process

A head in a container has its inbox read-only, of its outbox the files, and nothing else: jobs run in it, too. So what
stands in the outbox is anybody's word, while the rest is the orchestrator's own.
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
        """Make the folder, for this user only."""
        self.root.mkdir(parents=True, mode=0o700)
        for folder in (self.inbox, self.outbox, self.root / "nodes"):
            folder.mkdir()

    @property
    def inbox(self) -> Path:
        """What the head is told."""
        return self.root / "inbox"

    @property
    def outbox(self) -> Path:
        """What the head says."""
        return self.root / "outbox"

    @property
    def config(self) -> Path:
        """The cluster config that the head was started with."""
        return self.inbox / "cluster.yaml"

    @property
    def requests(self) -> Path:
        """What the provider asks for, see `backends.docker.mailbox`."""
        return self.outbox / "requests.jsonl"

    @property
    def settings(self) -> Path:
        """Which settings the autoscaler has in force, JSON lines with `t` in UNIX seconds; the last one counts."""
        return self.outbox / "settings.jsonl"

    @property
    def journal(self) -> Path:
        """The provider's journal, JSON lines with `t` in UNIX seconds."""
        return self.root / "journal.jsonl"

    @property
    def monitor_log(self) -> Path:
        """What Ray's monitor logs, where its own folder can't be seen from here."""
        return self.outbox / "monitor.log"

    @property
    def owner(self) -> Path:
        """Who runs this cluster, as JSON."""
        return self.root / "owner.json"

    def node_options(self, node_id: str) -> Path:
        """Options of a node process."""
        return self.root / "nodes" / f"{node_id}.json"

    def node_log(self, node_id: str) -> Path:
        """Standard error of a node process."""
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
        """The running trial's id and seed; empty and 0 before the first."""
        try:
            trial = json.loads((self.root / "trial.json").read_text())
        except FileNotFoundError:
            # not logged: no trial has begun.
            return "", 0
        return trial["trial"], trial["seed"]
