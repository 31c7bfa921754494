"""Errors of AWS as the user reads them, and the tags by which everything of ours is found."""

from datetime import UTC, datetime

import pytest
from botocore import exceptions as boto

from orchestrator.aws.session import Account, code_of, explain, explained, outlast_login, said
from orchestrator.aws.tags import CLUSTER, Mark, Owner, ours
from orchestrator.errors import ClusterFailed, CredentialsExpired, InputError, MissingPrerequisite

MARK = Mark("1a2b3c4d", "5e3e90aa", "alice@laptop 42 1700000000.25", datetime(2026, 11, 30, 12, tzinfo=UTC))


def refused(code: str, message: str = "no") -> boto.ClientError:
    return boto.ClientError({"Error": {"Code": code, "Message": message}}, "Call")


@pytest.mark.parametrize(
    ("error", "meaning", "hint"),
    [
        (boto.NoCredentialsError(), "there are no usable AWS credentials", "aws sso login"),
        (boto.ProfileNotFound(profile="mine"), "the AWS profile doesn't exist", "aws configure list-profiles"),
        (refused("ExpiredToken"), "the AWS credentials have expired", "--resume @last"),
        (refused("RequestExpired"), "the AWS credentials have expired", "--resume @last"),
        (refused("AuthFailure"), "AWS doesn't accept the credentials", "get-caller-identity"),
        (refused("SignatureDoesNotMatch"), "this machine's clock is wrong", "timedatectl"),
        (refused("UnauthorizedOperation"), "the credentials lack the permission", "iam-user.json"),
        (refused("AccessDeniedException"), "the credentials lack the permission", "iam-user.json"),
        (refused("RequestLimitExceeded"), "AWS throttles the account's calls", "in a minute"),
        (refused("VcpuLimitExceeded"), "the account's vCPU quota is used up", "servicequotas"),
        (refused("OptInRequired"), "the account isn't enabled for this", "enable the region"),
        (boto.EndpointConnectionError(endpoint_url="x"), "AWS can't be reached", "AWS_ENDPOINT_URL"),
    ],
    ids=lambda value: code_of(value) if isinstance(value, Exception) else "",
)
def test_each_error_that_a_user_can_fix_has_its_meaning_and_its_fix(error: Exception, meaning: str, hint: str) -> None:
    with pytest.raises(MissingPrerequisite) as told, explain("looking around"):
        raise error

    assert told.value.message.startswith("looking around: ")
    assert meaning in told.value.message
    assert hint in (told.value.hint or "")


class Login:
    """An account whose credentials are good again after some new readings; a reading takes five seconds."""

    def __init__(self, good_after: int) -> None:
        self.readings, self._good_after, self.said = 0, good_after, list[str]()

    def log_in_again(self) -> None:
        self.readings += 1

    def call(self) -> str:
        if self.readings < self._good_after:
            raise explained("ending instances", refused("RequestExpired"))
        return "done"

    def outlast(self, within_s: float) -> str:
        return outlast_login(
            self,  # type: ignore[arg-type]
            self.call,
            self.said.append,
            within_s,
            clock=lambda: self.readings * 5.0,
            sleep=lambda s: None,
        )


def test_a_call_goes_on_after_a_new_login_and_says_so_once() -> None:
    login = Login(good_after=3)

    assert login.outlast(60) == "done"
    assert login.readings == 3
    assert login.said == [
        "paused: ending instances: the AWS credentials have expired (RequestExpired); log in again, and the sweep"
        " goes on",
        "the new credentials are good",
    ]


def test_nobody_is_waited_for_without_end() -> None:
    login = Login(good_after=100)

    with pytest.raises(CredentialsExpired):
        login.outlast(20)
    assert login.readings == 4


def test_a_new_login_makes_new_clients(bare: pytest.MonkeyPatch) -> None:
    account = Account.connect("us-east-1")
    before = account.client("ec2")

    assert account.client("ec2") is before
    account.log_in_again()
    assert account.client("ec2") is not before


def test_any_other_error_is_told_as_aws_says_it() -> None:
    told = explained("launching", refused("InvalidParameterValue", "The  architecture\ndoes not match"))

    assert isinstance(told, ClusterFailed)
    assert told.message == "launching: AWS answers InvalidParameterValue: The architecture does not match"


def test_an_encoded_message_is_left_out() -> None:
    assert said(refused("X", "You can't. Encoded authorization failure message: AbCdEf")) == "You can't."


def test_other_exceptions_pass() -> None:
    with pytest.raises(ZeroDivisionError), explain("counting"):
        raise ZeroDivisionError


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without any AWS configuration."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    return monkeypatch


def test_the_region_is_the_one_that_is_named_else_that_of_the_environment(bare: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no AWS region is set"):
        Account.connect()

    bare.setenv("AWS_REGION", "eu-west-1")

    assert Account.connect().region == "eu-west-1"
    assert Account.connect("us-east-2").region == "us-east-2"


@pytest.mark.parametrize("region", ["us-esat-1", "moon", "US-EAST-1", "us-east-1 "])
def test_an_unknown_region_is_refused(bare: pytest.MonkeyPatch, region: str) -> None:
    with pytest.raises(InputError, match="AWS has no region"):
        Account.connect(region)


def test_a_profile_that_does_not_exist_is_said(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(MissingPrerequisite, match="the AWS profile doesn't exist"):
        Account.connect("us-east-1")


# Tags


def test_tags_are_read_as_they_were_written() -> None:
    assert Mark.read(MARK.tags()) == MARK
    assert Owner.parse(MARK.owner) == Owner("alice", "laptop", 42, 1700000000.25)
    assert Owner.parse(str(Owner.this_process())) is not None


def test_what_lacks_our_tag_is_not_ours() -> None:
    others = [tag for tag in MARK.tags() if tag["Key"] != CLUSTER]

    assert Mark.read(others) is None
    assert Mark.read([{"Key": CLUSTER, "Value": ""}]) is None
    assert Mark.read([]) is None


def test_every_resource_of_a_launch_gets_the_tags() -> None:
    found = MARK.specifications("instance", "volume")

    assert [each["ResourceType"] for each in found] == ["instance", "volume"]
    assert all(Mark.read(each["Tags"]) == MARK for each in found)


def test_filters_ask_for_our_key_in_any_case() -> None:
    assert ours() == [{"Name": "tag-key", "Values": [CLUSTER]}]
    assert ours("1a2b3c4d") == [{"Name": f"tag:{CLUSTER}", "Values": ["1a2b3c4d"]}]
    assert {"Name": "tag-key", "Values": [CLUSTER]} in ours(sweep_id="5e3e90aa")


@pytest.mark.parametrize("text", ["", "nobody", "a b c", "x@y 12", "x@y twelve 1.0"])
def test_a_damaged_owner_is_none(text: str) -> None:
    assert Owner.parse(text) is None
