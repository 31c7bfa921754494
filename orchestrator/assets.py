"""The files that are shipped with the package: in a checkout next to it, in a wheel inside it."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def bundled(name: str) -> Path:
    """Return the path of a bundled file such as `cluster/local.yaml`."""
    inside = _PACKAGE / "bundle" / name
    return inside if inside.exists() else _PACKAGE.parent / name
