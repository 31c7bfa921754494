"""The questions about an account in a cloud, asked before a sweep starts anything there."""

from typing import TYPE_CHECKING

from orchestrator.errors import MissingPrerequisite
from orchestrator.lab.progress import Reporter

if TYPE_CHECKING:
    from orchestrator.backends.base import BackendKind
    from orchestrator.inputs.cluster_config import ClusterFile


def require_ready(kind: "BackendKind", cluster: "ClusterFile", reporter: Reporter) -> None:
    """Ask what the backend's account lacks for a cluster file; say warnings. Raises MissingPrerequisite."""
    if kind.cloud is None:
        return
    from orchestrator.doctor.checks import CLOUD_TIME_LIMIT_S, examine

    with reporter.working(f"checking the {kind.name} account…"):
        checks = list(examine(kind.cloud.preflight(cluster), time_limit_s=CLOUD_TIME_LIMIT_S))
    for check in checks:
        if check.state == "warning":
            reporter.say(f"warning: {check.name}: {check.detail}{f'; {check.hint}' if check.hint else ''}")
    missing = [check for check in checks if check.state == "missing"]
    if missing:
        problems = "; ".join(f"{check.name}: {check.detail}" for check in missing)
        hints = "; ".join(dict.fromkeys(check.hint for check in missing if check.hint))
        raise MissingPrerequisite(problems, f"{hints}; then: orchestrate doctor --backend {kind.name}")
