"""Price lists of the catalogue and of the user's own files: what is read, and how a fault is told."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import InputError, SpecError
from orchestrator.inputs.prices import DEFAULT_PRICES, read_prices

REGIONS = (
    *("us-east-1", "us-east-2", "us-west-2", "eu-west-1", "eu-central-1"),
    *("ap-northeast-1", "ap-northeast-2", "ap-southeast-1"),
)

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> str:
        path = tmp_path / "own.yaml"
        path.write_text(text)
        return str(path)

    return written


def refusal(where: str) -> str:
    """The one line with which a price list is refused, without the folder's name; a hint is always there."""
    with pytest.raises(InputError) as refused:
        read_prices(where)

    assert refused.value.hint
    assert len(refused.value.message.splitlines()) == 1
    return refused.value.message.replace(where, Path(where).name)


# The catalogue


def test_without_a_word_prices_are_those_on_demand_of_us_east_1() -> None:
    prices = read_prices()

    assert prices == read_prices(DEFAULT_PRICES) == read_prices("us-east-1")
    assert (prices.region, prices.as_of, prices.spot) == ("us-east-1", "2026-07-20", False)
    assert prices.source.startswith("skypilot-catalog v8 @")
    assert (prices.of("m7i.2xlarge"), prices.of("m8g.2xlarge")) == (0.4032, 0.35904)


def test_each_region_has_its_own_prices() -> None:
    assert read_prices("eu-central-1").of("m7i.2xlarge") == 0.483
    assert read_prices("eu-central-1").as_of == "about 2026-01"


def test_spot_prices_are_a_list_of_their_own() -> None:
    spot = read_prices("us-east-1:spot")

    assert (spot.region, spot.as_of, spot.spot) == ("us-east-1", "undated", True)
    assert (spot.of("m7i.2xlarge"), spot.of("m7i.xlarge"), spot.of("m7i.large")) == (0.1832, 0.085, None)


@pytest.mark.parametrize("region", REGIONS)
def test_on_demand_the_two_listed_sizes_of_m7i_are_in_the_ratio_of_their_sizes(region: str) -> None:
    listed = dict(read_prices(region).usd_per_hour)
    small = listed.pop("m7i.xlarge")

    assert read_prices(region).model_copy(update={"usd_per_hour": listed}).of("m7i.xlarge") == pytest.approx(small)


@pytest.mark.parametrize("region", REGIONS)
def test_spot_is_cheaper_for_each_type(region: str) -> None:
    on_demand, spot = read_prices(region).usd_per_hour, read_prices(f"{region}:spot").usd_per_hour

    assert on_demand.keys() == spot.keys()
    assert all(spot[name] < on_demand[name] for name in on_demand)


@pytest.mark.parametrize(
    "where",
    ["mars-north-1", "", ":spot", "us-east-1:", "us-east-1:sport", "us-east-1:spot:spot", "US-EAST-1", "x" * 999],
)
def test_for_an_unknown_region_those_that_are_known_are_named(where: str) -> None:
    with pytest.raises(InputError) as refused:
        read_prices(where)

    assert refused.value.message.startswith("no prices for region '")
    assert len(refused.value.message) < 100
    assert refused.value.hint is not None
    assert all(region in refused.value.hint for region in REGIONS)


# A file of the user's own


def test_a_file_of_prices_is_a_list(write: Write) -> None:
    where = write("{prices: {m7i.2xlarge: 0.3, rack: 1}, as_of: 2026-10-01}")
    prices = read_prices(where)

    assert (prices.region, prices.source, prices.as_of, prices.spot) == ("", where, "2026-10-01", False)
    assert (prices.of("m7i.2xlarge"), prices.of("m7i.xlarge"), prices.of("rack")) == (0.3, 0.15, 1.0)
    assert prices.of("m8g.2xlarge") is None


def test_where_the_file_names_no_price_that_of_its_region_holds(write: Write) -> None:
    prices = read_prices(write("{prices: {m7i.2xlarge: 0.3}, region: eu-central-1}"))

    assert (prices.of("m7i.2xlarge"), prices.of("m7i.xlarge"), prices.of("m7g.2xlarge")) == (0.3, 0.2415, 0.391)
    assert (prices.region, prices.as_of) == ("eu-central-1", "undated")
    assert "own.yaml over skypilot-catalog" in prices.source


def test_a_size_that_nobody_lists_is_priced_from_the_users_own(write: Write) -> None:
    prices = read_prices(write("{prices: {m7i.8xlarge: 1.2}, region: us-east-1}"))

    assert prices.of("m7i.4xlarge") == 0.6


def test_a_file_of_spot_prices_has_those_of_its_region_below(write: Write) -> None:
    prices = read_prices(write("{prices: {m7i.2xlarge: 0.1}, region: us-east-1, spot: true}"))

    assert prices.spot
    assert (prices.of("m7i.2xlarge"), prices.of("m7i.xlarge"), prices.of("m7i.large")) == (0.1, 0.085, None)


@pytest.mark.parametrize(
    ("text", "begin"),
    [
        # prices
        ("prices: {rack: -1}", "own.yaml: prices.rack: input should be greater than 0, not -1"),
        ("prices: {rack: 0}", "own.yaml: prices.rack: input should be greater than 0, not 0"),
        ("prices: {rack: .nan}", "own.yaml: prices.rack: input should be a finite number, not nan"),
        ("prices: {rack: .inf}", "own.yaml: prices.rack: input should be "),
        ("prices: {rack: 1000000}", "own.yaml: prices.rack: input should be less than or equal to 100000, not 1000000"),
        ("prices: {rack: yes}", "own.yaml: prices: a number or a word is needed, not yes or no"),
        ("prices: {rack: '0.4'}", "own.yaml: prices.rack: input should be a valid number, not '0.4'"),
        ("prices: {rack: $0.40}", "own.yaml: prices.rack: input should be a valid number, not '$0.40'"),
        ("prices: {rack: }", "own.yaml: prices.rack: input should be a valid number"),
        ("prices: {rack: {usd: 1}}", "own.yaml: prices.rack: input should be a valid number"),
        ("prices: {'': 1}", "own.yaml: prices.."),
        ("prices: {}", "own.yaml: prices: dictionary should have at least 1 item"),
        ("prices: 0.4", "own.yaml: prices: input should be a valid dictionary, not 0.4"),
        ("region: us-east-1", "own.yaml: prices: field required"),
        # keys
        ("{prices: {rack: 1}, reigon: us-east-1}", "own.yaml: reigon: unknown key"),
        ("{m7i.2xlarge: 0.4, prices: {rack: 1}}", "own.yaml: m7i.2xlarge: unknown key"),
        ("{prices: {rack: 1}, region: mars}", "own.yaml: region: no prices for region 'mars'"),
        ("{prices: {rack: 1}, region: us-east-1:spot}", "own.yaml: region: no prices for region 'us-east-1:spot'"),
        ("{prices: {rack: 1}, region: 5}", "own.yaml: region: input should be a valid string, not 5"),
        ("{prices: {rack: 1}, spot: maybe}", "own.yaml: spot: input should be a valid boolean"),
        ("{prices: {rack: 1}, as_of: soon}", "own.yaml: as_of: input should be a valid date"),
        # files
        ("", "own.yaml: the file is empty"),
        ("[1]", "own.yaml: expected keys and values, found list"),
        ("prices: {rack: 1", "own.yaml:1: not valid YAML"),
        ("prices: {rack: 1, rack: 2}", "own.yaml:1: not valid YAML: the key 'rack' stands twice"),
        ("prices: {1: 2}", "own.yaml: prices.1: the key 1 isn't a string"),
    ],
)
def test_a_fault_is_named_with_file_and_key(write: Write, text: str, begin: str) -> None:
    assert refusal(write(text)).startswith(begin)


def test_a_value_of_any_length_is_told_in_one_short_line(write: Write) -> None:
    assert len(refusal(write(f"prices: {{rack: {'x' * 5000}}}"))) < 200
    assert len(refusal(write(f"{'x' * 100}: 1"))) < 200


def test_a_file_that_is_missing_a_folder_or_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "prices.bin").write_bytes(b"\xff\xfe\x00")

    assert refusal(str(tmp_path / "none.yaml")) == "none.yaml: no such file"
    assert refusal(str(tmp_path)).endswith(": a folder, not a file")
    assert refusal(str(tmp_path / "prices.bin")) == "prices.bin: not a text file"
    assert refusal("./\0").endswith("no path that a file can have")


def test_a_fault_in_a_file_is_a_fault_of_a_spec(write: Write) -> None:
    with pytest.raises(SpecError):
        read_prices(write("prices: {rack: 1}\nregion: mars"))


def test_prices_are_read_without_loading_anything_heavy() -> None:
    program = "import sys; from orchestrator.inputs import prices; prices.read_prices(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    assert not {"ray", "scipy", "numpy", "sqlalchemy", "boto3", "optuna"} & set(loaded)
