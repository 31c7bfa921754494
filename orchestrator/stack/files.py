"""What the stack keeps under the home: Grafana's password, and the variables of docker-compose.yml."""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import InputError
from orchestrator.stack.docker import VARIABLES

# The user of Grafana's image, instead of root.
_GRAFANA_UID = 472


@dataclass(frozen=True)
class Ports:
    """Where the two listen on 127.0.0.1."""

    prometheus: int = 9090
    grafana: int = 3000


@dataclass(frozen=True)
class Files:
    """The folder `stack` of a home."""

    folder: Path

    @property
    def password(self) -> Path:
        """Holds the password of Grafana's user `admin`."""
        return self.folder / "grafana-admin-password"

    @property
    def env(self) -> Path:
        """For `docker compose --env-file`. No secret is in it, only where the password is."""
        return self.folder / ".env"

    def read_password(self) -> str:
        """Empty if there is none yet."""
        return self.password.read_text() if self.password.is_file() else ""

    def write(self, ports: Ports, *, anonymous: bool, configs: Mapping[str, str]) -> None:
        """Make the password, if there is none, and the env file; only this user can read them. Raises InputError."""
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.mkdir(exist_ok=True, mode=0o700)
            if not self.read_password():
                _write_private(self.password, secrets.token_urlsafe(24))
            self.password.chmod(0o600)
            if os.getuid() == 0:
                os.chown(self.password, _GRAFANA_UID, 0)
            _write_private(
                self.env,
                _env(
                    {
                        "UID": str(os.getuid() or _GRAFANA_UID),
                        "PROMETHEUS_PORT": str(ports.prometheus),
                        "GRAFANA_PORT": str(ports.grafana),
                        "ANONYMOUS": str(anonymous).lower(),
                        "PASSWORD_FILE": str(self.password),
                        **{f"{service.upper()}_CONFIG": digest for service, digest in configs.items()},
                    }
                ),
            )
        except OSError as error:
            raise InputError(
                f"{self.folder} can't be written: {error.strerror}", "choose another home with --home"
            ) from None

    def remove(self) -> None:
        """Forget the password and the variables."""
        for file in (self.password, self.env):
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()


def digest(read_once: Path, watched: Iterable[Path] = ()) -> str:
    """Changes when a container that mounts these folders has to be made again.

    That is when a folder was replaced, since the container would still see the old one, and when a file has changed
    that is read only at the start.
    """
    seen = hashlib.sha256()
    for folder in (read_once, *watched):
        seen.update(str(folder.stat().st_ino).encode() if folder.is_dir() else b"")
    for file in sorted(path for path in read_once.rglob("*") if path.is_file()):
        seen.update(str(file.relative_to(read_once)).encode() + b"\0" + file.read_bytes() + b"\0")
    return seen.hexdigest()[:16]


def _write_private(path: Path, text: str) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def _env(values: Mapping[str, str]) -> str:
    # Single quotes: compose takes all between them as it is, but for \' itself.
    lines = [f"{VARIABLES}{name}='{_quoted(value)}'\n" for name, value in values.items()]
    return "# Written by `orchestrate stack up`, for docker-compose.yml.\n" + "".join(lines)


def _quoted(value: str) -> str:
    return value.replace("'", "\\'")
