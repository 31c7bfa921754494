"""The folder of one live cluster: what the orchestrator, Ray's monitor and the node hosts tell each other.

cluster.yaml     the config that Ray's monitor reads again at every update
journal.jsonl    what the provider did, and which settings the autoscaler has in force
trial.json       the running trial's id and seed, for the provider's random latencies
owner.json       the orchestrator process that this cluster belongs to, and the address of its head
nodes/           options and log of each node host
"""

import contextlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def write_atomically(path: Path, text: str) -> None:
    """Replace a file so that a reader sees the old text or the new, never a part."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text)
    partial.replace(path)


@dataclass(frozen=True)
class ClusterFiles:
    """Paths in a cluster's folder, and the small files in it."""

    root: Path

    def create(self) -> None:
        """Make the folder, for this user only."""
        self.root.mkdir(parents=True, mode=0o700)
        (self.root / "nodes").mkdir()

    @property
    def config(self) -> Path:
        """The cluster config that the head was started with."""
        return self.root / "cluster.yaml"

    @property
    def journal(self) -> Path:
        """The provider's journal, JSON lines with `t` in UNIX seconds."""
        return self.root / "journal.jsonl"

    @property
    def monitor_log(self) -> Path:
        """What Ray's monitor logs, where its own folder can't be seen from here."""
        return self.root / "monitor.log"

    @property
    def owner(self) -> Path:
        """Who runs this cluster, as JSON."""
        return self.root / "owner.json"

    def node_options(self, node_id: str) -> Path:
        """What a node host is started with."""
        return self.root / "nodes" / f"{node_id}.json"

    def node_log(self, node_id: str) -> Path:
        """What a node host says on stderr."""
        return self.root / "nodes" / f"{node_id}.log"

    def last_words(self, node_id: str) -> str:
        """The last line that a node host said on stderr."""
        log = self.node_log(node_id)
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        return lines[-1][:300] if lines else ""

    def append_journal(self, entry: dict[str, Any]) -> None:
        """Append an entry with its time; one `write` of a short line, so that threads don't mix theirs."""
        line = json.dumps({"t": time.time(), **entry}) + "\n"
        with self.journal.open("a") as journal:
            journal.write(line)

    def read_journal(self) -> list[dict[str, Any]]:
        """All entries so far; a line that is still being written is left out."""
        try:
            lines = self.journal.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return []
        entries = []
        for line in lines:
            with contextlib.suppress(ValueError):
                entries.append(json.loads(line))
        return entries

    def write_trial(self, trial_id: str, seed: int) -> None:
        """Tell the provider which trial begins."""
        write_atomically(self.root / "trial.json", json.dumps({"trial": trial_id, "seed": seed}))

    def read_trial(self) -> tuple[str, int]:
        """The running trial's id and seed; empty and 0 before the first."""
        try:
            trial = json.loads((self.root / "trial.json").read_text())
        except FileNotFoundError:
            return "", 0
        return trial["trial"], trial["seed"]
