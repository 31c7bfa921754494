"""Prices per hour of each instance type, and their source."""

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
    """A price list in dollars per hour by instance type, on demand or `spot`, with its source.

    `node_types` holds exceptions, such as the spot workers of a cluster file that also has on-demand workers. The price
    of such a node type can be unknown (None).
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
        """Return the dollars per hour for a node of this type, or None if unknown."""
        return self.node_types[node_type] if node_type in self.node_types else self.of(instance_type)

    def of(self, instance_type: str) -> float | None:
        """Return the dollars per hour as listed, else scaled by size from the first listed of its family, else None.

        Spot prices follow no ratio, so only listed types have one.
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
    """Return family and size in xlarges, such as `("m7i", 2.0)`; an empty family if EC2 doesn't price by size."""
    match = _BY_SIZE.fullmatch(instance_type)
    if match is None:
        return "", 1.0
    family, size, xlarges = match.groups()
    return family, float(xlarges or {"medium": 0.25, "large": 0.5, "xlarge": 1.0}[size])
