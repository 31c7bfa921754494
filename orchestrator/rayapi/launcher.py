"""Start a cluster by Ray's own launcher, in a process of its own: `python -m orchestrator.rayapi.launcher CONFIG.yaml`.

Each stage is a JSON line on stdout; Ray's messages and the commands' output go to stderr. The launcher reads its
environment, prints and exits, so it can't run in the orchestrator's process.

Its stdin is a pipe whose other end the orchestrator holds. Once that has ended, also by `kill -9`, the launcher kills
itself and its children at once: it must not launch machines for nobody.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

_LONGEST = 2_000


def _end_with_orchestrator() -> None:
    """Watch stdin, and kill this process group when it ends. Children get an empty stdin: ssh would read from it."""
    held = os.dup(0)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)

    def watch() -> None:
        while os.read(held, 1):
            pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, name="orchestrate-watch", daemon=True).start()


def main(path: str) -> int:
    """Start the cluster of a config file; return 0, or 1 after a line with the `error`. Needs its own session."""
    _end_with_orchestrator()
    stages = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # Ray and SSH write to stdout, too

    def tell(stage: str, **more: Any) -> None:
        stages.write(json.dumps({"t": time.time(), "stage": stage, **more}) + "\n")

    def on_event(event: Mapping[str, Any]) -> None:
        told = {key: event[key] for key in ("command", "head_node_id") if key in event}
        tell(event["event_name"].name, **told)

    from ray.autoscaler import sdk
    from ray.autoscaler._private.event_system import CreateClusterEvent

    for each in CreateClusterEvent:
        sdk.register_callback_handler(each, on_event)  # the SDK's annotation says str, but it takes members only
    sdk.configure_logging(log_style="record", color_mode="false", verbosity=1)
    try:
        sdk.create_or_update_cluster(path, no_config_cache=True)
    except (Exception, SystemExit) as error:
        # not logged: click's, boto's or Ray's own, which the reader of the stages raises.
        tell("failed", error=f"{type(error).__name__}: {error}"[:_LONGEST])
        return 1
    tell("done")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
