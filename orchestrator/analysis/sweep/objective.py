"""The objective to minimise: arithmetic over the numbers of a setting, such as `makespan_s + 100*cost_usd`."""

import ast
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.analysis.sweep.summary import SettingSummary
from orchestrator.model.quantities import aliases, summarised

MAX_LENGTH = 200
"""Characters of an expression; more than anybody needs, and too few to nest deeply."""

_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
}
_UNARY: dict[type[ast.unaryop], Callable[[float], float]] = {ast.UAdd: lambda a: a, ast.USub: lambda a: -a}
_CALLS: dict[str, Callable[[Sequence[float]], float]] = {"min": min, "max": max}


def names() -> tuple[str, ...]:
    """Return the names of the numbers that an expression may use."""
    return tuple(each.name for each in summarised())


def full_name(name: str) -> str:
    """Return the full name of a number: `cost_usd` for `cost`."""
    return aliases().get(name, name)


@dataclass(frozen=True)
class Objective:
    """An expression over the medians of a setting's repeats; lower is better.

    `text` is as typed, `names` are the numbers that it uses, in full. `Objective.parse("cost").value(row)`.
    """

    text: str
    names: frozenset[str]
    _tree: ast.expr

    @classmethod
    def parse(cls, text: str) -> "Objective":
        """Return an expression of numbers, `names()`, `+ - * /`, parentheses, `min()` and `max()`.

        Raises ValueError that says what is wrong and, where that is one place, at which column (from 1).
        """
        tree = _parsed(text)
        used: set[str] = set()
        _check(tree, used)
        if not used:
            raise ValueError(f"{text.strip()!r} is the same for every setting")
        return cls(text.strip(), frozenset(used), tree)

    @property
    def name(self) -> str | None:
        """The number that this is, in full, if it is nothing but one; `cost` is `cost_usd`."""
        return full_name(self._tree.id) if isinstance(self._tree, ast.Name) else None

    def value(self, summary: SettingSummary) -> float | None:
        """Return the objective of a setting; None if a number is unknown or the result isn't finite (1 / 0)."""
        known = {name: spread for name in self.names if (spread := summary.spread(name)) is not None}
        if len(known) < len(self.names):
            return None
        try:
            value = _evaluated(self._tree, {name: float(spread.median) for name, spread in known.items()})
        except ZeroDivisionError:
            # not logged: 1 / 0 is an answer, see the docstring.
            return None
        return value if math.isfinite(value) else None


def _parsed(text: str) -> ast.expr:
    if not text.strip():
        raise ValueError("the expression is empty")
    if len(text) > MAX_LENGTH:
        raise ValueError(f"the expression is longer than {MAX_LENGTH} characters")
    for column, character in enumerate(text, start=1):
        if not (" " <= character <= "~") or character in "#\\":
            raise ValueError(f"column {column}: unexpected {character!r}")
    indent = len(text) - len(text.lstrip())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `1if` would be read, and warned about
            tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        end = len(text.strip()) + 1
        column = indent + min(error.offset or end, end)  # no offset: it ended too early
        raise ValueError(f"column {column}: no arithmetic expression: {error.msg}") from None
    except (RecursionError, MemoryError):
        raise ValueError("the expression is nested too deeply") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.expr):
            node.col_offset += indent
    return tree


def _check(node: ast.expr, used: set[str]) -> None:
    """Collect the names; ValueError for whatever isn't on the list of what is allowed."""
    where = f"column {node.col_offset + 1}: "
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            if not math.isfinite(number):
                raise ValueError(f"{where}a finite number is needed")
        case ast.Name(id=name):
            if (full := full_name(name)) not in names():
                raise ValueError(f"{where}unknown name {name!r}; use one of {', '.join((*aliases(), *names()))}")
            used.add(full)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            _check(left, used)
            _check(right, used)
        case ast.UnaryOp(op=sign, operand=operand) if type(sign) in _UNARY:
            _check(operand, used)
        case ast.Call(func=ast.Name(id=name), args=[_, *_] as arguments, keywords=[]) if name in _CALLS:
            for argument in arguments:
                _check(argument, used)
        case _:
            raise ValueError(f"{where}only numbers, names, + - * / ( ), min() and max() can be used")


def _evaluated(node: ast.expr, known: dict[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            return known[full_name(name)]
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](_evaluated(left, known), _evaluated(right, known))
        case ast.UnaryOp(op=sign, operand=operand):
            return _UNARY[type(sign)](_evaluated(operand, known))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _CALLS[name]([_evaluated(argument, known) for argument in arguments])
    raise AssertionError(f"{ast.dump(node)} wasn't refused")
