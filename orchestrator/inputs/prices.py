"""Read price lists: the catalogue that travels with the program, or a YAML file of the user's own."""

import csv
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from orchestrator.errors import InputError, SpecError
from orchestrator.inputs.cluster_config import ClusterFile
from orchestrator.inputs.problems import first_problem
from orchestrator.inputs.yaml_file import read_yaml_mapping
from orchestrator.model.base import FrozenModel
from orchestrator.model.prices import InstanceType, Prices, UsdPerHour

DEFAULT_PRICES = "us-east-1"

_CATALOGUE = Path(__file__).with_name("ec2_on_demand.csv")
# Types that the catalogue lacks, on demand in one region. Only those that a cluster needs are put into a price list.
_MORE = Path(__file__).with_name("ec2_more_on_demand.csv")
_EXAMPLE = "for example `prices: {m7i.2xlarge: 0.4032}`, in dollars an hour; see docs/prices.md"


class PriceFile(FrozenModel):
    """A user's own prices; those of a catalogue's `region`, if any, hold where the file names none."""

    prices: Annotated[dict[InstanceType, UsdPerHour], Field(min_length=1)]
    region: str = ""
    spot: bool = False
    as_of: date | None = None


def read_prices(where: str = DEFAULT_PRICES) -> Prices:
    """Return the prices of a region (`us-east-1`, `us-east-1:spot`), or of a YAML file if `where` has a dot or a slash.

    Raises InputError for an unknown region, SpecError for a fault in the file.
    """
    if "." in where or "/" in where:
        return _from_file(Path(where))
    region = where.removesuffix(":spot")
    return _from_catalogue(region, spot=region != where)


@dataclass(frozen=True)
class ClusterPrices:
    """The prices for a cluster file. `assumption` says which they are, if the file decides; `notes` what is missing."""

    prices: Prices
    assumption: str = ""
    notes: tuple[str, ...] = ()


def prices_for(cluster: ClusterFile, where: str | None) -> ClusterPrices:
    """Return the prices that `where` names, else those of the region and the market that the cluster file names.

    Raises InputError or SpecError for a fault in `where`.
    """
    if where is not None:
        found = ClusterPrices(read_prices(where))
        if cluster.spot and not found.prices.spot and "." not in where and "/" not in where:
            told = f"the spot nodes of {cluster.path} are priced on demand, as --prices {where} says"
            found = replace(found, notes=(told,))
    else:
        found = _following(cluster)
    found = replace(found, prices=_with_more(found.prices, cluster))
    if not where and cluster.region is None and cluster.foreign_provider is not None:
        found = replace(found, assumption=_of_no_region(found.prices, cluster))
    unknown = {
        f"{worker.instance_type or worker.name}{' on spot' if worker.name in found.prices.node_types else ''}"
        for worker in cluster.shape.launchable
        if found.prices.of_node(worker.name, worker.instance_type) is None
    }
    if not unknown:
        return found
    listed = where or " ".join(filter(None, ("the catalogue for", found.prices.region)))
    lacking = f"cost is left out: {listed} has no price for {', '.join(sorted(unknown))}; {_way_out(found, cluster)}"
    return replace(found, notes=(*found.notes, lacking))


def price_of(region: str, instance_type: str, *, spot: bool = False) -> float | None:
    """Return the dollars an hour of an instance type by the catalogue; None if it isn't there."""
    try:
        listed = _from_catalogue(region, spot=spot).of(instance_type)
    except InputError:
        # not logged: None is the answer.
        listed = None
    if listed is not None or spot:
        return listed
    return Prices(usd_per_hour={row["instance_type"]: float(row["usd_per_hour"]) for row in _more(region)}).of(
        instance_type
    )


def _more(region: str) -> list[dict[str, str]]:
    with _MORE.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["region"] == region]


def _of_no_region(prices: Prices, cluster: ClusterFile) -> str:
    """Return the sentence that prices are those of a region that the file doesn't name; empty if nothing is priced."""
    priced = any(prices.of_node(each.name, each.instance_type) is not None for each in cluster.shape.launchable)
    return f"the file names no AWS region: prices are those of EC2 in {DEFAULT_PRICES}, on demand" if priced else ""


def _way_out(found: ClusterPrices, cluster: ClusterFile) -> str:
    """Return how to get prices: from a file, or from the region that the catalogue knows best."""
    elsewhere = _with_more(_from_catalogue(DEFAULT_PRICES, spot=False), cluster)
    known = all(elsewhere.of(worker.instance_type) is not None for worker in cluster.shape.launchable)
    if known and found.prices.region != DEFAULT_PRICES:
        return f"add them with --prices FILE, or take those of another region with --prices {DEFAULT_PRICES}"
    return "add them with --prices FILE"


def _following(cluster: ClusterFile) -> ClusterPrices:
    """Return the prices of a cluster file's own region, on demand or spot by node type."""
    region = cluster.region
    if region is None:
        return ClusterPrices(_from_catalogue(DEFAULT_PRICES, spot=False))
    notes: tuple[str, ...] = ()
    if "$" in region:
        notes = (f"provider.region is {region}, which nobody has filled in: prices are those of {DEFAULT_PRICES}",)
        region = DEFAULT_PRICES
    try:
        on_demand, spot = _from_catalogue(region, spot=False), _from_catalogue(region, spot=True)
    except InputError:
        # not logged: the plan's note about types without a price says it.
        return ClusterPrices(Prices(region=region, usd_per_hour={}), "", notes)
    types = [node_type for node_type in cluster.shape.launchable if node_type.name in cluster.spot]
    by_type = {node_type.name: spot.of(node_type.instance_type) for node_type in types}
    market = f"on demand, and on spot for {', '.join(by_type)}" if by_type else "on demand"
    return ClusterPrices(
        on_demand.model_copy(update={"node_types": by_type}), f"prices are those of EC2 in {region}, {market}", notes
    )


def _with_more(prices: Prices, cluster: ClusterFile) -> Prices:
    """Return the prices with those of the cluster's instance types that only the longer list has."""
    lacking = {
        worker.instance_type
        for worker in cluster.shape.launchable
        if worker.name not in prices.node_types and prices.of(worker.instance_type) is None
    }
    if prices.spot or not lacking:
        return prices
    rows = _more(prices.region)
    more = Prices(usd_per_hour={row["instance_type"]: float(row["usd_per_hour"]) for row in rows})
    found = {each: usd for each in sorted(lacking) if (usd := more.of(each)) is not None}
    if not found:
        return prices
    source = ", ".join(filter(None, (prices.source, rows[0]["source"])))
    return prices.model_copy(update={"usd_per_hour": {**prices.usd_per_hour, **found}, "source": source})


def _from_catalogue(region: str, *, spot: bool) -> Prices:
    with _CATALOGUE.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    listed = [row for row in rows if row["region"] == region]
    if not listed:
        regions = ", ".join(sorted({row["region"] for row in rows}))
        raise InputError(f"no prices for region {region!r:.60}", f"{regions}; REGION:spot; or a file such as my.yaml")
    column = "spot_usd_per_hour_median" if spot else "usd_per_hour"
    return Prices(
        region=region,
        source=listed[0]["source"],
        as_of="undated" if spot else listed[0]["as_of"],
        spot=spot,
        usd_per_hour={row["instance_type"]: float(row[column]) for row in listed},
    )


def _from_file(path: Path) -> Prices:
    try:
        own = PriceFile.model_validate(read_yaml_mapping(path))
    except ValidationError as error:
        raise first_problem(error).in_file(path, hint=_EXAMPLE) from None
    except SpecError as error:
        error.hint = _EXAMPLE
        raise
    source, usd_per_hour = str(path), own.prices
    if own.region:
        try:
            base = _from_catalogue(own.region, spot=own.spot)
        except InputError as error:
            raise SpecError(f"{path}: region", error.message, error.hint) from None
        source += f" over {base.source}"
        usd_per_hour = own.prices | base.usd_per_hour | own.prices  # the user's own come first: ratios are to them
    as_of = str(own.as_of) if own.as_of else "undated"
    return Prices(region=own.region, source=source, as_of=as_of, spot=own.spot, usd_per_hour=usd_per_hour)
