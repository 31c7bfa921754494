"""The elasticity metrics of the SPEC Research Group, which rate how well supply follows demand.

Sources: N. R. Herbst, S. Kounev, R. Reussner, "Elasticity in Cloud Computing: What It Is, and What It Is Not", ICAC
2013; N. R. Herbst, S. Kounev, A. Weber, H. Groenda, "BUNGEE: An Elasticity Benchmark for Self-Adaptive IaaS Cloud
Environments", SEAMS 2015, which defines accuracy θ, timeshare τ and jitter as they are computed here.
"""

import math

from orchestrator.analysis.trial.steps import StepFunction, pieces
from orchestrator.model.scorecard import Elasticity


def elasticity(
    demand: StepFunction, supply: StepFunction, start: float, end: float, cap: float = math.inf
) -> Elasticity:
    """Return the elasticity over [start, end] (UNIX seconds) of a supply s under a demand d, in CPUs; exact.

    d counts up to `cap` only: what no setting could supply is no shortcoming of one. An empty window has no elasticity.
    """
    length = end - start
    if length <= 0:
        return Elasticity()
    under = over = under_relative = over_relative = 0.0
    time_under = time_over = 0.0
    changes = {"demand": 0, "supply": 0}
    last: tuple[float, float] | None = None
    for begin, until, d, s in pieces(demand, supply, start, end, cap):
        seconds = until - begin
        if last is not None:
            changes["demand"] += d != last[0]
            changes["supply"] += s != last[1]
        last = d, s
        if d > s:
            under += (d - s) * seconds
            under_relative += (d - s) / d * seconds
            time_under += seconds
        elif s > d:
            over += (s - d) * seconds
            over_relative += (s - d) / d * seconds if d > 0 else 0.0
            time_over += seconds
    return Elasticity(
        theta_u=under / length,
        theta_o=over / length,
        theta_u_relative=under_relative / length,
        theta_o_relative=over_relative / length,
        tau_u=time_under / length,
        tau_o=time_over / length,
        jitter_per_min=(changes["supply"] - changes["demand"]) / (length / 60),
    )
