"""What an objective may say, what it is worth, and what is refused with its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.analysis.sweep.objective import MAX_LENGTH, Objective, full_name, names
from orchestrator.analysis.sweep.summary import SettingSummary, Spread
from orchestrator.model.quantities import aliases
from orchestrator.model.settings import Settings


def summary(**medians: float) -> SettingSummary:
    """A setting whose three repeats have these medians."""
    spreads = {name: Spread(median=value, low=value - 1, high=value + 1, n=3) for name, value in medians.items()}
    return SettingSummary(settings=Settings(), label="v2", trials=3, ended=3, valid=3, **spreads)


ROW = summary(makespan_s=600, cost_usd=1.5, theta_u=20, peak_nodes=16, cpu_utilisation=0, scale_down_s=300)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("cost", 1.5),
        ("makespan", 600),
        ("cost_usd", 1.5),
        ("  makespan_s + 100*cost_usd ", 750),
        ("(makespan + scale_down_s) / 60", 15),
        ("-makespan - -cost", -598.5),
        ("+cost", 1.5),
        ("max(makespan, 1000) + min(cost, 2, 3)", 1001.5),
        ("theta_u*1e-3", 0.02),
        ("2 - 3 - peak_nodes", -17),
        ("8 / 4 / 2 * peak_nodes", 16),
        ("max(cost)", 1.5),
    ],
)
def test_an_objective_is_arithmetic_over_medians(text: str, value: float) -> None:
    assert Objective.parse(text).value(ROW) == pytest.approx(value)


@pytest.mark.parametrize("name", [*names(), *aliases()])
def test_every_number_of_a_summary_can_be_used(name: str) -> None:
    objective = Objective.parse(name)

    assert objective.name == full_name(name)
    assert objective.names == {objective.name}
    assert objective.value(summary(**{full_name(name): 7.0})) == 7


def test_more_than_a_name_has_no_name() -> None:
    assert Objective.parse("(cost)").name == "cost_usd"
    assert Objective.parse("cost + makespan").name is None
    assert Objective.parse("cost + makespan").names == {"cost_usd", "makespan_s"}


@pytest.mark.parametrize(
    "text", ["time_to_peak_s", "max(cost, theta_o)", "cost / cpu_utilisation", "1 / (cost - 1.5)", "1e308 * 10 * cost"]
)
def test_what_is_unknown_or_not_finite_has_no_value(text: str) -> None:
    assert Objective.parse(text).value(ROW) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("cots", "column 1: unknown name 'cots'; use one of makespan, cost, makespan_s,"),
        ("makespan + 2 * valid", "column 16: unknown name 'valid'"),
        (" cost.real", "column 2: only numbers, names"),
        ("abs(cost)", "column 1: only"),
        ("min()", "column 1: only"),
        ("cost + min(cost, key=cost)", "column 8: only"),
        ("max(*cost)", "column 5: only"),
        ("__import__('os')", "column 1: only"),
        ("cost ** 9 ** 9 ** 9", "column 1: only"),
        ("cost // 2", "column 1: only"),
        ("cost % 2", "column 1: only"),
        ("cost + 'a'", "column 8: only"),
        ("True * cost", "column 1: only"),
        ("1j * cost", "column 1: only"),
        ("[cost]", "column 1: only"),
        ("cost if cost else cost", "column 1: only"),
        ("lambda: cost", "column 1: only"),
        ("cost < 1", "column 1: only"),
        ("cost := 1", "column 6: no arithmetic"),
        ("cost + 1e999", "column 8: a finite number"),
        ("nan + cost", "column 1: unknown name 'nan'"),
        ("cost +", "column 7: no arithmetic expression"),
        ("cost cost", "column 6: no arithmetic expression"),
        (" (cost", "column 2: no arithmetic expression"),
        ("cost # and makespan", "column 6: unexpected '#'"),
        ("cost\n", "column 5: unexpected '\\n'"),
        ("cost×2", "column 5: unexpected '×'"),
        ("cost\0", "column 5: unexpected '\\x00'"),
        ("1 + 2", "'1 + 2' is the same for every setting"),
        ("cost" + " " * MAX_LENGTH, f"longer than {MAX_LENGTH} characters"),
    ],
)
def test_anything_else_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        Objective.parse(text)

    assert said in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    "text", ["(" * 99 + "cost" + ")" * 97, "-" * (MAX_LENGTH - 4) + "cost", "max(" * 39 + "cost" + ")" * 39]
)
def test_nesting_is_read_or_refused(text: str) -> None:
    try:
        assert Objective.parse(text).value(ROW) == 1.5
    except ValueError as refused:
        assert "column" in str(refused) or "nested" in str(refused)  # noqa: PT017


PIECES = st.sampled_from(
    [*aliases(), "+", "-", "*", "/", "(", ")", "1", "0", ".5", ",", "min(", "max(", " ", "**", "é", "'"]
)


@given(st.one_of(st.text(max_size=30), st.lists(PIECES, max_size=12).map("".join)))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        objective = Objective.parse(text)
    except ValueError:
        return
    value = objective.value(ROW)

    assert value is None or isinstance(value, float)
