"""A comparison for the terminal, as JSON and as JUnit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Group, RenderableType
from rich.text import Text

from orchestrator.analysis.sweep.comparison import Comparison, Condition, Pair
from orchestrator.analysis.sweep.evidence import Contrast
from orchestrator.model.quantities import column_of, find
from orchestrator.report.terminal.table import FittedTable

_BETTER, _WORSE = "green", "red"
_STYLES = {"breached": "red", "passed": "", "undecided": "yellow"}


@dataclass(frozen=True)
class Check:
    """A condition held against one pair of settings; `breached` is None where there are too few repeats to tell."""

    condition: Condition
    pair: Pair
    breached: bool | None

    valid: tuple[int, int] | None = None  # trials of a and of b that show the quantity; None: a side has none

    @property
    def outcome(self) -> Literal["breached", "passed", "undecided"]:
        """The result in one word."""
        return "undecided" if self.breached is None else "breached" if self.breached else "passed"

    @property
    def sentence(self) -> str:
        """The condition, the settings and the result in one sentence."""
        why = ""
        if self.breached is None:
            shown = "one side has none" if self.valid is None else f"a has {self.valid[0]}, b has {self.valid[1]}"
            why = f": three valid trials on each side are needed; {shown}"
        return f"{self.condition.text} for {self.pair.name}: {self.outcome}{why}"


def checks(comparison: Comparison, conditions: Iterable[Condition]) -> list[Check]:
    """Return each condition against each pair."""
    return [
        Check(
            condition,
            pair,
            None if found is None else condition.breached(found),
            None if found is None else (found.difference.n_a, found.difference.n_b),
        )
        for condition in conditions
        for pair in comparison.pairs
        for found in [next((each for each in pair.contrasts if each.quantity == condition.name), None)]
    ]


def comparison_tables(comparison: Comparison, checked: Sequence[Check]) -> RenderableType:
    """Return each pair of settings: the medians, their difference with its interval, and whether it is real."""
    parts: list[RenderableType] = [Text(f"a: {comparison.a}\nb: {comparison.b}")]
    for pair in comparison.pairs:
        rows = FittedTable(
            *("", "a", "b", "b - a", "%", "95 % interval", "p", "n", "verdict"),
            title=f"\n{pair.name}",
            optional=("n", "p", "b - a"),
        )
        for each in pair.contrasts:
            rows.add_row(*_cells(each))
        nothing = Text(
            f"\n{pair.name}: nothing to compare, as no valid trial of one side shows these numbers", style="yellow"
        )
        parts.append(rows if pair.contrasts else nothing)
        needed = max((each.repeats_needed or 0 for each in pair.contrasts if each.quantity == "makespan_s"), default=0)
        if needed:
            parts.append(Text(f"note: about {needed} repeats of each would tell a difference in makespan as large"))
    parts += [Text(f"assumption: {each}", style="yellow") for each in comparison.assumptions]
    parts += [Text(f"note: {each}", style="yellow") for each in comparison.unmatched]
    parts += [Text(f"fail-if: {check.sentence}", style=_STYLES[check.outcome]) for check in checked]
    return Group(*parts)


def _cells(each: Contrast) -> list[str | Text]:
    found = each.difference
    return [
        column_of(each.quantity),
        f"{found.median_a:.4g}",
        f"{found.median_b:.4g}",
        f"{found.difference:+.4g}",
        "-" if found.relative is None else f"{found.relative:+.1%}",
        "-" if found.low is None or found.high is None else f"{found.low:+.4g} to {found.high:+.4g}",
        f"{each.p_adjusted:.2g}",
        f"{found.n_a}, {found.n_b}",
        Text(each.verdict, style=_style(each)),
    ]


def _style(each: Contrast) -> str:
    """Return the colour of a verdict: it depends on which direction is better for the quantity."""
    if each.verdict == "too few repeats":
        return "yellow"
    if each.verdict == "indistinguishable":
        return ""
    found = find(each.quantity)
    # An expression is an objective, and an objective is minimised.
    better = "lower" if found is None else found.better
    return "" if better is None else _BETTER if each.verdict == better else _WORSE


def comparison_document(comparison: Comparison, checked: Sequence[Check]) -> dict[str, Any]:
    """Return the same as JSON."""
    return {
        "a": comparison.a,
        "b": comparison.b,
        "pairs": [
            {
                "a": pair.a.model_dump(mode="json"),
                "b": pair.b.model_dump(mode="json"),
                "contrasts": [each.model_dump(mode="json") for each in pair.contrasts],
            }
            for pair in comparison.pairs
        ],
        "unmatched": list(comparison.unmatched),
        "assumptions": {"a": list(comparison.assumptions_of_a), "b": list(comparison.assumptions_of_b)},
        "checks": [
            {
                "condition": check.condition.text,
                "pair": check.pair.name,
                "breached": check.breached,
                "outcome": check.outcome,
            }
            for check in checked
        ],
    }


def write_junit(
    path: Path,
    comparison: Comparison,
    checked: Sequence[Check],
    undecided: Literal["error", "pass", "fail"] = "error",
) -> None:
    """Write a test case for each check, or for each contrast without checks. Raises OSError.

    An undecided check is an error, or as `undecided` says skipped (pass) or a failure.
    """
    from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

    results = {"error": Error, "pass": Skipped, "fail": Failure}

    suite = TestSuite("orchestrate compare")
    suite.add_property("a", comparison.a)
    suite.add_property("b", comparison.b)
    for assumption in comparison.assumptions:
        suite.add_property("assumption", assumption)
    for check in checked:
        case = TestCase(check.condition.text, check.pair.name)
        if check.breached is None:
            case.result = [results[undecided](check.sentence, "undecided")]
        elif check.breached:
            case.result = [Failure(check.sentence)]
        suite.add_testcase(case)
    if not checked:
        for pair in comparison.pairs:
            for each in pair.contrasts:
                case = TestCase(each.quantity, pair.name)
                case.system_out = f"{each.verdict}: {each.difference.difference:+.6g} (p = {each.p_adjusted:.3g})"
                suite.add_testcase(case)
    report = JUnitXml()
    report.add_testsuite(suite)
    report.write(str(path))
