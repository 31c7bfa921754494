"""Folders and files that only this user can have written. Another user's home could hold a token that he knows."""

import errno
import os
import stat
from pathlib import Path

from orchestrator.errors import InputError

_ROOT = 0


def check_private_folder(folder: Path, what: str) -> None:
    """Raise InputError if another user owns a folder, or can write to it. A folder that is missing is no problem.

    A folder that this user can't write to isn't checked: nothing is run from it, and what is read is input like any
    other. Root is trusted, and so is the user who called `sudo`.
    """
    try:
        status = os.stat(folder)
        link = os.lstat(folder)
    except OSError:
        # not logged: the first use of the folder meets the same error, and says what it is for.
        return
    if not stat.S_ISDIR(status.st_mode) or not os.access(folder, os.W_OK):
        return
    if not {status.st_uid, link.st_uid} <= _trusted():
        stranger = status.st_uid if status.st_uid not in _trusted() else link.st_uid
        raise InputError(
            f"{what} {folder} belongs to {_name(stranger)}, who could have put anything there: a token that"
            " he knows would let him run commands as you",
            "choose a folder of your own with --home",
        )
    if writers := _writers(status):
        raise InputError(
            f"{what} {folder} can be written by {writers}, who could put a token there and run commands as you",
            f"if you trust what is in it: chmod go-w {folder}; otherwise choose another with --home",
        )


def make_private_folder(folder: Path) -> None:
    """Make a folder, and the missing ones above it, for this user only, whatever the umask. Raises OSError."""
    for each in reversed([folder, *folder.parents]):
        if not each.is_dir():
            each.mkdir(mode=0o700, exist_ok=True)


def read_private(path: Path, what: str) -> str:
    """Return the text of a file that only this user can read and write. Raises InputError for any other."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        problem = "is a symbolic link" if error.errno == errno.ELOOP else f"can't be read: {error.strerror}"
        raise InputError(f"{what} {path} {problem}", f"remove it while nothing runs: rm {path}") from None
    with os.fdopen(descriptor, encoding="ascii", errors="replace") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            problem = "isn't a regular file"
        elif status.st_uid not in _trusted():
            problem = f"belongs to {_name(status.st_uid)}"
        elif stat.S_IMODE(status.st_mode) & 0o077:
            problem = f"can be read or written by others (mode {stat.S_IMODE(status.st_mode):o})"
        else:
            return file.read(_LONGEST)
    raise InputError(
        f"{what} {path} {problem}: somebody else may know it",
        f"remove it while nothing runs, and it is made anew: rm {path}",
    )


_LONGEST = 10_000


def _trusted() -> set[int]:
    us = os.geteuid()
    by_sudo = os.environ.get("SUDO_UID", "")
    return {us, _ROOT, *([int(by_sudo)] if us == _ROOT and by_sudo.isascii() and by_sudo.isdigit() else [])}


def _writers(status: os.stat_result) -> str:
    """Return which others can write to a folder; empty if none can."""
    if status.st_mode & stat.S_IWOTH:
        return "every user of this machine"
    if status.st_mode & stat.S_IWGRP and not _is_own_group(status.st_uid, status.st_gid):
        return f"the group {status.st_gid}"
    return ""


def _is_own_group(uid: int, gid: int) -> bool:
    """Return true for a user's private group, which many systems make with the user and which has no other member."""
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        # not logged: it is the answer.
        return False
    members = set(group.gr_mem) | {each.pw_name for each in pwd.getpwall() if each.pw_gid == gid}
    return members <= {user.pw_name}


def _name(uid: int) -> str:
    import pwd

    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        # not logged: the number is the name.
        return f"the user {uid}"
