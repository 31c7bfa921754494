"""Queries for the health board: the autoscaler, the observer and the scrapes."""

from collections.abc import Sequence

from orchestrator.grafana.boards.queries import SHORT_NAME, Query, Scope, growth, quantile

# `All` is `.*`, which matches series without the labels too.
CLUSTER = Scope('sweep_id=~"$sweep_id", trial_id=~"$trial_id"')
EVERYWHERE = Scope()
NAMED = 'node!=""'


def requests_in_flight() -> Sequence[Query]:
    """Return queries of nodes requested but not yet allocated, by architecture, and of nodes that Ray calls pending."""
    ours = CLUSTER.of("trial_arch_state:orchestrator_nodes:sum", 'state="requested"')
    return [
        Query(f"sum by (arch) ({ours})", "requested {{arch}}"),
        Query(f"sum by (NodeType) ({CLUSTER.of('autoscaler_pending_nodes')})", "Ray: pending {{NodeType}}"),
    ]


def update_time() -> Sequence[Query]:
    """Return queries of the duration of the autoscaler's updates. v1 only."""
    return [
        Query(quantile(q, CLUSTER, "autoscaler_update_time_seconds"), name) for q, name in ((0.5, "p50"), (0.95, "p95"))
    ]


def updates() -> Query:
    """Return the query of the autoscaler's updates per second. v1 only."""
    return Query(
        f"sum(rate({CLUSTER.of('autoscaler_update_time_seconds_count', window='$__rate_interval')}))", "a second"
    )


def launch_calls() -> Sequence[Query]:
    """Return queries of the duration of calls to the cloud that create nodes. v1 only."""
    return [
        Query(quantile(q, CLUSTER, "autoscaler_worker_create_node_time_seconds"), name)
        for q, name in ((0.5, "p50"), (0.95, "p95"))
    ]


def autoscaler_nodes() -> Sequence[Query]:
    """Return queries of the nodes that the autoscaler counts as active, pending and recently failed."""
    return [
        Query(f"sum by (NodeType) ({CLUSTER.of(f'autoscaler_{name}_nodes')})", f"{called} {{{{NodeType}}}}")
        for name, called in (("active", "active"), ("pending", "pending"), ("recently_failed", "“recently failed”"))
    ]


def autoscaler_counts() -> Sequence[Query]:
    """Return queries of nodes that the autoscaler started, stopped and failed to create."""
    return [
        Query(growth(CLUSTER, f"autoscaler_{name}_nodes_total", ""), name.replace("_", " "))
        for name in ("started", "stopped", "failed_create")
    ]


def autoscaler_exceptions() -> Sequence[Query]:
    """Return queries of the autoscaler's exceptions, by origin. v1 only."""
    places = ("update_loop", "node_launch", "reset", "config_validation", "drain_node")
    return [
        Query(
            f"sum(increase({CLUSTER.of(f'autoscaler_{place}_exceptions_total', window='$__rate_interval')}))",
            place.replace("_", " "),
        )
        for place in places
    ]


def autoscaler_cpus() -> Sequence[Query]:
    """Return queries of CPUs of the cluster and of pending nodes, as the autoscaler counts them."""
    matcher = 'resource="CPU"'
    return [
        Query(f"sum({CLUSTER.of(f'autoscaler_{name}_resources', matcher)})", name) for name in ("cluster", "pending")
    ]


def cluster_nodes() -> Sequence[Query]:
    """Return queries of nodes as Ray's head reports them, by state."""
    return [
        Query(f"sum({CLUSTER.of(f'ray_cluster_{state}_nodes')})", "“failed”" if state == "failed" else state)
        for state in ("active", "idle", "pending", "failed")
    ]


def poll_time() -> Sequence[Query]:
    """Return queries of the duration of polls."""
    return [
        Query(quantile(q, EVERYWHERE, "orchestrator_observer_poll_seconds", "instance"), f"{name} {{{{instance}}}}")
        for q, name in ((0.5, "p50"), (0.95, "p95"))
    ]


def observer_lag() -> Query:
    """Return the query of the age of the observer's newest poll."""
    return Query(f"max by (instance) ({EVERYWHERE.of('orchestrator_observer_lag_seconds')})", "{{instance}}")


def observer_errors() -> Query:
    """Return the query of failed polls, by kind of error."""
    errors = EVERYWHERE.of("orchestrator_observer_errors_total", window="$__rate_interval")
    return Query(f"sum by (kind) (increase({errors}))", "{{kind}}")


def scrapes() -> Query:
    """Return the query of targets: 1 if Prometheus reaches the target, else 0. Ray nodes have their own names."""
    nodes = f"label_replace(max by (job, node, ray_port) ({Scope().of('up', NAMED)}), {SHORT_NAME})"
    others = 'label_replace(max by (job, instance) (up{node=""}), "node", "$1", "instance", "(.*)")'
    return Query(f"{nodes} or {others}", "{{job}} {{ray_port}} {{node}}")


def scrape_time() -> Query:
    """Return the query of the slowest scrape of each job."""
    return Query("max by (job) (scrape_duration_seconds)", "{{job}}")


def scrape_samples() -> Query:
    """Return the query of samples per scrape, over all targets of a job."""
    return Query("sum by (job) (scrape_samples_scraped)", "{{job}}")
