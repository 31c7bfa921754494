"""EC2's machines on this one: a container for each instance of moto, with the instance's private address.

The network's subnet is that of the VPC. A machine that ends by itself, as after `shutdown`, ends its instance as the
InstanceInitiatedShutdownBehavior says. An instance that is terminated or stopped by a call loses its container.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from docker import DockerClient

from tests.support.ec2.aws_api import AwsApi, instances, set_reason, set_state

MARK = "ec2.instance"
# Ray waits 30 s for a raylet. What else runs on this machine must not make it late.
CPU_SHARES = 40_960
CGROUPS = Path("/sys/fs/cgroup/cpu")
SPOT = "Server.SpotInstanceTermination"
SHUTDOWN = "Client.InstanceInitiatedShutdown"


class Machines:
    """Follows moto's instances until `stop`.

    `boot_s` are the seconds from launch to sshd, `minute_s` those of a machine's minute in `shutdown -P +30`. Instances
    of the types in `silent` never answer SSH, and those of the types in `locked` don't know the key.
    """

    def __init__(
        self,
        docker: DockerClient,
        image: str,
        network: str,
        region: str,
        api: AwsApi,
        *,
        boot_s: float = 0.0,
        minute_s: float = 60.0,
        memory: str = "2g",
    ) -> None:
        self._docker, self._image, self._network, self._region, self._api = docker, image, network, region, api
        # An instance finds these services under names of its own; moto serves them all.
        self._session = {"AWS_ENDPOINT_URL": api.url, "AWS_EC2_METADATA_SERVICE_ENDPOINT": api.url}
        self.boot_s, self.minute_s, self._memory = boot_s, minute_s, memory
        # All of them share what their parent gets. Cgroups of version 2 divide fairly enough as they are.
        self._priority: dict[str, Any] = {"cgroup_parent": f"/{network}"} if (CGROUPS / "cpu.shares").exists() else {}
        self.silent: set[str] = set()
        self.locked: set[str] = set()
        self.problems: list[str] = []
        self._made: set[str] = set()
        self._handled: set[tuple[str, str]] = set()
        self._workers = ThreadPoolExecutor(8)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._workers.shutdown()
        for container in self._docker.containers.list(all=True, filters={"label": MARK, "network": self._network}):
            container.remove(force=True, v=True)

    def reclaim(self, instance_id: str) -> None:
        """Take a spot instance back."""
        with self._api.serial:
            instance = instances(self._region)[instance_id]
            instance.terminate()
            set_reason(instance, SPOT, f"{SPOT}: Spot instance termination")
        self.look()

    def _run(self) -> None:
        while not self._stopping.wait(0.2):
            self.look()

    def look(self) -> None:
        """Do what has become due. The API calls it after each change: no answer shows a state that EC2 wouldn't."""
        try:
            with self._api.serial:
                self._step()
        except Exception as error:
            self.problems.append(f"{type(error).__name__}: {error}")

    def _step(self) -> None:
        found = self._docker.api.containers(all=True, filters={"label": MARK})
        containers = {each["Labels"][MARK]: each for each in found}
        for name, instance in instances(self._region).items():
            state, container = instance.state, containers.get(name)
            if name not in self._made and state in ("pending", "running"):
                self._made.add(name)
                set_state(instance, "pending")
                self._workers.submit(self._guarded, self._start, name, instance)
            elif container is None:
                continue
            elif state == "terminated" and self._first(name, "terminated"):
                set_state(instance, "shutting-down")
                self._workers.submit(self._guarded, self._end, name, instance)
            elif state == "stopped" and container["State"] == "running" and self._first(name, "stopped"):
                self._workers.submit(self._guarded, self._docker.api.stop, container["Id"], 5)
            elif state == "running" and container["State"] == "exited" and self._first(name, "exited"):
                self._ended_itself(instance)

    def _first(self, name: str, event: str) -> bool:
        new = (name, event) not in self._handled
        self._handled.add((name, event))
        return new

    def _guarded(self, do: Callable[..., Any], *arguments: Any) -> None:
        try:
            do(*arguments)
        except Exception as error:
            self.problems.append(f"{do.__name__}: {type(error).__name__}: {error}")

    def _start(self, name: str, instance: Any) -> None:
        container = self._docker.api.create_container(
            self._image,
            name=name,
            hostname=f"ip-{instance.private_ip.replace('.', '-')}",
            labels={MARK: name},
            environment=self._environment(instance),
            host_config=self._docker.api.create_host_config(
                init=True,
                mem_limit=self._memory,
                shm_size="1g",
                network_mode=self._network,
                **self._priority,
            ),
            networking_config=self._docker.api.create_networking_config(
                # The stubs want an endpoint where the SDK takes endpoints by network.
                {self._network: self._docker.api.create_endpoint_config(ipv4_address=instance.private_ip)}  # type: ignore[arg-type]
            ),
        )
        self._docker.api.start(container["Id"])
        if self._priority:
            (CGROUPS / self._network / "cpu.shares").write_text(str(CPU_SHARES))
        with self._api.serial:
            if instance.state == "pending":
                set_state(instance, "running")

    def _environment(self, instance: Any) -> dict[str, str]:
        key = instance.ec2_backend.key_pairs.get(instance.key_name)
        return {
            "SSH_KEY": key.public_key.strip() if key and instance.instance_type not in self.locked else "",
            "USER_DATA": str(instance.user_data or ""),  # in base64
            "SESSION_ENV": " ".join(f"{name}={value}" for name, value in self._session.items()),
            "BOOT_S": str(self.boot_s),
            "MINUTE_S": str(self.minute_s),
            "SILENT": "yes" if instance.instance_type in self.silent else "",
        }

    def _end(self, name: str, instance: Any) -> None:
        self._docker.api.remove_container(name, force=True, v=True)
        with self._api.serial:
            set_state(instance, "terminated")

    def _ended_itself(self, instance: Any) -> None:
        if instance.instance_initiated_shutdown_behavior == "terminate":
            instance.terminate()
        else:
            instance.stop()
        set_reason(instance, SHUTDOWN, f"{SHUTDOWN}: Instance initiated shutdown")


def wait_until(seen: Callable[[], object], timeout_s: float, problem: Callable[[], str] = lambda: "") -> None:
    """Wait until something is seen."""
    deadline = time.monotonic() + timeout_s
    while not seen():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {problem()}"
        time.sleep(0.25)
