"""What is caught is logged: no handler swallows an error silently, unless a comment says why."""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "orchestrator"
EXCUSE = "not logged:"


def swallowed(source: str) -> Iterator[int]:
    """Line numbers of handlers, and of `suppress`, that neither raise nor log nor give a reason."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler):
            text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
            if not isinstance(node.body[-1], ast.Raise) and not logs(node) and EXCUSE not in text:
                yield node.lineno
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "suppress":
            excused = EXCUSE in "\n".join(lines[max(0, node.lineno - 3) : node.lineno])
            yield from [] if excused else [node.lineno]


def logs(handler: ast.ExceptHandler) -> bool:
    """Whether the handler itself calls a logger."""
    calls = [each for each in ast.walk(handler) if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute)]
    return any(ast.unparse(call.func).startswith(("_log.", "log.", "_package.")) for call in calls)


def test_a_silent_handler_is_found() -> None:
    silent = "try:\n    x()\nexcept OSError:\n    pass\n"
    excused = "try:\n    x()\nexcept OSError:\n    # not logged: it is the answer.\n    pass\n"
    logged = "try:\n    x()\nexcept OSError:\n    _log.debug('x', exc_info=True)\n"
    raised = "try:\n    x()\nexcept OSError:\n    raise ValueError from None\n"

    assert [list(swallowed(each)) for each in (silent, excused, logged, raised)] == [[3], [], [], []]
    assert list(swallowed("with contextlib.suppress(OSError):\n    x()\n")) == [1]


def test_everything_that_is_caught_is_logged() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line in swallowed(path.read_text())
    ]

    assert found == []
