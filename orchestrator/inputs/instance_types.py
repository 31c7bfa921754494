"""Hold what AWS says of each EC2 instance type: vCPUs, memory, GPUs. `docs/prices.md` names the source."""

import csv
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_CATALOGUE = Path(__file__).with_name("ec2_instance_types.csv")


@functools.cache
def ec2_instance_types() -> Mapping[str, Mapping[str, Any]]:
    """Return all instance types by name, each in the format of EC2's DescribeInstanceTypes, as far as Ray reads it."""
    with _CATALOGUE.open(newline="", encoding="utf-8") as file:
        return {row["instance_type"]: _described(row) for row in csv.DictReader(file)}


def _described(row: Mapping[str, str]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "InstanceType": row["instance_type"],
        "VCpuInfo": {"DefaultVCpus": int(row["vcpus"])},
        "MemoryInfo": {"SizeInMiB": int(row["memory_mib"])},
    }
    if row["gpus"]:
        manufacturer, _, name = row["gpu"].partition(" ")
        described["GpuInfo"] = {"Gpus": [{"Name": name, "Manufacturer": manufacturer, "Count": int(row["gpus"])}]}
    return described
