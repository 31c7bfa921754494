"""A `docker` that answers from a table, and the HTTP of a stack."""

import json
from collections.abc import Callable, Mapping
from itertools import pairwise

from orchestrator.stack.compose import Line, Result
from orchestrator.stack.state import Ports

PORTS = Ports(9091, 3001)
OK = Result(0, "", "")
NO_CONTAINERS = Result(0, "", "")


class FakeDocker:
    """Answers by the words of the command; `calls` holds every command line, `said` what it was given on stdin.

    A command of compose is found by its verb: `compose up`. An answer may be a list: the last one stays.
    """

    def __init__(self, answers: Mapping[str, Result | list[Result] | Callable[[], Result]] | None = None) -> None:
        self._answers = {
            "compose version": Result(0, "2.40.0\n", ""),
            "info": Result(0, "{}", ""),
            **(answers or {}),
        }
        self.calls: list[list[str]] = []
        self.said: list[str] = []

    def __call__(self, *arguments: str, stdin: str | None = None, follow: Line | None = None) -> Result:
        self.calls.append(list(arguments))
        if stdin is not None:
            self.said.append(stdin)
        answer = self._answers.get(_verb(arguments), OK)
        if callable(answer):
            answer = answer()
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if follow is not None:
            for line in answer.err.splitlines():
                follow(line)
        return answer

    def verbs(self) -> list[str]:
        """What was called, without looking at the engine."""
        return [verb for call in self.calls if (verb := _verb(call)) not in ("compose version", "info")]


def _verb(arguments: "tuple[str, ...] | list[str]") -> str:
    if arguments[0] != "compose":
        return arguments[0]
    options = {"--project-name", "--file", "--env-file"}
    words = [word for before, word in pairwise(arguments) if before not in options]
    return f"compose {next(word for word in words if not word.startswith('--'))}"


def containers(state: str = "running", health: str = "healthy") -> Result:
    """What `docker compose ps` says, a document on each line."""
    rows = [
        {
            "Service": name,
            "Image": f"{name}:1",
            "State": state,
            "Health": health,
            "Labels": f"com.docker.compose.project.config_files=/a,b=c,dev.orchestrate.url=http://127.0.0.1:{port}",
        }
        for name, port in (("prometheus", PORTS.prometheus), ("grafana", PORTS.grafana))
    ]
    return Result(0, "\n".join(json.dumps(row) for row in rows) + "\n", "")
