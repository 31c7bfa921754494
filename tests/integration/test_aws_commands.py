"""The commands on an AWS account in this process: what they ask first, what they print, and what they never do."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.analysis.sweep.summary import summarise
from orchestrator.aws.cluster_file import HEAD_PROFILE
from orchestrator.cli.commands import sweep as sweep_command
from orchestrator.logs import MASK
from orchestrator.model.scorecard import ByPart, Scorecard
from orchestrator.replay.prediction import Foresight
from orchestrator.sweeps.plan import Plan
from tests.support.aws_account import REGION, FakeAccount, fake_account
from tests.support.command_line import Run
from tests.support.orchestrate_command import ROOT

SECRETS = ("AKIAPLANTED", "planted-secret", "planted-session")
SWEEP_AWS = ("sweep", "--backend", "aws", "--upscaling-speed", "1,10", "--tasks", "64")
POLICIES = ROOT / "cluster" / "aws"


@pytest.fixture(scope="module")
def account() -> Iterator[FakeAccount]:
    with fake_account() as fake:
        fake.make_head_profile()
        fake.open_to_the_internet()
        yield fake


@pytest.fixture
def aws(account: FakeAccount, monkeypatch: pytest.MonkeyPatch) -> FakeAccount:
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "planted-session")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    account.forget()
    account.answer("GetProducts", price_list)
    return account


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Calls `orchestrate` in this process, in a folder and with a home of its own."""
    monkeypatch.chdir(tmp_path)
    # The prediction itself needs Ray: tests/integration/test_simulate.py has it.
    monkeypatch.setattr("orchestrator.replay.prediction.foresee", predicted)
    return Run(monkeypatch, capsys)


def predicted(plan: Plan) -> Foresight:
    """Each setting takes 10 minutes, 5 more to scale down, and 3600 seconds of nodes for $1."""
    card = Scorecard(
        makespan_s=600.0,
        scale_down_s=300.0,
        node_seconds=ByPart(total=3600.0),
        cost_usd=ByPart(total=1.0),
        valid=True,
    )
    return Foresight(tuple(summarise((settings, card) for settings in plan.settings)), ())


def price_list(arguments: dict[str, Any]) -> dict[str, Any]:
    """AWS's price list, in which everything costs 1 dollar an hour."""
    dimension = {"unit": "Hrs", "pricePerUnit": {"USD": "1.0000000000"}}
    product = {"terms": {"OnDemand": {"a": {"priceDimensions": {"b": dimension}}}}}
    return {"PriceList": [json.dumps(product)]}


def only_reads(aws: FakeAccount) -> bool:
    """Nothing was changed in the account: dry runs change nothing."""
    ec2 = aws.client("ec2")
    made = ec2.describe_instances()["Reservations"], ec2.describe_key_pairs()["KeyPairs"]
    return made == ([], [])


# Before a sweep


def test_a_dry_run_shows_the_cost_and_the_changes_and_starts_nothing(run: Run, aws: FakeAccount) -> None:
    code, out, err = run(*SWEEP_AWS, "--dry-run")

    assert code == 0, err
    assert "aws: EC2 instances in your AWS account, which cost money" in out
    assert "prices are those of AWS's price list in us-east-1 today" in out
    (total,) = (line.split() for line in out.splitlines() if line.startswith("all 2 trials"))
    expected, worst = float(total[3]), float(total[4])
    # $1 of workers each, the head for 15 minutes and more, and disks.
    assert 2.5 < expected < 4.0 < worst
    assert "+      TagSpecifications:" in out
    assert "-cluster_name: orchestrate-aws" in out
    assert only_reads(aws)
    assert {call for call in aws.calls if not call.startswith(("Describe", "Get"))} == set()


def test_the_plan_as_json_has_cost_and_changes(run: Run, aws: FakeAccount) -> None:
    code, out, err = run(*SWEEP_AWS, "--dry-run", "--json", "-")
    document = json.loads(out)

    assert code == 0, err
    assert document["cost"]["rates"]["head"]["machine"] == 1.0
    assert document["cost"]["total"]["usd"] == pytest.approx(sum(e["usd"] for e in document["cost"]["trials"].values()))
    assert document["cost"]["clusters"] == 1
    assert any(line.startswith("+") for line in document["changes"])


def test_a_plan_for_local_nodes_has_no_cost(run: Run, aws: FakeAccount) -> None:
    code, out, err = run("sweep", "--upscaling-speed", "1", "--dry-run", "--json", "-")

    assert code == 0, err
    assert (json.loads(out)["cost"], json.loads(out)["changes"]) == (None, [])


@pytest.mark.parametrize(
    ("options", "error", "hint"),
    [
        ((), "this sweep is expected to cost $", "agree with --yes, or set a limit: --max-cost 5"),
        (("--max-cost", "0.5"), "--max-cost 0.5: the first trial alone is expected to cost $", "allow more"),
        (("--max-cost", "nan"), "--max-cost: nan is no limit", "give dollars above 0"),
        (("--max-cost", "-5"), "--max-cost: -5 is no limit", "give dollars above 0"),
        (("--max-cost", "0"), "--max-cost: 0 is no limit", "give dollars above 0"),
        (("--max-cost", "inf"), "--max-cost: inf is no limit", "give dollars above 0"),
    ],
)
def test_without_consent_nothing_starts(
    run: Run, aws: FakeAccount, options: tuple[str, ...], error: str, hint: str
) -> None:
    code, _, err = run(*SWEEP_AWS, *options)

    assert code == 2, err
    assert error in err
    assert hint in err
    assert only_reads(aws)
    assert not list(Path(".orchestrate").glob("sweeps/*"))


def test_on_a_terminal_the_cost_is_shown_and_no_is_no(
    run: Run, aws: FakeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_command, "is_terminal", lambda: True)
    monkeypatch.setattr(sys.stdin, "readline", lambda: "n\n", raising=False)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda prompt: "n")
    code, _, err = run(*SWEEP_AWS)

    assert code == 2, err
    assert "all 2 trials" in err
    assert "not agreed to, so nothing was started" in err


@pytest.mark.parametrize("backend", ["local", "simulated"])
def test_a_limit_for_what_costs_nothing_is_refused(run: Run, aws: FakeAccount, backend: str) -> None:
    code, _, err = run("sweep", "--backend", backend, "--upscaling-speed", "1", "--max-cost", "5")

    assert code == 2
    assert f"--max-cost: the {backend} backend costs nothing" in err


def test_preflight_comes_first_and_names_everything_that_is_missing(run: Run, aws: FakeAccount) -> None:
    aws.vcpu_quota = 16
    aws.refuse("GetInstanceProfile", "NoSuchEntity")
    code, _, err = run(*SWEEP_AWS, "--yes")

    assert code == 3, err
    assert "AWS quotas: on-demand standard: up to 132 vCPUs here" in err
    assert f"AWS head role: the head's instance profile {HEAD_PROFILE} doesn't exist" in err
    assert "orchestrate doctor --backend aws" in err
    assert not list(Path(".orchestrate").glob("sweeps/*"))


@pytest.mark.parametrize(
    ("provider", "error"),
    [
        ({"type": "gcp", "region": "us-west1", "project_id": "p", "availability_zone": "a"}, "provider.type: gcp, but"),
        ({"type": "aws", "region": "us-esat-1"}, "AWS has no region 'us-esat-1'"),
        ({"type": "aws", "region": ""}, ""),
    ],
)
def test_a_file_for_another_cloud_or_region_is_refused(
    run: Run, aws: FakeAccount, provider: dict[str, str], error: str
) -> None:
    config = {**yaml.safe_load((ROOT / "cluster/aws.yaml").read_text()), "provider": provider}
    Path("mine.yaml").write_text(yaml.safe_dump(config))
    code, _, err = run("sweep", "--backend", "aws", "--cluster", "mine.yaml", "--upscaling-speed", "1", "--yes")

    assert code in ((2,) if error else (2, 3)), err
    assert error in err


def test_without_a_region_the_way_out_is_said(run: Run, aws: FakeAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    code, _, err = run(*SWEEP_AWS, "--dry-run")

    assert (code, "no AWS region is set" in err, "AWS_REGION" in err) == (2, True, True), err


# doctor and clean


def test_doctor_checks_the_account_where_it_is_named(run: Run, aws: FakeAccount) -> None:
    code, out, err = run("doctor", "--backend", "aws", "--json")
    document = json.loads(out)

    assert (code, document["ready"]) == (0, True), document
    assert {check["needed_by"][0] for check in document["checks"]} == {"aws"}

    aws.vcpu_quota = 16
    code, out, err = run("doctor", "--backend", "aws")

    assert code == 3, err
    assert "aws sweeps can't run" in out


def test_doctor_takes_a_cluster_file_only_with_a_cloud(run: Run, aws: FakeAccount) -> None:
    code, _, err = run("doctor", "--cluster", "mine.yaml")

    assert (code, "--cluster is for backends in a cloud" in err) == (2, True)


def test_clean_says_which_region_it_has_looked_into(run: Run, aws: FakeAccount) -> None:
    code, out, err = run("clean", "--backend", "aws")

    assert code == 0, err
    assert out.splitlines()[0] == "nothing to clean"
    assert "--region all" in out


# No cloud is reached unless its backend is named


@pytest.mark.parametrize(
    "arguments",
    [
        ("doctor",),
        ("clean",),
        ("clean", "--backend", "local"),
        ("list",),
        ("sweep", "--upscaling-speed", "1", "--dry-run"),
        ("sweep", "--backend", "docker", "--upscaling-speed", "1", "--dry-run"),
        ("simulate", "--cluster", str(ROOT / "cluster/aws.yaml"), "--upscaling-speed", "1", "--dry-run"),
        ("sweep", "--cluster", str(ROOT / "cluster/aws.yaml"), "--upscaling-speed", "1", "--dry-run"),
    ],
    ids=lambda arguments: " ".join(arguments[:3]),
)
def test_no_other_command_calls_aws(run: Run, aws: FakeAccount, arguments: tuple[str, ...]) -> None:
    code, _, err = run(*arguments)

    assert code in (0, 3), err
    assert aws.calls == []


# Secrets


@pytest.mark.parametrize(
    "arguments",
    [
        (*SWEEP_AWS, "--dry-run", "--json", "-"),
        (*SWEEP_AWS,),
        ("doctor", "--backend", "aws"),
        ("clean", "--backend", "aws", "--json"),
    ],
    ids=lambda arguments: " ".join((*arguments[:3], *arguments[-2:])),
)
@pytest.mark.parametrize("fault", [None, "SignatureDoesNotMatch"])
def test_planted_credentials_are_in_no_output_log_or_file(
    run: Run,
    aws: FakeAccount,
    tmp_path: Path,
    arguments: tuple[str, ...],
    fault: str | None,
) -> None:
    if fault is not None:
        message = "The security token AKIAPLANTED included in the request is expired: planted-session"
        for operation in ("GetCallerIdentity", "DescribeInstances", "GetProducts"):
            aws.refuse(operation, fault, message)
    _, out, err = run("-vv", *arguments)  # -vv logs to stderr what else goes into files
    written = [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    everything = "\n".join((out, err, *written))

    if fault is not None and arguments[0] == "sweep":
        assert f"{MASK} included in the request is expired: {MASK}" in err
    assert [secret for secret in SECRETS if secret in everything] == []


# The policies


def allowed(name: str) -> set[str]:
    document = json.loads((POLICIES / name).read_text())
    found: set[str] = set()
    for statement in document["Statement"]:
        actions = statement["Action"]
        found |= {actions} if isinstance(actions, str) else set(actions)
    return found


def test_the_policy_of_users_allows_every_call_of_these_commands(run: Run, aws: FakeAccount) -> None:
    aws.actions.clear()
    run("doctor", "--backend", "aws")
    run(*SWEEP_AWS, "--dry-run")
    run("clean", "--backend", "aws", "--region", "all")
    needless = {"sts:GetCallerIdentity"}  # allowed to everybody

    assert aws.actions - needless <= allowed("iam-user.json")
    assert "iam:PassRole" in allowed("iam-user.json")


@pytest.mark.parametrize("name", ["iam-user.json", "iam-head.json"])
def test_what_changes_something_asks_for_our_tag(name: str) -> None:
    for statement in json.loads((POLICIES / name).read_text())["Statement"]:
        actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        if any(action.startswith(("ec2:Delete", "ec2:Terminate", "ec2:Authorize", "ec2:Cancel")) for action in actions):
            assert statement["Condition"] == {"StringLike": {"aws:ResourceTag/orchestrate:cluster": "?*"}}
        assert "*" not in "".join(actions)


def test_the_head_may_do_less_than_users() -> None:
    assert allowed("iam-head.json") < allowed("iam-user.json")
