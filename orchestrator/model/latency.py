"""The latencies of a cloud as distributions: request, boot, install and terminate."""

import math
import random
import statistics
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from orchestrator.model.base import FrozenModel, NonNegative
from orchestrator.model.sampling import draw

MAX_SAMPLES = 100_000
Seconds = Annotated[NonNegative, Field(le=86_400)]


class Delay(FrozenModel):
    """A distribution of seconds, as written under `launch:` in a cluster file.

    `sigma` is the spread: of the logarithm for `lognormal`, in seconds for `normal`, half the width for `uniform`.
    `constant` and `exponential` have none. `empirical` draws one of its measured `samples`. A drawn value is never
    negative.
    """

    distribution: Literal["constant", "uniform", "normal", "lognormal", "exponential", "empirical"] = "constant"
    mean_s: Seconds = 0.0
    sigma: Annotated[NonNegative, Field(le=3600)] = 0.0
    samples: Annotated[tuple[Seconds, ...], Field(max_length=MAX_SAMPLES)] = ()

    @model_validator(mode="after")
    def _parameters_fit_the_distribution(self) -> Self:
        if self.distribution == "lognormal" and self.sigma > 3:
            raise ValueError("sigma of a lognormal is the spread of the logarithm: 0.2 is usual, 3 the most")
        if self.distribution == "empirical" and not self.samples:
            raise ValueError("an empirical distribution needs samples: a list of measured seconds")
        if self.distribution == "empirical" and (self.mean_s or self.sigma):
            raise ValueError("an empirical distribution has samples, and no mean_s or sigma")
        if self.distribution != "empirical" and self.samples:
            raise ValueError(f"samples belong to distribution empirical, not to {self.distribution}")
        return self

    @property
    def expected_s(self) -> float:
        """Return the mean in seconds."""
        return statistics.fmean(self.samples) if self.samples else self.mean_s

    def sample(self, rng: random.Random) -> float:
        """Return one random latency in seconds."""
        return draw(self.distribution, self.mean_s, self.sigma, self.samples, rng)


class NodeLatencies(NamedTuple):
    """Durations of the stages of one node's life, in seconds."""

    request: float = 0.0
    boot: float = 0.0
    install: float = 0.0
    terminate: float = 0.0

    @property
    def launch(self) -> float:
        """Return the seconds from the request until the node has joined Ray, without other waits."""
        return self.request + self.boot + self.install


class StageOverrides(FrozenModel):
    """The stages in which one node type differs from the others."""

    request: Delay | None = None
    boot: Delay | None = None
    install: Delay | None = None
    terminate: Delay | None = None


class LaunchModel(FrozenModel):
    """The model of a cloud that starts and terminates nodes.

    `request`: until the cloud answers the call; `boot`: until Ray can be started; `install`: until the node has joined
    Ray; `terminate`: until the machine is gone. `node_types` overrides these by type. `failure_rate` is the share of
    calls that fail, `capacity` the most machines of a type that the cloud has at a time, and
    `spot_interruptions_per_hour` the rate at which it reclaims a worker. If nodes are real processes or containers,
    `install`, `terminate` and interruptions have no effect: the first two take their real time, and faults belong to a
    workload.

    `seed` and the trial's own seed fix every sample: the n-th node of a type has the same latencies under each setting,
    so all settings face the same random events (common random numbers).
    """

    request: Delay = Delay()
    boot: Delay = Delay()
    install: Delay = Delay()
    terminate: Delay = Delay()
    node_types: dict[str, StageOverrides] = Field(default_factory=dict)
    failure_rate: Annotated[NonNegative, Field(le=1)] = 0.0
    capacity: dict[str, Annotated[int, Field(ge=0, le=1_000_000)]] = Field(default_factory=dict)
    spot_interruptions_per_hour: Annotated[NonNegative, Field(le=3600)] = 0.0
    seed: int = 0

    def stages(self, node_type: str) -> tuple[Delay, Delay, Delay, Delay]:
        """Return the distributions of request, boot, install and terminate for a node type."""
        own = self.node_types.get(node_type, StageOverrides())
        return (
            own.request or self.request,
            own.boot or self.boot,
            own.install or self.install,
            own.terminate or self.terminate,
        )

    def latencies(self, seed: int, node_type: str, index: int) -> NodeLatencies:
        """Return the latencies of the `index`-th node of a type under a trial's `seed`."""
        rng = random.Random(f"{self.seed}:{seed}:{node_type}:{index}")
        return NodeLatencies(*(delay.sample(rng) for delay in self.stages(node_type)))

    def call_fails(self, seed: int, node_type: str, call: int) -> bool:
        """Return true if the `call`-th request for nodes of a type is refused."""
        if self.failure_rate in (0, 1):
            return self.failure_rate == 1
        return random.Random(f"{self.seed}:{seed}:{node_type}:call:{call}").random() < self.failure_rate

    def granted(self, node_type: str, wanted: int, existing: int) -> int:
        """Return how many of `wanted` nodes of a type the cloud can start when `existing` nodes exist."""
        limit = self.capacity.get(node_type)
        return wanted if limit is None else max(0, min(wanted, limit - existing))

    def lifetime_s(self, seed: int, node_type: str, index: int) -> float:
        """Return the lifetime of the `index`-th node of a type from its allocation; infinite without interruptions.

        Interruptions come at a constant rate, so lifetimes are exponential.
        """
        if not self.spot_interruptions_per_hour:
            return math.inf
        rng = random.Random(f"{self.seed}:{seed}:{node_type}:spot:{index}")
        return rng.expovariate(self.spot_interruptions_per_hour / 3600)
