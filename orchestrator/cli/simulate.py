"""`orchestrate simulate`: a sweep in virtual time."""

import inspect
from typing import Any

from orchestrator.cli.sweep import sweep

EXAMPLES = """Examples:

  orchestrate simulate --upscaling-speed 1,5,10

  orchestrate simulate --autoscaler v1,v2 --upscaling-speed 1,5,10 --idle-timeout-minutes 1,5 --repeat 10

  orchestrate simulate --cluster my-cluster.yaml --tasks 10000 --task-seconds 30

  orchestrate simulate --boot-from @last --upscaling-speed 1,10

  orchestrate simulate --upscaling-speed 1,2,5,10,20 --repeat 50 --parallel ray --address 127.0.0.1:6379

  orchestrate simulate --target-utilization-fraction 0.1,0.8 --autoscaler v1
"""

# What a simulation has no use for.
_LEFT_OUT = ("backend", "fit", "isolation")


def simulate(*arguments: Any, **options: Any) -> int:
    """Run a sweep in virtual time: Ray's own autoscaler code on a simulated cloud; hours take moments."""
    return sweep(*arguments, **{**options, **dict.fromkeys(_LEFT_OUT), "backend": "simulated"})


# The options are those of `sweep`, one by one, so that the two commands can't drift apart.
_parameters = inspect.signature(sweep).parameters
simulate.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [parameter for name, parameter in _parameters.items() if name not in _LEFT_OUT], return_annotation=int
)
simulate.__annotations__ = {
    name: annotation for name, annotation in sweep.__annotations__.items() if name not in _LEFT_OUT
}
