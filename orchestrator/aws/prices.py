"""Current prices of instance types, from AWS's price list and from the history of the spot market."""

import json
import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from statistics import median
from typing import Any

from botocore import exceptions as boto

from orchestrator.aws.cluster_file import is_spot, node_configs
from orchestrator.aws.session import Account, code_of
from orchestrator.inputs.cluster_config import ClusterFile
from orchestrator.inputs.prices import ClusterPrices

_log = logging.getLogger(__name__)

# What makes a price the one of an ordinary Linux machine.
_ORDINARY = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "licenseModel": "No License required",
}
_LINUX = "Linux/UNIX"


def current_prices(account: Account, cluster: ClusterFile, catalogue: ClusterPrices) -> ClusterPrices:
    """Return the prices of today for a cluster file, or those of the catalogue with a note that says why not."""
    configs = node_configs(cluster.raw)
    types = {name: str(config.get("InstanceType", "")) for name, config in configs.items()}
    try:
        listed = {kind: on_demand(account, kind) for kind in sorted({*types.values()} - {""})}
        spot_types = [name for name, config in configs.items() if is_spot(config)]
        spot = spot_prices(account, sorted({types[name] for name in spot_types})) if spot_types else {}
    except (boto.BotoCoreError, boto.ClientError) as error:
        _log.info("no current prices", exc_info=True)
        dated = ", ".join(filter(None, (catalogue.prices.source, catalogue.prices.as_of)))
        note = f"AWS's price list can't be read ({code_of(error)}): prices are those of the catalogue, {dated}"
        return replace(catalogue, notes=(*catalogue.notes, note))
    known = {kind: usd for kind, usd in listed.items() if usd is not None}
    if not known:
        return catalogue
    prices = catalogue.prices.model_copy(
        update={
            "usd_per_hour": {**known, **catalogue.prices.usd_per_hour, **known},
            "node_types": {
                **catalogue.prices.node_types,
                **{name: spot[types[name]] for name in spot_types if spot.get(types[name])},
            },
            "source": "AWS price list",
            "as_of": datetime.now(UTC).date().isoformat(),
        }
    )
    market = f", and of the spot market for {', '.join(spot_types)}" if spot_types else ""
    return ClusterPrices(prices, f"prices are those of AWS's price list in {account.region} today{market}")


def on_demand(account: Account, instance_type: str) -> float | None:
    """Return the dollars an hour of a Linux machine in the account's region; None if the list has none."""
    wanted = {**_ORDINARY, "instanceType": instance_type, "regionCode": account.region}
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
    answer = account.client("pricing").get_products(ServiceCode="AmazonEC2", Filters=filters, FormatVersion="aws_v1")
    usd = [float(price) for text in answer["PriceList"] for price in _hourly(json.loads(text))]
    return min((each for each in usd if each > 0), default=None)


def _hourly(product: dict[str, Any]) -> Iterable[str]:
    for term in product.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            if dimension.get("unit") == "Hrs" and "USD" in dimension["pricePerUnit"]:
                yield dimension["pricePerUnit"]["USD"]


def spot_prices(account: Account, instance_types: Iterable[str]) -> dict[str, float]:
    """Return the present spot price of each type in dollars an hour: the median over the region's zones."""
    answer = account.client("ec2").describe_spot_price_history(
        InstanceTypes=list(instance_types), ProductDescriptions=[_LINUX], StartTime=datetime.now(UTC)
    )
    newest: dict[tuple[str, str], float] = {}
    for each in sorted(answer["SpotPriceHistory"], key=lambda entry: entry["Timestamp"]):
        newest[each["InstanceType"], each["AvailabilityZone"]] = float(each["SpotPrice"])
    return {kind: median(usd for (of, _), usd in newest.items() if of == kind) for kind in {kind for kind, _ in newest}}
