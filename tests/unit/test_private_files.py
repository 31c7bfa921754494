"""Homes and tokens of others are refused: whoever planted them could run commands as the user."""

import os
from pathlib import Path

import pytest

from orchestrator.backends.live.ownership import ensure_token
from orchestrator.errors import InputError
from orchestrator.lab.home import Home, find_home
from orchestrator.private_files import check_private_folder, make_private_folder

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    return folder


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o750])
def test_a_folder_that_only_its_user_can_write_is_accepted(home: Path, mode: int) -> None:
    home.chmod(mode)
    check_private_folder(home, "the home")
    Home(home, "").ledger().close()

    assert (home / "ledger.db").is_file()


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o757, 0o702])
def test_a_folder_that_everybody_can_write_is_refused(home: Path, mode: int) -> None:
    home.chmod(mode)
    with pytest.raises(InputError, match="can be written by every user") as refused:
        Home(home, "").ledger()

    assert f"chmod go-w {home}" in (refused.value.hint or "")
    assert list(home.iterdir()) == []


@as_root
def test_a_folder_that_another_group_can_write_is_refused(home: Path) -> None:
    os.chown(home, 0, NOBODY)
    home.chmod(0o770)
    with pytest.raises(InputError, match="can be written by the group 65534"):
        Home(home, "").ledger()


@as_root
def test_a_home_of_another_user_is_refused(home: Path) -> None:
    os.chown(home, NOBODY, NOBODY)
    with pytest.raises(InputError, match="belongs to the user nobody"):
        Home(home, "").ledger()


@as_root
@pytest.mark.parametrize("name", ["sweeps", "clusters", "observed", "stack"])
def test_a_folder_of_another_user_in_the_home_is_refused(home: Path, name: str) -> None:
    (home / name).mkdir()
    os.chown(home / name, NOBODY, NOBODY)
    with pytest.raises(InputError, match=f"the folder of {name} .* belongs to the user nobody"):
        Home(home, "").ledger()


@as_root
def test_a_link_that_another_user_made_is_refused(home: Path, tmp_path: Path) -> None:
    """It could lead from a shared folder to any folder of the user's own."""
    link = tmp_path / "link"
    link.symlink_to(home)
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    with pytest.raises(InputError, match="belongs to the user nobody"):
        find_home(link).ledger()


@as_root
def test_the_home_of_the_user_who_called_sudo_is_accepted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(home, NOBODY, NOBODY)
    monkeypatch.setenv("SUDO_UID", str(NOBODY))
    check_private_folder(home, "the home")

    assert ensure_token(home).is_file()


def test_a_folder_that_is_missing_is_made_for_its_user_only(tmp_path: Path) -> None:
    Home(tmp_path / "new", "").ledger().close()

    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_a_token_is_made_once_for_its_user_only(home: Path) -> None:
    made = ensure_token(home).read_text()

    assert len(made) == 64
    assert (home / "ray_token").stat().st_mode & 0o777 == 0o600
    assert ensure_token(home).read_text() == made


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o666])
def test_a_token_that_others_can_read_is_refused(home: Path, mode: int) -> None:
    ensure_token(home).chmod(mode)
    with pytest.raises(InputError, match="can be read or written by others"):
        ensure_token(home)


@as_root
def test_a_token_of_another_user_is_refused(home: Path) -> None:
    os.chown(ensure_token(home), NOBODY, NOBODY)
    with pytest.raises(InputError, match="belongs to the user nobody"):
        ensure_token(home)


@pytest.mark.parametrize("target", ["elsewhere", "/dev/null", "/nonexistent/token"])
def test_a_token_behind_a_link_is_refused(home: Path, target: str) -> None:
    (home / "elsewhere").write_text("0" * 64)
    (home / "elsewhere").chmod(0o600)
    (home / "ray_token").symlink_to(target)
    with pytest.raises(InputError, match="is a symbolic link"):
        ensure_token(home)


@pytest.mark.parametrize("text", ["", "\n", "secret"])
def test_a_token_that_could_be_guessed_is_refused(home: Path, text: str) -> None:
    (home / "ray_token").write_text(text)
    (home / "ray_token").chmod(0o600)
    with pytest.raises(InputError, match="too short"):
        ensure_token(home)


def test_a_token_that_is_a_pipe_does_not_hang(home: Path) -> None:
    os.mkfifo(home / "ray_token", 0o600)
    with pytest.raises(InputError, match="isn't a regular file"):
        ensure_token(home)


def test_homes_have_different_tokens(home: Path, tmp_path: Path) -> None:
    assert ensure_token(home).read_text() != ensure_token(tmp_path / "other").read_text()


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o077])
def test_a_folder_of_ours_is_private_whatever_the_umask(home: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        make_private_folder(home / "sweeps" / "1a2b")
    finally:
        os.umask(before)

    assert [oct(each.stat().st_mode & 0o777) for each in (home / "sweeps", home / "sweeps" / "1a2b")] == ["0o700"] * 2
