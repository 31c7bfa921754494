"""Values and documents as no sane user writes them; each follows from a seed, so that a complaint can be repeated."""

import json
import random
from typing import Any

import yaml

NASTY_TEXT = (
    "", " ", "-", "--", "\x1b[31mred\x07", "../../../../etc/passwd", "/", ".", "~", "a" * 5000, "é" * 300, "\u202egnp",
    "NaN", "nan", "inf", "-inf", "1e400", "-1", "0", "0.1", "1,2,3", ",", "1,,2", "1:2:3", "true", "null", "[]", "{}",
    "9" * 400, "1_000", "０", "１２", "0x10", "1e-320", "%s%n", "$(id)", "`id`", "; id", "<script>alert(1)</script>",
    "=1+1", "@last", "@last/1", "file:///etc/passwd", "http://127.0.0.1:9", "http://u:p@127.0.0.1:9", "http://[::1",
    "sqlite:////", "makespan_s>+10%", "makespan_s>", ">", "5m", "-5m", "1h-1h", "speed=1=2", "A=B,C", "\n", "a\nb",
    "'", '"',
)  # fmt: skip
NASTY_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**70), 10**30, 0.5, -0.0, 1e308, 1e-308,
    float("nan"), float("inf"),
    float("-inf"), [], {}, [[]], [None], {"a": {}}, {"": ""}, [1] * 1000, *NASTY_TEXT,
)  # fmt: skip


def nasty_text(rng: random.Random) -> str:
    """Return a word that can be an argument: one without NUL."""
    return rng.choice(NASTY_TEXT)


def mutated_tree(rng: random.Random, tree: Any) -> Any:
    """Return a tree of dicts and lists with one to three values replaced, removed, doubled, renamed or nested."""
    tree = json.loads(json.dumps(tree, default=str))
    for _ in range(rng.randint(1, 3)):
        tree = _mutated(rng, tree)
    return tree


def _mutated(rng: random.Random, tree: Any) -> Any:
    spots = list(_spots(tree))
    if not spots:
        return rng.choice(NASTY_VALUES)
    holder, key = rng.choice(spots)
    what = rng.randrange(6)
    if what == 0 and isinstance(holder, dict):
        del holder[key]
    elif what == 1 and isinstance(holder, dict):
        holder[nasty_text(rng)] = holder.pop(key)
    elif what == 2 and isinstance(holder, list):
        holder.append(holder[key])
    elif what == 3:
        holder[key] = _deep(rng, holder[key])
    else:
        holder[key] = rng.choice(NASTY_VALUES)
    return tree


def _spots(tree: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting:
        each = waiting.pop()
        keys = list(each) if isinstance(each, dict) else range(len(each)) if isinstance(each, list) else ()
        found += [(each, key) for key in keys]
        waiting += [each[key] for key in keys if isinstance(each[key], dict | list)]
    return found


def _deep(rng: random.Random, value: Any) -> Any:
    for _ in range(rng.choice((1, 2, 50, 400))):
        value = [value] if rng.random() < 0.5 else {"a": value}
    return value


def mutated_bytes(rng: random.Random, content: bytes) -> bytes:
    """Return a file cut short, with bytes changed, with a part doubled, or with other bytes in it."""
    changed = bytearray(content)
    what = rng.randrange(5)
    where = rng.randrange(len(content) + 1)
    if what == 0:
        return content[:where]
    if what == 1:
        for _ in range(rng.randint(1, 30)):
            if changed:
                changed[rng.randrange(len(changed))] = rng.randrange(256)
        return bytes(changed)
    if what == 2:
        return content[:where] + content[rng.randrange(where + 1) : where] * rng.randint(1, 20) + content[where:]
    if what == 3:
        return content[:where] + rng.randbytes(rng.randint(1, 200)) + content[where:]
    return rng.choice((b"", b"\0", b"\xff\xfe", b"\n" * 1000, b"[" * 20_000, b"{" * 20_000, b"- " * 20_000, b"&a [*a]"))


def as_yaml(rng: random.Random, content: bytes) -> bytes:
    """Return a YAML file with its tree or its bytes changed; JSON is YAML, and can be nested deeper here."""
    if rng.random() < 0.3:
        return mutated_bytes(rng, content)
    tree = mutated_tree(rng, yaml.safe_load(content))
    return (json.dumps(tree) if rng.random() < 0.5 else _dumped(tree)).encode(errors="replace")


def _dumped(tree: Any) -> str:
    try:
        return str(yaml.safe_dump(tree, allow_unicode=True))
    except RecursionError:
        return json.dumps(tree)


def as_json_lines(rng: random.Random, content: bytes) -> bytes:
    """Return a file of JSON lines with one to five lines changed, or its bytes."""
    if rng.random() < 0.3:
        return mutated_bytes(rng, content)
    lines = content.splitlines()
    for _ in range(rng.randint(1, 5)):
        number = rng.randrange(len(lines))
        lines[number] = json.dumps(mutated_tree(rng, json.loads(lines[number]))).encode()
        if not lines[number].startswith(b"{"):
            break
    return b"\n".join(lines) + b"\n"


def as_json(rng: random.Random, content: bytes) -> bytes:
    """Return a JSON document with its tree or its bytes changed."""
    if rng.random() < 0.3:
        return mutated_bytes(rng, content)
    return json.dumps(mutated_tree(rng, json.loads(content))).encode()
