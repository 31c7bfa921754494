"""The contract: everything that users and their stored data rely on, recorded as one JSON document.

    python -m tests.support.contract           print the contract of this checkout
    python -m tests.support.contract --write   update tests/contract/golden.json (`make contract`)

The recorder runs the command line as a user does. Only the replay of `/metrics` has no public way in.
"""

import argparse
import csv
import hashlib
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

CHECKOUT = Path(__file__).parents[2]
GOLDEN = CHECKOUT / "tests" / "contract" / "golden.json"
SWEEPS = {
    "seed": "--autoscaler v1,v2 --upscaling-speed 1,5,10 --repeat 2",
    "faults": "--upscaling-speed 1,10 --fault kill@60 --fault spot@2/h --seed 3",
}
# The trace of the first trial of this sweep is the one that `/metrics` replays: it has events of every kind.
REPLAYED = "faults"
# Placeholders for values that differ between runs or machines. A value that is missing stays null.
SWEEP, TIME, HOME, MACHINE = "<sweep id>", "<time of the run>", "<home>", "<machine>"
_TIMEOUT_S = 120
_MISSING = object()


def record() -> dict[str, Any]:
    """Return the contract of this checkout, recorded in a temporary home."""
    with TemporaryDirectory(prefix="orchestrate-contract-") as folder:
        root = Path(folder).resolve()
        sweeps = {name: _sweep(root / name, arguments) for name, arguments in SWEEPS.items()}
        _run(root / "boards", "dashboards", "build", "--to", str(root / "boards"))
        return {
            "sweeps": sweeps,
            "metrics": _metrics(root / REPLAYED),
            "boards": {path.name: _board(path) for path in sorted((root / "boards").iterdir())},
        }


def differences(golden: Any, recorded: Any, key: str = "") -> Iterator[str]:
    """Yield one line for each key that was added, removed or changed."""
    if isinstance(golden, dict) and isinstance(recorded, dict):
        for name in [*golden, *(name for name in recorded if name not in golden)]:
            inner = f"{key}.{name}" if key else name
            yield from differences(golden.get(name, _MISSING), recorded.get(name, _MISSING), inner)
    elif isinstance(golden, list) and isinstance(recorded, list):
        for index in range(max(len(golden), len(recorded))):
            before, after = (each[index] if index < len(each) else _MISSING for each in (golden, recorded))
            yield from differences(before, after, f"{key}[{index}]")
    elif golden is _MISSING:
        yield f"{key}: added, {_short(recorded)}"
    elif recorded is _MISSING:
        yield f"{key}: removed, was {_short(golden)}"
    elif golden != recorded or type(golden) is not type(recorded):
        yield f"{key}: {_short(golden)} -> {_short(recorded)}"


def as_text(contract: dict[str, Any]) -> str:
    """Return the contract as it is stored: one key per line, so that a version control system shows what changed."""
    return json.dumps(contract, indent=1, ensure_ascii=False) + "\n"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else text[:99] + "…"


def _run(home: Path, *arguments: str) -> str:
    """Run the command in a folder of its own and return its standard output. Raises RuntimeError if it fails."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "ORCHESTRATE_"))}
    result = subprocess.run(
        [sys.executable, "-m", "orchestrator", "--home", str(home), *arguments],
        cwd=home.parent,
        env={**environment, "PYTHONPATH": str(CHECKOUT)},  # this checkout, whichever one is installed
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
    )
    if result.returncode != 0:
        raise RuntimeError(f"orchestrate {' '.join(arguments)} ended with {result.returncode}:\n{result.stderr}")
    return result.stdout


def _sha256(content: bytes | str) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


# A sweep


def _sweep(home: Path, arguments: str) -> dict[str, Any]:
    """Run a sweep and return all that is kept of it."""
    _run(home, "simulate", *arguments.split())
    document = json.loads(_run(home, "show", "--json"))
    sweep_id, trials = document["sweep_id"], document["trials"]
    tables = home.with_name(f"{home.name}-tables")
    _run(home, "export", "--format", "csv", "--to", str(tables))
    return {
        "command": f"simulate {arguments}",
        "trial_ids": [trial["trial_id"] for trial in trials],
        "trace_sha256": {trial["trial_id"]: _sha256(Path(trial["trace"]).read_bytes()) for trial in trials},
        "show": _normalised_document(document, home),
        "tables": {path.stem: _table(path) for path in sorted(tables.glob("*.csv"))},
        "files": sorted(
            _without(str(path.relative_to(home)), sweep_id, home) for path in home.rglob("*") if path.is_file()
        ),
        "ledger": _ledger(home / "ledger.db"),
    }


def _normalised_document(document: Any, home: Path) -> Any:
    """Return what `show --json` printed, without the sweep's id, the times of the run, absolute paths and the machine.

    Times in a scorecard or a trace are virtual: they stay.
    """
    sweep_id, environment = document["sweep_id"], document["environment"]
    for timed in (document, *document["trials"]):
        for name in {"created", "started", "ended"} & timed.keys():
            timed[name] = _hidden(timed[name], TIME)
    for name in {"python", "host", "process"} & environment.keys():
        environment[name] = _hidden(environment[name], MACHINE)
    return _without(document, sweep_id, home)


def _hidden(value: Any, placeholder: str) -> Any:
    """Return the value with its keys, and a placeholder for each leaf that isn't null."""
    if isinstance(value, dict):
        return {name: _hidden(inner, placeholder) for name, inner in value.items()}
    return None if value is None else placeholder


def _without(value: Any, sweep_id: str, home: Path) -> Any:
    """Return the value with placeholders for the sweep's id and the home in all its texts."""
    if isinstance(value, dict):
        return {name: _without(inner, sweep_id, home) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without(inner, sweep_id, home) for inner in value]
    if isinstance(value, str):
        return re.sub(rf"\b{sweep_id}\b", SWEEP, value.replace(str(home), HOME))
    return value


def _table(path: Path) -> dict[str, Any]:
    """Return the columns of an exported table, and a hash of its rows without the sweep's id and the times of the run.

    `trials` is the only table with times of the run; the others have virtual times.
    """
    with path.open(newline="") as file:
        columns, *rows = csv.reader(file)
    hidden = {"sweep_id": SWEEP} | ({"started": TIME, "ended": TIME} if path.stem == "trials" else {})
    text = io.StringIO()
    csv.writer(text).writerows(
        [hidden.get(name, cell) if cell else cell for name, cell in zip(columns, row, strict=True)] for row in rows
    )
    return {"columns": columns, "rows": len(rows), "sha256": _sha256(text.getvalue())}


def _ledger(path: Path) -> dict[str, list[str]]:
    """Return the columns and types of the ledger's tables."""
    with closing(sqlite3.connect(path)) as ledger:
        tables = ledger.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
        return {
            table: [f"{name} {kind}" for _, name, kind, *_ in ledger.execute(f"PRAGMA table_info('{table}')")]
            for (table,) in tables
        }


# Boards and metrics


def _board(path: Path) -> dict[str, str]:
    board = json.loads(path.read_bytes())
    return {"uid": board["uid"], "title": board["title"], "sha256": _sha256(path.read_bytes())}


def _metrics(home: Path) -> dict[str, Any]:
    """Return the hashes and families of `/metrics`, halfway through a trial and just after its end."""
    document = json.loads(_run(home, "show", "--json"))
    running, ended = _replay(Path(document["trials"][0]["trace"]), document["environment"]["prices"])
    return {"running": _exposition(running), "ended": _exposition(ended)}


def _replay(path: Path, prices: Any) -> tuple[str, str]:
    """Feed a trace to the exporter; return what it serves halfway and after the end.

    This is the only function that imports the inside of the package.
    """
    from prometheus_client import CollectorRegistry, generate_latest

    from orchestrator.analysis.trial.score import score
    from orchestrator.metrics.exporter import Exporter
    from orchestrator.model.prices import Prices
    from orchestrator.trace.file import read_trace

    trace, priced = read_trace(path), Prices.model_validate(prices)
    assert trace.trial is not None
    now = trace.events[0].t
    exporter = Exporter("contract", prices=priced, clock=lambda: now)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(exporter)
    exporter.trial_started(1, 1, trace.trial)
    half, running = len(trace.events) // 2, ""
    for number, event in enumerate(trace.events, start=1):
        exporter.event(event)
        now = event.t
        if number == half:
            running = generate_latest(registry).decode()
    exporter.trial_ended(trace.trial, score(trace.trial, trace.events, priced), "")
    return running, generate_latest(registry).decode()


def _exposition(text: str) -> dict[str, Any]:
    """Return the hash of an exposition, the hash of its samples alone, and its families with types and labels.

    Lines are sorted: the order of series has no meaning, and the exporter takes some of it from a set of strings, which
    each Python process orders differently. A help text that is reworded changes the first hash only.
    """
    lines = sorted(text.splitlines(keepends=True))
    samples = [line for line in lines if not line.startswith("#")]
    families = {}
    for family in text_string_to_metric_families(text):
        labels = sorted({label for sample in family.samples for label in sample.labels})
        families[family.name] = f"{family.type} {{{', '.join(labels)}}}"
    return {
        "sha256": _sha256("".join(lines)),
        "samples_sha256": _sha256("".join(samples)),
        "families": families,
    }


def main() -> None:
    """Print the contract, or write it."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.contract", description="Record the contract.")
    parser.add_argument("--write", action="store_true", help=f"update {GOLDEN.name} and list what changed")
    write = parser.parse_args().write
    contract = record()
    if not write:
        sys.stdout.write(as_text(contract))
        return
    before = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    GOLDEN.write_text(as_text(contract))
    changed = list(differences(before, contract))
    print("\n".join(changed) if changed else "the contract is unchanged")


if __name__ == "__main__":
    main()
