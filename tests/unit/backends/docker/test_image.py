"""The image's versions are this process's, its name says so, and what is in it is known by a digest."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.backends.docker import image_build as imagebuild
from orchestrator.backends.docker.image import (
    RayImage,
    base_image_name,
    default_image_name,
    package_digest,
    same_versions,
)
from orchestrator.errors import MissingPrerequisite
from orchestrator.rayapi.version import ray_version

ROOT = Path(__file__).parents[4]
DOCKERFILE = (ROOT / "cluster" / "Dockerfile").read_text()


def locked_ray() -> str:
    """The version of Ray in uv.lock."""
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    return next(str(package["version"]) for package in packages if package["name"] == "ray")


def test_the_dockerfile_is_pinned_to_the_locked_ray_and_python() -> None:
    assert re.findall(r"^ARG RAY_IMAGE=(.*)$", DOCKERFILE, re.MULTILINE) == [f"rayproject/ray:{locked_ray()}-py311"]
    assert set(re.findall(r"orchestrate-ray:([\w.]+)-", DOCKERFILE)) <= {locked_ray()}


def test_the_base_is_the_official_image_for_this_process() -> None:
    tag = f"{ray_version()}-py{sys.version_info.major}{sys.version_info.minor}"

    assert base_image_name() == f"rayproject/ray:{tag}"
    assert base_image_name("arm64") == f"rayproject/ray:{tag}-aarch64"
    assert default_image_name() == f"orchestrate-ray:{tag}"
    assert default_image_name("arm64") == f"orchestrate-ray:{tag}-arm64"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small package in the place of ours."""
    folder = tmp_path / "orchestrator"
    (folder / "aws").mkdir(parents=True)
    (folder / "__init__.py").write_text("VALUE = 1\n")
    (folder / "aws" / "prices.csv").write_text("a,b\n")
    monkeypatch.setattr(imagebuild, "_PACKAGE", folder)
    yield folder
    package_digest.cache_clear()


def digest() -> str:
    package_digest.cache_clear()
    return package_digest()


def test_the_digest_follows_names_and_content(package: Path) -> None:
    seen = {digest()}
    (package / "__init__.py").write_text("VALUE = 2\n")
    seen.add(digest())
    (package / "aws" / "prices.csv").write_text("a,c\n")
    seen.add(digest())
    (package / "aws" / "prices.csv").rename(package / "aws" / "other.csv")
    seen.add(digest())

    assert len(seen) == 4


def test_the_digest_passes_over_caches_and_what_only_a_wheel_has(package: Path) -> None:
    before = digest()
    for name in ("__pycache__/a.pyc", "aws/__pycache__/b.pyc", "bundle/cluster/local.yaml", ".editor.swp"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("x")
    (package / "__init__.py").touch()

    assert digest() == before


def image(name: str, python: str, ray: str = "2.60.0") -> RayImage:
    return RayImage(name, "sha256:1", "/usr/bin/python", python, ray, "x86_64", has_package=True)


def test_nodes_with_the_very_same_versions_go_together() -> None:
    same_versions([image("head", "3.11.7"), image("worker", "3.11.7"), image("worker", "3.11.7")])
    same_versions([image("head", "3.11.7")])


@pytest.mark.parametrize("other", [image("worker", "3.11.9"), image("worker", "3.11.7", ray="2.59.1")])
def test_nodes_with_other_versions_are_refused_with_both_named(other: RayImage) -> None:
    with pytest.raises(MissingPrerequisite) as raised:
        same_versions([image("head", "3.11.7"), other])

    assert "head has Ray 2.60.0 and Python 3.11.7" in raised.value.message
    assert f"worker has Ray {other.ray_version} and Python {other.python_version}" in raised.value.message
