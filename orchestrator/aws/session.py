"""Connect to an AWS account by boto3, and explain its errors. Importing this module imports boto3."""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import boto3
from botocore import exceptions as boto
from botocore.config import Config

from orchestrator.errors import (
    ClusterFailed,
    CredentialsExpired,
    InputError,
    MissingPrerequisite,
    OrchestrateError,
)
from orchestrator.logs import hide, redacted
from orchestrator.version import __version__

_log = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")


def _config(attempts: int) -> Config:
    return Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=5,
        read_timeout=30,
        user_agent_extra=f"orchestrate/{__version__}",
    )


# `standard` backs off when AWS throttles; five tries are about 15 s. For prices there is another source.
_CONFIG = _config(5)
_CONFIGS = {"pricing": _config(1)}
_PRICING_REGION = "us-east-1"  # one of the few in which AWS serves its price list
_MAX_SAID = 300
_LOGIN_S = 5.0  # how often expired credentials are read again

_MAKING = threading.Lock()

LOG_IN = "log in: aws sso login, or aws configure; docs/aws.md lists every way"


@dataclass(eq=False)
class Account:
    """An account in one region. Clients are made once, with retries, for the profile and endpoint that AWS_… name."""

    region: str
    session: boto3.Session
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict)

    @classmethod
    def connect(cls, region: str | None = None) -> "Account":
        """Return the account of the environment's credentials; nothing is called yet.

        Without `region`, it is that of AWS_REGION, AWS_DEFAULT_REGION or the profile. Raises InputError without any,
        and for a region that AWS doesn't have; MissingPrerequisite for a profile that doesn't exist.
        """
        with explain("reading the AWS configuration"):
            session = boto3.Session(region_name=region or os.environ.get("AWS_REGION") or None)
            found = session.region_name
        if not found:
            raise InputError("no AWS region is set", "write provider.region into the cluster file, or set AWS_REGION")
        if found not in all_regions(session):
            raise InputError(
                f"AWS has no region {found!r:.60}", "for example us-east-1; list: aws ec2 describe-regions"
            )
        return cls(found, session)

    def client(self, service: str) -> Any:
        """Return the client of a service in this region; that of `pricing` is elsewhere."""
        key = service, _PRICING_REGION if service == "pricing" else self.region
        # boto3's sessions are not safe for threads, its clients are.
        with explain(f"connecting to {service}"), _MAKING:
            if key not in self._clients:
                config = _CONFIGS.get(service, _CONFIG)
                self._clients[key] = self.session.client(service, region_name=key[1], config=config)
                _hide_credentials(self.session)
            return self._clients[key]

    def log_in_again(self) -> None:
        """Read the credentials again; everybody who has this account uses the new ones from now on."""
        with explain("reading the AWS configuration"), _MAKING:
            self.session = boto3.Session(region_name=self.region)
            self._clients.clear()

    def elsewhere(self, region: str) -> "Account":
        """Return the same account in another region."""
        return self if region == self.region else Account(region, self.session)


def _hide_credentials(session: boto3.Session) -> None:
    """Keep the credentials out of logs: a message of AWS may quote them."""
    credentials = session.get_credentials()
    if credentials is not None:
        frozen = credentials.get_frozen_credentials()
        hide(*filter(None, (frozen.access_key, frozen.secret_key, frozen.token)))


def all_regions(session: boto3.Session | None = None) -> Sequence[str]:
    """Return the names of all regions that boto3 knows, of every partition. Nothing is called."""
    session = session or boto3.Session()
    return [
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions("ec2", partition_name=partition)
    ]


def outlast_login(
    account: Account,
    call: Callable[[], _Answer],
    say: Callable[[str], None],
    within_s: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> _Answer:
    """Return what `call` returns. While the credentials have expired, say so and try again with new ones.

    Raises CredentialsExpired if the user hasn't logged in within `within_s`, and what else `call` raises.
    """
    deadline, paused = clock() + within_s, False
    while True:
        try:
            answer = call()
        except CredentialsExpired as error:
            if clock() >= deadline:
                raise
            if not paused:
                _log.warning("paused: %s", error.message)
                say(f"paused: {error.message}; log in again, and the sweep goes on")
            paused = True
            sleep(_LOGIN_S)
            account.log_in_again()
        else:
            if paused:
                _log.info("the new credentials are good")
                say("the new credentials are good")
            return answer


@contextlib.contextmanager
def explain(doing: str) -> Iterator[None]:
    """Turn errors of boto3 inside the context into one line that begins with `doing`, and the user's next step.

    Raises MissingPrerequisite for credentials, permissions, quotas and the network, ClusterFailed for all others.
    """
    try:
        yield
    except (boto.BotoCoreError, boto.ClientError) as error:
        raise explained(doing, error) from None


def code_of(error: Exception) -> str:
    """Return AWS's own code, such as `UnauthorizedOperation`; the exception's name if AWS didn't answer."""
    if isinstance(error, boto.ClientError):
        return str(error.response.get("Error", {}).get("Code", "Unknown"))
    return type(error).__name__


def explained(doing: str, error: Exception) -> OrchestrateError:
    """Return the error for the user that matches an exception of boto3. It never contains a credential."""
    code = code_of(error)
    for codes, meaning, hint in _FAULTS:
        if code in codes:
            kind = CredentialsExpired if code in EXPIRED else MissingPrerequisite
            return kind(f"{doing}: {meaning} ({code})", hint)
    return ClusterFailed(f"{doing}: AWS answers {code}: {said(error)}")


def said(error: Exception) -> str:
    """Return AWS's message in one line, without the encoded part that only an administrator can read."""
    text = str(error)
    if isinstance(error, boto.ClientError):
        text = str(error.response.get("Error", {}).get("Message", ""))
    text = text.partition("Encoded authorization failure message")[0]
    return redacted(" ".join(text.split()))[:_MAX_SAID]


EXPIRED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
        "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
        "SSOTokenLoadError",
    }
)
"""Codes of credentials that were good before: a user who logs in again can go on."""

FORBIDDEN = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "UnauthorizedAccess"})
"""Codes of a missing permission."""

THROTTLED = frozenset({"RequestLimitExceeded", "Throttling", "ThrottlingException", "TooManyRequestsException"})
"""Codes of too many calls, after all tries."""

_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError")
_UNREACHABLE = ("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError")
_FAULTS: tuple[tuple[frozenset[str], str, str], ...] = (
    (frozenset(_CREDENTIALS), "there are no usable AWS credentials", LOG_IN),
    (EXPIRED, "the AWS credentials have expired", "log in again (aws sso login), then go on: sweep --resume @last"),
    (
        frozenset({"InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure", "InvalidAccessKeyId"}),
        "AWS doesn't accept the credentials",
        "check AWS_PROFILE and the keys: aws sts get-caller-identity",
    ),
    (
        frozenset({"SignatureDoesNotMatch", "RequestTimeTooSkewed", "InvalidSignatureException"}),
        "AWS doesn't accept the signature: the secret key or this machine's clock is wrong",
        "compare the clock (timedatectl), then the key (aws configure)",
    ),
    (frozenset({"ProfileNotFound"}), "the AWS profile doesn't exist", "list profiles: aws configure list-profiles"),
    (frozenset({"ConfigParseError"}), "the AWS configuration can't be read", "correct ~/.aws/config"),
    (
        FORBIDDEN,
        "the credentials lack the permission",
        "attach the policy cluster/aws/iam-user.json: see docs/aws.md",
    ),
    (frozenset({"OptInRequired"}), "the account isn't enabled for this", "enable the region in the AWS console"),
    (THROTTLED, "AWS throttles the account's calls", "try again in a minute, with fewer tools on the account"),
    (frozenset(_UNREACHABLE), "AWS can't be reached", "check the network, proxy settings and AWS_ENDPOINT_URL"),
    (
        frozenset({"VcpuLimitExceeded", "MaxSpotInstanceCountExceeded"}),
        "the account's vCPU quota is used up",
        "lower max_workers, or ask for more: https://console.aws.amazon.com/servicequotas/",
    ),
)
