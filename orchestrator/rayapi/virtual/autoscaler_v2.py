"""Ray's v2 autoscaler in a simulation: all of `Autoscaler.update_autoscaling_state()` is Ray's own."""

import math
from collections.abc import Callable, Iterator
from typing import Any

from orchestrator.rayapi.virtual import fastpaths
from orchestrator.rayapi.virtual.config import simulated_config
from orchestrator.rayapi.virtual.provider import SimulatedGcs, forget_provider
from orchestrator.rayapi.virtual.session import Replacement, Session, VirtualExecutor, in_simulation
from orchestrator.rayapi.virtual.world import World

_EXECUTOR_MODULES = (
    "ray.autoscaler.v2.instance_manager.node_provider",
    "ray.autoscaler.v2.instance_manager.subscribers.ray_stopper",
    "ray.autoscaler.v2.instance_manager.subscribers.threaded_ray_installer",
)


def replacements() -> Iterator[Replacement]:
    """Yield the replacements for v2: its thread pools and the body of its installer."""
    from importlib import import_module

    for name in _EXECUTOR_MODULES:
        yield import_module(name), "ThreadPoolExecutor", in_simulation(_executor)
    yield import_module("ray.autoscaler.v2.autoscaler"), "RayInstaller", in_simulation(_installer)


def _executor(session: Session, _real: Any, max_workers: int = 1, thread_name_prefix: str = "", **_: Any) -> Any:
    assert session.executors is not None
    return session.executors(max_workers, thread_name_prefix)


class _Installer:
    """A stand-in for SSH, setup commands and `ray start`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def install_ray(self, instance: Any, _head_node_ip: str) -> None:
        if not self._world.finish_install(instance.cloud_instance_id):
            raise RuntimeError("the machine is gone")


def _installer(session: Session, _real: Any, *_args: Any, **_more: Any) -> _Installer:
    return _Installer(session.world)


class AutoscalerV2:
    """Ray's `Autoscaler` with its reconciler, scheduler, instance manager, provider adapter and installer queue.

    With `plain`, Ray's code runs without the shortcuts of `fastpaths`.
    """

    def __init__(self, session: Session, *, plain: bool = False) -> None:
        import ray.autoscaler.v2.autoscaler as module
        from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig, IConfigReader

        world = session.world
        settings = world.settings
        self._session = session
        self._world = world
        self._plain = plain
        raw = simulated_config(world.shape, settings, f"{id(session)}")
        _reject_as_ray_does(raw)

        class Config(AutoscalingConfig):  # type: ignore[misc]
            def get_max_concurrent_launches(self) -> int:
                """Return the trial's limit, which Ray otherwise reads from the monitor's environment."""
                return settings.max_concurrent_launches

        config = Config(raw, skip_content_hash=True)

        class Reader(IConfigReader):  # type: ignore[misc]
            def get_cached_autoscaling_config(self) -> AutoscalingConfig:
                return config

            def refresh_cached_autoscaling_config(self) -> None:
                """Do nothing: the file doesn't change during a trial."""

        if not plain:
            fastpaths.remember_node_types(config)
        session.executors = self._make_executor
        self._config = config
        self.most_tasks = fastpaths.most_tasks(world)
        self._gcs = SimulatedGcs(world, most_tasks=None if plain else self.most_tasks)
        self._autoscaler = module.Autoscaler("simulated", Reader(), self._gcs)
        self._autoscaler._cloud_instance_provider._max_launch_batch_per_type = settings.max_launch_batch
        self._storage = self._autoscaler._instance_manager._instance_storage
        if not plain:
            fastpaths.remember_instances(self._autoscaler._instance_manager)
        self._timeouts: tuple[int, list[float]] = (-1, [])
        self._idle_timeouts = {
            worker.name: worker.idle_timeout_s for worker in world.shape.launchable if worker.idle_timeout_s is not None
        }

    def _make_executor(self, max_workers: int, prefix: str) -> VirtualExecutor:
        settings = self._world.settings
        if "NodeLauncherPool" in prefix:
            max_workers = math.ceil(settings.max_concurrent_launches / settings.max_launch_batch)
        return VirtualExecutor(self._session, max_workers, self._service)

    def _service(self, function: Any, args: tuple[Any, ...]) -> tuple[float, Callable[..., Any]]:
        """Return the duration of a job of v2's thread pools in seconds, and the function to run at its end."""
        name = function.__name__
        if name == "_launch_nodes_by_type":
            call = self._world.begin_launch(args[0], args[1])

            def launch(*arguments: Any) -> None:
                self._autoscaler._cloud_instance_provider.v1_provider.call = call
                function(*arguments)

            return call.seconds, launch
        if name == "_install_ray_on_single_node":
            return self._world.begin_install(args[0].cloud_instance_id), function
        return 0.0, function

    def update(self) -> None:
        """Run one update at the world's current time. Raises AutoscalerRaised."""
        with fastpaths.enabled(self._session, not self._plain):
            self._autoscaler.update_autoscaling_state()
        self._session.raise_errors()

    def version(self) -> object:
        """Return a value that is equal before and after an update that decided nothing."""
        return self._storage._storage.get_version()

    def settings_in_force(self) -> tuple[Any, dict[str, Any]]:
        """Return the live autoscaler, and the limits that Ray would have read from the environment."""
        adapter = self._autoscaler._cloud_instance_provider
        return self._autoscaler, {
            "max_concurrent_launches": self._config.get_max_concurrent_launches(),
            "max_launch_batch": adapter._max_launch_batch_per_type,
        }

    def next_deadline(self, after: float) -> float:
        """Return the earliest time from `after` on when time alone could change a decision; UNIX seconds."""
        version = self._storage._storage.get_version()
        if self._timeouts[0] != version:
            self._timeouts = (version, self._all_timeouts())
        moments = [*self._timeouts[1]]
        everywhere, own = self._config.get_idle_timeout_s(), self._idle_timeouts
        for node_type, since in self._world.idle_since():
            idle_timeout = own.get(node_type, everywhere)
            if idle_timeout is not None:
                moments.append(since + idle_timeout)
        moments += self._pending_idle_moments()
        if getattr(self._autoscaler, "_cloud_resource_monitor", None) is not None and self._recovering(after):
            return after
        return min((moment for moment in moments if moment >= after - 0.002), default=math.inf)

    def _all_timeouts(self) -> list[float]:
        """Return the times at which instances count as stuck in their states."""
        from ray.core.generated.instance_manager_pb2 import Instance

        limits = self._config.get_instance_reconcile_config()
        timeouts = {
            Instance.REQUESTED: limits.request_status_timeout_s,
            Instance.ALLOCATED: limits.allocate_status_timeout_s,
            Instance.RAY_INSTALLING: limits.ray_install_status_timeout_s,
            Instance.TERMINATING: limits.terminating_status_timeout_s,
            Instance.RAY_STOP_REQUESTED: limits.ray_stop_requested_status_timeout_s,
        }
        instances, _ = self._storage.get_instances()
        return [
            instance.status_history[-1].timestamp_ns / 1e9 + timeouts[instance.status]
            for instance in instances.values()
            if instance.status in timeouts
        ]

    def _pending_idle_moments(self) -> list[float]:
        """Return the times at which Ray 2.60 gives up pending nodes that nothing needs."""
        timeout = getattr(self._config, "get_pending_idle_timeout_s", lambda: None)()
        unneeded = getattr(self._autoscaler._scheduler, "_pending_unneeded_since_s", {})
        return [] if timeout is None else [since + timeout for times in unneeded.values() for since in times]

    def _recovering(self, now: float) -> bool:
        """Return whether a node type's availability, which recovers with time in Ray 2.60, is still recovering."""
        from ray.autoscaler._private import constants

        window = getattr(constants, "RAY_AUTOSCALER_AVAILABILITY_RECOVERY_S", 0)
        failed = self._autoscaler._cloud_resource_monitor._last_unavailable_timestamp
        return any(now - moment <= window for moment in failed.values())

    def close(self) -> None:
        """Remove the provider from Ray's cache."""
        forget_provider(self._autoscaler._cloud_instance_provider.v1_provider)


def _reject_as_ray_does(raw: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import validate_config

    validate_config(raw)
