"""`orchestrate status`: a cluster's nodes and demand, by node type and architecture."""

import logging
import time
from typing import Annotated

import typer

from orchestrator.cli.console import console, print_json
from orchestrator.cli.help import option
from orchestrator.cli.options import AsJson, GcsAddress, NodeTypesFile
from orchestrator.errors import InputError, MissingPrerequisite
from orchestrator.lab.home import Home
from orchestrator.lab.targets import find_address, open_view, shape_of_file

_log = logging.getLogger(__name__)

EXAMPLES = """Examples:

  orchestrate status

  orchestrate status --watch

  orchestrate status --address 10.0.0.5:6379 --cluster cluster.yaml --json
"""


def status(
    context: typer.Context,
    address: GcsAddress = None,
    cluster: NodeTypesFile = None,
    watch: Annotated[bool, option("--watch", help="Refresh every second until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a cluster as `ray status` does, but by node type and architecture."""
    from orchestrator.model.snapshot import Snapshot
    from orchestrator.observer.node_tracker import describe_by
    from orchestrator.report.terminal.tables import status_table

    if watch and as_json:
        raise InputError("--watch and --json don't go together", "call --json again and again instead")
    common: Home = context.obj
    found = find_address(common, address)
    describe = describe_by(shape_of_file(cluster))
    view, first = open_view(found)

    def look() -> Snapshot:
        try:
            return view.poll()
        except ConnectionError as error:
            raise MissingPrerequisite(f"no Ray cluster answers at {found}: {error}") from None

    if as_json:
        from dataclasses import asdict

        document = asdict(first)
        for node, row in zip(document["nodes"], first.nodes, strict=True):
            node["arch"] = describe(row.node_type, row.labels, row.total).arch
        print_json(document)
    elif not watch:
        console().print(status_table(found, first, describe))
    else:
        from rich.live import Live

        with Live(console=console(), auto_refresh=False) as live:
            try:
                while True:
                    live.update(status_table(found, look(), describe), refresh=True)
                    time.sleep(1)
            except KeyboardInterrupt:
                _log.debug("ended by Ctrl-C")
                return
