"""A reader that follows a text file while another process appends to it."""

import logging
import os
import stat
from pathlib import Path

_log = logging.getLogger(__name__)

_LONGEST_LINE = 16_000_000


class Tail:
    """A reader whose `read()` returns new complete lines. A missing, replaced or truncated file is no error.

    A line of `longest` bytes or more is skipped, and `read()` reads at most `longest` bytes at once.
    """

    def __init__(self, path: Path, *, longest: int = _LONGEST_LINE) -> None:
        self.path = path
        self._longest = longest
        self._offset = 0
        self._inode = -1
        self._passing_over = False

    def read(self) -> list[str]:
        """Return new complete lines, without their line ends."""
        try:
            with open(self.path, "rb", opener=_without_waiting) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    return []
                if status.st_ino != self._inode or status.st_size < self._offset:
                    self._inode, self._offset, self._passing_over = status.st_ino, 0, False
                file.seek(self._offset)
                chunk = file.read(self._longest)
        except OSError as error:
            _log.debug("%s can't be read now: %s", self.path, error)
            return []
        end = chunk.rfind(b"\n") + 1
        if end == 0 and len(chunk) == self._longest:
            self._offset, self._passing_over = self._offset + len(chunk), True
            return []
        lines = chunk[:end].decode("utf-8", errors="replace").split("\n")[:-1]
        self._offset += end
        if lines and self._passing_over:  # the first line is the end of the skipped one
            self._passing_over = False
            return lines[1:]
        return lines


def _without_waiting(path: str, flags: int) -> int:
    """Open a file without waiting, because opening a pipe without a writer would block."""
    return os.open(path, flags | os.O_NONBLOCK)
