"""Parts of the machine that a test needs: programs and free ports."""

import os
import socket

import pytest


def require(name: str, found: bool, how: str) -> None:
    """Skip the test where `name` is missing, and say `how` to get it; fail if it has to be here.

    ORCHESTRATE_TEST_REQUIRE lists what has to be, separated by commas: in CI nothing may be skipped unseen.
    """
    if not found:
        required = os.environ.get("ORCHESTRATE_TEST_REQUIRE", "").split(",")
        message = f"{name} is missing: {how}"
        if name in (each.strip() for each in required):
            pytest.fail(message + " (ORCHESTRATE_TEST_REQUIRE names it)")
        pytest.skip(message)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
