"""Settings as a user writes them into a cluster config, and into the environments that Ray reads."""

from orchestrator.model.settings import Settings, config_settings

_VERSION = "RAY_enable_autoscaler_v2"
# `ray up` puts RAY_enable_autoscaler_v2=1 in front of the start commands, unless this is 0 in its own environment:
# get_or_create_head_node in ray/autoscaler/_private/commands.py.
_VERSION_OF_RAY_UP = "RAY_UP_enable_autoscaler_v2"
# Clusters of these providers aren't started by `ray up`.
_WITHOUT_LAUNCHER = ("kuberay", "spark", "readonly")


def cluster_lines(settings: Settings, provider: str | None = None) -> str:
    """Return settings as lines for a cluster config, and as comments what a cluster config has no key for.

    `provider` is that of the cluster file; None if it names none, so that nobody knows how its cluster is started.
    """
    import yaml

    chosen = {name: value for name in config_settings() if (value := getattr(settings, name)) is not None}
    limits = (
        f"# {name}: {value}, of each node type under available_node_types\n"
        for name in ("min_workers", "max_workers")
        if (value := getattr(settings, name)) is not None
    )
    keys = yaml.safe_dump(chosen, sort_keys=False) if chosen else ""
    return f"{keys}{''.join(limits)}{''.join(f'# {line}{chr(10)}' for line in _environments(settings, provider))}"


def _environments(settings: Settings, provider: str | None) -> list[str]:
    # The version is always given: Ray's default isn't the same in each release.
    wanted, usual = settings.monitor_environment(), Settings().monitor_environment()
    version = wanted.pop(_VERSION)
    caps = " ".join(f"{name}={value}" for name, value in wanted.items() if value != usual[name])
    head = f"environment of the head: {' '.join(filter(None, (f'{_VERSION}={version}', caps)))}"
    of_ray_up = f"environment of `ray up`: {_VERSION_OF_RAY_UP}={version}"
    if provider in _WITHOUT_LAUNCHER:
        return [head]
    if provider is None:
        return [head, f"or, if `ray up` starts the cluster, {of_ray_up}"]
    return [of_ray_up, *([f"in front of `ray start` in head_start_ray_commands: {caps}"] if caps else [])]
