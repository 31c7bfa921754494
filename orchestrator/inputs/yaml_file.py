"""Reads YAML files that users write: every fault is a SpecError that names the file and the line or key."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from orchestrator.errors import SpecError

MAX_FILE_BYTES = 1_000_000
MAX_VALUES = 100_000


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, but a key that stands twice is an error instead of a silent last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is not None and key != "<<":
                if key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key!r} stands twice", key_node.start_mark
                    )
                seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; keys are strings at every depth. Raises SpecError for anything else."""
    text = _read_text(path)
    try:
        document = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise SpecError(where, f"not valid YAML: {getattr(error, 'problem', None) or 'unreadable'}") from None
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError):
        raise SpecError(str(path), "not valid YAML: a value can't be read") from None
    if document is None:
        raise SpecError(str(path), "the file is empty")
    if not isinstance(document, dict):
        raise SpecError(str(path), f"expected keys and values, found {type(document).__name__}")
    _check_tree(path, document)
    return document


def _read_text(path: Path) -> str:
    try:
        status = path.stat()
        if path.is_dir():
            raise SpecError(str(path), "a folder, not a file")
        if not path.is_file():
            raise SpecError(str(path), "not a file")
        if status.st_size > MAX_FILE_BYTES:
            raise SpecError(str(path), f"larger than {MAX_FILE_BYTES} bytes; is this the right file?")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError(str(path), "no such file") from None
    except UnicodeDecodeError:
        raise SpecError(str(path), "not a text file") from None
    except OSError as error:
        raise SpecError(str(path), f"can't be read: {error.strerror}") from None
    except ValueError:
        raise SpecError(str(path), "no path that a file can have") from None


def _check_tree(path: Path, document: dict[Any, Any]) -> None:
    """Refuse keys that aren't strings, and aliases that unfold into more values than any real file holds."""
    waiting: list[tuple[str, Any]] = [("", document)]
    values = 0
    while waiting:
        where, value = waiting.pop()
        values += 1
        if values > MAX_VALUES:
            raise SpecError(str(path), f"more than {MAX_VALUES} values; aliases unfold too far")
        if isinstance(value, dict):
            for key, inner in value.items():
                if not isinstance(key, str):
                    raise SpecError(f"{path}: {where}{key}", f"the key {key!r} isn't a string; put it in quotes")
                waiting.append((f"{where}{key}.", inner))
        elif isinstance(value, list):
            waiting += [(f"{where}{number}.", inner) for number, inner in enumerate(value)]
