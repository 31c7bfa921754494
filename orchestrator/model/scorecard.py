"""The numbers computed from one trace. Times are in seconds from t = 0, the first task's submission."""

from pydantic import Field

from orchestrator.model.base import FrozenModel


class Quantiles(FrozenModel):
    """Median, 95th percentile, maximum and number of durations, in seconds."""

    p50: float
    p95: float
    max: float
    n: int


class ByPart(FrozenModel):
    """A sum over all worker nodes, and its parts."""

    total: float = 0.0
    by_type: dict[str, float] = Field(default_factory=dict)
    by_arch: dict[str, float] = Field(default_factory=dict)


class Elasticity(FrozenModel):
    """The fit of the supply s(t) to the demand d(t), in CPUs, over the measured window of length T.

    Accuracy `theta_u` = (1/T)∫max(0, d − s) dt and `theta_o` = (1/T)∫max(0, s − d) dt, in CPUs; the relative values
    divide by d where d > 0. Timeshare `tau_u`, `tau_o`: the share of T with d > s, and with s > d. `jitter_per_min`:
    changes of s minus changes of d, per minute. Lower is better, except for jitter, whose best value is 0.
    """

    theta_u: float | None = None
    theta_o: float | None = None
    theta_u_relative: float | None = None
    theta_o_relative: float | None = None
    tau_u: float | None = None
    tau_o: float | None = None
    jitter_per_min: float | None = None


class Scorecard(FrozenModel):
    """The numbers of one trial. A value is None if the trace doesn't show it, never a guess.

    T is the measured window, from t = 0 to the last task's end. Node-seconds and cost count from `allocated` to
    `terminated`, as EC2 bills, until the cluster is back at `min_workers`. Elasticity counts only the demand that the
    shape's limits allow to serve; `uncapped` counts all of it. `tasks_per_usd`, the price-performance, counts tasks per
    dollar, of `all` nodes and by arch; it omits parts with no or unknown cost. `faults` are injected; nodes that failed
    because of them are among `node_failures`.
    """

    makespan_s: float | None = None
    time_to_first_node_s: float | None = None
    time_to_peak_s: float | None = None
    scale_down_s: float | None = None
    launches: int = 0
    terminations: int = 0
    failed_launches: int = 0
    node_failures: int = 0
    faults: int = 0
    excess_nodes: int = 0
    peak_nodes: int = 0
    node_seconds: ByPart = ByPart()
    idle_node_seconds: ByPart = ByPart()
    cost_usd: ByPart | None = None
    tasks_per_usd: dict[str, float] = Field(default_factory=dict)
    theta_u: float | None = None
    theta_o: float | None = None
    theta_u_relative: float | None = None
    theta_o_relative: float | None = None
    tau_u: float | None = None
    tau_o: float | None = None
    jitter_per_min: float | None = None
    uncapped: Elasticity = Elasticity()
    cpu_utilisation: float | None = None
    task_wait_s: dict[str, Quantiles] = Field(default_factory=dict)
    launch_s: dict[str, dict[str, Quantiles]] = Field(default_factory=dict)
    tasks: int = 0
    effective_upscaling_speed: float | None = None
    host_cpu_percent: float | None = None
    valid: bool = False
    invalid_because: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
