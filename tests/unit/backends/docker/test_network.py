"""Addresses on a cluster's network: workers keep theirs while they are cut off, and a lost race is no lost trial."""

import itertools
from typing import Any

import pytest
from docker.errors import APIError

from orchestrator.backends.docker.network import ClusterNetwork
from orchestrator.docker_errors import explained
from orchestrator.errors import MissingPrerequisite
from tests.support.fake_docker_sdk import GONE, refused

NAME = "orchestrate-c0ffee00"


def overlap() -> APIError:
    """What the engine says where another network has the range."""
    return refused(403, "invalid pool request: Pool overlaps with other one on this address space")


class Container:
    """One that was given an address."""

    def __init__(self, name: str, address: str) -> None:
        self.id = name
        self.address = address

    @property
    def attrs(self) -> dict[str, Any]:
        return {"NetworkSettings": {"Networks": {NAME: {"IPAddress": self.address}}}}


class Engine:
    """Has one network at a time, each of another range; `refusals` are what the calls raise, None for an answer."""

    def __init__(self, size: int = 24) -> None:
        self.size = size
        self.calls: list[str] = []
        self.refusals: list[Exception | None] = []
        self.attrs: dict[str, Any] = {}
        self.attached: dict[str, str] = {}
        self._ranges = itertools.count()

    @property
    def networks(self) -> "Engine":
        return self

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.refusals and (refusal := self.refusals.pop(0)) is not None:
            raise refusal

    def create(self, name: str, *, driver: str, labels: dict[str, str], ipam: Any) -> "Engine":
        assert (name, driver, labels) == (NAME, "bridge", {"mark": "mine"})
        self._call("make" if ipam is None else "make again")
        wanted = ipam["Config"][0]["Subnet"] if ipam is not None else f"10.0.{next(self._ranges)}.0/{self.size}"
        self.attrs = {"IPAM": {"Config": [{"Subnet": wanted}]}}
        return self

    def get(self, name: str) -> "Engine":
        assert name == NAME
        self.attrs["Containers"] = {key: {"IPv4Address": f"{ip}/{self.size}"} for key, ip in self.attached.items()}
        return self

    def reload(self) -> None:
        pass

    def remove(self) -> None:
        self.calls.append("remove")

    def disconnect(self, container: Container, *, force: bool) -> None:
        assert force
        del self.attached[container.id]

    def connect(self, container: Container, *, ipv4_address: str) -> None:
        self._call("connect")
        assert ipv4_address not in self.attached.values(), "Address already in use"
        self.attached[container.id] = ipv4_address


class Lab:
    """A network that has been made, on a fake engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.network = ClusterNetwork(engine, NAME, {"mark": "mine"})  # type: ignore[arg-type]
        self.network.create()

    def add(self, name: str) -> Any:
        container = Container(name, self.network.next_address())
        self.engine.attached[name] = container.address
        return container


@pytest.fixture
def lab() -> Lab:
    return Lab(Engine())


def test_the_head_has_the_first_address_and_the_workers_the_next_ones(lab: Lab) -> None:
    assert lab.network.head_address == "10.0.0.2"
    assert [lab.network.next_address() for _ in range(3)] == ["10.0.0.3", "10.0.0.4", "10.0.0.5"]


def test_the_network_is_made_in_the_range_that_the_engine_chose(lab: Lab) -> None:
    assert lab.engine.calls == ["make", "remove", "make again"]


def test_a_worker_that_joins_while_another_is_cut_off_has_an_address_of_its_own(lab: Lab) -> None:
    first, second = lab.add("first"), lab.add("second")
    lab.network.cut_off(first)
    third = lab.add("third")
    lab.network.connect(first)

    assert lab.engine.attached == {"first": "10.0.0.3", "second": "10.0.0.4", "third": "10.0.0.5"}
    assert len({first.address, second.address, third.address}) == 3


def test_a_worker_that_could_not_be_connected_can_be_tried_again(lab: Lab) -> None:
    worker = lab.add("worker")
    lab.network.cut_off(worker)
    lab.engine.refusals = [GONE]
    with pytest.raises(type(GONE)):
        lab.network.connect(worker)
    lab.network.connect(worker)
    lab.network.connect(worker)

    assert lab.engine.attached == {"worker": "10.0.0.3"}


def test_addresses_come_round_when_all_were_given_and_pass_over_those_that_are_held() -> None:
    lab = Lab(Engine(size=29))  # .0 to .7: its own, the gateway's, the head's, four workers', for broadcasts
    stays, cut = lab.add("stays"), lab.add("cut")
    lab.network.cut_off(cut)

    assert [lab.network.next_address()[-1] for _ in range(6)] == ["5", "6", "5", "6", "5", "6"]
    assert (stays.address, cut.address) == ("10.0.0.3", "10.0.0.4")


def test_a_network_without_a_free_address_says_so_in_one_line() -> None:
    lab = Lab(Engine(size=29))
    for name in ("a", "b", "c", "d"):
        lab.add(name)
    with pytest.raises(MissingPrerequisite, match=r"all addresses of the cluster's network 10\.0\.0\.0/29 are taken"):
        lab.network.next_address()

    del lab.engine.attached["b"]

    assert lab.network.next_address() == "10.0.0.4"


@pytest.mark.parametrize("lost", [[overlap()], [None, overlap()], [None, overlap(), None, overlap(), overlap()]])
def test_a_race_for_a_range_that_another_cluster_wins_is_run_again(lost: list[Exception | None]) -> None:
    engine = Engine()
    engine.refusals = list(lost)
    lab = Lab(engine)

    assert engine.calls[-3:] == ["make", "remove", "make again"]
    assert lab.network.head_address == f"10.0.{engine.calls.count('remove') - 1}.2"


def test_who_loses_every_race_is_told_to_start_fewer_sweeps() -> None:
    engine = Engine()
    engine.refusals = [overlap() for _ in range(100)]
    with pytest.raises(APIError) as lost:
        Lab(engine)
    told = explained("making a network", lost.value)

    assert isinstance(told, MissingPrerequisite)
    assert len(engine.calls) < 20
    assert "fewer sweeps" in str(told.hint)


def test_another_refusal_is_none_that_is_tried_again() -> None:
    engine = Engine()
    engine.refusals = [refused(500, "no bridge")]
    with pytest.raises(APIError, match="no bridge"):
        Lab(engine)

    assert engine.calls == ["make"]
