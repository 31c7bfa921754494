"""YAML of strangers: its size, depth and numbers are bounded before anything is built."""

import time
from pathlib import Path

import pytest

from orchestrator.errors import SpecError
from orchestrator.inputs.yaml_file import MAX_FILE_BYTES, read_yaml_mapping


def merges(levels: int) -> str:
    """Mappings that merge ten of the level below."""
    lines = ["a0: &a0 {" + ", ".join(f"x{i}: 1" for i in range(10)) + "}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [lol, lol]"]
    return "\n".join([*lines, *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels))]) + "\n"


BOMBS = {
    "merge keys": (merges(9), "unfold too far"),
    "aliases": (laughs(9), "unfold too far"),
    "aliases as keys": (laughs(9) + "? *a8\n: 1\n", "unfold too far"),
    "an alias to itself": ("a: &a [*a]\n", "that it is part of"),
    "a merge of itself": ("a: &a {<<: *a}\n", "that it is part of"),
    "depth in flow": ("a: " + "[" * 50_000 + "\n", "nested deeper than 100"),
    "depth of mappings": ("a: " + "{a: " * 50_000 + "\n", "nested deeper than 100"),
    "depth of blocks": ("".join("-" + " " for _ in range(5000)) + "1\n", "nested deeper than 100"),
    "a hexadecimal number": ("repeat: 0x" + "f" * 6000 + "\n", "more than 100 digits"),
    "a decimal number": ("repeat: " + "9" * 6000 + "\n", "more than 100 digits"),
    "a binary number": ("repeat: 0b" + "1" * 20_000 + "\n", "more than 100 digits"),
    "a sexagesimal number": ("repeat: 1" + ":59" * 6000 + "\n", "more than 100 digits"),
    "a tagged number": ("repeat: !!int '" + "9" * 6000 + "'\n", "more than 100 digits"),
    "a bool that is none": ("a: !!bool maybe\n", "a value can't be read"),
    "a date out of range": ("a: !!timestamp 9999-99-99\n", "a value can't be read"),
    "a python object": ("a: !!python/object/apply:os.system [id]\n", "could not determine a constructor"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), BOMBS.values(), ids=BOMBS.keys())
def test_what_would_take_all_memory_or_time_is_refused_at_once(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    began = time.monotonic()
    with pytest.raises(SpecError, match=problem) as refused:
        read_yaml_mapping(path)

    assert time.monotonic() - began < 10
    assert len(refused.value.message) < 500


def test_aliases_that_real_files_use_are_read(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("base: &base {cpus: 4, labels: [a]}\none: {<<: *base, cpus: 8}\ntwo: *base\nbig: 0x1F\n")

    assert read_yaml_mapping(path) == {
        "base": {"cpus": 4, "labels": ["a"]},
        "one": {"cpus": 8, "labels": ["a"]},
        "two": {"cpus": 4, "labels": ["a"]},
        "big": 31,
    }


def test_a_file_without_a_size_is_bounded_too() -> None:
    with pytest.raises(SpecError, match=f"larger than {MAX_FILE_BYTES}|not"):
        read_yaml_mapping(Path("/proc/kallsyms"))
