"""AWS's API on this machine: moto, with what it lacks for launching, and with what EC2 refuses.

- Instances are `pending` until their machine runs, and `shutting-down` until it has ended: see `machines`.
- Calls can be refused: `refuse("RunInstances", "InsufficientInstanceCapacity", where={"InstanceType": "m8g.2xlarge"})`.
- RunInstances refuses what EC2 refuses and moto takes, and it starts MaxCount machines.
- A machine gets credentials from the metadata service only with a token (IMDSv2) and an instance profile.
"""

import contextlib
import copy
import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from xml.sax.saxutils import escape

ACCOUNT = "123456789012"
# The status of these answers decides whether boto3 tries again.
HTTP_STATUS = {"InsufficientInstanceCapacity": 500, "RequestLimitExceeded": 503, "UnauthorizedOperation": 403}
VCPU_QUOTAS = {
    "L-1216C47A": "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
    "L-34B43A08": "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests",
}
LONGEST_USER_DATA = 16_384
STATES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
IN_USE = ("pending", "running", "shutting-down", "stopping", "stopped")

StartResponse = Callable[..., Any]


@dataclass
class Refusal:
    """Calls of `action` whose parameters include `where` fail with `code`; `times` of them, None for all.

    `where` may also name the caller's AccessKeyId.
    """

    action: str
    code: str
    message: str = ""
    where: Mapping[str, str] = field(default_factory=dict)
    times: int | None = None

    def strikes(self, action: str, call: Mapping[str, str]) -> bool:
        if self.action not in ("*", action) or self.times == 0:
            return False
        return all(call.get(name, "") == value for name, value in self.where.items())


@dataclass(frozen=True)
class Call:
    """A call: its time, action and parameters, and the code that it was refused with."""

    t: float
    action: str
    parameters: Mapping[str, str]
    refused: str = ""


class AwsApi:
    """Serves at `url` until `stop`."""

    def __init__(self, host: str, vcpu_quota: float = 64.0) -> None:
        from moto.moto_api._internal.models import moto_api_backend
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
        from werkzeug.serving import make_server

        moto_api_backend.reset()  # moto keeps its accounts in this process, also those of an earlier module of tests
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()
        self._refusals: list[Refusal] = []
        self._catalogue: dict[bytes, tuple[Any, bytes]] = {}
        self.serial = threading.RLock()  # moto takes one call at a time
        self.vcpu_quota = vcpu_quota
        self.after: Callable[[], None] = lambda: None  # called when instances may have changed
        self.calls: list[Call] = []

        class Quiet(MotoRequestHandler):
            def log(self, *_: Any) -> None:
                pass

        self._server = make_server(host, 0, self._answer, threaded=True, request_handler=Quiet)
        self.url = f"http://{host}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def refuse(
        self,
        action: str,
        code: str,
        message: str = "",
        *,
        where: Mapping[str, str] | None = None,
        times: int | None = None,
    ) -> Refusal:
        """Refuse calls from now on; `*` stands for every action."""
        refusal = Refusal(action, code, message or code, where or {}, times)
        with self._lock:
            self._refusals.append(refusal)
        return refusal

    def relent(self, refusal: Refusal) -> None:
        with self._lock:
            self._refusals.remove(refusal)

    @contextlib.contextmanager
    def refusing(self, action: str, code: str, message: str = "", **where: str) -> Iterator[Refusal]:
        """Refuse calls within the block."""
        refusal = self.refuse(action, code, message, where=where)
        try:
            yield refusal
        finally:
            self.relent(refusal)

    def called(self, action: str) -> list[Call]:
        """The calls of an action so far."""
        with self._lock:
            return [call for call in self.calls if call.action == action]

    def _answer(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
        path = environ.get("PATH_INFO", "")
        if path.startswith("/latest/"):
            return self._metadata(path, environ, start)
        call = dict(urllib.parse.parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        action = call.get("Action") or target.rpartition(".")[2] or path
        caller = {"AccessKeyId": scope_of(environ)[0]}
        with self._lock:
            refusal = next((each for each in self._refusals if each.strikes(action, {**call, **caller})), None)
            if refusal is not None and refusal.times is not None:
                refusal.times -= 1
        if refusal is None:
            with self.serial:
                refusal = self._refused_by_ec2(action, call, region_of(environ))
        with self._lock:
            self.calls.append(Call(time.time(), action, call, refusal.code if refusal else ""))
        if refusal is not None:
            return _refused(refusal, start)
        if target.startswith("ServiceQuotasV20190624.GetServiceQuota") and b'"ec2"' in body:
            return self._quota(json.loads(body)["QuotaCode"], start)
        if target.startswith("AWSPriceListService"):
            start("500 moto has no price list", [])
            return [b""]
        if action == "DescribeInstanceTypes":
            return self._types(body, environ, start)
        if action == "RunInstances":
            body = urllib.parse.urlencode({**call, "MinCount": call.get("MaxCount", "1")}).encode()
            environ.update({"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))})
        with self.serial:
            answer = list(self._moto(environ, start))
            if action == "RunInstances":
                for interface in (each for instance in every_instance() for each in instance.nics.values()):
                    interface.delete_on_termination = True  # as on EC2, unless a launch says otherwise
            if action.endswith("Instances") and not action.startswith("Describe"):
                self.after()
        return answer

    def _metadata(self, path: str, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        """The instance's metadata service, which here knows an instance by its address."""
        caller = environ.get("REMOTE_ADDR", "")
        with self.serial:
            found = [each for each in every_instance() if each.private_ip == caller and each.state != "terminated"]
            needs_token = bool(found) and found[-1].metadata_options.http_tokens == "required"
            has_token = "HTTP_X_AWS_EC2_METADATA_TOKEN" in environ or path == "/latest/api/token"
            if not found or (needs_token and not has_token):
                start("401 Unauthorized", [])
                return [b""]
            if "iam" in path and not found[-1].iam_instance_profile:
                start("404 Not Found", [])
                return [b""]
            return list(self._moto(environ, start))

    def _quota(self, code: str, start: StartResponse) -> list[bytes]:
        quota = {"ServiceCode": "ec2", "QuotaCode": code, "QuotaName": VCPU_QUOTAS.get(code), "Value": self.vcpu_quota}
        start("200 OK", [("Content-Type", "application/x-amz-json-1.1")])
        return [json.dumps({"Quota": {**quota, "Unit": "None", "Adjustable": True}}).encode()]

    def _types(self, body: bytes, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        """The catalogue never changes, and takes moto 8 s. Each `ray up` reads all of it."""
        key = body + region_of(environ).encode()
        if key not in self._catalogue:
            said: list[Any] = []
            with self.serial:
                text = b"".join(self._moto(environ, lambda *words: said.append(words)))
            self._catalogue[key] = (said[0], text)
        words, text = self._catalogue[key]
        start(*words)
        return [text]

    def _refused_by_ec2(self, action: str, call: Mapping[str, str], region: str) -> Refusal | None:
        if action == "RunInstances":
            return _refused_launch(call, region, self.vcpu_quota)
        if action == "DeleteSecurityGroup":
            group = call.get("GroupId", "")
            users = [each for each in instances(region).values() if each.state in IN_USE and _is_in(each, group)]
            if users:
                return Refusal("", "DependencyViolation", f"resource {group} has a dependent object")
        return None


def _refused(refusal: Refusal, start: StartResponse) -> list[bytes]:
    text = f"<Code>{escape(refusal.code)}</Code><Message>{escape(refusal.message)}</Message>"
    start(f"{HTTP_STATUS.get(refusal.code, 400)} Refused", [("Content-Type", "text/xml")])
    return [f"<Response><Errors><Error>{text}</Error></Errors><RequestID>0</RequestID></Response>".encode()]


def region_of(environ: Mapping[str, Any]) -> str:
    """The region that a call is for."""
    scope = scope_of(environ)
    return scope[2] if len(scope) > 2 else "us-east-1"


def scope_of(environ: Mapping[str, Any]) -> list[str]:
    """From the signature: `Credential=KEY/DATE/REGION/SERVICE/aws4_request`."""
    return str(environ.get("HTTP_AUTHORIZATION", "")).partition("Credential=")[2].split(",")[0].split("/")


def _refused_launch(call: Mapping[str, str], region: str, vcpu_quota: float) -> Refusal | None:
    from moto.ec2.models import ec2_backends
    from moto.ec2.models.instance_types import INSTANCE_TYPES

    backend = ec2_backends[ACCOUNT][region]
    kind, image, key = call.get("InstanceType", ""), call.get("ImageId", ""), call.get("KeyName", "")
    if kind not in INSTANCE_TYPES:
        return Refusal("", "InvalidParameterValue", f"The following supplied instance types do not exist: [{kind}]")
    if not image and not any(name.startswith("LaunchTemplate") for name in call):
        return Refusal("", "MissingParameter", "The request must contain the parameter ImageId")
    found = backend.describe_images(filters={"image-id": image})
    if not found:
        return Refusal("", "InvalidAMIID.NotFound", f"The image id '[{image}]' does not exist")
    arch, known = found[0].architecture, INSTANCE_TYPES[kind]["ProcessorInfo"]["SupportedArchitectures"]
    if arch not in known:
        text = f"The architecture '{','.join(known)}' of the specified instance type does not match the architecture"
        return Refusal("", "InvalidParameterValue", f"{text} '{arch}' of the specified AMI.")
    if key and key not in backend.key_pairs:
        return Refusal("", "InvalidKeyPair.NotFound", f"The key pair '{key}' does not exist")
    if len(call.get("UserData", "")) * 3 / 4 > LONGEST_USER_DATA:
        return Refusal("", "InvalidParameterValue", "User data is limited to 16384 bytes")
    if any(name.startswith("NetworkInterface.") for name in call) and "SecurityGroupId.1" in call:
        text = "Network interfaces and an instance-level security groups may not be specified on the same request"
        return Refusal("", "InvalidParameterCombination", text)
    running = sum(_vcpus(each.instance_type) for each in instances(region).values() if each.state in IN_USE[:2])
    if running + _vcpus(kind) * int(call.get("MaxCount", "1")) > vcpu_quota:
        text = f"You have requested more vCPU capacity than your current vCPU limit of {vcpu_quota:g} allows"
        return Refusal("", "VcpuLimitExceeded", text)
    return None


def _vcpus(kind: str) -> int:
    from moto.ec2.models.instance_types import INSTANCE_TYPES

    return int(INSTANCE_TYPES[kind]["VCpuInfo"]["DefaultVCpus"])


def _is_in(instance: Any, group: str) -> bool:
    return any(each.id == group for each in [*instance.security_groups, *instance.dynamic_group_list])


def instances(region: str) -> dict[str, Any]:
    """Moto's own instances by id."""
    from moto.ec2.models import ec2_backends

    return {instance.id: instance for instance in ec2_backends[ACCOUNT][region].all_instances()}


def add_image(region: str, like: str, name: str) -> None:
    """Let moto have an image of this id, which is otherwise like another one."""
    from moto.ec2.models import ec2_backends

    backend = ec2_backends[ACCOUNT][region]
    (image,) = backend.describe_images(filters={"image-id": like})
    copied = copy.copy(image)
    copied.id = name
    backend.amis[name] = copied


def every_instance() -> list[Any]:
    """Moto's own instances of all regions."""
    from moto.ec2.models import ec2_backends

    return [each for backend in ec2_backends[ACCOUNT].values() for each in backend.all_instances()]


def set_state(instance: Any, name: str) -> None:
    instance._state.name, instance._state.code = name, STATES[name]


def set_reason(instance: Any, code: str, message: str) -> None:
    """Say why the instance ends, as EC2 does."""
    from moto.ec2.models.instances import StateReason

    instance.state_reason = StateReason(message, code)
