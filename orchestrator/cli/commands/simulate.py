"""`orchestrate simulate`: a sweep in virtual time, or a search for the best settings."""

import inspect
from typing import Annotated, Any

import typer

from orchestrator.cli.commands.simulate_optimise import DEFAULT_CANDIDATES, optimise_settings
from orchestrator.cli.commands.sweep import sweep
from orchestrator.errors import InputError

EXAMPLES = """Examples:

  orchestrate simulate --upscaling-speed 1,5,10

  orchestrate simulate --autoscaler v1,v2 --upscaling-speed 1,5,10 --idle-timeout-minutes 1,5 --repeat 10

  orchestrate simulate --cluster my-cluster.yaml --tasks 10000 --task-seconds 30

  orchestrate simulate --boot-from @last --upscaling-speed 1,10

  orchestrate simulate --upscaling-speed 1,2,5,10,20 --repeat 50 --parallel ray --address 127.0.0.1:6379

  orchestrate simulate --target-utilization-fraction 0.1,0.8 --autoscaler v1

  orchestrate simulate --optimise 'makespan_s + 100*cost_usd' --upscaling-speed 0.5,20
"""

# What a simulation has no use for.
_LEFT_OUT = ("backend", "fit", "isolation", "metrics_port", "annotate_url", "with_stack")


def simulate(
    optimise: Annotated[
        str | None,
        typer.Option(
            metavar="EXPRESSION",
            help="Search the settings for the lowest cost, makespan, or arithmetic over a summary's numbers, and print"
            " the best. Several values of a setting are bounds then, and --repeat is 3.",
        ),
    ] = None,
    candidates: Annotated[
        int | None, typer.Option(help=f"Settings that --optimise tries.  [default: {DEFAULT_CANDIDATES}]")
    ] = None,
    **options: Any,
) -> int:
    """Run a sweep in virtual time: Ray's own autoscaler code on a simulated cloud; hours take moments."""
    options = {**options, **dict.fromkeys(_LEFT_OUT), "backend": "simulated"}
    if optimise is not None:
        return optimise_settings(optimise, candidates, options)
    if candidates is not None:
        raise InputError("--candidates is for --optimise", "for example --optimise cost")
    return sweep(**options)


# The options are those of `sweep`, one by one, so that the two commands can't drift apart, and those above.
_own = inspect.signature(simulate).parameters
_parameters = [*inspect.signature(sweep).parameters.values(), _own["optimise"], _own["candidates"]]
simulate.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [parameter for parameter in _parameters if parameter.name not in _LEFT_OUT], return_annotation=int
)
simulate.__annotations__ = {
    name: annotation
    for name, annotation in {**sweep.__annotations__, **simulate.__annotations__}.items()
    if name not in (*_LEFT_OUT, "options")
}
