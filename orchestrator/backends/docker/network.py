"""The network of one cluster: containers have addresses in it that they keep when they are cut off for a while."""

import ipaddress
from typing import Any

import docker
from docker.models.containers import Container
from docker.types import IPAMConfig, IPAMPool


class ClusterNetwork:
    """A bridge network. The first free address is the head's; the engine gives the others."""

    def __init__(self, client: docker.DockerClient, name: str, labels: dict[str, str]) -> None:
        self.name = name
        self.head_address = ""
        self._client = client
        self._labels = labels
        self._cut_off: dict[str, str] = {}

    def create(self) -> None:
        """Make it. Addresses may be asked for only in a range that was: the engine is asked for one first."""
        subnet = self._made(None)
        self._client.networks.get(self.name).remove()
        self._made(IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)]))
        self.head_address = str(ipaddress.ip_network(subnet)[2])  # after the network's own and the gateway's

    def _made(self, ipam: IPAMConfig | None) -> str:
        network = self._client.networks.create(self.name, driver="bridge", labels=self._labels, ipam=ipam)
        network.reload()
        return str(network.attrs["IPAM"]["Config"][0]["Subnet"])

    def at_head_address(self) -> dict[str, Any]:
        """What `containers.create` takes to give a container the head's address."""
        return {self.name: self._client.api.create_endpoint_config(ipv4_address=self.head_address)}

    def cut_off(self, container: Container) -> None:
        """Take a container out of the network."""
        self._cut_off[str(container.id)] = container.attrs["NetworkSettings"]["Networks"][self.name]["IPAddress"]
        self._client.networks.get(self.name).disconnect(container, force=True)

    def connect(self, container: Container) -> None:
        """Bring it back, to the address by which Ray knows it; nothing happens to one that wasn't cut off."""
        if (address := self._cut_off.pop(str(container.id), None)) is not None:
            self._client.networks.get(self.name).connect(container, ipv4_address=address)
