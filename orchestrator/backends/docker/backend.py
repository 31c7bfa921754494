"""The `docker` backend: head and workers are containers of this machine's engine, each with its own address."""

from orchestrator.backends.base import BackendRequest
from orchestrator.backends.docker.cluster import DockerCluster
from orchestrator.backends.docker.daemon import connect, facts, platform_of
from orchestrator.backends.docker.environment import DockerEnvironment
from orchestrator.backends.docker.image import RayImage, default_image_state, ensure_image, same_versions
from orchestrator.backends.docker.labels import lone_labels
from orchestrator.backends.docker.node_config import container_configs, dashboard_port
from orchestrator.backends.live.backend import LiveBackend
from orchestrator.backends.live.cluster import ClusterLaunch
from orchestrator.model.arch import Arch


class DockerBackend(LiveBackend):
    """Runs trials on clusters of containers; `environment` holds their images and limits, see `prepare`."""

    name = "docker"

    def __init__(self, request: BackendRequest, environment: DockerEnvironment) -> None:
        super().__init__(request)
        self._environment = environment

    def _start_cluster(self, launch: ClusterLaunch) -> DockerCluster:
        return DockerCluster.start(launch, self._environment)


def prepare(request: BackendRequest) -> DockerEnvironment:
    """Find the daemon, and find or build an image for each node type, so that clusters of the request can start.

    The spec's image is for node types that name none themselves and run on this machine's own architecture. The user
    gets a note for each node type that doesn't run as the cluster file says.
    Raises MissingPrerequisite if something is missing, SpecError for a wrong `node_config`.
    """
    cluster, image = request.cluster, request.spec.image
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
            request.note(
                f"{node_type.name} runs on {engine.arch}, and its architecture {node_type.arch} is a label: {why}"
            )
        elif arch != engine.arch:
            request.note(
                f"{node_type.name} runs on an emulated {arch}, about 12 times slower and without a CPU limit:"
                " no measure of performance"
            )
        images[node_type.name] = ensure_image(
            client,
            wanted,
            platform=platform_of(arch),
            user=environment.user,
            labels=lone_labels(request.home),
            progress=request.progress,
        )
    same_versions(images.values())
    return DockerEnvironment(client, engine, images, containers, port)


def _arch_to_run(wanted: Arch, native: Arch, *, real: bool) -> tuple[Arch, str]:
    """Return the architecture of a node type's containers, and the reason if it isn't the wanted one."""
    if wanted in ("unknown", native):
        return native, ""
    return (wanted, "") if real else (native, "this machine can't run its programs")
