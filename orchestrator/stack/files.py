"""What the stack keeps under the home: Grafana's password, Prometheus' configuration, the compose file's variables."""

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

    @property
    def prometheus(self) -> Path:
        """The configuration of Prometheus, which has to name its own port."""
        return self.folder / "prometheus.yml"

    def read_password(self) -> str:
        """Empty if there is none yet."""
        return self.password.read_text() if self.password.is_file() else ""

    def write(self, ports: Ports, *, anonymous: bool, configs: Mapping[str, str], prometheus: str) -> None:
        """Make the password, if there is none, and the env file; only this user can read them. Raises InputError.

        `prometheus` is the configuration of Prometheus, for its usual port.
        """
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.mkdir(exist_ok=True, mode=0o700)
            if not self.read_password():
                _write(self.password, secrets.token_urlsafe(24))
            self.password.chmod(0o600)
            if os.getuid() == 0:
                os.chown(self.password, _GRAFANA_UID, 0)
            _write(self.prometheus, on_port(prometheus, ports.prometheus), mode=0o644)  # its user is another one
            _write(
                self.env,
                _env(
                    {
                        "UID": str(os.getuid() or _GRAFANA_UID),
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
            raise InputError(
                f"{self.folder} can't be written: {error.strerror}", "choose another home with --home"
            ) from None

    def remove(self) -> None:
        """Forget the password and the rest."""
        for file in (self.password, self.env, self.prometheus):
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


def on_port(configuration: str, port: int) -> str:
    """The bundled configuration of Prometheus for one that listens, and looks at itself, on this port."""
    return configuration.replace(f"localhost:{Ports.prometheus}", f"localhost:{port}")


def _write(path: Path, text: str, mode: int = 0o600) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.chmod(mode)
    fresh.replace(path)


def _env(values: Mapping[str, str]) -> str:
    # Single quotes: compose takes all between them as it is, but for \' itself.
    lines = [f"{VARIABLES}{name}='{_quoted(value)}'\n" for name, value in values.items()]
    return "# Written by `orchestrate stack up`, for docker-compose.yml.\n" + "".join(lines)


def _quoted(value: str) -> str:
    return value.replace("'", "\\'")
