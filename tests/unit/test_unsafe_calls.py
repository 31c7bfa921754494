"""No text becomes code: the package has no pickle, no eval, no shell, and no YAML that builds objects."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from orchestrator.errors import SpecError
from orchestrator.inputs import yaml_file

PACKAGE = Path(__file__).parents[2] / "orchestrator"
MODULES = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"}
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
# The only call that takes a loader, see `test_yaml_is_read_by_a_safe_loader_only`.
LOADS_BY_LOADER = "inputs/yaml_file.py"


def unsafe(source: str, *, loads_by_loader: bool = False) -> Iterator[str]:
    """Yield the imports and calls in a module that could run what a file or a name contains."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in MODULES:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if (
                name in CALLS
                or any(each.arg == "shell" for each in node.keywords)
                or (re.fullmatch(r"yaml\.(?!safe_)\w*load\w*", name) and not loads_by_loader)
            ):
                yield name


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from cloudpickle import loads",
        "import yaml\nyaml.load(text, yaml.Loader)",
        "import yaml\nyaml.unsafe_load(text)",
        "eval(text)",
        "import subprocess\nsubprocess.run(text, shell=True)",
    ],
)
def test_an_unsafe_call_is_found(source: str) -> None:
    assert list(unsafe(source))


@pytest.mark.parametrize("source", ["import yaml\nyaml.safe_load(text)", "ast.literal_eval(text)", "re.compile(text)"])
def test_a_safe_call_passes(source: str) -> None:
    assert not list(unsafe(source))


def test_the_package_has_no_unsafe_call() -> None:
    names = {path: path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}
    found = {
        name: calls
        for path, name in names.items()
        if (calls := list(unsafe(path.read_text(), loads_by_loader=name == LOADS_BY_LOADER)))
    }

    assert found == {}


def test_yaml_is_read_by_a_safe_loader_only() -> None:
    loaders = [each for each in vars(yaml_file).values() if isinstance(each, type) and hasattr(each, "get_single_data")]

    assert loaders
    assert all(issubclass(each, yaml.SafeLoader | yaml.CSafeLoader) for each in loaders)


def test_yaml_that_builds_an_object_is_refused(tmp_path: Path) -> None:
    file, proof = tmp_path / "spec.yaml", tmp_path / "proof"
    file.write_text(f"name: !!python/object/apply:os.system ['touch {proof}']\n")

    with pytest.raises(SpecError, match=f"{file}:1: not valid YAML"):
        yaml_file.read_yaml_mapping(file)

    assert not proof.exists()
