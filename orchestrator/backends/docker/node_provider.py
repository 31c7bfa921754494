"""The Ray NodeProvider of clusters of containers: it asks the orchestrator, which holds the Docker socket."""

import logging
from pathlib import Path

from orchestrator.backends.docker.mailbox import MailboxCloud
from orchestrator.backends.live.node_provider import CloudNodeProvider


class DockerNodeProvider(CloudNodeProvider):
    """Lives in the head's container. What Ray's monitor logs is written into its outbox, too."""

    def _connect(self) -> MailboxCloud:
        log_to(self._files.monitor_log)
        return MailboxCloud(self._files)


def log_to(path: Path) -> None:
    """Write the log of this process to another file as well, in the same format."""
    ray_logger = logging.getLogger("ray")
    mirror = logging.FileHandler(path)
    mirror.setFormatter(next((handler.formatter for handler in ray_logger.handlers if handler.formatter), None))
    ray_logger.addHandler(mirror)
