"""A native Prometheus: a script stands in for it, HTTP and the clock are fake, processes and their ends are real."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from orchestrator.errors import InputError, MissingPrerequisite, OrchestrateError
from orchestrator.stack.compose import Result
from orchestrator.stack.native_prometheus import Native, configuration, flags, rules
from orchestrator.stack.stack import Stack
from orchestrator.stack.state import Ports
from tests.support.fake_docker_cli import FakeDocker, containers

PORT = 9091
RUNS = "#!/bin/sh\nexec sleep 600\n"


class Lab:
    """A home, and a `prometheus` on PATH that is ready when `ready` says so."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.program = folder / "bin" / "prometheus"
        self.program.parent.mkdir()
        self.program.touch(mode=0o755)
        self.program.write_text(RUNS)
        self.ready = 200
        self.taken: set[int] = set()
        self.now = 0.0
        self.native = Native(
            self.home,
            ask=self.ask,
            taken=self.taken.__contains__,
            clock=lambda: self.now,
            sleep=self._sleep,
            kill_after_s=0.1,
        )

    def ask(self, _url: str, _password: str | None) -> tuple[int, bytes]:
        return self.ready, b""

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    @property
    def record_file(self) -> Path:
        return self.home / "stack" / "native" / "process.json"

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(json.loads(self.record_file.read_text())["pid"])

    def stack(self, docker: FakeDocker) -> Stack:
        return Stack(self.home, docker=docker, ask=self.ask, taken=self.taken.__contains__)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Nothing runs at first; nothing is left."""
    made = Lab(tmp_path)
    monkeypatch.setenv("PATH", f"{made.program.parent}:/usr/bin:/bin")
    yield made
    made.native.down(volumes=True)


def no_docker() -> FakeDocker:
    def missing() -> Result:
        raise MissingPrerequisite("Docker isn't installed")

    return FakeDocker({"compose version": missing})


def test_it_runs_in_a_session_of_its_own_with_the_flags_of_compose(lab: Lab) -> None:
    service, fresh = lab.native.up(PORT)
    folder = lab.home / "stack" / "native"

    assert fresh
    assert (service.state, service.health, service.url) == ("running", "healthy", f"http://127.0.0.1:{PORT}")
    assert service.image == str(lab.program)
    assert os.getsid(lab.process.pid) == lab.process.pid
    assert json.loads(lab.record_file.read_text())["command"] == [str(lab.program), *flags(PORT, folder)]
    assert (folder / "prometheus.yml").read_text() == configuration(PORT)
    assert sorted(file.name for file in (folder / "rules").iterdir()) == ["alerts.yml", "recording.yml"]
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_flags_name_this_host_and_no_variable(tmp_path: Path) -> None:
    found = flags(PORT, tmp_path)

    assert f"--web.listen-address=127.0.0.1:{PORT}" in found
    assert f"--config.file={tmp_path}/prometheus.yml" in found
    assert f"--storage.tsdb.path={tmp_path}/data" in found
    assert "--web.enable-remote-write-receiver" in found
    assert any(flag.startswith("--storage.tsdb.retention.time=") for flag in found)
    assert "$" not in "".join(found)
    assert "/etc/" not in "".join(found)


def test_the_configuration_looks_at_this_host_and_at_its_own_port() -> None:
    text = configuration(PORT)
    jobs = {job["job_name"]: job for job in yaml.safe_load(text)["scrape_configs"]}

    assert "host.docker.internal" not in text
    assert jobs["orchestrator"]["static_configs"] == [{"targets": ["127.0.0.1:9477"]}]
    assert jobs["prometheus"]["static_configs"] == [{"targets": [f"localhost:{PORT}"]}]
    assert set(rules()) == {"rules/alerts.yml", "rules/recording.yml"}


def test_a_second_up_leaves_it_alone(lab: Lab) -> None:
    lab.native.up(PORT)
    first = lab.process
    lab.taken.add(PORT)

    assert lab.native.up(PORT)[1] is False
    assert lab.process == first


def test_other_settings_replace_it(lab: Lab) -> None:
    lab.native.up(PORT)
    first = lab.process
    service, fresh = lab.native.up(PORT + 1)

    assert fresh
    assert service.url.endswith(str(PORT + 1))
    assert not first.is_running()


def test_a_taken_port_is_named_and_nothing_is_written(lab: Lab) -> None:
    lab.taken.add(PORT)

    with pytest.raises(MissingPrerequisite, match=f"port {PORT} of 127.0.0.1 is taken, and Prometheus needs it"):
        lab.native.up(PORT)

    assert not lab.home.exists()


def test_without_prometheus_the_way_to_get_it_is_named(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(lab.home))

    with pytest.raises(MissingPrerequisite) as raised:
        lab.native.up(PORT)

    assert raised.value.message == "there is no prometheus on PATH"
    assert "apt install prometheus" in (raised.value.hint or "")


def test_a_home_that_cannot_be_written_is_bad_input(lab: Lab) -> None:
    lab.home.touch()

    with pytest.raises(InputError, match="can't be written: "):
        lab.native.up(PORT)


def test_one_that_ends_at_once_is_told_with_its_last_words(lab: Lab) -> None:
    lab.ready = 0
    lab.program.write_text("#!/bin/sh\necho level=error err=broken\necho bye\nexit 1\n")

    with pytest.raises(OrchestrateError, match="Prometheus ended at once: level=error err=broken"):
        lab.native.up(PORT, timeout_s=1e9)

    assert lab.native.service().state == "missing"


def test_one_that_does_not_get_ready_in_time_is_ended(lab: Lab) -> None:
    lab.ready = 503
    pids = []

    def progress(_step: str, detail: str) -> None:
        if detail:
            pids.append(lab.process.pid)

    with pytest.raises(OrchestrateError, match="Prometheus wasn't ready after 60 s; it said: nothing"):
        lab.native.up(PORT, timeout_s=60, progress=progress)

    assert lab.now == pytest.approx(60, abs=1)
    assert not psutil.pid_exists(pids[-1])
    assert not lab.record_file.exists()


def test_an_interrupted_up_leaves_no_process(lab: Lab) -> None:
    lab.ready = 0
    pids = []

    def interrupt(_step: str, detail: str) -> None:
        if detail:
            pids.append(lab.process.pid)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lab.native.up(PORT, progress=interrupt)

    assert not psutil.pid_exists(pids[0])


@pytest.mark.parametrize("volumes", [False, True])
def test_down_ends_it_and_keeps_its_data_unless_told_otherwise(lab: Lab, volumes: bool) -> None:
    lab.native.up(PORT)
    process = lab.process

    assert lab.native.down(volumes=volumes) is True
    assert not process.is_running()
    assert lab.native.known is not volumes
    assert (lab.home / "stack").exists() is not volumes
    assert lab.native.down() is False


def test_one_that_does_not_end_by_itself_is_killed(lab: Lab) -> None:
    lab.program.write_text("#!/bin/sh\ntrap '' TERM\necho trapped\nwhile :; do sleep 0.01; done\n")
    lab.ready = 0

    def progress(_step: str, _detail: str) -> None:
        lab.ready = 200 if lab.native.log.is_file() and lab.native.log.read_text() else 0

    lab.native.up(PORT, timeout_s=1e9, progress=progress)
    process = lab.process

    assert lab.native.down() is True
    assert not process.is_running()


def test_another_process_with_its_pid_is_left_alone(lab: Lab) -> None:
    lab.native.up(PORT)
    record = json.loads(lab.record_file.read_text())
    lab.native.down()
    with subprocess.Popen(["sleep", "600"]) as stranger:
        lab.record_file.write_text(json.dumps({**record, "pid": stranger.pid, "started": record["started"] - 60}))
        seen = lab.native.service().state, lab.native.down(), stranger.poll()
        stranger.kill()

    assert seen == ("exited", False, None)


def test_it_is_known_after_the_clock_was_set(lab: Lab) -> None:
    lab.program.write_text("#!/bin/sh\nwhile :; do sleep 0.01; done\n")
    lab.native.up(PORT)
    process = lab.process
    record = json.loads(lab.record_file.read_text())
    lab.record_file.write_text(json.dumps({**record, "started": 1.0, "command": process.cmdline()}))

    assert lab.native.down() is True
    assert not process.is_running()


def test_after_a_kill_it_is_shown_as_ended_and_starts_again(lab: Lab) -> None:
    lab.native.up(PORT)
    lab.process.send_signal(signal.SIGKILL)
    lab.process.wait()

    assert lab.native.service().state == "exited"
    assert lab.native.up(PORT)[1] is True


def test_a_damaged_record_is_as_none(lab: Lab) -> None:
    lab.record_file.parent.mkdir(parents=True)
    lab.record_file.write_text("{")

    assert lab.native.service().state == "missing"
    assert lab.native.down() is False


@pytest.fixture
def orphan(lab: Lab) -> psutil.Process:
    """One that runs although nobody wrote it down: its `up` was killed right after it had started it."""
    lab.program.write_text("#!/bin/sh\nwhile :; do sleep 0.01; done\n")
    lab.native.up(PORT)
    process = lab.process
    lab.record_file.unlink()
    return process


def test_one_that_nobody_wrote_down_is_found_and_ended(lab: Lab, orphan: psutil.Process) -> None:
    found = lab.native.service()

    assert (found.state, found.url) == ("running", f"http://127.0.0.1:{PORT}")
    assert lab.native.down() is True
    assert not orphan.is_running()


def test_one_that_nobody_wrote_down_makes_way_on_its_port(lab: Lab, orphan: psutil.Process) -> None:
    lab.taken.add(PORT)

    assert lab.native.up(PORT)[1] is True
    assert not orphan.is_running()
    assert lab.process.is_running()


def test_its_log_does_not_grow_for_ever(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.stack.native_prometheus._MAX_LOG_BYTES", 1000)
    lab.program.write_text("#!/bin/sh\nhead -c 2000 /dev/zero | tr '\\0' x\nread line <go\necho more\nexec sleep 600\n")
    lab.ready = 0

    def said(_step: str, _detail: str) -> None:
        lab.ready = 200 if lab.native.log.is_file() and lab.native.log.stat().st_size == 2000 else 0

    folder = lab.native.folder
    folder.mkdir(parents=True)
    os.mkfifo(folder / "go")
    lab.native.up(PORT, timeout_s=1e9, progress=said)
    lab.native.service()
    emptied = lab.native.log.stat().st_size
    with (folder / "go").open("w") as go:
        go.write("\n")
    while not (written := lab.native.log.read_text()).endswith("\n"):
        pass

    assert (emptied, written) == (0, "more\n")


def test_status_and_down_need_no_docker_while_it_runs_or_ran(lab: Lab) -> None:
    stack = lab.stack(no_docker())
    with pytest.raises(MissingPrerequisite):
        stack.status()
    lab.native.up(PORT)

    assert [(service.name, service.state) for service in stack.status().services] == [("prometheus", "running")]
    assert stack.status().healthy
    assert stack.down() is True
    assert [service.state for service in stack.status().services] == ["missing"]
    assert stack.down() is False


def test_containers_are_shown_beside_it_and_alone_once_it_ended(lab: Lab) -> None:
    stack = lab.stack(FakeDocker({"compose ps": containers()}))
    lab.native.up(PORT)
    both = [service.native for service in stack.status().services]
    lab.process.kill()
    lab.process.wait()

    assert both == [True, False, False]
    assert [service.native for service in stack.status().services] == [False, False]


def test_docker_gets_no_second_one_beside_it(lab: Lab) -> None:
    docker = FakeDocker()
    lab.native.up(PORT)

    with pytest.raises(InputError, match="this home's Prometheus runs without Docker"):
        lab.stack(docker).up(Ports())

    assert docker.calls == []


def test_what_runs_already_is_enough_for_a_sweep(lab: Lab) -> None:
    lab.native.up(PORT)
    docker = FakeDocker({"compose ps": containers()})

    assert lab.stack(no_docker()).ensure().url("prometheus") == f"http://127.0.0.1:{PORT}"
    lab.native.down(volumes=True)
    assert lab.stack(docker).ensure().url("prometheus") == "http://127.0.0.1:9091"
    assert "compose up" not in docker.verbs()


def test_a_sweep_waits_for_one_that_is_not_ready_yet(lab: Lab) -> None:
    lab.native.up(PORT)
    stack, process = lab.stack(no_docker()), lab.process
    lab.ready = 503
    waited = []

    def progress(_step: str, detail: str) -> None:
        waited.append(detail)
        lab.ready = 200

    assert stack.ensure(progress=progress).healthy
    assert waited == ["Prometheus"]
    assert lab.process == process


def test_a_sweep_starts_the_stack_where_none_runs(lab: Lab) -> None:
    with pytest.raises(OrchestrateError, match="docker compose up failed: no space"):
        lab.stack(FakeDocker({"compose up": Result(1, "", "no space")})).ensure()
