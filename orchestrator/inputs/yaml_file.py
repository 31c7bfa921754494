"""Read YAML files that users write: every fault is a SpecError that names the file and the line or key.

Sizes are bounded before anything is built: a few lines of aliases can stand for more values than a memory holds.
"""

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import yaml

from orchestrator.errors import SpecError

MAX_FILE_BYTES = 1_000_000
MAX_VALUES = 100_000
MAX_DEPTH = 100
MAX_DIGITS = 100


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, bounded; a key that appears twice is an error instead of a silent last one."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> Any:
        """Return the next node. Raises ComposerError if it holds too many values, with all aliases unfolded."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        mark, is_alias = event.start_mark, isinstance(event, yaml.AliasEvent)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise yaml.composer.ComposerError(None, None, f"nested deeper than {MAX_DEPTH} levels", mark)
        node: Any = super().compose_node(parent, index)
        self._depth -= 1
        if is_alias and not hasattr(node, "values_in_it"):
            raise yaml.composer.ComposerError(None, None, "an alias stands for a value that it is part of", mark)
        if not is_alias:
            node.values_in_it = 1 + sum(part.values_in_it for part in _parts(node))
        if node.values_in_it > MAX_VALUES:
            problem = f"more than {MAX_VALUES} values; aliases unfold too far"
            raise yaml.composer.ComposerError(None, None, problem, mark)
        return node

    def construct_whole_number(self, node: yaml.ScalarNode) -> int:
        """Return the number. Raises ConstructorError for a length that no number here has."""
        if len(node.value) > MAX_DIGITS:
            problem = f"a whole number of more than {MAX_DIGITS} digits"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return int(self.construct_yaml_int(node))

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is not None and key != "<<":
                if key in seen:
                    self.meet_twice(key, key_node)
                seen.add(key)
        return super().construct_mapping(node, deep)

    def meet_twice(self, key: str, node: yaml.Node) -> None:
        """Raise ConstructorError, which names the line."""
        raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} appears twice", node.start_mark)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_whole_number)


def _parts(node: Any) -> list[Any]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def read_yaml_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file; keys are strings at every depth. Raises SpecError for anything else."""
    return _only_mapping(path, _read_documents(path, _Loader))


def read_yaml_as_ray(path: Path, refuse: Callable[[list[Any]], None]) -> tuple[dict[str, Any], list[str]]:
    """Return the mapping in a YAML file that Ray reads too, and notes: of a key that appears twice, Ray takes the last.

    `refuse` is called with all documents of the file, and raises SpecError for a kind of file that it knows. Otherwise
    as `read_yaml_mapping`.
    """
    notes: list[str] = []

    class LenientLoader(_Loader):
        def meet_twice(self, key: str, node: yaml.Node) -> None:
            line = node.start_mark.line + 1
            notes.append(f"{path}:{line}: the key {key!r} appears twice; Ray takes the last one")

    documents = _read_documents(path, LenientLoader)
    refuse(documents)
    return _only_mapping(path, documents), notes


def _read_documents(path: Path, loader: type[_Loader]) -> list[Any]:
    text = _read_text(path)
    try:
        return list(yaml.load_all(text, loader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise SpecError(where, f"not valid YAML: {getattr(error, 'problem', None) or 'unreadable'}") from None
    except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError, RecursionError):
        raise SpecError(str(path), "not valid YAML: a value can't be read") from None


def _only_mapping(path: Path, documents: list[Any]) -> dict[str, Any]:
    """Return the one document of a file. Raises SpecError if there are several, or if it isn't a mapping."""
    if len(documents) > 1:
        raise SpecError(
            str(path), f"{len(documents)} YAML documents, separated by ---; one is expected", "put each in its own file"
        )
    document = documents[0] if documents else None
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
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_FILE_BYTES + 1)  # a file of /proc has no size
        if len(text) > MAX_FILE_BYTES:
            raise SpecError(str(path), f"larger than {MAX_FILE_BYTES} bytes; is this the right file?")
        return text
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
