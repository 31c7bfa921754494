"""`--annotate`: annotations of a running sweep in a Grafana."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.grafana.annotator import Annotator
    from orchestrator.lab.progress import Reporter

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """A Grafana to annotate."""

    address: str
    token: str = field(repr=False)


def parse_target(url: str | None) -> Target | None:
    """Return where to, if anywhere. Raises InputError."""
    from orchestrator.grafana.client import grafana_address, take_token

    if url is None:
        return None
    return Target(grafana_address(url, "--annotate"), take_token())


def check(target: Target | None, reporter: "Reporter") -> None:
    """See before anything begins whether the token will do; raises InputError or MissingPrerequisite if it never will.

    A Grafana that doesn't answer now may do so later: that is a note.
    """
    if target is None:
        return
    from orchestrator.errors import MissingPrerequisite
    from orchestrator.grafana.annotator import CHECK_TIMEOUT_S, may_annotate
    from orchestrator.grafana.client import Grafana, RequestRefused
    from orchestrator.remote_api import Unreachable, travels_openly

    if travels_openly(target.address):
        reporter.say(f"note: the token goes to {target.address} without encryption")
    try:
        with Grafana(target.address, target.token, timeout_s=CHECK_TIMEOUT_S, attempts=1) as grafana:
            allowed = may_annotate(grafana)
    except (Unreachable, RequestRefused) as error:
        _log.warning("the token can't be checked", exc_info=True)
        reporter.say(f"note: --annotate: {error.message}; it is tried again while trials run")
        return
    if not allowed:
        raise MissingPrerequisite(
            f"--annotate: the token may not write annotations in {target.address}",
            "give its service account the role Editor",
        )


@contextmanager
def annotating(target: Target | None, sweep_id: str, reporter: "Reporter") -> "Iterator[list[Annotator]]":
    """Yield the watchers that annotate: one or none. At the end a line says what was written, and what wasn't."""
    if target is None:
        yield []
        return
    from orchestrator.grafana.annotator import REQUEST_TIMEOUT_S, Annotator, Sink
    from orchestrator.grafana.client import Grafana

    # A second attempt might write the same annotation twice.
    grafana = Grafana(target.address, target.token, timeout_s=REQUEST_TIMEOUT_S, attempts=1)
    with grafana, Annotator(sweep_id, Sink(grafana)) as annotator:
        try:
            yield [annotator]
        finally:
            reporter.say(f"annotations: {annotator.close()}")
