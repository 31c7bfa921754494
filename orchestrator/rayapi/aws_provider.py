"""Ray's own AWS NodeProvider, which also notes settings in force and the stages of each launch, with exact times.

It runs in Ray's monitor on the head, where only copies of this module and of `autoscaler_object` are: it needs nothing
else of this package, and Python 3.10. It also runs in Ray's launcher here, where there is no autoscaler and it notes
nothing.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler.tags import TAG_RAY_NODE_STATUS, TAG_RAY_USER_NODE_TYPE

from orchestrator.rayapi.autoscaler_object import autoscaler_of, read_settings

# Ray's word for the state of a node in its updater, and the stage that begins with it.
_STAGES = {"waiting-for-ssh": "ssh", "syncing-files": "files", "setting-up": "setup"}
_LONGEST = 2_000
_THROTTLED = ("RequestLimitExceeded", "Throttling", "ThrottlingException")
_THROTTLED_EVERY_S = 5.0


class NotingAwsProvider(AWSNodeProvider):  # type: ignore[misc] # Ray's classes have no types here
    """Configured by `provider.orchestrate` in the cluster config.

    Its keys: `folder` on the head, `config_keys` and `constants` for `read_settings`, and `ray_start`: a text in the
    first of the commands that start Ray on a worker.
    """

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        super().__init__(provider_config, cluster_name)
        self._ours = provider_config["orchestrate"]
        self._autoscaler: Any = None
        self._settings: dict[str, Any] | None = None
        self._refused = 0
        self._commands: dict[str, str] = {}  # the last one on each node
        self._nodes_failed: dict[str, bool] = {}
        self._begun: set[tuple[str, str]] = set()
        self._throttled = 0.0
        # Boto asks again by itself, for half a minute, and no update of the autoscaler takes place meanwhile.
        self.ec2.meta.client.meta.events.register("needs-retry.ec2", self._see_answer)

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        """Return the ids of the nodes that carry these tags. Ray calls it at every update."""
        self._note_settings()
        nodes: list[str] = super().non_terminated_nodes(tag_filters)
        return nodes

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> Any:
        """Ask EC2 for `count` instances."""
        asked, node_type = time.time(), tags.get(TAG_RAY_USER_NODE_TYPE, "")
        try:
            made = super().create_node(node_config, tags, count)
        except Exception as error:
            self._refused += 1
            for number in range(count):
                node = {"node": f"refused-{self._refused}-{number}", "node_type": node_type}
                self._note({**node, "t": asked, "event": "requested"})
                self._note({**node, "event": "failed", "cause": "launch", "detail": str(error)[:_LONGEST]})
            raise
        for name in made:
            self._note({"t": asked, "event": "requested", "node": name, "node_type": node_type})
            self._note({"event": "allocated", "node": name, "node_type": node_type})
        return made

    def set_node_tags(self, node_id: str, tags: dict[str, str]) -> None:
        """Change tags. Ray's updater writes each stage of a node's set-up into one."""
        status = tags.get(TAG_RAY_NODE_STATUS, "")
        if status in _STAGES:
            self._note_stage(node_id, _STAGES[status])
        elif status:
            self._nodes_failed[node_id] = status == "update-failed"
        super().set_node_tags(node_id, tags)

    def terminate_node(self, node_id: str) -> Any:
        """End an instance."""
        self._note_failure(node_id)
        return super().terminate_node(node_id)

    def terminate_nodes(self, node_ids: list[str]) -> Any:
        """End instances."""
        for node_id in node_ids:
            self._note_failure(node_id)
        return super().terminate_nodes(node_ids)

    def _note_failure(self, node_id: str) -> None:
        """Note why a node ends that was never set up. Ray tries several times before it gives up."""
        if self._nodes_failed.pop(node_id, False):
            command = self._commands.get(node_id)
            told = f"{command[:300]!r}; its output is in monitor.out" if command else "SSH never answered"
            detail = f"setting the machine up failed: {told}"
            self._note({**self._known(node_id), "event": "failed", "cause": "launch", "detail": detail})

    def get_command_runner(self, log_prefix: str, node_id: str, *arguments: Any, **more: Any) -> Any:
        """Return the runner of commands on a node, which also notes when Ray begins to start there."""
        runner = super().get_command_runner(log_prefix, node_id, *arguments, **more)
        runner.run = self._noting(runner.run, node_id)
        return runner

    def _noting(self, run: Callable[..., Any], node_id: str) -> Callable[..., Any]:
        def noted(cmd: Any = None, *arguments: Any, **more: Any) -> Any:
            if isinstance(cmd, str):
                if self._ours["ray_start"] in cmd:
                    self._note_stage(node_id, "ray_start")
                if cmd != "uptime":  # Ray's probe of SSH
                    self._commands[node_id] = cmd
            return run(cmd, *arguments, **more)

        return noted

    # Notes

    def _note_stage(self, node_id: str, stage: str) -> None:
        if (node_id, stage) in self._begun:
            return  # another attempt
        self._begun.add((node_id, stage))
        self._note({**self._known(node_id), "event": "stage", "stage": stage})
        if stage == "files":  # SSH has answered: the machine has booted
            self._note({**self._known(node_id), "event": "installing"})

    def _see_answer(self, response: Any = None, **_: Any) -> None:
        """Note that AWS throttles the autoscaler. Boto calls this with each answer: HTTP's, and what it says."""
        code = response[1].get("Error", {}).get("Code") if response is not None else None
        if code in _THROTTLED and time.time() - self._throttled > _THROTTLED_EVERY_S:
            self._throttled = time.time()
            self._note({"event": "throttled", "detail": code})

    def _known(self, node_id: str) -> dict[str, str]:
        tags: Mapping[str, str] = self.tag_cache.get(node_id, {})
        return {"node": node_id, "node_type": tags.get(TAG_RAY_USER_NODE_TYPE, "")}

    def _note(self, entry: Mapping[str, Any]) -> None:
        if self._autoscaler is not None:
            self._append("journal.jsonl", entry)

    def _note_settings(self) -> None:
        if self._autoscaler is None:
            self._autoscaler = autoscaler_of(self)
        if self._autoscaler is None:
            return
        try:
            now = read_settings(self._autoscaler, self._ours["config_keys"], self._ours["constants"])
        except AttributeError:  # not logged: the autoscaler is still being built; the next update reports
            return
        if now != self._settings:
            self._settings = now
            self._append("settings.jsonl", {"settings": now})

    def _append(self, name: str, entry: Mapping[str, Any]) -> None:
        folder = os.path.expanduser(self._ours["folder"])
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, name), "a") as file:
            file.write(json.dumps({"t": time.time(), **entry}) + "\n")
