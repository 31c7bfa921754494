"""Random draws of seconds. This module needs only Python, because it runs on the head of any cluster, too."""

import math
import random
from collections.abc import Sequence


def draw(distribution: str, mean_s: float, sigma: float, samples: Sequence[float], rng: random.Random) -> float:
    """Return one random value of a distribution of seconds, never negative. `Delay` says what the parameters mean."""
    if distribution == "empirical":
        return rng.choice(samples)
    if mean_s == 0 or distribution == "constant":
        return mean_s
    if distribution == "uniform":
        return max(0.0, rng.uniform(mean_s - sigma, mean_s + sigma))
    if distribution == "normal":
        return max(0.0, rng.gauss(mean_s, sigma))
    if distribution == "exponential":
        return rng.expovariate(1 / mean_s)
    # The mean of a lognormal is exp(mu + sigma²/2), which gives mu for the wanted mean.
    return rng.lognormvariate(math.log(mean_s) - sigma**2 / 2, sigma)
