"""Label selectors: the syntax and the meaning that Ray gives them."""

import pytest

from orchestrator.model.labels import Selector, check_selectors, parse_selector, satisfies

SELECTORS = ["spot", "!spot", "in(spot)", "in(spot,od)", "in(spot, od)", "!in(spot,od)", "A100-80.G_1", "", "in"]
NO_SELECTORS = ["-spot", "spot_", "in()", "in(a,", "in(a;b)", "!!a", "! a", "in(a,!b)", "a b", "a" * 64]


@pytest.mark.parametrize("text", SELECTORS)
def test_a_selector_that_ray_takes_is_taken(text: str) -> None:
    label_utils = pytest.importorskip("ray._private.label_utils")

    assert label_utils.validate_label_selector({"market": text}) is None
    check_selectors({"market": text})


@pytest.mark.parametrize("text", NO_SELECTORS)
def test_a_selector_that_ray_refuses_is_refused(text: str) -> None:
    label_utils = pytest.importorskip("ray._private.label_utils")

    assert label_utils.validate_label_selector({"market": text}) is not None
    with pytest.raises(ValueError, match="is no label selector"):
        check_selectors({"market": text})


@pytest.mark.parametrize("key", ["ray.io/market-type", "a.b/c", "market", "a_b"])
def test_a_key_may_have_a_prefix(key: str) -> None:
    check_selectors({key: "x"})


@pytest.mark.parametrize("key", ["", "_", "a/", "/a", "a b", "-a"])
def test_a_key_that_is_no_name_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="is no label key"):
        check_selectors({key: "x"})


def test_a_node_id_selects_nothing_in_an_experiment() -> None:
    with pytest.raises(ValueError, match="each trial has nodes with other ids"):
        check_selectors({"ray.io/node-id": "abc"})


def test_several_values_are_read_apart() -> None:
    assert Selector(("a", "b"), negated=True) == parse_selector("!in(a, b)")


@pytest.mark.parametrize(
    ("text", "spot", "on_demand", "without"),
    [
        ("spot", True, False, False),
        ("!spot", False, True, True),
        ("in(spot,od)", True, True, False),
        ("!in(spot,od)", False, False, True),
        ("!in(spot)", False, True, True),
    ],
)
def test_a_node_without_the_label_passes_each_negation(text: str, spot: bool, on_demand: bool, without: bool) -> None:
    nodes: list[dict[str, str]] = [{"market": "spot"}, {"market": "od"}, {}]

    assert [spot, on_demand, without] == [satisfies(labels, {"market": text}) for labels in nodes]


def test_all_selectors_have_to_be_satisfied() -> None:
    labels = {"market": "spot", "zone": "a"}

    assert satisfies(labels, {"market": "spot", "zone": "!b"})
    assert not satisfies(labels, {"market": "spot", "zone": "b"})
