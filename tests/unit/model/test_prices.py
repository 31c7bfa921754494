"""Price lists: what they may hold, and the price of a size that isn't listed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.model.prices import Prices
from tests.support.strategies import NOT_A_NUMBER, NOT_FINITE

LIST = Prices(usd_per_hour={"m7i.2xlarge": 0.4, "m7i.xlarge": 0.21, "r7g.large": 0.1, "g5.xlarge": 1.0, "rack": 0.05})


@pytest.mark.parametrize(
    ("name", "usd"), [("m7i.2xlarge", 0.4), ("m7i.xlarge", 0.21), ("g5.xlarge", 1.0), ("rack", 0.05)]
)
def test_a_listed_price_holds_as_it_is(name: str, usd: float) -> None:
    assert LIST.of(name) == usd


@pytest.mark.parametrize(
    ("name", "usd"),
    [
        ("m7i.medium", 0.05),
        ("m7i.large", 0.1),
        ("m7i.4xlarge", 0.8),
        ("m7i.12xlarge", 2.4),
        ("m7i.48xlarge", 9.6),
        ("r7g.medium", 0.05),
        ("r7g.xlarge", 0.2),
        ("r7g.2xlarge", 0.4),
    ],
)
def test_another_size_is_priced_by_its_ratio_to_the_first_of_its_family(name: str, usd: float) -> None:
    assert LIST.of(name) == pytest.approx(usd)


@pytest.mark.parametrize(
    "name",
    [
        *("m7i.metal", "m7i.metal-24xl", "m7i.nano", "m7i.micro", "m7i.small"),
        *("m7i-flex.2xlarge", "m7id.2xlarge", "m7g.2xlarge", "m8i.large", "7i.large"),
        *("g5.2xlarge", "racks", "rack.large"),
        *("", " ", ".", "m7i", "m7i.", ".2xlarge", "m7i.0xlarge", "m7i.02xlarge", "m7i.1xlarge", "m7i.100xlarge"),
        *("m7i.-2xlarge", "m7i.4xlarge\n", "M7I.4XLARGE", "m7i.٤xlarge", "m7i.1.5xlarge", "m7i.hugexlarge"),
    ],
)
def test_a_name_without_a_listed_size_of_its_own_family_has_no_price(name: str) -> None:
    assert LIST.of(name) is None


def test_metal_tells_nothing_of_other_sizes() -> None:
    assert Prices(usd_per_hour={"c6g.metal": 2.3}).of("c6g.16xlarge") is None


def test_a_flexible_family_is_priced_by_its_own_sizes() -> None:
    assert Prices(usd_per_hour={"m7i.large": 1, "m7i-flex.large": 0.5}).of("m7i-flex.xlarge") == 1.0


def test_a_spot_price_follows_no_ratio() -> None:
    spot = Prices(spot=True, usd_per_hour={"m7i.2xlarge": 0.18})

    assert (spot.of("m7i.2xlarge"), spot.of("m7i.xlarge")) == (0.18, None)


@given(st.text())
def test_an_empty_list_prices_nothing(name: str) -> None:
    assert Prices(usd_per_hour={}).of(name) is None


@pytest.mark.parametrize("value", [*NOT_FINITE, 0, -0.0, -0.4, 10**400, 100_001, True, "0.4", None, *NOT_A_NUMBER])
def test_a_price_is_a_positive_finite_number(value: Any) -> None:
    with pytest.raises(ValidationError):
        Prices.model_validate({"usd_per_hour": {"m7i.2xlarge": value}})


@pytest.mark.parametrize(
    "wrong", [{"usd_per_hour": {"": 0.4}}, {"usd_per_hour": {}, "eur_per_hour": {}}, {}, {"spot": True}]
)
def test_a_list_without_prices_and_unknown_keys_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Prices.model_validate(wrong)


def test_a_list_survives_being_written_as_json() -> None:
    assert Prices.model_validate_json(LIST.model_dump_json()) == LIST
