"""The network of one cluster. Containers keep their addresses in it while they are cut off."""

import ipaddress
import logging
import threading
from typing import Any

import docker
from docker.errors import APIError
from docker.models.containers import Container
from docker.types import IPAMConfig, IPAMPool

from orchestrator.docker_errors import is_range_taken
from orchestrator.errors import MissingPrerequisite

_log = logging.getLogger(__name__)

_ATTEMPTS = 8
_HEAD = 2  # after the network's own address and the gateway's


class ClusterNetwork:
    """A bridge network. The head gets the first free address, workers get the others in order.

    The engine would give the first free address, which may be that of a worker that is cut off.
    """

    def __init__(self, client: docker.DockerClient, name: str, labels: dict[str, str]) -> None:
        self.name = name
        self.head_address = ""
        self._client = client
        self._labels = labels
        self._subnet = ipaddress.ip_network("0.0.0.0/32")
        self._last = _HEAD
        self._lock = threading.Lock()
        self._cut_off: dict[str, str] = {}

    def create(self) -> None:
        """Make the network. Docker accepts fixed addresses only in a range that was requested, so ask it for one first.

        Another cluster may take the range in between. Then try again, up to _ATTEMPTS times.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                subnet = self._made(None)
                self._client.networks.get(self.name).remove()
                self._made(IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)]))
            except APIError as error:
                _log.debug("attempt %d to make the network failed", attempt, exc_info=True)
                if not is_range_taken(error) or attempt == _ATTEMPTS:
                    raise
            else:
                self._subnet = ipaddress.ip_network(subnet)
                self.head_address = str(self._subnet[_HEAD])
                return

    def _made(self, ipam: IPAMConfig | None) -> str:
        network = self._client.networks.create(self.name, driver="bridge", labels=self._labels, ipam=ipam)
        network.reload()
        return str(network.attrs["IPAM"]["Config"][0]["Subnet"])

    def at(self, address: str) -> dict[str, Any]:
        """Return the option of `containers.create` that gives a container this address."""
        return {self.name: self._client.api.create_endpoint_config(ipv4_address=address)}

    def next_address(self) -> str:
        """Return an address for a worker, in turn, so that no address is used again soon or while a node has it.

        Raises MissingPrerequisite when all are taken.
        """
        with self._lock:
            attached = self._client.networks.get(self.name).attrs["Containers"] or {}
            taken = {*self._cut_off.values(), *(each["IPv4Address"].split("/")[0] for each in attached.values())}
            first, end = _HEAD + 1, self._subnet.num_addresses - 1  # the last one is for broadcasts
            for _ in range(first, end):
                self._last = self._last + 1 if self._last + 1 < end else first
                if (address := str(self._subnet[self._last])) not in taken:
                    return address
        raise MissingPrerequisite(
            f"all addresses of the cluster's network {self._subnet} are taken",
            "give the engine larger ranges, default-address-pools in its daemon.json, or ask for fewer nodes",
        )

    def cut_off(self, container: Container) -> None:
        """Take a container out of the network."""
        self._cut_off[str(container.id)] = container.attrs["NetworkSettings"]["Networks"][self.name]["IPAddress"]
        self._client.networks.get(self.name).disconnect(container, force=True)

    def connect(self, container: Container) -> None:
        """Connect a container again, at the address by which Ray knows it. Do nothing if it wasn't cut off."""
        if (address := self._cut_off.get(str(container.id))) is not None:
            self._client.networks.get(self.name).connect(container, ipv4_address=address)
            del self._cut_off[str(container.id)]  # only now: a failure can be tried again
