"""A client of Ray's jobs API with timeouts."""

import functools
import logging
from typing import Any


def job_client(dashboard: str, timeout_s: float = 30.0) -> Any:
    """Return a `ray.job_submission.JobSubmissionClient` with a timeout. Without it, a hung dashboard blocks forever."""
    from ray.job_submission import JobSubmissionClient

    logging.getLogger(JobSubmissionClient.__module__).setLevel(logging.WARNING)
    client = JobSubmissionClient(dashboard)
    client._do_request = functools.partial(client._do_request, timeout=timeout_s)
    return client
