"""The `docker` backend: head and workers are containers of this machine's engine, each with its own address."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from orchestrator.backends.docker.cluster import DockerCluster
from orchestrator.backends.docker.daemon import connect, facts, platform_of
from orchestrator.backends.docker.environment import DockerEnvironment
from orchestrator.backends.docker.image import RayImage, default_image_state, ensure_image, same_versions
from orchestrator.backends.docker.labels import lone_labels
from orchestrator.backends.docker.node_config import container_configs, dashboard_port
from orchestrator.backends.live.backend import LiveBackend
from orchestrator.inputs.cluster_config import ClusterFile
from orchestrator.model.arch import Arch
from orchestrator.model.trial import Trial

Say = Callable[[str], None]


class DockerBackend(LiveBackend):
    """Runs trials on clusters of containers; `environment` holds their images and limits, see `prepare`."""

    name = "docker"

    def __init__(
        self,
        home: Path,
        raw_config: dict[str, Any],
        environment: DockerEnvironment,
        *,
        isolation: Literal["reuse", "fresh"] = "reuse",
        timeout_s: float | None = None,
        logs_dir: Path | None = None,
    ) -> None:
        super().__init__(home, raw_config, isolation=isolation, timeout_s=timeout_s, logs_dir=logs_dir)
        self._environment = environment

    def _start_cluster(self, trial: Trial) -> DockerCluster:
        return DockerCluster.start(
            self._home, self._raw, trial.shape, trial.settings, self._logs_dir, self._environment
        )


def prepare(
    home: Path, cluster: ClusterFile, image: str | None, *, note: Say, progress: Say = lambda line: None
) -> DockerEnvironment:
    """See to it that clusters of this file can be started: an engine, and an image for each node type.

    `image` is for all node types that name none themselves and run on this machine's own architecture. What a user
    should know is told to `note`, a line each.
    Raises MissingPrerequisite where something is missing, SpecError for a wrong `node_config`.
    """
    containers, port = container_configs(cluster), dashboard_port(cluster)
    client = connect()
    engine = facts(client)
    shape = cluster.shape
    environment = DockerEnvironment(client, engine, {}, containers)
    images: dict[str, RayImage] = {}
    for node_type in (shape.head, *shape.workers):
        wanted = containers[node_type.name].image
        arch, why = _arch_to_run(node_type.arch, engine.arch, real=engine.runs(node_type.arch))
        if not why and arch != engine.arch and wanted is None and default_image_state(client, arch)[1] == "absent":
            arch, why = engine.arch, "there is no image for it; docs/docker.md says how to make one"
        if arch == engine.arch:
            wanted = wanted or image
        if why:
            note(f"{node_type.name} runs on {engine.arch}, and its architecture {node_type.arch} is a label: {why}")
        elif arch != engine.arch:
            note(
                f"{node_type.name} runs on an emulated {arch}, about 12 times slower and without a CPU limit:"
                " no measure of performance"
            )
        images[node_type.name] = ensure_image(
            client,
            wanted,
            platform=platform_of(arch),
            user=environment.user,
            labels=lone_labels(home),
            progress=progress,
        )
    same_versions(images.values())
    return DockerEnvironment(client, engine, images, containers, port)


def _arch_to_run(wanted: Arch, native: Arch, *, real: bool) -> tuple[Arch, str]:
    """The architecture that a node type's containers have, and why it isn't the wanted one."""
    if wanted in ("unknown", native):
        return native, ""
    return (wanted, "") if real else (native, "this machine can't run its programs")
