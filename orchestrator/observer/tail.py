"""Follows a text file that another process appends to."""

import os
from pathlib import Path

_MAX_BYTES_AT_ONCE = 16_000_000


class Tail:
    """`read()` returns the complete lines that are new; a file that is missing, replaced or cut is no error."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._inode = -1

    def read(self) -> list[str]:
        """New complete lines, without their line ends."""
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self._inode or status.st_size < self._offset:
                    self._inode, self._offset = status.st_ino, 0
                file.seek(self._offset)
                chunk = file.read(_MAX_BYTES_AT_ONCE)
        except OSError:
            return []
        end = chunk.rfind(b"\n") + 1
        self._offset += end
        return chunk[:end].decode("utf-8", errors="replace").split("\n")[:-1]
