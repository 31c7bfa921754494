"""Each machine's cost an hour: its instance type, its disks and its public address. A pure function."""

from collections.abc import Mapping
from typing import Any

from orchestrator.aws.cluster_file import is_spot, node_configs
from orchestrator.inputs.cluster_config import ClusterFile
from orchestrator.inputs.prices import price_of
from orchestrator.model.billing import Rate, Rates
from orchestrator.model.cluster import NodeType
from orchestrator.model.prices import Prices

# Dollars per GB and month: EBS list prices of us-east-1 (2026-07). Other regions cost 0 to 20 % more, Sao Paulo 90 %.
# https://aws.amazon.com/ebs/pricing/
_USD_PER_GB_MONTH = {"gp3": 0.08, "gp2": 0.10, "io1": 0.125, "io2": 0.125, "st1": 0.045, "sc1": 0.015, "standard": 0.05}
_USD_PER_IOPS_MONTH = {"io1": 0.065, "io2": 0.065}
_ABROAD = 1.2
_MONTH_H = 730
# https://aws.amazon.com/vpc/pricing/: every public IPv4 address, in all regions.
_USD_PER_ADDRESS_HOUR = 0.005
# The root disk of an image is in no file: Amazon Linux has 8 GB, images for machine learning more.
_ROOT_GB = 30


def rates_of(cluster: ClusterFile, prices: Prices) -> Rates:
    """Return the rates of a cluster file's machines. What EC2 asks on demand is the most that a spot machine costs."""
    configs = node_configs(cluster.raw)
    public = not cluster.raw["provider"].get("use_internal_ips", False)

    def on_demand(instance_type: str) -> float | None:
        listed = None if prices.spot else prices.of(instance_type)
        return listed or price_of(prices.region or str(cluster.region), instance_type)

    def rate(node_type: NodeType, usd: float | None) -> Rate:
        config = configs[node_type.name]
        extras = _disks(config) + (_USD_PER_ADDRESS_HOUR if public else 0.0)
        ceiling = on_demand(node_type.instance_type) if is_spot(config) else None
        return Rate(machine=usd, extras=extras, ceiling=ceiling)

    shape = cluster.shape
    return Rates(
        head=rate(shape.head, on_demand(shape.head.instance_type)),
        workers={each.name: rate(each, prices.of_node(each.name, each.instance_type)) for each in shape.launchable},
        source=", ".join(filter(None, (prices.source, prices.as_of))),
    )


def _disks(config: Mapping[str, Any]) -> float:
    """Return the dollars an hour for the disks of one machine, of the dearer regions."""
    disks = [mapping["Ebs"] for mapping in config.get("BlockDeviceMappings") or () if "Ebs" in mapping]
    month = 0.0
    for disk in disks or [{}]:
        kind = str(disk.get("VolumeType", "gp3"))
        month += float(disk.get("VolumeSize", _ROOT_GB)) * _USD_PER_GB_MONTH.get(kind, _USD_PER_GB_MONTH["io2"])
        month += float(disk.get("Iops", 0)) * _USD_PER_IOPS_MONTH.get(kind, 0.0)
    return _ABROAD * month / _MONTH_H
