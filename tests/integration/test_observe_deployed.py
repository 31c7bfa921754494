"""`observe` as docs/observe.md deploys it: its image is built and run, and its systemd unit checked and executed."""

import configparser
import contextlib
import os
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import requests

from tests.support.bystander import Bystander
from tests.support.docker_engine import Engine
from tests.support.documents import blocks
from tests.support.orchestrate_command import BIN, clean_environment
from tests.support.ray_images import python_image
from tests.support.requirements import free_port, require

pytestmark = pytest.mark.alone

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-of-some-length"
NAME = "prod"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as `pip install ray-orchestrate` gets it, from this source."""
    folder = tmp_path_factory.mktemp("wheel")
    uv = shutil.which("uv", path=os.pathsep.join([str(ROOT / ".tools/bin"), os.environ["PATH"]]))
    require("uv", uv is not None, "run make setup")
    built = subprocess.run([str(uv), "build", "--wheel", "--out-dir", str(folder), str(ROOT)], capture_output=True)
    assert built.returncode == 0, built.stderr.decode()
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def image(engine: Engine, wheel: Path) -> str:
    """The image of docs/observe.md, built from its Dockerfile as it is printed.

    The engine reaches no registry. What stands in for the base image is this machine's Python with pip and with all
    that the package requires; pip installs the package itself, from a folder of the image.
    """
    (dockerfile,) = blocks("observe.md", "In a container", "dockerfile")
    (base,) = re.findall(r"^FROM (\S+)$", dockerfile, re.MULTILINE)
    python_image(engine, base, wheel)
    engine.build("orchestrate-observe", dockerfile)
    return "orchestrate-observe"


def metrics(port: int, token: str) -> str:
    """What `/metrics` answers, once it is about the cluster."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        with contextlib.suppress(requests.RequestException):
            headers = {"Authorization": f"Bearer {token}"}
            answer = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5, headers=headers)
            if f'trial_id="{NAME}"' in answer.text:
                return answer.text
        time.sleep(0.5)
    raise AssertionError("no metrics of the cluster were served")


def test_the_image_observes_a_cluster(engine: Engine, image: str, bystander: Bystander) -> None:
    port = free_port()
    (line,) = (each for block in blocks("observe.md", "In a container") for each in block.splitlines() if "run" in each)
    printed = shlex.split(line.replace("10.0.0.5:6379", bystander.address))
    assert printed[0] == "docker"
    assert printed[-4:] == ["--address", bystander.address, "--name", NAME]
    # The test's engine publishes no port, so the container shares the machine's network, where the cluster is too.
    published = printed.index("-p")
    command = [*printed[1:published], "--network", "host", *printed[published + 2 :], "--metrics-port", str(port)]
    container = engine.docker(*command, ORCHESTRATE_METRICS_TOKEN=TOKEN).strip()
    try:
        text = metrics(port, TOKEN)
        refused = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5)
        user = engine.docker("exec", container, "id", "-u").strip()
    except AssertionError as error:
        raise AssertionError(engine.docker("logs", container)) from error
    finally:
        engine.docker("rm", "--force", container)

    assert f'orchestrator_trial_active{{sweep_id="observed",trial_id="{NAME}"}} 1.0' in text
    assert refused.status_code == 401
    assert user == "10001"


# The unit


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit of docs/observe.md, as a file."""
    (text,) = blocks("observe.md", "As a systemd service", "ini")
    path = tmp_path / "orchestrate-observe.service"
    path.write_text(text)
    return path


def test_the_unit_is_one_that_systemd_takes(unit: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    require("systemd-analyze", analyze is not None, "install systemd")
    # The program is installed under /opt in the documentation; systemd wants it to exist.
    unit.write_text(unit.read_text().replace("/opt/orchestrate/bin/", f"{BIN}/"))
    checked = subprocess.run([str(analyze), "verify", "--man=no", str(unit)], capture_output=True, text=True)
    complaints = [line for line in checked.stderr.splitlines() if unit.name in line]

    assert (checked.returncode, complaints) == (0, []), checked.stderr


def test_the_units_command_observes_a_cluster(unit: Path, tmp_path: Path, bystander: Bystander) -> None:
    port = free_port()
    service = configparser.ConfigParser(strict=False, interpolation=None)
    service.optionxform = str  # type: ignore[assignment,method-assign]
    service.read_string(unit.read_text().replace("\\\n", " "))
    # What systemd fills in: the folder of the state, and that of the credentials.
    state, credentials = tmp_path / "state", tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "token").write_text(TOKEN)
    line = service["Service"]["ExecStart"].replace("%d", str(credentials)).replace("10.0.0.5:6379", bystander.address)
    program, *arguments = shlex.split(line)
    assert program == "/opt/orchestrate/bin/orchestrate"
    variable, _, value = service["Service"]["Environment"].partition("=")
    environment = clean_environment(**{variable: value.replace("%S", str(state))})
    command = [str(BIN / "orchestrate"), *arguments, "--metrics-port", str(port)]
    with (tmp_path / "log").open("w") as log:
        running = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        text = metrics(port, TOKEN)
    finally:
        running.terminate()
        ended = running.wait(30)

    assert f'orchestrator_trial_active{{sweep_id="observed",trial_id="{NAME}"}} 1.0' in text
    # `Restart=on-failure` must not start it again after `systemctl stop`; systemd takes 0 and SIGTERM for a clean end.
    assert ended in (0, 143, -15), (tmp_path / "log").read_text()
    assert list((state / "orchestrate" / "observed").glob("*.jsonl")), "the trace is in StateDirectory"
