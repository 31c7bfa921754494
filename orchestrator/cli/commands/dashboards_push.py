"""`orchestrate dashboards push`: the boards into a Grafana that exists already."""

import json
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.console import console
from orchestrator.cli.help import option
from orchestrator.errors import InputError
from orchestrator.lab.stack import url_of_stack

if TYPE_CHECKING:
    from orchestrator.grafana.push import Change

EXAMPLES = """Examples:

  ORCHESTRATE_GRAFANA_TOKEN=… orchestrate dashboards push --url https://grafana.example.com

  orchestrate dashboards push --url https://grafana.example.com --token-file token.txt --dry-run

  orchestrate dashboards push --url http://localhost:3000 --datasource-url http://prometheus:9090 --skip alerts

  orchestrate dashboards push --url https://grafana.example.com --datasource-uid mimir --folder-uid ray

The alert rules read what prometheus/rules/recording.yml records: load that file in the Prometheus of the data source.
"""


class Skip(StrEnum):
    """Parts that a push may skip."""

    DATASOURCE = "datasource"
    ALERTS = "alerts"


def push(
    context: typer.Context,
    url: Annotated[str, option(metavar="URL", help="The Grafana, with its path if it has one.")],
    token_file: Annotated[
        Path | None,
        option(
            metavar="FILE",
            help="File that holds a service account's token; its role: Admin; an Editor needs --skip datasource."
            "  [default: the variable ORCHESTRATE_GRAFANA_TOKEN]",
            show_default=False,
        ),
    ] = None,
    datasource_url: Annotated[
        str | None,
        option(
            metavar="URL",
            help="The Prometheus as Grafana reaches it.  [default: what the data source has, else the stack's, else"
            " http://localhost:9090]",
        ),
    ] = None,
    datasource_uid: Annotated[
        str | None,
        option(
            metavar="UID",
            help="A Prometheus data source of this Grafana, for dashboards and alert rules.  [default: one is made]",
        ),
    ] = None,
    runbook_url: Annotated[
        str | None,
        option(metavar="URL", help="Where docs/runbook.md can be read: alerts lead to its sections."),
    ] = None,
    folder: Annotated[str, option(help="Title of the folder, where it is missing.")] = "Orchestrate",
    folder_uid: Annotated[
        str | None,
        option(
            metavar="UID",
            help="A folder of this Grafana for new dashboards and the alert rules, such as the one of Ray's dashboards."
            "  [default: one is made]",
        ),
    ] = None,
    skip: Annotated[list[Skip] | None, option(help="What to leave out; may be repeated.", show_default=False)] = None,
    dry_run: Annotated[bool, option("--dry-run", help="Say what would change, and change nothing.")] = False,
) -> int:
    """Bring folder, data source, dashboards and alert rules into a Grafana, and say what changed.

    Parts that are already as wanted aren't written again. If a part failed, push again.
    """
    from orchestrator.assets import bundled
    from orchestrator.grafana.alerts import read_alerts
    from orchestrator.grafana.boards.build import build_all
    from orchestrator.grafana.client import Grafana, grafana_address, take_token
    from orchestrator.grafana.push import DATASOURCE_UID, DATASOURCE_URL, FOLDER_UID, push
    from orchestrator.remote_api import travels_openly

    left_out = set(skip or ())
    address = grafana_address(url)
    reads = None if datasource_url is None else grafana_address(datasource_url, "--datasource-url")
    if datasource_uid is not None and datasource_url is not None:
        raise InputError("--datasource-uid and --datasource-url exclude each other", "name one of them")
    boards = [json.loads(text) for text in build_all().values()]
    rules, uid = bundled("prometheus/rules/alerts.yml"), datasource_uid or DATASOURCE_UID
    alerts = () if Skip.ALERTS in left_out else read_alerts(rules, uid, boards=boards, runbook_url=runbook_url)
    token = take_token(token_file)
    if travels_openly(address):
        console(stderr=True).print(f"note: the token goes to {address} without encryption", soft_wrap=True)
    if Skip.DATASOURCE in left_out and datasource_uid is None and alerts:
        console(stderr=True).print(
            f"note: the alert rules read the data source {DATASOURCE_UID}; without it they fail: --datasource-uid UID "
            "names another, --skip alerts leaves them out",
            soft_wrap=True,
        )
    changes = []
    with Grafana(address, token) as grafana:
        for change in push(
            grafana,
            boards,
            folder=folder,
            folder_uid=FOLDER_UID if folder_uid is None else folder_uid,
            with_datasource=Skip.DATASOURCE not in left_out,
            datasource_url=reads,
            new_datasource_url=url_of_stack(context.obj.root, "prometheus") or DATASOURCE_URL,
            datasource_uid=datasource_uid,
            alerts=alerts,
            dry_run=dry_run,
        ):
            changes.append(change)
            console().print(_line(change), soft_wrap=True)
    console().print(_summary(changes, dry_run), soft_wrap=True)
    return 1 if any(change.outcome == "failed" for change in changes) else 0


def _line(change: "Change") -> str:
    return f"{change.outcome:<10}  {change.kind:<11}  {change.name}" + (f": {change.detail}" if change.detail else "")


def _summary(changes: "list[Change]", dry_run: bool) -> str:
    counts = Counter(change.outcome for change in changes)
    text = ", ".join(f"{number} {outcome}" for outcome, number in counts.items())
    text = f"would be: {text}; nothing was written" if dry_run else text
    return f"{text}; push again when the cause is fixed" if counts["failed"] else text
