"""The environment of a sweep's numbers: versions, host, seeds, cluster, prices, and the settings in force."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from orchestrator.report.document.grids import Cell, Grid
from orchestrator.sweeps.ledger import SweepRecord
from orchestrator.sweeps.runner import bill_of, prices_of


def environment(record: SweepRecord) -> list[tuple[str, str]]:
    """Return names and values of all that the ledger knows about how the sweep was run."""
    known, spec = record.environment, record.spec
    host = known.get("host") or {}
    rows = [
        ("Ray", str(known.get("ray", "unknown"))),
        ("orchestrate", str(known.get("orchestrate", "unknown"))),
        ("Python", str(known.get("python", "unknown"))),
        ("host", _host(host)),
        ("backend", record.backend),
        ("begun", when(record.created)),
        ("ended", "not yet" if record.ended is None else when(record.ended)),
    ]
    if spec:
        rows.append(("order, isolation", f"{spec.get('order', '-')}, {spec.get('isolation', '-')}"))
    if record.trials:
        seeds = sorted({each.trial.seed for each in record.trials})
        rows.append(("seeds", str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"))
        shapes = (each.trial.shape for each in record.trials)
        clusters = dict.fromkeys(f"{shape.describe()}; {shape.max_workers} workers at most" for shape in shapes)
        rows += [("cluster", text) for text in clusters]
        rows.append(("workload", record.trials[0].trial.workload.describe()))
    rows.append(("prices", _prices_text(record)))
    if (bill := bill_of(record)) is not None:
        rows.append(("cost of the sweep", bill.describe()))
    return rows


def in_force_under(said: Sequence[tuple[str, dict[str, Any]]]) -> tuple[str, Grid | None]:
    """Return the settings in force that all named settings share, and a table of the others."""
    keys = dict.fromkeys(key for _, values in said for key in values)
    shown = {key: [_shown(values.get(key)) for _, values in said] for key in keys}
    alike = "; ".join(f"{key} {values[0]}" for key, values in shown.items() if len(set(values)) == 1)
    unlike = {key: values for key, values in shown.items() if len(set(values)) > 1}
    if not unlike:
        return alike, None
    rows = tuple((Cell(name), *(Cell(values[i]) for values in unlike.values())) for i, (name, _) in enumerate(said))
    return alike, Grid("As the autoscaler itself reported them, from the traces.", ("setting", *unlike), rows)


def when(t: float) -> str:
    """UNIX seconds as date and time."""
    return datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _host(host: dict[str, Any]) -> str:
    memory = host.get("memory")
    words = [str(host.get("system", "unknown"))]
    words += [f"{host['cores']} cores"] if host.get("cores") else []
    words += [f"{memory / 2**30:.0f} GiB"] if isinstance(memory, int | float) else []
    return ", ".join(words)


def _prices_text(record: SweepRecord) -> str:
    prices = prices_of(record)
    if prices is None:
        return "none"
    workers = {
        (w.name, w.instance_type) for each in record.trials for w in each.trial.shape.launchable if w.instance_type
    }
    known = {
        (f"{name}, spot: " if name in prices.node_types else "") + f"{instance_type} ${usd:g}/h"
        for name, instance_type in workers
        if (usd := prices.of_node(name, instance_type)) is not None
    }
    hourly = ", ".join(sorted(known))
    where = " ".join(filter(None, (prices.region, "spot" if prices.spot else "on demand")))
    told = [where, f"as of {prices.as_of}" if prices.as_of else "", prices.source, hourly]
    return "; ".join(filter(None, told))


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return "-".join(_shown(each) for each in value)
    if isinstance(value, float):
        return f"{value:g}"
    return "-" if value is None else str(value)
