"""The image of a node on a real engine: built, kept up to date, and refused in one clear line where it can't serve."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import docker
import pytest

from orchestrator.backends.docker import image_build as imagebuild
from orchestrator.backends.docker.daemon import connect, facts
from orchestrator.backends.docker.image import (
    PACKAGE_FOLDER,
    RayImage,
    default_image_name,
    default_image_state,
    ensure_image,
    package_digest,
)
from orchestrator.docker_errors import explain
from orchestrator.errors import MissingPrerequisite, OrchestrateError
from tests.support.cuttable_socket import cuttable
from tests.support.docker_engine import Engine, running_engine
from tests.support.ray_images import (
    OFFICIAL,
    OTHER_PYTHON,
    OTHER_PYTHON_VERSION,
    OTHER_RAY,
    OTHER_RAY_VERSION,
    PYTHON_TAG,
)

pytestmark = pytest.mark.alone

RAY = version("ray")
STRANGER = "12345:12345"
# For a machine that doesn't exist: whatever emulators are registered here, none takes it.
FOREIGN_PROGRAM = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb1\xfe\x01\x00\x00\x00" + bytes(40)


@pytest.fixture
def client(ray_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[docker.DockerClient]:
    """A client as the program finds it; no container may be left, whatever the test does."""
    for name, value in ray_engine.environment.items():
        monkeypatch.setenv(name, value)
    before = ray_engine.listed("container")
    with contextlib.closing(connect()) as opened:
        yield opened

    assert ray_engine.listed("container") == before


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package that counts as this machine's, and may be changed."""
    copy = tmp_path / "orchestrator"
    shutil.copytree(imagebuild._PACKAGE, copy)
    monkeypatch.setattr(imagebuild, "_PACKAGE", copy)
    package_digest.cache_clear()
    yield copy
    package_digest.cache_clear()


def built(client: docker.DockerClient) -> tuple[RayImage, list[str]]:
    """The default image, and what was said while it was seen to."""
    said: list[str] = []
    return ensure_image(client, None, progress=said.append), said


def run(client: docker.DockerClient, image: RayImage, code: str, user: str = STRANGER) -> str:
    """What Python code prints in a container of the image."""
    command = [image.python, "-c", code]
    output = client.containers.run(image.image_id, command, remove=True, network_mode="none", user=user)
    return bytes(output).decode().strip()


def refusal(client: docker.DockerClient, wanted: str | None, **options: str) -> MissingPrerequisite:
    """Why an image is refused; the command would end with exit code 3 and two lines."""
    with pytest.raises(MissingPrerequisite) as raised:
        ensure_image(client, wanted, **options)  # type: ignore[arg-type]
    assert raised.value.hint
    assert len(raised.value.message.splitlines()) == 1
    return raised.value


def test_the_engine_says_what_it_is(client: docker.DockerClient) -> None:
    found = facts(client)

    assert found.version == client.version()["Version"]
    assert found.cpus == os.cpu_count()
    assert found.memory > 10**8
    assert found.runs(found.arch)
    assert found.shares_network


def test_the_default_image_is_built_from_rays_own_and_holds_the_package(client: docker.DockerClient) -> None:
    image, _ = built(client)
    found = run(client, image, "import orchestrator, ray; print(orchestrator.__file__, ray.__version__)")

    assert image.name == default_image_name() == f"orchestrate-ray:{RAY}-py{PYTHON_TAG}"
    assert image.has_package
    assert image.ray_version == RAY
    assert found == f"{PACKAGE_FOLDER}/orchestrator/__init__.py {RAY}"
    assert client.images.get(image.image_id).attrs["Config"]["User"] == "1000"
    assert default_image_state(client, "x86_64") == (image.name, "present")


def test_a_built_image_is_compiled(client: docker.DockerClient) -> None:
    image, _ = built(client)
    modules = ["ray", "json", "orchestrator.errors"]
    cached = (
        "import importlib.util, json, os;"
        f"print(json.dumps([os.path.exists(importlib.util.find_spec(m).cached) for m in {modules}]))"
    )

    assert json.loads(run(client, image, cached)) == [True, True, True]


def test_an_image_that_is_up_to_date_is_not_built_again(client: docker.DockerClient) -> None:
    first, _ = built(client)
    second, said = built(client)

    assert second == first
    assert said == []


def test_a_change_of_the_package_builds_the_image_again_and_removes_the_old_one(
    client: docker.DockerClient, package: Path
) -> None:
    old, _ = built(client)
    (package / "novelty.py").write_text("WORD = 'new'\n")
    package_digest.cache_clear()

    assert default_image_state(client, "x86_64") == (old.name, "stale")
    assert not ensure_image(client, old.name).has_package

    new, said = built(client)

    assert new.has_package
    assert any("Using cache" not in line and "Step" in line for line in said)
    assert run(client, new, "import orchestrator.novelty as n; print(n.WORD)") == "new"
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get(old.image_id)


def test_a_built_image_runs_as_any_user_where_rays_own_is_closed(
    client: docker.DockerClient, ray_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray_engine.build("closed-home:test", f"FROM {OFFICIAL}\nUSER 0\nRUN chmod 750 /home/ray\nUSER 1000\n")
    refused = refusal(client, "closed-home:test", user=STRANGER)

    assert f"has a Python that user {STRANGER} can't use" in refused.message

    monkeypatch.setattr(imagebuild, "base_image_name", lambda arch: "closed-home:test")
    client.images.remove(default_image_name(), force=True)
    image = ensure_image(client, None, user=STRANGER)

    assert run(client, image, "import ray; print(ray.__version__)") == RAY


def test_an_image_with_another_ray_is_refused_with_both_versions(client: docker.DockerClient) -> None:
    refused = refusal(client, OTHER_RAY)

    assert f"{OTHER_RAY} has Ray {OTHER_RAY_VERSION}" in refused.message
    assert f"orchestrate runs on Ray {RAY}" in refused.message


def test_an_image_with_another_python_is_refused_with_both_versions(client: docker.DockerClient) -> None:
    refused = refusal(client, OTHER_PYTHON)

    assert f"Python {OTHER_PYTHON_VERSION}, but" in refused.message
    assert f"Python {PYTHON_TAG[0]}.{PYTHON_TAG[1:]}" in refused.message


def test_an_image_without_ray_is_refused(client: docker.DockerClient, ray_engine: Engine) -> None:
    metadata = f"/home/ray/anaconda3/lib/python*/site-packages/ray-{RAY}.dist-info"
    ray_engine.build("no-ray:test", f"FROM {OFFICIAL}\nUSER 0\nRUN rm -r {metadata}\nUSER 1000\n")

    assert "no-ray:test has no Ray in its Python" in refusal(client, "no-ray:test").message


def test_an_image_without_python_is_refused(client: docker.DockerClient, ray_engine: Engine) -> None:
    with ray_engine.new_image("no-python:test"):
        pass

    assert "no-python:test has no Python" in refusal(client, "no-python:test").message


def test_an_image_of_another_architecture_is_refused(client: docker.DockerClient, ray_engine: Engine) -> None:
    with ray_engine.new_image("foreign:test") as root:
        root.file("usr/bin/sh.foreign", FOREIGN_PROGRAM)
    ray_engine.build(
        "foreign:test", "FROM foreign:test\nRUN mv /usr/bin/sh.foreign /bin/sh.foreign && ln -sf sh.foreign /bin/sh\n"
    )
    refused = refusal(client, "foreign:test")

    assert "foreign:test is for amd64, and this machine can't run that" in refused.message
    assert "qemu" in str(refused.hint)


def test_an_image_that_is_here_for_another_architecture_only_is_refused(
    client: docker.DockerClient,
) -> None:
    refused = refusal(client, OFFICIAL, platform="linux/arm64")

    assert OFFICIAL in refused.message
    assert f"docker pull --platform linux/arm64 {OFFICIAL}" in str(refused.hint)


def test_an_image_that_can_not_be_had_is_named_with_the_command_that_gets_it(client: docker.DockerClient) -> None:
    refused = refusal(client, "registry.invalid/nobody/nothing:1")

    assert "the image registry.invalid/nobody/nothing:1 isn't here and can't be pulled" in refused.message
    assert "docker pull registry.invalid/nobody/nothing:1" in str(refused.hint)


def test_without_rays_own_image_an_older_build_of_ours_still_serves(
    client: docker.DockerClient, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _ = built(client)
    (package / "novelty.py").touch()
    package_digest.cache_clear()
    monkeypatch.setattr(imagebuild, "base_image_name", lambda arch: "registry.invalid/ray:1")
    image, _ = built(client)

    assert (image.image_id, image.has_package) == (old.image_id, False)


def test_an_engine_that_goes_away_meanwhile_is_one_line(
    client: docker.DockerClient, ray_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: Path
) -> None:
    (package / "novelty.py").touch()
    with cuttable(tmp_path / "cut.sock", ray_engine.environment["DOCKER_HOST"]) as between:
        monkeypatch.setenv("DOCKER_HOST", between.url)
        with contextlib.closing(connect()) as through, pytest.raises(MissingPrerequisite) as raised:
            ensure_image(through, None, progress=lambda line: between.cut() if "Step 7" in line else None)
        with pytest.raises(MissingPrerequisite, match="the Docker engine doesn't run"):
            connect()

    assert "building the image" in raised.value.message
    assert "the Docker engine doesn't answer" in raised.value.message


def test_what_a_real_engine_says_of_its_limits_is_understood(client: docker.DockerClient, ray_engine: Engine) -> None:
    def start(**options: Any) -> None:
        container = client.containers.create(OFFICIAL, ["true"], **options)
        try:
            container.start()
        finally:
            container.remove(force=True)

    def said(**options: Any) -> OrchestrateError:
        with pytest.raises(OrchestrateError) as raised, explain("starting a node"):
            start(**options)
        return raised.value

    network = client.networks.create("orchestrate-test-ports", driver="bridge")
    try:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            ports = {"80/tcp": ("127.0.0.1", port)}
            port_taken = said(network="orchestrate-test-ports", ports=ports)
        unknown_network = said(network="orchestrate-nowhere")
    finally:
        network.remove()
    too_many_cpus = said(nano_cpus=4096 * 10**9)

    assert "starting a node: a port or address is in use" in port_taken.message
    assert "the engine has fewer CPUs than a node requests" in too_many_cpus.message
    assert [port_taken.exit_code, too_many_cpus.exit_code, unknown_network.exit_code] == [3, 3, 1]


@pytest.fixture
def full_engine(ray_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine with a disk of its own, which has room for a small image and nothing else."""
    folder = tmp_path_factory.mktemp("full")
    (folder / "data").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder / "data")], check=True)
    with running_engine(folder, ray_engine.programs) as engine:
        with engine.new_image(OFFICIAL):
            pass
        free = shutil.disk_usage(folder / "data").free
        (folder / "data" / "filler").write_bytes(bytes(free - 200_000))
        yield engine


def test_a_full_disk_is_one_line(full_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in full_engine.environment.items():
        monkeypatch.setenv(name, value)
    with contextlib.closing(connect()) as client:
        refused = refusal(client, None)

    assert "the engine's disk is full" in refused.message
    assert "docker system df" in str(refused.hint)
    assert full_engine.listed("container") == set()
