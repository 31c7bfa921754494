"""A cluster file of somebody's cloud, on the local backend: Ray gets our node provider, and no cloud is called."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from tests.support.builders import FOREIGN_PROVIDERS
from tests.support.orchestrate_command import Orchestrate, ended_well

pytestmark = pytest.mark.alone

FILE = {
    "cluster_name": "mine",
    "max_workers": 3,
    "upscaling_speed": 1.0,
    "idle_timeout_minutes": 0.1,
    "auth": {"ssh_user": "ubuntu"},
    "head_node_type": "head",
    "available_node_types": {
        "head": {"resources": {"CPU": 0}, "node_config": {"InstanceType": "m7i.xlarge", "ImageId": "ami-00000001"}},
        "worker": {
            "min_workers": 1,
            "max_workers": 3,
            "resources": {"CPU": 2},
            "node_config": {"InstanceType": "m7i.large", "ImageId": "ami-00000001"},
        },
    },
}
# Ray refuses these as files of `ray up`, so only their rendering is tested, in unit tests.
NOT_FOR_RAY_UP = ("local", "kuberay", "external")


class Ec2:
    """Counts the calls of anybody who takes it for EC2."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        calls = self.calls

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                calls.append(self.path)
                self.send_response(500)
                self.end_headers()

            def do_GET(self) -> None:
                self.do_POST()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def ec2() -> Iterator[Ec2]:
    """A stand-in for EC2 that only counts."""
    ec2 = Ec2()
    threading.Thread(target=ec2.server.serve_forever, daemon=True).start()
    yield ec2
    ec2.server.shutdown()
    ec2.server.server_close()


@pytest.fixture
def user(orchestrate: Orchestrate, ec2: Ec2) -> Orchestrate:
    """A user who has credentials of AWS in the environment."""
    orchestrate.environment |= {
        "AWS_ENDPOINT_URL": ec2.url,
        "AWS_ACCESS_KEY_ID": "AKIAPLANTED",
        "AWS_SECRET_ACCESS_KEY": "planted-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    return orchestrate


def test_a_sweep_with_a_file_for_aws_launches_nothing_there(user: Orchestrate, ec2: Ec2, tmp_path: Path) -> None:
    file = tmp_path / "aws.yaml"
    file.write_text(yaml.safe_dump({**FILE, "provider": FOREIGN_PROVIDERS[0]}))
    result = user("sweep", "--cluster", str(file), "--tasks", "8", "--task-seconds", "3", "--metrics-port", "0")

    assert ended_well(user, result.returncode), result.stdout + result.stderr
    assert f"local: Ray processes on this machine; provider aws of {file} is not used" in result.stderr
    assert user.json("show", "@last")["trials"][0]["scorecard"]["launches"] > 0
    assert ec2.calls == []
    assert "planted-secret" not in "".join(
        path.read_text(errors="replace") for path in user.home.rglob("*") if path.is_file()
    )


@pytest.mark.parametrize("provider", FOREIGN_PROVIDERS, ids=lambda provider: str(provider["type"]))
def test_a_plan_says_that_the_provider_is_not_used_or_why_the_file_is_refused(
    user: Orchestrate, ec2: Ec2, tmp_path: Path, provider: dict[str, object]
) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump({**FILE, "provider": provider}))
    result = user("sweep", "--cluster", str(file), "--dry-run")

    if result.returncode == 0:
        assert "is not used" in result.stdout
    else:
        assert (result.returncode, provider["type"] in NOT_FOR_RAY_UP) == (2, True), result.stderr
        assert result.stderr.startswith("error: ")
    assert ec2.calls == []
