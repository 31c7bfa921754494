"""`orchestrate stack`: Prometheus and Grafana through docker compose, or Prometheus alone."""

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.console import console, print_json, reporter
from orchestrator.cli.help import LabCommand, LabGroup, option
from orchestrator.cli.options import AsJson
from orchestrator.cli.parsing import parse_duration
from orchestrator.errors import InputError
from orchestrator.lab.home import Home

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.stack.services import Status
    from orchestrator.stack.stack import Stack

EXAMPLES = """Examples:

  orchestrate stack up

  orchestrate stack status

  orchestrate stack down
"""

UP_EXAMPLES = """Examples:

  orchestrate stack up

  orchestrate stack up --grafana-port 3001 --prometheus-port 9091

  orchestrate stack up --anonymous

  orchestrate stack up --native

Docker Desktop: turn on Settings > Resources > Network > Enable host networking (4.34 or newer) first.
"""

DOWN_EXAMPLES = """Examples:

  orchestrate stack down

  orchestrate stack down --volumes
"""

STATUS_EXAMPLES = """Examples:

  orchestrate stack status

  orchestrate stack status --json
"""

app = typer.Typer(
    cls=LabGroup,
    help="Run Prometheus and Grafana with the dashboards on this machine, in Docker; or Prometheus alone without it.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(cls=LabCommand, epilog=UP_EXAMPLES)
def up(
    context: typer.Context,
    prometheus_port: Annotated[int, option(min=1, max=65535, help="Port of Prometheus on 127.0.0.1.")] = 9090,
    grafana_port: Annotated[int, option(min=1, max=65535, help="Port of Grafana on 127.0.0.1.")] = 3000,
    anonymous: Annotated[
        bool, option("--anonymous", help="Let anybody on this machine view dashboards without a password.")
    ] = False,
    native: Annotated[
        bool, option("--native", help="Without Docker: the Prometheus on PATH, in the background; no Grafana.")
    ] = False,
    timeout: Annotated[str, option(help="How long to wait until all is ready, once the images are here.")] = "3m",
) -> None:
    """Start both, and wait until they are healthy and the dashboards are there.

    Called again, it changes only what differs. Grafana's user is admin; its password is generated into a file that only
    you can read.
    """
    from orchestrator.stack.state import Ports

    seconds = parse_duration("--timeout", timeout)
    assert seconds is not None
    if native:
        if anonymous or grafana_port != Ports.grafana:
            raise InputError("--native runs no Grafana", "leave --anonymous and --grafana-port out")
        _up_native(context, prometheus_port, seconds)
        return
    with reporter().steps() as progress:
        ready = _stack(context).up(
            Ports(prometheus_port, grafana_port), anonymous=anonymous, timeout_s=seconds, progress=progress
        )
    out = console()
    for service in ready.services:
        out.print(f"{service.name.capitalize():<10}  {service.url}", soft_wrap=True)
    out.print(f"Grafana's user is admin, the password is in {ready.password_file}", soft_wrap=True)


def _up_native(context: typer.Context, port: int, timeout_s: float) -> None:
    with reporter().steps() as progress:
        ready, fresh = _stack(context).native.up(port, timeout_s=timeout_s, progress=progress)
    out = console()
    out.print(f"Prometheus  {ready.url}{'' if fresh else '  (it runs already)'}", soft_wrap=True)
    _point_grafana_at(ready.url, out)


@app.command(cls=LabCommand, epilog=DOWN_EXAMPLES)
def down(
    context: typer.Context,
    volumes: Annotated[
        bool, option("--volumes", help="Also delete all metrics, Grafana's database and its password.")
    ] = False,
) -> None:
    """End both. What Prometheus and Grafana stored stays, and is there again after the next up."""
    found = _stack(context).down(volumes=volumes)
    what = "the stack and its data" if volumes else "the stack; its data stays"
    console().print(f"removed {what}" if found or volumes else "the stack isn't up")


@app.command(cls=LabCommand, epilog=STATUS_EXAMPLES)
def status(
    context: typer.Context,
    as_json: AsJson = False,
) -> None:
    """Show what runs, whether it is healthy, and where."""
    found = _stack(context).status()
    if as_json:
        print_json(_document(found))
        return
    from orchestrator.report.terminal.table import FittedTable

    program = "image or program"
    table = FittedTable("service", "state", "health", "url", program, prose=(program,), optional=(program, "health"))
    for service in found.services:
        table.add_row(
            *(word or "-" for word in (service.name, service.state, service.health, service.url, service.image))
        )
    out = console()
    out.print(table)
    native = all(service.native for service in found.services)
    if not found.running:
        out.print("start it: orchestrate stack up" + native * " --native")
    elif native:
        _point_grafana_at(found.services[0].url, out)
    elif found.password_file.is_file():
        out.print(f"Grafana's user is admin, the password is in {found.password_file}", soft_wrap=True)
    else:
        out.print("it was started from another home, where Grafana's password is")


def _point_grafana_at(prometheus: str, out: "Console") -> None:
    out.print("no Grafana runs here without Docker; one of yours shows the dashboards after:", soft_wrap=True)
    out.print(f"  orchestrate dashboards push --url URL --datasource-url {prometheus}", soft_wrap=True)


def _stack(context: typer.Context) -> "Stack":
    from orchestrator.stack.stack import Stack

    common: Home = context.obj
    return Stack(common.root)


def _document(found: "Status") -> dict[str, object]:
    from dataclasses import asdict

    return {
        "running": found.running,
        "healthy": found.healthy,
        "services": [asdict(service) for service in found.services],
        "password_file": str(found.password_file),
    }
