"""What a cluster of containers is made of: an image for each node type, and what a user is told of foreign ones."""

import copy
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from docker.errors import ImageNotFound

from orchestrator.backends.base import BackendRequest
from orchestrator.backends.docker import backend, daemon, image, labels
from orchestrator.backends.docker import image_build as imagebuild
from orchestrator.backends.docker.backend import prepare
from orchestrator.backends.docker.environment import DockerEnvironment
from orchestrator.backends.docker.image import default_image_name
from orchestrator.backends.live.ownership import Owner
from orchestrator.errors import MissingPrerequisite, SpecError
from orchestrator.inputs.cluster_config import ClusterFile, read_cluster_file
from orchestrator.model.arch import Arch
from orchestrator.model.spec import SweepSpec
from orchestrator.rayapi.version import ray_version

RAW: dict[str, Any] = yaml.safe_load((Path(__file__).parents[4] / "cluster" / "docker.yaml").read_text())
HEAD, X86, ARM = "head_node", "x86_worker_node", "arm_worker_node"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}.7"
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass
class Image:
    """One that is here, for Docker's name of an architecture."""

    arch: str
    python: str = PYTHON

    @property
    def labels(self) -> dict[str, str]:
        return {imagebuild.PACKAGE_LABEL: imagebuild.package_digest()}


@dataclass
class Client:
    """An engine with these images by their names; each tells its versions in a container."""

    images_here: dict[str, Image]
    arch: str = "amd64"
    asked: list[dict[str, Any]] = field(default_factory=list)
    running: list[Any] = field(default_factory=list)

    def info(self) -> dict[str, Any]:
        return {"Architecture": MACHINES[self.arch], "NCPU": 2, "MemTotal": 2**34}

    def version(self) -> dict[str, Any]:
        return {"Arch": self.arch}

    @property
    def images(self) -> Any:
        return SimpleNamespace(get=self._image)

    def _image(self, name: str) -> Any:
        if name not in self.images_here:
            raise ImageNotFound(name)
        found = self.images_here[name]
        return SimpleNamespace(id=f"sha256:{name}", attrs={"Architecture": found.arch}, labels=found.labels)

    @property
    def containers(self) -> Any:
        return SimpleNamespace(create=self._create)

    def _create(self, image_id: str, **options: Any) -> Any:
        self.asked.append(options)
        found = self.images_here[image_id.removeprefix("sha256:")]
        told = {"python": "/usr/bin/python", "python_version": found.python, "machine": MACHINES[found.arch]}
        answer = json.dumps({**told, "ray": ray_version()}).encode()
        probe: Any = SimpleNamespace(
            start=lambda: None,
            wait=lambda timeout: {"StatusCode": 0},
            logs=lambda stdout, stderr: answer if stdout else b"",
            remove=lambda force, v: self.running.remove(probe),
        )
        self.running.append(probe)
        return probe


def file(**node_configs: dict[str, Any]) -> ClusterFile:
    """The built-in one, with more in the `node_config` of node types."""
    raw = copy.deepcopy(RAW)
    for name, more in node_configs.items():
        raw["available_node_types"][name]["node_config"].update(more)
    shipped = read_cluster_file(Path(__file__).parents[4] / "cluster" / "docker.yaml")
    return ClusterFile(shipped.path, raw, shipped.shape, None, None)


Prepare = Callable[..., tuple[DockerEnvironment, list[str]]]


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Prepare:
    """What comes of `prepare` with a client, on a machine that emulates these architectures; and the notices."""
    monkeypatch.setattr(image, "_known", {})

    def call(
        client: Client, cluster: ClusterFile | None = None, *, emulated: Arch | None = None, image: str | None = None
    ) -> tuple[DockerEnvironment, list[str]]:
        monkeypatch.setattr(backend, "connect", lambda: client)
        monkeypatch.setattr(daemon, "emulated", lambda: frozenset(filter(None, [emulated])))
        said: list[str] = []
        spec = SweepSpec(backend="docker", image=image)
        return prepare(BackendRequest(tmp_path, spec, cluster or file(), note=said.append)), said

    return call


def used(host: DockerEnvironment) -> dict[str, str]:
    """The images by node type."""
    return {name: image.name for name, image in host.images.items()}


X86_IMAGE, ARM_IMAGE = default_image_name("x86_64"), default_image_name("arm64")
BOTH = {X86_IMAGE: Image("amd64"), ARM_IMAGE: Image("arm64")}


def test_without_an_emulator_a_foreign_type_is_a_label_and_it_is_said_why(prepared: Prepare) -> None:
    host, said = prepared(Client(BOTH))

    assert used(host) == {HEAD: X86_IMAGE, X86: X86_IMAGE, ARM: X86_IMAGE}
    assert said == [f"{ARM} runs on x86_64, and its architecture arm64 is a label: this machine can't run its programs"]
    assert not host.emulates(ARM)
    assert host.starts == 2


def test_without_an_image_it_is_a_label_though_there_is_an_emulator(prepared: Prepare) -> None:
    host, said = prepared(Client({X86_IMAGE: Image("amd64")}), emulated="arm64")

    assert used(host)[ARM] == X86_IMAGE
    assert said == [
        f"{ARM} runs on x86_64, and its architecture arm64 is a label:"
        " there is no image for it; docs/docker.md says how to make one"
    ]


def test_an_image_under_the_default_name_is_emulated(prepared: Prepare) -> None:
    host, said = prepared(Client(BOTH), emulated="arm64")

    assert used(host) == {HEAD: X86_IMAGE, X86: X86_IMAGE, ARM: ARM_IMAGE}
    assert said == [
        f"{ARM} runs on an emulated arm64, about 12 times slower and without a CPU limit: no measure of performance"
    ]
    assert [host.emulates(name) for name in (HEAD, X86, ARM)] == [False, False, True]
    assert host.starts == 1


def test_an_image_that_the_node_type_names_is_emulated(prepared: Prepare) -> None:
    client = Client({X86_IMAGE: Image("amd64"), "my-ray:arm64": Image("arm64")})
    host, said = prepared(client, file(arm_worker_node={"image": "my-ray:arm64"}), emulated="arm64")

    assert used(host)[ARM] == "my-ray:arm64"
    assert "emulated arm64" in said[0]
    assert {asked["platform"] for asked in client.asked} == {"linux/amd64", "linux/arm64"}


def test_the_image_option_is_for_the_engines_own_architecture(prepared: Prepare) -> None:
    host, _ = prepared(Client({**BOTH, "lab/ray": Image("amd64")}), emulated="arm64", image="lab/ray")

    assert used(host) == {HEAD: "lab/ray", X86: "lab/ray", ARM: ARM_IMAGE}


def test_a_node_types_own_image_stands_above_the_image_option(prepared: Prepare) -> None:
    client = Client({"lab/ray": Image("amd64"), "lab/head": Image("amd64")})
    host, _ = prepared(client, file(head_node={"image": "lab/head"}), image="lab/ray")

    assert used(host) == {HEAD: "lab/head", X86: "lab/ray", ARM: "lab/ray"}


def test_on_an_arm_machine_it_is_the_x86_types_that_are_foreign(prepared: Prepare) -> None:
    host, said = prepared(Client(BOTH, arch="arm64"), emulated="x86_64")

    assert used(host) == {HEAD: X86_IMAGE, X86: X86_IMAGE, ARM: ARM_IMAGE}
    assert [line.split()[0] for line in said] == [HEAD, X86]


def test_images_that_differ_are_refused(prepared: Prepare) -> None:
    client = Client({X86_IMAGE: Image("amd64"), ARM_IMAGE: Image("arm64", python=PYTHON[:-1] + "9")})
    with pytest.raises(MissingPrerequisite, match="nodes of one cluster need the same Ray and Python"):
        prepared(client, emulated="arm64")


def test_a_wrong_node_config_is_said_before_the_engine_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(backend, "connect", lambda: pytest.fail("nobody needs an engine for that"))
    with pytest.raises(SpecError, match=r"head_node\.node_config\.memory"):
        prepare(BackendRequest(tmp_path, SweepSpec(), file(head_node={"memory": "lots"})))


def test_what_looks_into_an_image_says_whose_it_is_and_goes(prepared: Prepare, tmp_path: Path) -> None:
    client = Client(BOTH)
    prepared(client)
    marks = client.asked[0]["labels"]

    assert marks[labels.HOME] == str(tmp_path)
    assert labels.owner_of(marks) == Owner.this_process(marks[labels.CLUSTER], "", "", backend="docker")
    assert client.running == []


def test_the_dashboards_port_is_the_cluster_files(prepared: Prepare) -> None:
    cluster = file()
    cluster.raw["provider"]["dashboard_port"] = 8265
    host, _ = prepared(Client(BOTH), cluster)

    assert host.dashboard_port == 8265
