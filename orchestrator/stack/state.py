"""The stack's files under the home: Grafana's password, Prometheus' configuration, the compose file's variables."""

import hashlib
import logging
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import InputError
from orchestrator.logs import hide, suppressed

_log = logging.getLogger(__name__)

_VARIABLES = "ORCHESTRATE_STACK_"
"""The prefix of docker-compose.yml's variables."""


@dataclass(frozen=True)
class Ports:
    """The two ports on 127.0.0.1."""

    prometheus: int = 9090
    grafana: int = 3000


@dataclass(frozen=True)
class Files:
    """The folder `stack` of a home."""

    folder: Path

    @property
    def password(self) -> Path:
        """The file with the password of Grafana's user `admin`."""
        return self.folder / "grafana-admin-password"

    @property
    def env(self) -> Path:
        """The file for `docker compose --env-file`. It contains no secret, only the path of the password file."""
        return self.folder / ".env"

    @property
    def prometheus(self) -> Path:
        """The configuration of Prometheus, which contains its own port."""
        return self.folder / "prometheus.yml"

    def read_password(self) -> str:
        """Return the password as Grafana reads it, without a final newline; empty if there is none yet.

        Raises InputError.
        """
        try:
            password = self.password.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            # not logged: there is no password before the first `up`.
            return ""
        except UnicodeDecodeError:
            raise InputError(
                f"{self.password} holds no password: it isn't a text file", "remove it, and the next up makes a new one"
            ) from None
        except OSError as error:
            raise self._denied(error) from None
        hide(password)
        return password

    @property
    def anonymous(self) -> bool:
        """True if the last `up` allowed anonymous viewers."""
        return self.started and f"{_VARIABLES}ANONYMOUS='true'\n" in self.env.read_text()

    @property
    def started(self) -> bool:
        """True if the stack was ever started from this home. Raises InputError."""
        try:
            return self.env.is_file()
        except OSError as error:
            raise self._denied(error) from None

    def write(self, ports: Ports, *, anonymous: bool, configs: Mapping[str, str], prometheus: str) -> None:
        """Write the env file, and a password if there is none. Only this user can read them. Raises InputError.

        `prometheus` is the configuration of Prometheus with its default port.
        """
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.mkdir(exist_ok=True, mode=0o700)
            self.folder.chmod(0o700)
            _belongs_to_its_folders_owner(self.folder)
            if not self.read_password():
                _write(self.password, secrets.token_urlsafe(24))
            _belongs_to_its_folders_owner(self.password)
            # Grafana's user has this group in addition to its own. Nobody else on the host can enter the folder.
            self.password.chmod(0o640)
            _write(self.prometheus, on_port(prometheus, ports.prometheus), mode=0o644)  # for Prometheus' own user
            _write(
                self.env,
                _env(
                    {
                        "GID": str(self.password.stat().st_gid),
                        "PROMETHEUS_PORT": str(ports.prometheus),
                        "GRAFANA_PORT": str(ports.grafana),
                        "ANONYMOUS": str(anonymous).lower(),
                        "PASSWORD_FILE": str(self.password),
                        "PROMETHEUS_FILE": str(self.prometheus),
                        **{f"{service.upper()}_CONFIG": digest for service, digest in configs.items()},
                    }
                ),
            )
        except OSError as error:
            raise self._denied(error) from None

    def _denied(self, error: OSError) -> InputError:
        hint = "choose another home with --home"
        if isinstance(error, PermissionError):
            hint = f"it belongs to another user: sudo chown -R $USER {self.folder}, or {hint}"
        return InputError(f"{self.folder} can't be used: {error.strerror}", hint)

    def remove(self) -> None:
        """Remove the password and the other files."""
        for file in (self.password, self.env, self.prometheus):
            file.unlink(missing_ok=True)
        with suppressed(_log, f"removing {self.folder}", OSError):
            self.folder.rmdir()


def digest(read_once: Path, watched: Iterable[Path] = ()) -> str:
    """Return a digest that changes if a container that mounts these folders must be recreated.

    This is the case if a folder was replaced, because the container would still see the old one, or if a file changed
    that is read only at the start.
    """
    seen = hashlib.sha256()
    for folder in (read_once, *watched):
        seen.update(str(folder.stat().st_ino).encode() if folder.is_dir() else b"")
    for file in sorted(path for path in read_once.rglob("*") if path.is_file()):
        seen.update(str(file.relative_to(read_once)).encode() + b"\0" + file.read_bytes() + b"\0")
    return seen.hexdigest()[:16]


def on_port(configuration: str, port: int) -> str:
    """Return the configuration for a Prometheus that listens on this port and scrapes itself there."""
    return configuration.replace(f"localhost:{Ports.prometheus}", f"localhost:{port}")


def _write(path: Path, text: str, mode: int = 0o600) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    _belongs_to_its_folders_owner(fresh)
    fresh.chmod(mode)
    fresh.replace(path)


def _belongs_to_its_folders_owner(path: Path) -> None:
    """Give a file to the owner of its folder, so that the user can read what `sudo orchestrate` wrote."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _env(values: Mapping[str, str]) -> str:
    # Compose takes text in single quotes literally, except for \'.
    lines = [f"{_VARIABLES}{name}='{_quoted(value)}'\n" for name, value in values.items()]
    return "# Written by `orchestrate stack up`, for docker-compose.yml.\n" + "".join(lines)


def _quoted(value: str) -> str:
    return value.replace("'", "\\'")
