"""Prices of an hour of each instance type, and their source."""

import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from orchestrator.model.base import FrozenModel
from orchestrator.model.cluster import NodeType

MAX_USD_PER_HOUR = 100_000
InstanceType = Annotated[str, Field(min_length=1)]
UsdPerHour = Annotated[float, Field(strict=True, gt=0, le=MAX_USD_PER_HOUR, allow_inf_nan=False)]

# The series that EC2 prices by size: general purpose, compute, memory, burstable. Not so others (g5.2xlarge costs 1.2
# of g5.xlarge, each hpc7g the same), and metal.
_BY_SIZE = re.compile(r"([cmrt][1-9][a-z]*(?:-flex)?)\.(medium|large|([2-9]|[1-9][0-9])?xlarge)")


class Prices(FrozenModel):
    """A price list: dollars an hour by instance type, on demand or `spot`; the strings say where it comes from.

    `node_types` holds what is billed in another way: the spot workers of a cluster file that has on-demand ones, too.
    Such a node type's price may be unknown, which is None.
    """

    region: str = ""
    source: str = ""
    as_of: str = ""
    spot: bool = False
    usd_per_hour: dict[InstanceType, UsdPerHour]
    node_types: dict[str, UsdPerHour | None] = Field(default_factory=dict)

    @model_serializer(mode="wrap")
    def _without_no_node_types(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in dump(self).items() if name != "node_types" or value}

    def without(self, workers: Iterable[NodeType]) -> list[str]:
        """Return the instance types, or else the names, of the node types that have no price."""
        missing = (each for each in workers if self.of_node(each.name, each.instance_type) is None)
        return sorted({each.instance_type or each.name for each in missing})

    def of_node(self, node_type: str, instance_type: str) -> float | None:
        """Return the dollars an hour for a node of this type, None if they aren't known."""
        return self.node_types[node_type] if node_type in self.node_types else self.of(instance_type)

    def of(self, instance_type: str) -> float | None:
        """Dollars an hour: as listed, else by the ratio of sizes to the first of its family in the list, else None.

        Spot prices are those of a market, and follow no ratio: there, only what is listed has a price.
        """
        if instance_type in self.usd_per_hour or self.spot:
            return self.usd_per_hour.get(instance_type)
        family, size = _family_and_size(instance_type)
        for listed, usd in self.usd_per_hour.items():
            of_family, of_size = _family_and_size(listed)
            if family and family == of_family:
                return usd * size / of_size
        return None


def _family_and_size(instance_type: str) -> tuple[str, float]:
    """`("m7i", 2.0)` for m7i.2xlarge: its size in xlarges; an empty family where EC2 doesn't price by size."""
    match = _BY_SIZE.fullmatch(instance_type)
    if match is None:
        return "", 1.0
    family, size, xlarges = match.groups()
    return family, float(xlarges or {"medium": 0.25, "large": 0.5, "xlarge": 1.0}[size])
