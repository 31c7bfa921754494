"""A latency of the cloud as a distribution: how long a request, a boot or an installation takes."""

import math
import random
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from orchestrator.model.base import NonNegative, Noun


class Delay(Noun):
    """A distribution of seconds, as written under `launch:` in a cluster file.

    `sigma` is the spread: of the logarithm for `lognormal`, in seconds for `normal`, half the width for `uniform`;
    `constant` and `exponential` have none. Samples are never negative.
    """

    distribution: Literal["constant", "uniform", "normal", "lognormal", "exponential"] = "constant"
    mean_s: Annotated[NonNegative, Field(le=86_400)] = 0.0
    sigma: Annotated[NonNegative, Field(le=3600)] = 0.0

    @model_validator(mode="after")
    def _sigma_of_a_lognormal_is_no_time(self) -> Self:
        if self.distribution == "lognormal" and self.sigma > 3:
            raise ValueError("sigma of a lognormal is the spread of the logarithm: 0.2 is usual, 3 the most")
        return self

    def sample(self, rng: random.Random) -> float:
        """One latency in seconds."""
        if self.mean_s == 0 or self.distribution == "constant":
            return self.mean_s
        if self.distribution == "uniform":
            return max(0.0, rng.uniform(self.mean_s - self.sigma, self.mean_s + self.sigma))
        if self.distribution == "normal":
            return max(0.0, rng.gauss(self.mean_s, self.sigma))
        if self.distribution == "exponential":
            return rng.expovariate(1 / self.mean_s)
        # The mean of a lognormal is exp(mu + sigma²/2), hence mu for the mean that was asked for.
        return rng.lognormvariate(math.log(self.mean_s) - self.sigma**2 / 2, self.sigma)


class LaunchModel(Noun):
    """How a node comes up: the cloud's answer to the request, then the boot until Ray can be started.

    `seed` and the trial's repeat fix every sample: the n-th node of a type takes equally long under each setting,
    so that settings are compared under the same luck (common random numbers).
    """

    request: Delay = Delay()
    boot: Delay = Delay()
    seed: int = 0

    def latencies(self, seed: int, node_type: str, index: int) -> tuple[float, float]:
        """Request and boot seconds of the `index`-th node of a type under a trial's `seed`."""
        rng = random.Random(f"{self.seed}:{seed}:{node_type}:{index}")
        return self.request.sample(rng), self.boot.sample(rng)
