"""The stack's files: a generated password that stays, readable by its owner only, and variables without a secret."""

import os
import stat
from pathlib import Path

import pytest
import yaml

from orchestrator.assets import bundled
from orchestrator.errors import InputError
from orchestrator.stack.state import Files, Ports, digest, on_port


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "stack")


def written(files: Files, *, anonymous: bool = False) -> str:
    configuration = 'targets: ["localhost:9090"]\n'
    files.write(Ports(9091, 3001), anonymous=anonymous, configs={"grafana": "abc"}, prometheus=configuration)
    return files.env.read_text()


def test_the_password_is_generated_once_and_nobody_else_can_get_to_it(files: Files) -> None:
    previous = os.umask(0)
    try:
        written(files)
        password = files.read_password()
        files.password.chmod(0o644)
        written(files)
    finally:
        os.umask(previous)

    assert len(password) >= 32
    assert files.read_password() == password
    assert [stat.S_IMODE(file.stat().st_mode) for file in (files.password, files.env)] == [0o640, 0o600]
    assert stat.S_IMODE(files.folder.stat().st_mode) == 0o700


def test_two_homes_have_two_passwords(tmp_path: Path) -> None:
    one, two = Files(tmp_path / "one"), Files(tmp_path / "two")
    written(one)
    written(two)

    assert one.read_password() != two.read_password()


def test_an_empty_password_is_replaced(files: Files) -> None:
    files.folder.mkdir()
    files.password.touch()
    written(files)

    assert files.read_password()


@pytest.mark.parametrize("written_by_hand", ["hunter2hunter2", "hunter2hunter2\n", " hunter2hunter2\r\n"])
def test_a_password_written_by_hand_is_read_as_grafana_reads_it(files: Files, written_by_hand: str) -> None:
    files.folder.mkdir()
    files.password.write_text(written_by_hand)
    written(files)

    assert files.read_password() == "hunter2hunter2"


def test_a_password_file_that_is_no_text_is_bad_input(files: Files) -> None:
    files.folder.mkdir()
    files.password.write_bytes(b"\xff\xfe")

    with pytest.raises(InputError, match="holds no password: it isn't a text file"):
        written(files)


def test_a_folder_that_was_open_to_others_is_closed(files: Files) -> None:
    files.folder.mkdir(mode=0o755)
    written(files)

    assert stat.S_IMODE(files.folder.stat().st_mode) == 0o700


def test_the_containers_get_the_group_that_may_read_the_password(files: Files) -> None:
    assert f"ORCHESTRATE_STACK_GID='{files.folder.parent.stat().st_gid}'\n" in written(files)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can write for another user")
def test_what_root_writes_into_a_users_home_is_the_users(files: Files) -> None:
    os.chown(files.folder.parent, 1000, 1001)
    variables = written(files)

    made = (files.folder, files.password, files.env, files.prometheus)
    assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(1000, 1001)}
    assert "ORCHESTRATE_STACK_GID='1001'\n" in variables


def test_whether_anybody_may_view_is_remembered(files: Files) -> None:
    before = files.anonymous
    written(files, anonymous=True)
    then = files.anonymous
    written(files)

    assert (before, then, files.anonymous) == (False, True, False)


def test_the_variables_hold_the_choices_and_no_secret(files: Files) -> None:
    text = written(files, anonymous=True)

    assert files.read_password() not in text
    for line in ("PROMETHEUS_PORT='9091'", "GRAFANA_PORT='3001'", "ANONYMOUS='true'", "GRAFANA_CONFIG='abc'"):
        assert f"ORCHESTRATE_STACK_{line}\n" in text


def test_prometheus_looks_at_itself_where_it_listens_and_any_user_may_read_that(files: Files) -> None:
    variables = written(files)

    assert files.prometheus.read_text() == 'targets: ["localhost:9091"]\n'
    assert stat.S_IMODE(files.prometheus.stat().st_mode) == 0o644
    assert f"ORCHESTRATE_STACK_PROMETHEUS_FILE='{files.prometheus}'\n" in variables


def test_the_bundled_configuration_names_prometheus_own_port_once() -> None:
    bundled_one = bundled("prometheus/prometheus.yml").read_text()
    (own,) = (
        job for job in yaml.safe_load(on_port(bundled_one, 9091))["scrape_configs"] if job["job_name"] == "prometheus"
    )

    assert own["static_configs"] == [{"targets": ["localhost:9091"]}]


def test_a_quote_in_the_path_of_the_home_stays_one_value(tmp_path: Path) -> None:
    text = written(Files(tmp_path / "it's $HOME"))

    assert "it\\'s $HOME/grafana-admin-password'\n" in text


def test_a_home_that_cannot_be_written_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(InputError, match="can't be used: File exists"):
        written(Files(tmp_path / "file" / "stack"))


def test_removing_forgets_all_files_and_can_be_repeated(files: Files) -> None:
    written(files)
    files.remove()
    files.remove()

    assert not files.folder.exists()


def test_the_digest_changes_with_content_names_and_a_replaced_folder(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    seen = [digest(folder)]
    (folder / "a.yml").write_text("1")
    seen.append(digest(folder))
    (folder / "a.yml").write_text("2")
    seen.append(digest(folder))
    (folder / "a.yml").rename(folder / "b.yml")
    seen.append(digest(folder))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "b.yml").write_text("2")
    seen.append(digest(tmp_path / "other"))

    assert len(set(seen)) == len(seen)
    assert digest(folder) == seen[3]


def test_a_changed_dashboard_needs_no_new_container_but_a_replaced_folder_does(tmp_path: Path) -> None:
    once, boards, replaced = tmp_path / "once", tmp_path / "boards", tmp_path / "replaced"
    for folder in (once, boards, replaced):
        folder.mkdir()
    before = digest(once, watched=[boards])
    (boards / "trial.json").write_text("{}")

    assert digest(once, watched=[boards]) == before
    assert digest(once, watched=[replaced]) != before
