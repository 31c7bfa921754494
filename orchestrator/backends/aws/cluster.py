"""A Ray cluster on EC2: Ray's own launcher starts its head, and the head's autoscaler its workers.

Everything made in the account carries the cluster's tags from its creation on. It is ended by these tags, which needs
neither the head nor a connection to it.
"""

import contextlib
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import yaml

import orchestrator
from orchestrator.aws.inventory import postpone, remove
from orchestrator.aws.launch import usable_subnets
from orchestrator.aws.session import Account, explain, outlast_login
from orchestrator.aws.tags import Mark, Owner
from orchestrator.backends.aws.bootstrap import OUT, RENEWED, Made, launch_config
from orchestrator.backends.aws.identity import IdentifiedView
from orchestrator.backends.aws.lease import SCRIPT, Lease, script
from orchestrator.backends.aws.machines import Entry, Instance, MachineWatch, instances_of, is_head, reason_of
from orchestrator.backends.aws.network import make_group
from orchestrator.backends.aws.remote import Login, Remote
from orchestrator.backends.live.cluster import ClusterLaunch, LiveCluster
from orchestrator.backends.live.cluster_dir import ClusterFiles
from orchestrator.backends.live.ownership import ensure_token
from orchestrator.backends.live.ports import free_port_or, free_ports
from orchestrator.backends.live.ray_config import with_settings
from orchestrator.backends.live.settings_reports import SettingsReports
from orchestrator.backends.local.processes import marker_environment
from orchestrator.errors import ClusterFailed, CredentialsExpired, MissingPrerequisite
from orchestrator.logs import suppressed
from orchestrator.model.cluster import ClusterShape
from orchestrator.model.settings import Settings
from orchestrator.observer.observer import ClusterView, LogSource, LogSources
from orchestrator.rayapi import launcher
from orchestrator.rayapi.environment import LOOPBACK
from orchestrator.trace.tail import Tail

_log = logging.getLogger(__name__)

# Ray's launcher writes it into the head's home, and the autoscaler reads it again at every update.
_CONFIG = "ray_bootstrap_config.yaml"
_GCS_PORT, _DASHBOARD_PORT = 6379, 8265
PROXY_PORT = 9478
"""The preferred port of a SOCKS proxy to the nodes, through which a Prometheus on this machine scrapes them."""
_RAY_LOGS = "/tmp/ray/session_latest/logs"
_LONGEST_LINE = 100_000
_KEPT_BYTES = 50_000_000
# The machine's boot, and setup commands that install Ray.
_NODE_START_S = 300.0
_LAST_LINES = 12
_DAY_S = 86_400.0
# How long after the end of its lease a machine is given to end.
_GRACE_S = 60.0

# Ray's own lines begin with a time, and those of tracebacks are indented.
_NO_OUTPUT = re.compile(
    r"\d{4}-\d\d-\d\d |\s|Traceback|During handling|The above exception|[\w.]+(Error|Exception)\b|$"
)

# What a head imports: the node provider, and the stress job. None of it needs more than Ray.
_MODULES = (
    "rayapi/autoscaler_object.py",
    "rayapi/aws_provider.py",
    "workload/stress.py",
    "model/arrivals.py",
    "model/sampling.py",
    "model/doc_table.py",
)

_STAGES = {
    "up_started": "Ray's launcher begins",
    "acquiring_new_head_node": "launching the head",
    "head_node_acquired": "the head boots",
    "ssh_control_acquired": "the head answers SSH",
    "run_initialization_cmd": "preparing the head",
    "run_setup_cmd": "setting the head up",
    "start_ray_runtime": "starting Ray on the head",
    "start_ray_runtime_completed": "Ray runs on the head",
}


_NO_SSH = (
    "auth.ssh_user has to be the image's own (ec2-user for Amazon Linux, ubuntu for Ubuntu), and port 22 of the head"
    " within reach: private addresses need a VPN, provider.ssh_from the network that you come from"
)


def _ignore(instances: Sequence[Instance]) -> None:
    pass


def _allow() -> None:
    pass


@dataclass(frozen=True)
class Place:
    """The account of a sweep's clusters, and the cluster file as Ray's launcher gets it.

    `progress` takes the current step, `on_instances` each description of the cluster's instances by EC2. `check_cost`
    raises CostLimitReached when they have cost as much as they may. `seconds` is the longest that the sweep may take.
    """

    account: Account
    raw: Mapping[str, Any]
    sweep_id: str
    progress: Callable[[str], None]
    on_instances: Callable[[Sequence[Instance]], None] = _ignore
    check_cost: Callable[[], None] = _allow
    seconds: float = 0.0


class AwsCluster(LiveCluster):
    """One running cluster, from `AwsCluster.start`. `stop` removes all that carries its tags."""

    backend = "aws"
    metrics_ports: Mapping[str, int] = {"autoscaler": 44217, "dashboard": 44227}
    start_s = _NODE_START_S
    host_sample = None
    completes_gaps = True

    def __init__(self, launch: ClusterLaunch, place: Place) -> None:
        super().__init__(launch)
        self.files = ClusterFiles(self.folder)
        self._account, self._raw, self._progress = place.account, place.raw, place.progress
        self._check_cost = place.check_cost
        self._name = f"orchestrate-{self.cluster_id}"
        self._lease = Lease(float(self._raw["provider"].get("lease_minutes") or Lease.minutes))
        planned = timedelta(seconds=min(place.seconds, _DAY_S))  # a longer sweep postpones it
        expires = datetime.now(UTC) + planned + self._lease.setup
        self._mark = Mark(self.cluster_id, place.sweep_id, str(Owner.this_process()), expires)
        self._reports = SettingsReports(self.files.settings)
        self._launcher: subprocess.Popen[bytes] | None = None
        self._remote: Remote | None = None
        self._config: dict[str, Any] = {}
        self._stopping = threading.Event()
        self._watch = MachineWatch(self._account, self.cluster_id, self._note_machine, place.on_instances)

    @classmethod
    def start(cls, launch: ClusterLaunch, place: Place) -> "AwsCluster":
        """Start a head with Ray's autoscaler under the launch's settings. Raises ClusterFailed, MissingPrerequisite."""
        cluster = cls(launch, place)
        with cluster._starting():
            cluster._start()
        return cluster

    def _start(self) -> None:
        shape, settings = self._launch.shape, self._launch.settings
        self.gcs = self.dashboard = ""
        self._make_folder()
        self.files.create()
        self._progress("making a key pair and a security group")
        made = self._make(shape)
        config = launch_config(self._raw, shape, settings, made)
        path = self.folder / "ray-up.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        self._watch.start()
        stages = self._run_launcher(path, settings)
        if stages.error and stages.last == "head_node_acquired":
            raise ClusterFailed(f"the head never answered SSH: {self._why_no_ssh(self._login(config))}", _NO_SSH)
        if stages.error:
            raise ClusterFailed(f"Ray's launcher failed: {stages.error}", self._where_logs_are())
        self.inner_gcs = f"{self._head()['PrivateIpAddress']}:{_GCS_PORT}"
        self._connect(self._login(config))
        self._wait(self._tunnel_is_dug, "GCS")
        self._wait(lambda: self.live_settings() is not None, "autoscaler")

    def _make(self, shape: ClusterShape) -> Made:
        key = self.folder / "ssh_key"
        with suppressed(_log, "a key of an earlier attempt", FileNotFoundError):
            key.unlink()
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self._name, "-f", str(key)], check=True)
        with explain("importing the key pair"):
            self._account.client("ec2").import_key_pair(
                KeyName=self._name,
                PublicKeyMaterial=key.with_suffix(".pub").read_bytes(),
                TagSpecifications=self._mark.specifications("key-pair"),
            )
        subnets = usable_subnets(self._account, self._raw)
        return Made(
            name=self._name,
            mark=self._mark,
            region=self._account.region,
            subnets=tuple(subnet["SubnetId"] for subnet in subnets),
            key=key,
            security_group=make_group(self._account, subnets[0]["VpcId"], self._name, self._mark, self._raw),
            kit=self._make_kit(),
            lease=self._lease,
            metrics_ports=self.metrics_ports,
        )

    def _make_kit(self) -> Path:
        """Return a folder with all that a machine needs of us. Ray copies it to the head, and the head to workers."""
        kit, package = self.folder / "kit", Path(str(orchestrator.__file__)).parent
        for module in _MODULES:
            copied = kit / "lib" / "orchestrator" / module
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(package / module, copied)
            (copied.parent / "__init__.py").touch()
        (kit / "lib" / "orchestrator" / "__init__.py").touch()
        (kit / SCRIPT).write_text(script())
        token = kit / "ray_token"
        shutil.copy(ensure_token(self._home), token)
        token.chmod(0o600)
        kit.chmod(0o700)
        return kit

    def _marked(self) -> dict[str, str]:
        """Return the environment of our own processes, by which `clean` finds them."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORCHESTRATE_", "RAY_"))}
        return {**kept, **marker_environment(self.cluster_id, self._home)}

    def _login(self, config: Mapping[str, Any]) -> Login:
        """Return the way to the head."""
        head = self._head()
        address = str(head["PrivateIpAddress"])
        if not config["provider"].get("use_internal_ips"):
            address = str(head.get("PublicIpAddress") or address)
        auth = config["auth"]
        key, known_hosts = Path(auth["ssh_private_key"]), self.folder / "known_hosts"
        return Login(auth["ssh_user"], address, key, known_hosts, self._marked())

    def _why_no_ssh(self, login: Login) -> str:
        """Return what ssh itself says; Ray's launcher doesn't say it."""
        try:
            Remote(login).run("true")
        except ClusterFailed as error:
            # not logged: it is the answer.
            return error.message
        return "it does now; it may take longer to boot than Ray waits"

    def _run_launcher(self, config: Path, settings: Settings) -> "_Stages":
        """Start the head; return how far the launcher came, and its error with the last output of a failed command."""
        environment = {
            **self._marked(),
            "HOME": str(self.folder),  # Ray writes there
            "RAY_UP_enable_autoscaler_v2": "1" if settings.autoscaler == "v2" else "0",
            "RAY_USAGE_STATS_ENABLED": "0",
            "AWS_SHARED_CREDENTIALS_FILE": os.environ.get("AWS_SHARED_CREDENTIALS_FILE")
            or str(Path.home() / ".aws" / "credentials"),
            "AWS_CONFIG_FILE": os.environ.get("AWS_CONFIG_FILE") or str(Path.home() / ".aws" / "config"),
        }
        log = self.folder / "ray-up.log"
        with log.open("ab") as output:
            self._launcher = subprocess.Popen(
                [sys.executable, "-P", "-m", launcher.__name__, str(config)],
                stdin=subprocess.PIPE,  # it ends with this process
                stdout=subprocess.PIPE,
                stderr=output,
                env=environment,
                start_new_session=True,
            )
        assert self._launcher.stdout is not None
        error = last = ""
        for line in self._launcher.stdout:
            with suppressed(_log, "a line of the launcher", ValueError):
                event = json.loads(line)
                _log.info("launcher: %s", event)
                error = event.get("error", error)
                last = event["stage"] if event["stage"] in _STAGES else last
                if text := _STAGES.get(event["stage"]):
                    self._progress(text)
        code = self._launcher.wait()
        if code or error:
            error = f"{error or f'exit code {code}'}{_last_output(log)}"
        return _Stages(last, error)

    def _head(self) -> Instance:
        with explain("looking for the head"):
            found = filter(is_head, instances_of(self._account, self.cluster_id, "pending", "running"))
            head = next(found, None)
        if head is None:
            raise ClusterFailed("Ray's launcher ended, and EC2 has no head", self._where_logs_are())
        return head

    def _connect(self, login: Login) -> None:
        remote = self._remote = Remote(login)
        first = remote.run("bash --login -c -i 'head -n 1 $(command -v ray)' 2>/dev/null").strip().splitlines()
        self.python = first[-1].removeprefix("#!").strip() if first else "python3"
        found = json.loads(remote.run(f"cat {_CONFIG}"))
        self._config = cast("dict[str, Any]", found)
        gcs, dashboard = free_ports(2)
        remote.forward({gcs: _GCS_PORT, dashboard: _DASHBOARD_PORT}, free_port_or(PROXY_PORT))
        self.gcs, self.dashboard = f"{LOOPBACK}:{gcs}", f"http://{LOOPBACK}:{dashboard}"
        for there, here in (
            (f"{_RAY_LOGS}/monitor.log", self.files.monitor_log),
            (f"{_RAY_LOGS}/monitor.out", self.files.outbox / "monitor.out"),
            (f"{OUT}/settings.jsonl", self.files.settings),
            (f"{OUT}/journal.jsonl", self._head_journal),
        ):
            remote.follow(there, here)
        threading.Thread(target=self._renew_lease, name="orchestrate-lease", daemon=True).start()
        self._write_owner()

    def _tunnel_is_dug(self) -> bool:
        host, _, port = self.gcs.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            # not logged: ssh isn't ready yet.
            return False
        return True

    def _renew_lease(self) -> None:
        while not self._stopping.wait(self._lease.renewed_every_s):
            with suppressed(_log, "renewing the lease", ClusterFailed):
                assert self._remote is not None
                self._remote.run(f"touch {RENEWED}")
            with suppressed(_log, "renewing the time of expiry", ClusterFailed, MissingPrerequisite):
                self._renew_mark()

    def _renew_mark(self) -> None:
        """Postpone the time from which `clean` may take the cluster, if the sweep takes longer than planned."""
        now = datetime.now(UTC)
        if self._mark.expires - now < self._lease.setup:
            mark = replace(self._mark, expires=now + 2 * self._lease.setup)
            postpone(self._account, str(self._head()["InstanceId"]), mark)
            self._mark = mark

    # As every cluster

    def view(self) -> ClusterView:
        """See `LiveCluster.view`."""
        return IdentifiedView(super().view(), self._watch.identities)

    @property
    def _head_journal(self) -> Path:
        return self.files.outbox / "journal.jsonl"

    def _note_machine(self, entry: Entry) -> None:
        self.files.append_journal(dict(entry))

    def logs(self) -> LogSources:
        """See `LiveCluster.logs`. The journal is that of the head's node provider, and what EC2 says of machines."""
        journals = [Tail(self._head_journal, longest=_LONGEST_LINE), Tail(self.files.journal)]
        return LogSources(journal=_Together(journals), monitor=Tail(self.files.monitor_log))

    def apply_settings(self, shape: ClusterShape, settings: Settings) -> None:
        """Replace the config that the autoscaler reads at every update, in one step.

        It is the head's own with nothing else changed: v2 ends all workers if the way to launch them changes, and v1
        sets them up again.
        """
        text = json.dumps(with_settings(self._config, shape, settings))
        assert self._remote is not None
        self._remote.run(f"cat > .new && mv .new {_CONFIG}", text.encode())

    def live_settings(self) -> dict[str, Any] | None:
        """See `LiveCluster.live_settings`. The node provider on the head appends a report whenever they change."""
        return self._reports.newest()

    def begin_trial(self, trial_id: str, seed: int) -> None:
        """Do nothing: EC2's latencies are real."""

    def check_alive(self) -> None:
        """See `LiveCluster.check_alive`. EC2 says whether the head runs; a broken tunnel is dug again.

        While the credentials have expired, it waits for new ones: without them, nobody knows which machines run.
        """
        self._check_cost()
        if isinstance(self._watch.failure, CredentialsExpired):
            try:
                outlast_login(self._account, self._watch.ask, self._progress, self._lease.seconds)
            except CredentialsExpired as error:
                raise ClusterFailed(error.message, error.hint) from error
        head = self._watch.head
        if head is not None and (state := head["State"]["Name"]) not in ("pending", "running"):
            raise ClusterFailed(f"the head's instance is {state}: {reason_of(head) or self._last_words()}")

    def _last_words(self) -> str:
        lines = [line for log in (self.files.monitor_log, self.folder / "ray-up.log") for line in _lines(log)[-1:]]
        return "; ".join(lines)[:500] or "it left no message"

    def stop(self) -> None:
        """Remove all that carries the cluster's tags, and its files; safe to call twice. Raises MissingPrerequisite."""
        if not self.folder.exists():
            return
        self._stopping.set()
        if self._launcher is not None and self._launcher.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # not logged: it has ended
                os.killpg(self._launcher.pid, signal.SIGKILL)
            self._launcher.wait()
        if self._remote is not None:
            self._remote.close()
        try:
            self._remove()
        finally:
            self._watch.stop()
            if self._logs_dir is not None:
                with suppressed(_log, "keeping the logs", OSError):  # a full disk must not keep anything running
                    self._keep_logs(self._logs_dir)
        self._remove_folder()

    def _remove(self) -> None:
        """Remove all that carries the cluster's tags. Wait for a user to log in again if the credentials have expired.

        Meanwhile nobody renews the lease, so the machines end by themselves. Raises MissingPrerequisite, ClusterFailed.
        """
        account = self._account
        outlast_login(account, lambda: remove(account, self.cluster_id), self._progress, self._lease.seconds + _GRACE_S)

    def _keep_logs(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        kept = {
            "journal.jsonl": self.files.journal,
            "head-journal.jsonl": self._head_journal,
            **{log.name: log for log in (self.files.settings, self.files.monitor_log, self.folder / "ray-up.log")},
            "monitor.out": self.files.outbox / "monitor.out",
        }
        for name, log in kept.items():
            if log.is_file():
                with log.open("rb") as file:  # a job may have written to it for ever
                    (folder / name).write_bytes(file.read(_KEPT_BYTES))


@dataclass(frozen=True)
class _Stages:
    """The last stage that Ray's launcher began, and its error; empty if there is none."""

    last: str
    error: str


class _Together:
    """Several logs as one."""

    def __init__(self, sources: Iterable[LogSource]) -> None:
        self._sources = tuple(sources)

    def read(self) -> list[str]:
        """Return the new lines of all. See `LogSource.read`."""
        return [line for source in self._sources for line in source.read()]


def _lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").strip().splitlines() if log.is_file() else []


def _last_output(log: Path) -> str:
    """Return the last output of the launcher's commands: lines that are neither Ray's own nor of a traceback."""
    found = [line for line in _lines(log) if not _NO_OUTPUT.match(line)][-_LAST_LINES:]
    return "".join(f"\n  {line[:200]}" for line in found)
