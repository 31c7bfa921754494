"""The environment of the unit tests, and Hypothesis without a deadline, since a busy machine is no failure.

In CI the examples are the same each time, so that a red run means the change; elsewhere they are new ones.
"""

import os

from hypothesis import HealthCheck, settings

# Tables have the same width under every runner; pytest-xdist sets this variable.
os.environ.pop("COLUMNS", None)

settings.register_profile(
    "unit",
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.load_profile("unit")


def pytest_make_parametrize_id(val: object) -> str | None:
    """`huge` instead of hundreds of digits."""
    return "huge" if isinstance(val, int) and val > 10**12 else None
