"""Settings as a user writes them into a cluster config."""

from orchestrator.model.settings import Settings


def cluster_lines(settings: Settings) -> str:
    """Settings as lines for a cluster config; as comments what a cluster config has no key for, or not one."""
    import yaml

    names = ("upscaling_speed", "target_utilization_fraction", "idle_timeout_minutes")
    chosen = {name: value for name in names if (value := getattr(settings, name)) is not None}
    limits = (
        f"# {name}: {value}, of each node type under available_node_types\n"
        for name in ("min_workers", "max_workers")
        if (value := getattr(settings, name)) is not None
    )
    # The version is always told: Ray's default isn't the same in each release.
    defaults = {**Settings().monitor_environment(), "RAY_enable_autoscaler_v2": ""}
    told = (f"{name}={value}" for name, value in settings.monitor_environment().items() if value != defaults[name])
    keys = yaml.safe_dump(chosen, sort_keys=False) if chosen else ""
    return f"{keys}{''.join(limits)}# environment of the head: {' '.join(told)}\n"
