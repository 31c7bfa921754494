"""Reads price lists: the catalogue that travels with the program, or a YAML file of the user's own."""

import csv
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from orchestrator.errors import InputError, SpecError
from orchestrator.inputs.yaml_file import read_yaml_mapping
from orchestrator.model.base import FrozenModel
from orchestrator.model.prices import InstanceType, Prices, UsdPerHour

DEFAULT_PRICES = "us-east-1"

_CATALOGUE = Path(__file__).with_name("ec2_on_demand.csv")
_EXAMPLE = "for example `prices: {m7i.2xlarge: 0.4032}`, in dollars an hour; see docs/prices.md"


class PriceFile(FrozenModel):
    """A user's own prices; those of a catalogue's `region`, if any, hold where the file names none."""

    prices: Annotated[dict[InstanceType, UsdPerHour], Field(min_length=1)]
    region: str = ""
    spot: bool = False
    as_of: date | None = None


def read_prices(where: str = DEFAULT_PRICES) -> Prices:
    """The prices of a region (`us-east-1`, `us-east-1:spot`) or, with a dot or a slash in `where`, of a YAML file.

    Raises InputError for an unknown region, SpecError for a fault in the file.
    """
    if "." in where or "/" in where:
        return _from_file(Path(where))
    region = where.removesuffix(":spot")
    return _from_catalogue(region, spot=region != where)


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
        raise _refusal(path, error) from None
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
        usd_per_hour = own.prices | base.usd_per_hour | own.prices  # the user's own stand first: ratios are to them
    as_of = str(own.as_of) if own.as_of else "undated"
    return Prices(region=own.region, source=source, as_of=as_of, spot=own.spot, usd_per_hour=usd_per_hour)


def _refusal(path: Path, error: ValidationError) -> SpecError:
    fault = error.errors()[0]
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return SpecError(f"{path}: {key:.60}", "unknown key", _EXAMPLE)
    problem = fault["msg"].removeprefix("Value error, ")
    given = fault["input"]
    shown = "" if given is None or isinstance(given, dict | list) else f", not {given!r:.60}"
    return SpecError(f"{path}: {key:.60}", problem[0].lower() + problem[1:] + shown, _EXAMPLE)
