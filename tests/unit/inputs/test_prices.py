"""Price lists of the catalogue and of the user's own files: what is read, and how a fault is told."""

import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import InputError, SpecError
from orchestrator.inputs.cluster_config import ClusterFile
from orchestrator.inputs.prices import DEFAULT_PRICES, ClusterPrices, prices_for, read_prices
from orchestrator.model.cluster import ClusterShape, NodeType
from orchestrator.model.prices import Prices

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
        ("prices: {rack: yes}", "own.yaml: prices: use a number or a word, not yes or no"),
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
        ("prices: {rack: 1, rack: 2}", "own.yaml:1: not valid YAML: the key 'rack' appears twice"),
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


# Prices of a cluster file


def cluster(region: str | None, *workers: str, spot: Iterable[str] = ()) -> ClusterFile:
    """The file of an AWS cluster in a region, or of no provider, with a worker type of each instance type."""
    shape = ClusterShape(
        head=NodeType(name="head", arch="x86_64"),
        workers=tuple(NodeType(name=f"w-{each}", arch="x86_64", instance_type=each, max_workers=1) for each in workers),
        max_workers=len(workers),
    )
    provider = {} if region is None else {"type": "aws", "region": region}
    names = frozenset(f"w-{each}" for each in spot)
    return ClusterFile(Path("mine.yaml"), {"provider": provider}, shape, None, None, names)


def priced(found: ClusterPrices, instance_type: str) -> float | None:
    return found.prices.of_node(f"w-{instance_type}", instance_type)


def test_prices_are_those_of_the_region_of_the_file_and_it_is_told() -> None:
    found = prices_for(cluster("eu-central-1", "m7i.2xlarge"), None)

    assert (0.483, ()) == (priced(found, "m7i.2xlarge"), found.notes)
    assert "prices are those of EC2 in eu-central-1, on demand" == found.assumption


def test_spot_workers_cost_what_the_spot_market_asks_and_others_what_they_do_on_demand() -> None:
    found = prices_for(cluster("us-east-1", "m7i.2xlarge", "m8g.2xlarge", spot=["m7i.2xlarge"]), None)

    assert (0.1832, 0.35904) == (priced(found, "m7i.2xlarge"), priced(found, "m8g.2xlarge"))
    assert "on demand, and on spot for w-m7i.2xlarge" in found.assumption
    assert found.prices == Prices.model_validate(found.prices.model_dump(mode="json"))


def test_a_file_of_another_provider_with_ec2_types_says_whose_prices_it_has() -> None:
    mine = cluster(None, "m7i.2xlarge")
    external = replace(mine, raw={"provider": {"type": "external", "module": "mine.Provider"}})
    unpriced = replace(cluster(None, "n2-standard-8"), raw={"provider": {"type": "gcp"}})

    said = "the file names no AWS region: prices are those of EC2 in us-east-1, on demand"
    assert [prices_for(each, None).assumption for each in (external, mine, unpriced)] == [said, "", ""]
    assert prices_for(external, "eu-west-1").assumption == ""


def test_a_file_without_a_provider_costs_what_us_east_1_asks() -> None:
    found = prices_for(cluster(None, "m7i.2xlarge"), None)

    assert (read_prices(), "", ()) == (found.prices, found.assumption, found.notes)


@pytest.mark.parametrize(
    ("instance_type", "usd"),
    [
        *[
            ("m5.2xlarge", 0.384),
            ("c5.4xlarge", 0.68),
            ("r5.large", 0.126),
            ("t3.medium", 0.0416),
            ("c6i.xlarge", 0.17),
        ],
        *[("g4dn.xlarge", 0.526), ("g5.2xlarge", 1.212), ("g6.xlarge", 0.8048), ("r6i.large", 0.126)],
        *[("p4d.24xlarge", 21.957642), ("p5.48xlarge", 55.04)],
        *[("c6g.2xlarge", 0.272), ("r6g.large", 0.1008), ("t4g.large", 0.0672), ("m5.metal", 4.608)],
    ],
)
def test_other_families_have_the_price_of_us_east_1(instance_type: str, usd: float) -> None:
    found = prices_for(cluster("us-east-1", instance_type), None)

    assert usd == pytest.approx(priced(found, instance_type))
    assert "karpenter-provider-aws" in found.prices.source
    assert () == found.notes


def test_types_without_a_price_are_named_once_with_the_way_out() -> None:
    found = prices_for(cluster("eu-west-1", "m5.large", "x9.large", "m7i.large"), None)
    in_us_east_1 = prices_for(cluster("eu-west-1", "m5.large"), None)

    assert [None, None, 0.11235] == [priced(found, each) for each in ("m5.large", "x9.large", "m7i.large")]
    assert found.notes == (
        "cost is left out: the catalogue for eu-west-1 has no price for m5.large, x9.large;"
        " add them with --prices FILE",
    )
    assert in_us_east_1.notes[0].endswith("or take those of another region with --prices us-east-1")


def test_a_spot_price_is_never_replaced_by_one_on_demand() -> None:
    found = prices_for(cluster("us-east-1", "m5.large", spot=["m5.large"]), None)

    assert priced(found, "m5.large") is None
    assert "no price for m5.large on spot" in found.notes[0]


@pytest.mark.parametrize(("region", "note"), [("mars-north-1", "no price for m7i.2xlarge"), ("${R}", "filled in")])
def test_a_region_that_nobody_knows_is_told(region: str, note: str) -> None:
    found = prices_for(cluster(region, "m7i.2xlarge"), None)

    assert note in found.notes[0]
    assert (0.4032 if "$" in region else None) == priced(found, "m7i.2xlarge")


def test_a_price_list_that_is_asked_for_overrides_region_and_market(write: Write) -> None:
    file = cluster("eu-central-1", "m7i.2xlarge", spot=["m7i.2xlarge"])
    region, spot, own = (
        prices_for(file, w) for w in ("us-east-1", "us-east-1:spot", write("prices: {m7i.2xlarge: 9}"))
    )

    assert [0.4032, 0.1832, 9] == [priced(found, "m7i.2xlarge") for found in (region, spot, own)]
    assert ["", "", ""] == [found.assumption for found in (region, spot, own)]
    assert ("the spot nodes of mine.yaml are priced on demand, as --prices us-east-1 says",) == region.notes
    assert () == spot.notes == own.notes
