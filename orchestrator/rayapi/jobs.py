"""A client of Ray's jobs API with timeouts."""

import functools
import logging
from typing import Any

# They log each upload of a working directory.
_CHATTY = ("ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging")


def job_client(dashboard: str, timeout_s: float = 30.0) -> Any:
    """Return a `ray.job_submission.JobSubmissionClient` with a timeout. Without it, a hung dashboard blocks forever."""
    from ray.job_submission import JobSubmissionClient

    for module in (JobSubmissionClient.__module__, *_CHATTY):
        logging.getLogger(module).setLevel(logging.WARNING)
    client = JobSubmissionClient(dashboard)
    client._do_request = functools.partial(client._do_request, timeout=timeout_s)
    return client
