"""The next step for a user whose sweep has no valid trial."""

from orchestrator.analysis.trial.validity import SATURATED
from orchestrator.backends import registry
from orchestrator.sweeps.ledger import SweepRecord


def way_out(record: SweepRecord) -> str:
    """Return one line that says what to do, or nothing if a trial is valid or is still to run."""
    ended = [each for each in record.trials if each.status in ("done", "failed")]
    if len(ended) < len(record.trials) or not ended or any(each.valid for each in ended):
        return ""
    failed = sum(1 for each in ended if each.status == "failed")
    kind = "failed" if failed == len(ended) else "are invalid" if not failed else "failed or are invalid"
    all_of_them = "the only trial" if len(ended) == 1 else f"all {len(ended)} trials"
    if len(ended) == 1:
        kind = kind.replace("are", "is")
    return f"nothing to compare: {all_of_them} {kind}. {_advice(record)}"


def _advice(record: SweepRecord) -> str:
    again = f"orchestrate sweep --resume {record.sweep_id}"
    if not registry.real_time(record.backend):
        return "A simulated trial always gives the same result: remove the reason above, and start a new sweep"
    reasons = [why for each in record.trials if each.scorecard is not None for why in each.scorecard.invalid_because]
    if reasons and all(why.startswith(SATURATED) for why in reasons):
        return f"Close other programs, then: {again}; or use the simulator: orchestrate simulate"
    return f"Remove the reason above, then: {again}"
