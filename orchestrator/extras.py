"""The extras of the package, such as `ray-orchestrate[report]`: a base installation lacks what single commands need."""

import re
from importlib.metadata import PackageNotFoundError, requires

DISTRIBUTION = "ray-orchestrate"
_OPTIONAL = re.compile(r"([\w.-]+).*; extra == ['\"](\w+)['\"]")


def extra_of(module: str) -> str | None:
    """Return the extra that installs a module, or None if none does."""
    try:
        wanted = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        # not logged: the package runs from a folder that was copied, as on the head of a cluster.
        return None
    found = (_OPTIONAL.match(each) for each in wanted)
    extras = {each[1]: each[2] for each in found if each is not None}
    return extras.get(module.partition(".")[0])
