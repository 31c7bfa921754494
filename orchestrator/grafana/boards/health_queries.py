"""What the board of the machinery asks Prometheus: about the autoscaler, the observer and the scrapes."""

from collections.abc import Sequence

from orchestrator.grafana.boards.queries import SHORT_NAME, Query, Scope, growth, quantile

# `All` is `.*`, which matches series without the labels too.
CLUSTER = Scope('sweep_id=~"$sweep_id", trial_id=~"$trial_id"')
EVERYWHERE = Scope()
NAMED = 'node!=""'


def requests_in_flight() -> Sequence[Query]:
    """Nodes that are requested and not yet allocated, as we see it by architecture, and what Ray calls pending."""
    ours = CLUSTER.of("trial_arch_state:orchestrator_nodes:sum", 'state="requested"')
    return [
        Query(f"sum by (arch) ({ours})", "requested {{arch}}"),
        Query(f"sum by (NodeType) ({CLUSTER.of('autoscaler_pending_nodes')})", "Ray: pending {{NodeType}}"),
    ]


def update_time() -> Sequence[Query]:
    """How long the autoscaler's updates took. v1 only."""
    return [
        Query(quantile(q, CLUSTER, "autoscaler_update_time_seconds"), name) for q, name in ((0.5, "p50"), (0.95, "p95"))
    ]


def updates() -> Query:
    """Updates of the autoscaler in a second. v1 only."""
    return Query(
        f"sum(rate({CLUSTER.of('autoscaler_update_time_seconds_count', window='$__rate_interval')}))", "a second"
    )


def launch_calls() -> Sequence[Query]:
    """How long calls to the cloud to create nodes took. v1 only."""
    return [
        Query(quantile(q, CLUSTER, "autoscaler_worker_create_node_time_seconds"), name)
        for q, name in ((0.5, "p50"), (0.95, "p95"))
    ]


def autoscaler_nodes() -> Sequence[Query]:
    """What the autoscaler counts as active, pending and recently failed."""
    return [
        Query(f"sum by (NodeType) ({CLUSTER.of(f'autoscaler_{name}_nodes')})", f"{called} {{{{NodeType}}}}")
        for name, called in (("active", "active"), ("pending", "pending"), ("recently_failed", "“recently failed”"))
    ]


def autoscaler_counts() -> Sequence[Query]:
    """Nodes that the autoscaler started, stopped and failed to create."""
    return [
        Query(growth(CLUSTER, f"autoscaler_{name}_nodes_total", ""), name.replace("_", " "))
        for name in ("started", "stopped", "failed_create")
    ]


def autoscaler_exceptions() -> Sequence[Query]:
    """Exceptions of the autoscaler by where they were raised. v1 only."""
    places = ("update_loop", "node_launch", "reset", "config_validation", "drain_node")
    return [
        Query(
            f"sum(increase({CLUSTER.of(f'autoscaler_{place}_exceptions_total', window='$__rate_interval')}))",
            place.replace("_", " "),
        )
        for place in places
    ]


def autoscaler_cpus() -> Sequence[Query]:
    """CPUs of the cluster and of the nodes that are pending, as the autoscaler counts them."""
    matcher = 'resource="CPU"'
    return [
        Query(f"sum({CLUSTER.of(f'autoscaler_{name}_resources', matcher)})", name) for name in ("cluster", "pending")
    ]


def cluster_nodes() -> Sequence[Query]:
    """Nodes as Ray's head reports them, by state."""
    return [
        Query(f"sum({CLUSTER.of(f'ray_cluster_{state}_nodes')})", "“failed”" if state == "failed" else state)
        for state in ("active", "idle", "pending", "failed")
    ]


def poll_time() -> Sequence[Query]:
    """How long our looks at the cluster took."""
    return [
        Query(quantile(q, EVERYWHERE, "orchestrator_observer_poll_seconds", "instance"), f"{name} {{{{instance}}}}")
        for q, name in ((0.5, "p50"), (0.95, "p95"))
    ]


def observer_lag() -> Query:
    """How old our newest look at the cluster is."""
    return Query(f"max by (instance) ({EVERYWHERE.of('orchestrator_observer_lag_seconds')})", "{{instance}}")


def observer_errors() -> Query:
    """Looks at the cluster that failed, by what was wrong."""
    errors = EVERYWHERE.of("orchestrator_observer_errors_total", window="$__rate_interval")
    return Query(f"sum by (kind) (increase({errors}))", "{{kind}}")


def scrapes() -> Query:
    """1 for each target that Prometheus reaches, 0 for one that it doesn't. A node of Ray is called by its name."""
    nodes = f"label_replace(max by (job, node, ray_port) ({Scope().of('up', NAMED)}), {SHORT_NAME})"
    others = 'label_replace(max by (job, instance) (up{node=""}), "node", "$1", "instance", "(.*)")'
    return Query(f"{nodes} or {others}", "{{job}} {{ray_port}} {{node}}")


def scrape_time() -> Query:
    """How long Prometheus' scrapes took, the slowest of each job."""
    return Query("max by (job) (scrape_duration_seconds)", "{{job}}")


def scrape_samples() -> Query:
    """Samples in one scrape of all targets of a job."""
    return Query("sum by (job) (scrape_samples_scraped)", "{{job}}")
