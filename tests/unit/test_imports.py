"""Ray's private names live in `orchestrator/rayapi/`. The directions of our own imports are held by import-linter."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE, TESTS = ROOT / "orchestrator", ROOT / "tests"

# A part that starts with an underscore (`ray._raylet`, `ray.autoscaler._private`), or a package Ray doesn't document.
PRIVATE = re.compile(r"ray(\.\w+)*\._\w|ray\.core\.generated\b|ray\.autoscaler\.v2\b")
DOTTED_NAME = re.compile(r"\w+(\.\w+)+")


def private_names(source: str) -> set[str]:
    """The private names of Ray that Python source imports, reaches by attribute or names in a string of its own."""
    return {name for name in dotted_names(ast.parse(source)) if PRIVATE.match(name)}


def dotted_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from (f"{module}.{alias.name}" for alias in names)
            case ast.Attribute():
                yield ast.unparse(node)
            case ast.Constant(value=str(text)) if DOTTED_NAME.fullmatch(text):
                yield text


@pytest.mark.parametrize(
    "source",
    [
        "import ray._raylet",
        "from ray import _private",
        "from ray._private.parameter import RayParams",
        "def later():\n    from ray.core.generated.gcs_pb2 import GcsNodeInfo",
        "from ray.core import generated",
        "from ray.autoscaler import v2",
        "from ray.autoscaler._private import constants",
        "import ray\nray._private.worker.global_worker",
        "import_module('ray.autoscaler.v2.sdk')",
    ],
)
def test_a_private_name_of_ray_is_seen(source: str) -> None:
    assert private_names(source)


@pytest.mark.parametrize(
    "source",
    [
        "import ray\nray.init()",
        "from ray.autoscaler.node_provider import NodeProvider",
        "from ray.autoscaler.tags import STATUS_UP_TO_DATE",
        "'See `ray._private.services` for why.'",
        "import array._x",
    ],
)
def test_a_public_name_of_ray_is_not(source: str) -> None:
    assert not private_names(source)


def test_only_rayapi_knows_private_names_of_ray() -> None:
    found = {
        str(path.relative_to(PACKAGE)): names
        for path in sorted(PACKAGE.rglob("*.py"))
        if (names := private_names(path.read_text()))
    }

    assert {Path(path).parts[0] for path in found} == {"rayapi"}, found


def test_test_modules_share_only_what_is_in_support() -> None:
    shared = {
        str(path.relative_to(TESTS)): names
        for path in sorted(TESTS.rglob("*.py"))
        if path.parent.name != "torture"  # a program of its own, without tests
        and (names := [name for name in imported(path) if re.match(r"tests\.(?!support\b)", name)])
    }

    assert shared == {}


def attributes(path: Path) -> Iterator[str]:
    yield from (ast.unparse(node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_no_unit_test_sleeps() -> None:
    sleeping = [
        str(path.relative_to(TESTS))
        for path in sorted((TESTS / "unit").rglob("*.py"))
        if {"time.sleep", "asyncio.sleep"} & {*attributes(path), *imported(path)}
    ]

    assert sleeping == []
