"""`up`, `down` and `status` with a fake Docker, a fake HTTP and a clock that only the waiting moves."""

import json
from pathlib import Path

import pytest

from orchestrator.errors import MissingPrerequisite, OrchestrateError
from orchestrator.stack.compose import Result
from orchestrator.stack.stack import Stack
from tests.support.fake_docker_cli import NO_CONTAINERS, OK, PORTS, FakeDocker, containers

COMPOSE = """\
services:
  prometheus: {image: "prom/prometheus:v1", user: "65534:65534", volumes: ["prometheus-data:/prometheus"]}
  grafana: {image: "grafana/grafana:1", user: "472:0", volumes: ["grafana-data:/var/lib/grafana"]}
"""


class Lab:
    """A home, a bundle with one dashboard, and a stack whose Grafana knows `password` and `dashboards`."""

    def __init__(self, folder: Path, docker: FakeDocker) -> None:
        self.docker = docker
        self.home = folder / "home"
        self.dashboards = [{"uid": "trial"}]
        self.password: str | None = None
        self.statuses = {"/-/ready": 200, "/api/health": 200}
        self.taken: set[int] = set()
        self.now = 0.0
        bundle = folder / "bundle"
        (bundle / "grafana" / "dashboards").mkdir(parents=True)
        (bundle / "grafana" / "dashboards" / "trial.json").write_text('{"uid": "trial"}')
        (bundle / "docker-compose.yml").write_text(COMPOSE)
        (bundle / "prometheus").mkdir()
        (bundle / "prometheus" / "prometheus.yml").touch()
        self.stack = Stack(
            self.home,
            docker=docker,
            ask=self._ask,
            taken=self.taken.__contains__,
            clock=lambda: self.now,
            sleep=self._sleep,
            compose_file=bundle / "docker-compose.yml",
        )

    def _ask(self, url: str, password: str | None) -> tuple[int, bytes]:
        path = url.removeprefix("http://127.0.0.1:").partition("/")[2]
        if path.startswith("api/search"):
            if self.password not in (None, password):
                return 401, b""
            return 200, json.dumps(self.dashboards).encode()
        return self.statuses[f"/{path}"], b""

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    @property
    def password_file(self) -> Path:
        return self.home / "stack" / "grafana-admin-password"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Nothing runs at first; once started, all is well."""
    return Lab(tmp_path, FakeDocker({"compose ps": [NO_CONTAINERS, containers()]}))


def test_up_starts_the_project_with_the_files_of_the_bundle_and_of_the_home(lab: Lab, tmp_path: Path) -> None:
    status = lab.stack.up(PORTS)

    call = next(call for call in lab.docker.calls if "up" in call)
    assert call == [
        *("compose", "--project-name", "orchestrate"),
        *("--file", str(tmp_path / "bundle" / "docker-compose.yml")),
        *("--env-file", str(lab.home / "stack" / ".env")),
        *("up", "--detach"),
    ]
    assert status.healthy
    assert [service.url for service in status.services] == ["http://127.0.0.1:9091", "http://127.0.0.1:3001"]
    assert status.password_file == lab.password_file


def test_the_password_stays_over_two_ups_and_is_in_no_command_line(lab: Lab) -> None:
    lab.stack.up(PORTS)
    password = lab.password_file.read_text()
    lab.stack.up(PORTS)

    assert lab.password_file.read_text() == password
    assert password not in str(lab.docker.calls)


def test_up_waits_for_prometheus_grafana_dashboards_and_health_and_says_so(lab: Lab) -> None:
    lab.statuses = {"/-/ready": 0, "/api/health": 503}
    lab.dashboards = []
    lab.docker = FakeDocker({"compose ps": [NO_CONTAINERS, *[containers(health="starting")] * 4, containers()]})
    lab.stack._docker = lab.docker
    said: list[str] = []

    def progress(step: str, detail: str) -> None:
        if step.startswith("waiting"):
            said.append(detail)
            if detail == "Prometheus":
                lab.statuses["/-/ready"] = 200
            elif detail == "Grafana":
                lab.statuses["/api/health"] = 200
            elif detail == "1 of 1 dashboards":
                lab.dashboards = [{"uid": "trial"}]

    lab.stack.up(PORTS, progress=progress)

    assert said == ["Prometheus", "Grafana", "1 of 1 dashboards", "the health check of prometheus"]


def test_a_stack_that_does_not_get_ready_in_time_is_taken_down_with_its_reason(lab: Lab) -> None:
    lab.statuses["/-/ready"] = 0
    lab.docker = FakeDocker(
        {
            "compose ps": [NO_CONTAINERS, containers()],
            "compose logs": Result(0, "level=info msg=a\nlevel=error msg=broken\nlevel=info msg=b\n", ""),
        }
    )
    lab.stack._docker = lab.docker

    with pytest.raises(OrchestrateError, match="still waiting for Prometheus; prometheus said: level=error msg=broken"):
        lab.stack.up(PORTS, timeout_s=60)

    assert lab.now == pytest.approx(60, abs=1)
    assert lab.docker.verbs()[-1] == "compose down"
    assert "--volumes" not in lab.docker.calls[-1]


def test_on_docker_desktop_the_setting_is_named(lab: Lab) -> None:
    lab.statuses["/-/ready"] = 0
    lab.docker = FakeDocker(
        {"compose ps": [NO_CONTAINERS, containers()], "info": [Result(0, "{}", ""), Result(0, "Docker Desktop\n", "")]}
    )
    lab.stack._docker = lab.docker

    with pytest.raises(MissingPrerequisite) as raised:
        lab.stack.up(PORTS)

    assert "Enable host networking" in (raised.value.hint or "")


def test_a_service_that_ends_is_told_with_its_last_words(lab: Lab) -> None:
    lab.docker = FakeDocker(
        {
            "compose ps": [NO_CONTAINERS, containers("exited", "")],
            "compose logs": Result(0, "level=error err=broken\nlevel=info msg=bye\n", ""),
        }
    )
    lab.stack._docker = lab.docker

    with pytest.raises(OrchestrateError, match="prometheus ended at once: level=error err=broken"):
        lab.stack.up(PORTS)


def test_a_stack_that_ran_before_is_not_taken_down_by_a_failing_up(lab: Lab) -> None:
    lab.docker = FakeDocker({"compose ps": containers(), "compose up": Result(1, "", "no space left on device")})
    lab.stack._docker = lab.docker

    with pytest.raises(OrchestrateError, match="docker compose up failed: no space left on device"):
        lab.stack.up(PORTS)

    assert "compose down" not in lab.docker.verbs()


def test_an_interrupted_up_leaves_no_container(lab: Lab) -> None:
    def interrupt() -> Result:
        raise KeyboardInterrupt

    lab.docker = FakeDocker({"compose ps": [NO_CONTAINERS], "compose up": interrupt})
    lab.stack._docker = lab.docker

    with pytest.raises(KeyboardInterrupt):
        lab.stack.up(PORTS)

    assert lab.docker.verbs()[-1] == "compose down"


def test_an_image_that_is_not_here_is_named(lab: Lab) -> None:
    lab.docker = FakeDocker(
        {
            "compose ps": [NO_CONTAINERS],
            "compose up": Result(18, "", "grafana Pulling\ndial tcp: lookup registry-1.docker.io: no such host"),
            "image": [OK, Result(1, "", "Error: No such image")],
        }
    )
    lab.stack._docker = lab.docker

    with pytest.raises(MissingPrerequisite) as raised:
        lab.stack.up(PORTS)

    assert raised.value.message.startswith("the image grafana/grafana:1 isn't here and can't be pulled: dial tcp")
    assert raised.value.hint == "once this machine reaches the registry: docker pull grafana/grafana:1"


def test_a_port_that_somebody_else_has_is_named_before_anything_starts(lab: Lab) -> None:
    lab.taken.add(3001)

    with pytest.raises(MissingPrerequisite) as raised:
        lab.stack.up(PORTS)

    assert raised.value.message == "port 3001 of 127.0.0.1 is taken, and Grafana needs it"
    assert (raised.value.hint or "").endswith("or choose another first: orchestrate stack up --grafana-port PORT")
    assert lab.docker.verbs() == ["compose ps"]
    assert not lab.password_file.exists()


def test_the_ports_of_the_running_stack_are_its_own(lab: Lab) -> None:
    lab.stack.up(PORTS)
    lab.taken |= {9091, 3001}
    lab.stack.up(PORTS)

    assert lab.docker.verbs().count("compose up") == 2


def test_a_grafana_with_an_older_password_is_told_the_new_one_on_stdin(lab: Lab) -> None:
    lab.password = "of another home"

    def tell() -> Result:
        lab.password = lab.docker.said[-1]
        return OK

    lab.docker = FakeDocker({"compose ps": [NO_CONTAINERS, containers()], "compose exec": tell})
    lab.stack._docker = lab.docker
    lab.stack.up(PORTS)

    assert lab.docker.said == [lab.password_file.read_text()]
    assert lab.docker.said[0] not in str(lab.docker.calls)


def test_a_grafana_that_refuses_the_password_still_is_asked_no_third_time(lab: Lab) -> None:
    lab.password = "of another home"

    with pytest.raises(OrchestrateError, match="Grafana refuses the password") as raised:
        lab.stack.up(PORTS)

    assert "docker volume rm orchestrate_grafana-data" in (raised.value.hint or "")
    assert "--volumes" not in (raised.value.hint or "")
    assert lab.docker.verbs().count("compose exec") == 1


def mixed(**health: str) -> Result:
    """Containers of which one isn't well."""
    rows = [json.loads(line) for line in containers().out.splitlines()]
    for row in rows:
        row["State"], _, row["Health"] = health.get(row["Service"], "running healthy").partition(" ")
    return Result(0, "\n".join(map(json.dumps, rows)), "")


@pytest.mark.parametrize("grafana", ["exited ", "running unhealthy", "running starting"])
def test_a_sweep_mends_a_stack_that_is_not_well_where_it_is_and_as_it_was(lab: Lab, grafana: str) -> None:
    lab.stack.up(PORTS, anonymous=True)
    env = (lab.home / "stack" / ".env").read_text()
    lab.docker = FakeDocker({"compose ps": [mixed(grafana=grafana), mixed(grafana=grafana), containers()]})
    lab.stack._docker = lab.docker
    lab.taken |= {9091} | ({3001} if grafana.startswith("running") else set())

    assert lab.stack.ensure().healthy
    assert lab.docker.verbs().count("compose up") == 1
    assert (lab.home / "stack" / ".env").read_text() == env


def test_a_sweep_leaves_a_healthy_stack_alone(lab: Lab) -> None:
    lab.stack.up(PORTS)

    assert lab.stack.ensure().healthy
    assert lab.docker.verbs().count("compose up") == 1


@pytest.mark.parametrize("volumes", [False, True])
def test_down_keeps_the_volumes_and_the_password_unless_told_otherwise(lab: Lab, volumes: bool) -> None:
    lab.stack.up(PORTS)

    assert lab.stack.down(volumes=volumes) is True
    assert ("--volumes" in lab.docker.calls[-1]) is volumes
    assert lab.password_file.exists() is not volumes


def test_down_without_a_stack_finds_nothing(tmp_path: Path) -> None:
    lab = Lab(tmp_path, FakeDocker())

    assert lab.stack.down() is False


def test_status_without_containers_says_that_they_are_missing(tmp_path: Path) -> None:
    status = Lab(tmp_path, FakeDocker()).stack.status()

    assert [service.state for service in status.services] == ["missing", "missing"]
    assert (status.running, status.healthy) == (False, False)


def test_a_list_of_an_older_compose_is_read_too(tmp_path: Path) -> None:
    rows = f"[{','.join(containers().out.splitlines())}]"
    status = Lab(tmp_path, FakeDocker({"compose ps": Result(0, rows, "")})).stack.status()

    assert status.healthy
