"""The cost an hour of each machine of a cluster file, and the bill of machines that ran."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.assets import bundled
from orchestrator.aws.meter import Meter
from orchestrator.aws.rates import rates_of
from orchestrator.inputs.cluster_config import ClusterFile, read_cluster_file
from orchestrator.inputs.prices import prices_for
from orchestrator.model.billing import Rate, Rates, whole_cents

T0 = 1_700_000_000.0
RATES = Rates(
    head=Rate(machine=0.2, extras=0.01),
    workers={"x86": Rate(machine=0.4, extras=0.01), "arm": Rate(machine=0.3, ceiling=0.5), "odd": Rate(machine=None)},
)


def cluster(tmp_path: Path, **changes: Any) -> ClusterFile:
    """The default cluster in us-east-1, with other keys of its arm workers' node_config or provider."""
    config = yaml.safe_load(bundled("cluster/aws.yaml").read_text())
    config["provider"] |= {"region": "us-east-1", **changes.pop("provider", {})}
    config["available_node_types"]["arm_worker_node"]["node_config"] |= changes
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(config))
    return read_cluster_file(path)


def rates(file: ClusterFile) -> Rates:
    return rates_of(file, prices_for(file, None).prices)


def test_a_machine_costs_its_type_its_disk_and_its_address(tmp_path: Path) -> None:
    found = rates(cluster(tmp_path))

    assert (found.head.machine, found.workers["x86_worker_node"].machine) == (0.2016, 0.4032)
    assert found.head.extras == pytest.approx(30 * 0.08 * 1.2 / 730 + 0.005)
    assert found.unknown == []


def test_private_machines_have_no_public_address(tmp_path: Path) -> None:
    private = rates(cluster(tmp_path, provider={"use_internal_ips": True}))

    assert rates(cluster(tmp_path)).head.extras - private.head.extras == pytest.approx(0.005)


def test_disks_with_provisioned_operations_cost_more(tmp_path: Path) -> None:
    disk = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 100, "VolumeType": "io2", "Iops": 3000}}
    found = rates(cluster(tmp_path, BlockDeviceMappings=[disk]))

    assert found.workers["arm_worker_node"].extras == pytest.approx((12.5 + 195) * 1.2 / 730 + 0.005)


def test_a_spot_machine_costs_at_most_what_it_costs_on_demand(tmp_path: Path) -> None:
    arm = rates(cluster(tmp_path, InstanceMarketOptions={"MarketType": "spot"})).workers["arm_worker_node"]

    assert arm.machine is not None
    assert arm.machine < 0.36 < arm.highest


def test_a_type_without_a_price_is_named(tmp_path: Path) -> None:
    file = cluster(tmp_path, InstanceType="p5.48xlarge", ImageId="ami-1", provider={"region": "ap-south-2"})

    assert rates(file).unknown == ["arm_worker_node", "head", "x86_worker_node"]


def test_the_highest_rate_takes_the_dearest_workers_within_the_limits(tmp_path: Path) -> None:
    file = cluster(tmp_path)
    found = rates(file)
    x86, arm = found.workers["x86_worker_node"], found.workers["arm_worker_node"]

    assert found.highest(file.shape) == pytest.approx(found.head.highest + 8 * x86.highest + 8 * arm.highest)
    assert found.smallest(file.shape) == pytest.approx(found.head.expected + x86.expected + arm.expected)

    few = file.shape.replace(max_workers=9)

    assert found.highest(few) == pytest.approx(found.head.highest + 8 * x86.highest + arm.highest)


def test_amounts_are_rounded_up_to_cents() -> None:
    assert [whole_cents(usd) for usd in (0.0, 1.0, 1.001, 1.01, 0.29 * 100 / 100)] == [0.0, 1.0, 1.01, 1.01, 0.29]


# The meter


class Clock:
    t = T0

    def __call__(self) -> float:
        return self.t


def instance(name: str, state: str = "running", kind: str = "x86", launched: float = T0) -> dict[str, Any]:
    head = kind == "head"
    tags = {"ray-user-node-type": kind, "ray-node-type": "head" if head else "worker"}
    return {
        "InstanceId": name,
        "LaunchTime": datetime.fromtimestamp(launched, UTC),
        "State": {"Name": state},
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }


def test_a_bill_grows_while_machines_run_and_stands_when_they_have_ended() -> None:
    clock = Clock()
    meter = Meter(RATES, clock)
    meter.see([instance("i-1", kind="head"), instance("i-2")])
    clock.t = T0 + 3600
    meter.see([instance("i-1", kind="head"), instance("i-2", "shutting-down")])
    clock.t = T0 + 7200
    bill = meter.bill()

    assert (bill.head_usd, bill.workers_usd, bill.extras_usd) == pytest.approx((0.4, 0.4, 0.03))
    assert (bill.machines, bill.running) == (2, 1)
    assert bill.describe() == "$0.83 for 2 machines (workers $0.40, head $0.40, disks and addresses $0.03)"


def test_a_machine_that_ec2_shows_no_more_has_ended_and_is_not_forgotten() -> None:
    clock = Clock()
    meter = Meter(RATES, clock)
    meter.see([instance("i-1")])
    clock.t = T0 + 3600
    meter.see([])
    clock.t = T0 + 36_000

    assert meter.bill().workers_usd == pytest.approx(0.4)


def test_a_machine_that_ec2_leaves_out_for_a_moment_goes_on(tmp_path: Path) -> None:
    clock = Clock()
    meter = Meter(RATES, clock)
    meter.see([instance("i-1")])
    meter.see([])
    meter.see([instance("i-1")])
    clock.t = T0 + 3600

    assert meter.bill().workers_usd == pytest.approx(0.4)


def test_ec2_bills_a_minute_at_least() -> None:
    clock = Clock()
    meter = Meter(RATES, clock)
    meter.see([instance("i-1", "terminated")])

    assert meter.bill().workers_usd == pytest.approx(0.4 / 60)


def test_a_machine_without_a_price_is_named_and_counted_without_it() -> None:
    meter = Meter(RATES, Clock())
    meter.see([instance("i-1", kind="odd")])
    bill = meter.bill()

    assert (bill.usd, bill.unpriced) == (0.0, ["odd"])
    assert "without the unknown price of odd" in bill.describe()


def test_a_machine_of_a_type_that_the_file_lacks_costs_as_much_as_the_dearest() -> None:
    clock = Clock()
    meter = Meter(RATES, clock)
    meter.see([instance("i-1", kind="")])
    clock.t = T0 + 3600

    assert meter.bill().workers_usd == pytest.approx(0.3)


def test_the_bills_of_two_runs_add_up() -> None:
    meter = Meter(RATES, Clock())
    meter.see([instance("i-1"), instance("i-2", kind="odd")])
    bill = meter.bill()
    both = bill.plus(bill)

    assert both.usd == pytest.approx(2 * bill.usd)
    assert (both.machines, both.unpriced) == (4, ["odd"])
