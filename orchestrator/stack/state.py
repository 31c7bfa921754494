"""What the stack keeps under the home: Grafana's password, Prometheus' configuration, the compose file's variables."""

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
"""What the names of docker-compose.yml's variables begin with."""


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

    @property
    def prometheus(self) -> Path:
        """The configuration of Prometheus, which has to name its own port."""
        return self.folder / "prometheus.yml"

    def read_password(self) -> str:
        """As Grafana reads it: without the newline that an editor puts at the end. Empty if there is none yet.

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
        """Whether the last up let anybody view dashboards."""
        return self.started and f"{_VARIABLES}ANONYMOUS='true'\n" in self.env.read_text()

    @property
    def started(self) -> bool:
        """Whether the stack was ever started from this home. Raises InputError."""
        try:
            return self.env.is_file()
        except OSError as error:
            raise self._denied(error) from None

    def write(self, ports: Ports, *, anonymous: bool, configs: Mapping[str, str], prometheus: str) -> None:
        """Make the password, if there is none, and the env file; only this user can reach them. Raises InputError.

        `prometheus` is the configuration of Prometheus, for its usual port.
        """
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.mkdir(exist_ok=True, mode=0o700)
            self.folder.chmod(0o700)
            _belongs_to_its_folders_owner(self.folder)
            if not self.read_password():
                _write(self.password, secrets.token_urlsafe(24))
            _belongs_to_its_folders_owner(self.password)
            # Grafana's user has this group beside its own. Nobody else on the host gets into the folder.
            self.password.chmod(0o640)
            _write(self.prometheus, on_port(prometheus, ports.prometheus), mode=0o644)  # its user is another one
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
        """Forget the password and the rest."""
        for file in (self.password, self.env, self.prometheus):
            file.unlink(missing_ok=True)
        with suppressed(_log, f"removing {self.folder}", OSError):
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


def on_port(configuration: str, port: int) -> str:
    """The bundled configuration of Prometheus for one that listens, and looks at itself, on this port."""
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
    """What `sudo orchestrate` writes into a user's home, that user can read without sudo."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _env(values: Mapping[str, str]) -> str:
    # Single quotes: compose takes all between them as it is, but for \' itself.
    lines = [f"{_VARIABLES}{name}='{_quoted(value)}'\n" for name, value in values.items()]
    return "# Written by `orchestrate stack up`, for docker-compose.yml.\n" + "".join(lines)


def _quoted(value: str) -> str:
    return value.replace("'", "\\'")
