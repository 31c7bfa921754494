"""Ray's v1 autoscaler in a simulation: `StandardAutoscaler`, the monitor's reading of the GCS, the node launcher."""

import logging
import math
from collections.abc import Iterator
from typing import Any

from orchestrator.logs import suppressed
from orchestrator.rayapi.virtual import fastpaths
from orchestrator.rayapi.virtual.config import simulated_config
from orchestrator.rayapi.virtual.provider import SimulatedGcs, forget_provider
from orchestrator.rayapi.virtual.session import Replacement, Session, VirtualExecutor, in_simulation
from orchestrator.rayapi.virtual.world import World

_log = logging.getLogger(__name__)


def replacements(threading: Any, off_in_simulation: Any) -> Iterator[Replacement]:
    """Yield the replacements for v1: the updater, the threads that start updaters, and unread status texts."""
    import ray.autoscaler._private.autoscaler as module

    yield module, "NodeUpdaterThread", in_simulation(_updater)
    yield module, "threading", threading
    yield module, "AUTOSCALER_STATUS_LOG", off_in_simulation
    yield module, "legacy_log_info_string", in_simulation(lambda session, real, *args: None)


class _Updater:
    """A stand-in for `NodeUpdaterThread` that waits for the boot and installs Ray; then the node joins."""

    def __init__(self, world: World, options: dict[str, Any]) -> None:
        self._world = world
        self._machine_id: str = options["node_id"]
        self._provider = options["provider"]
        self._runtime_hash = options["runtime_hash"]
        self.for_recovery = options.get("for_recovery", False)
        self.exitcode: int | None = None
        self.update_time: float | None = None
        self._alive = False

    def start(self) -> None:
        from ray.autoscaler import tags

        self._alive = True
        self._provider.set_node_tags(self._machine_id, {tags.TAG_RAY_NODE_STATUS: tags.STATUS_WAITING_FOR_SSH})
        self._world.call_later(self._world.begin_install(self._machine_id), self._finish)

    def _finish(self) -> None:
        from ray.autoscaler import tags

        self._alive = False
        if self._world.finish_install(self._machine_id):
            status = {
                tags.TAG_RAY_NODE_STATUS: tags.STATUS_UP_TO_DATE,
                tags.TAG_RAY_RUNTIME_CONFIG: self._runtime_hash,
            }
            self._provider.set_node_tags(self._machine_id, status)
            self.exitcode = 0
        else:
            self.exitcode = 1

    def is_alive(self) -> bool:
        return self._alive


def _updater(session: Session, _real: Any, **options: Any) -> _Updater:
    return _Updater(session.world, options)


class AutoscalerV1:
    """Ray's `StandardAutoscaler`, called as Ray's monitor calls it."""

    def __init__(self, session: Session, *, plain: bool = False) -> None:
        from ray.autoscaler._private.autoscaler import StandardAutoscaler
        from ray.autoscaler._private.constants import AUTOSCALER_MAX_RESOURCE_DEMAND_VECTOR_SIZE
        from ray.autoscaler._private.load_metrics import LoadMetrics
        from ray.autoscaler._private.monitor import Monitor
        from ray.autoscaler._private.node_launcher import BaseNodeLauncher

        world = session.world
        settings = world.settings
        self._session = session
        self._world = world
        self._plain = plain
        raw = simulated_config(world.shape, settings, f"{id(session)}")
        self._failures: list[float] = []
        self.most_tasks = fastpaths.most_tasks(world, AUTOSCALER_MAX_RESOURCE_DEMAND_VECTOR_SIZE + 1)
        gcs = SimulatedGcs(world, most_tasks=None if plain else self.most_tasks)
        autoscaler = self._autoscaler = StandardAutoscaler(
            lambda: raw,
            LoadMetrics(),
            gcs,
            session_name="simulated",
            max_launch_batch=settings.max_launch_batch,
            max_concurrent_launches=0,  # no threads: the launcher below runs in virtual time
            max_failures=0,
            update_interval_s=0,
        )
        # The tracker's clock is a default argument that was bound when Ray was imported.
        autoscaler.node_provider_availability_tracker.timer = world.now
        self._launcher = BaseNodeLauncher(
            provider=autoscaler.provider,
            pending=autoscaler.pending_launches,
            event_summarizer=autoscaler.event_summarizer,
            node_provider_availability_tracker=autoscaler.node_provider_availability_tracker,
            session_name="simulated",
            node_types=autoscaler.available_node_types,
            prom_metrics=autoscaler.prom_metrics,
        )
        threads = math.ceil(settings.max_concurrent_launches / settings.max_launch_batch)
        self._launchers = VirtualExecutor(session, threads, self._service)
        # Only the monitor's reading of the GCS is needed. A monitor's constructor would connect to a GCS.
        monitor = self._monitor = object.__new__(Monitor)
        monitor.gcs_client = gcs
        monitor.load_metrics = autoscaler.load_metrics
        monitor.autoscaler = autoscaler
        monitor.readonly_config = None

    def _service(self, function: Any, args: tuple[Any, ...]) -> tuple[float, Any]:
        _, count, node_type = args
        call = self._world.begin_launch(node_type, count)

        def launch(*arguments: Any) -> None:
            self._autoscaler.provider.call = call
            before = self._failed_launches()
            function(*arguments)
            if self._failed_launches() > before:
                self._failures.append(self._world.now())

        return call.seconds, launch

    def _failed_launches(self) -> float:
        return float(self._autoscaler.prom_metrics.node_launch_exceptions._value.get())

    def update(self) -> None:
        """Run one round of the monitor's loop at the world's current time. Raises AutoscalerRaised."""
        with fastpaths.enabled(self._session, not self._plain):
            self._monitor.update_load_metrics()
            self._autoscaler.load_metrics.set_resource_requests([dict(each) for each in self._world.requested()])
            if self._autoscaler.load_metrics:
                with suppressed(_log, "an update of v1", Exception), self._session.watched():
                    self._autoscaler.update()
        self._autoscaler.event_summarizer.clear()
        self._session.raise_errors()
        while not self._autoscaler.launch_queue.empty():
            self._launchers.submit(self._launcher.launch_node, *self._autoscaler.launch_queue.get())

    def version(self) -> object:
        """Return a value that is equal before and after an update that decided nothing."""
        machines = tuple((name, tuple(machine.tags.items())) for name, machine in self._world.machines.items())
        return machines, tuple(self._autoscaler.pending_launches.breakdown().items()), len(self._autoscaler.updaters)

    def settings_in_force(self) -> tuple[Any, dict[str, Any]]:
        """Return the live autoscaler, and the limits that Ray would have read from the environment."""
        return self._autoscaler, {
            "max_concurrent_launches": self._world.settings.max_concurrent_launches,
            "max_launch_batch": self._autoscaler.max_launch_batch,
        }

    def next_deadline(self, after: float) -> float:
        """Return the earliest time from `after` on when time alone could change a decision; UNIX seconds."""
        from ray.autoscaler._private.constants import AUTOSCALER_NODE_AVAILABILITY_MAX_STALENESS_S as STALENESS_S

        if self._failures and after - self._failures[-1] <= STALENESS_S:
            return after  # the set of unavailable types changes with time
        idle_timeout = 60 * self._autoscaler.config["idle_timeout_minutes"]
        moments = (since + idle_timeout for _, since in self._world.idle_since())
        return min((moment for moment in moments if moment >= after - 0.002), default=math.inf)

    def close(self) -> None:
        """Remove the provider from Ray's cache."""
        forget_provider(self._autoscaler.provider)
