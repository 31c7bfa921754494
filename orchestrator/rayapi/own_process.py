"""Ask a module that needs Ray in a process of its own.

Ray reads addresses and tokens when it is loaded, so that loading it in this process could be too early.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any


class NoAnswer(Exception):
    """The process failed, with its last line of output as the reason."""


def ask(module: str, question: Mapping[str, Any], environment: Mapping[str, str], timeout_s: float) -> dict[str, Any]:
    """Run a module with a question on its stdin, and return its answer. Raises NoAnswer and subprocess's errors."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", module],
        input=json.dumps(question, default=str),
        capture_output=True,
        text=True,
        env=dict(environment),
        timeout=timeout_s,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise NoAnswer(lines[-1][:200])
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def reply(answer: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """Answer the question on stdin, in the asked process, which has loaded Ray by then."""
    question = json.load(sys.stdin)
    import ray  # noqa: F401 - so that the module knows that it is in its own process

    print(json.dumps(answer(question), default=str))
