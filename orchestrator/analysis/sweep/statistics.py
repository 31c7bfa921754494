"""Says how far repeats can be trusted: intervals, differences between settings, outliers, drift, repeats still needed.

A sweep has three to ten repeats of each setting, so every method here is chosen for few values and assumes no
distribution of them. All are deterministic: what is drawn at random is drawn from a fixed seed. Values that agree to
nine digits count as equal: what they differ by is rounding. NaN and infinity raise ValueError everywhere.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.model.base import Finite, FrozenModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_RESAMPLES = 9_999
_SEED = 20_240_229
_FEWEST_FOR_INTERVAL = 3
_FEWEST_FOR_OUTLIERS = 4
_FEWEST_FOR_DRIFT = 5
_SMALLEST_OUTLIER = 0.01


class Interval(FrozenModel):
    """The median of `n` values and its confidence interval; `low` and `high` are None below three values."""

    median: Finite
    low: Finite | None
    high: Finite | None
    n: int
    confidence: float


class Difference(FrozenModel):
    """The difference b − a of two settings. `relative` is a share of a's median; None if that is 0.

    If `smallest_p`, the smallest p-value that `n_a` and `n_b` values can reach, isn't below the level one tests at,
    then there are too few repeats to tell, and a high `p_value` says nothing.
    """

    median_a: Finite
    median_b: Finite
    difference: Finite
    relative: Finite | None
    low: Finite | None
    high: Finite | None
    confidence: float
    p_value: float
    smallest_p: float
    n_a: int
    n_b: int


class Drift(FrozenModel):
    """A trend of `n` values over the order of their trials; a low p-value says that the order matters."""

    slope_per_trial: Finite
    p_value: float
    n: int


def median_interval(values: Iterable[float], confidence: float = 0.95) -> Interval:
    """Return the median and its bootstrap confidence interval, in the unit of the values; ValueError if there are none.

    The median of so few values takes few different values itself when they are resampled, and a plain percentile
    interval covers the true median too rarely: in 75 % of cases with three values. So the bootstrap is smoothed, which
    adds normal noise of s/√n to each draw, and widened from the normal to Student's t distribution (Hesterberg, "What
    Teachers Should Know About the Bootstrap", 2015). It may reach beyond the values, below 0 too.
    """
    known = _finite(values)
    low, high = _bounds([known], confidence)
    return Interval(median=statistics.median(known), low=low, high=high, n=len(known), confidence=confidence)


def compare(a: Iterable[float], b: Iterable[float], *, paired: bool = False, confidence: float = 0.95) -> Difference:
    """Return the difference of the medians (b − a), its bootstrap interval, and the p-value of a permutation test.

    The test asks whether a and b may come from one distribution. It permutes Welch's t statistic, which has the power
    of the t-test where that is the best, keeps its level with few values of any distribution, and with many where the
    spreads differ (Janssen 1997; Chung & Romano 2013). It is exact up to 9,999 permutations, and otherwise draws as
    many (Phipson & Smyth 2010). With fewer than two values on one side there is nothing to permute: p is 1.

    `paired` says that a[i] and b[i] have their random numbers in common, as repeats with one seed do. Then the
    difference is the median of the pairs' differences, and the test flips their signs.

    Raises ValueError if a or b is empty, or the pairs don't match.
    """
    a, b = _finite(a), _finite(b)
    base = statistics.median(a)
    if paired:
        pairs = _differences(a, b)
        difference, p_value = statistics.median(pairs), _sign_flip_p(pairs)
        low, high = _bounds([pairs], confidence)
    else:
        difference, p_value = statistics.median(b) - base, _permutation_p(a, b)
        low, high = _bounds([b, a], confidence)
    return Difference(
        median_a=base,
        median_b=statistics.median(b),
        difference=difference,
        relative=difference / abs(base) if base else None,
        low=low,
        high=high,
        confidence=confidence,
        p_value=p_value,
        smallest_p=_smallest_p(len(a), len(b), paired),
        n_a=len(a),
        n_b=len(b),
    )


def holm(p_values: Iterable[float]) -> list[float]:
    """Return the p-values adjusted for being several (Holm 1979), in their order; none for none.

    A hypothesis is rejected at level α if its adjusted p-value is at most α; the chance of any false alarm among them
    is then at most α. Raises ValueError for what isn't in [0, 1].
    """
    known = list(p_values)
    if not all(0 <= p <= 1 for p in known):
        raise ValueError(f"p-values lie between 0 and 1, not as in {known}")
    adjusted, highest = [0.0] * len(known), 0.0
    for rank, i in enumerate(sorted(range(len(known)), key=known.__getitem__)):
        highest = max(highest, min(1.0, (len(known) - rank) * known[i]))
        adjusted[i] = highest
    return adjusted


def any_difference(groups: Sequence[Sequence[float]], *, blocked: bool = False) -> float:
    """Return the p-value of any difference between the groups; 1 with fewer than two groups of two values.

    A permutation test of the F statistic (Fisher 1935; Anderson 2001): of all values among the groups or, where the
    groups are `blocked` (the i-th values of all have their random numbers in common), within each block.
    """
    known = [_finite(group) for group in groups]
    values = [value for group in known for value in group]
    if len(known) < 2 or min(len(group) for group in known) < 2 or _alike(values):
        return 1.0
    import numpy as np

    rng = np.random.default_rng(_SEED)
    sizes = np.array([len(group) for group in known])
    flat = np.array(values) - np.mean(values)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    if blocked:  # what all groups share in a block says nothing
        flat = (np.array(known) - np.mean(known, axis=0)).ravel()

    def between(rows: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """Return the sum of squares between groups orders permutations as F does: the total stays the same."""
        return np.asarray((np.add.reduceat(rows, starts, axis=1) ** 2 / sizes).sum(axis=1))

    seen, at_least = between(flat[None])[0] * (1 - 1e-9), 0
    for draws in _portions(_RESAMPLES, len(flat)):
        rows = np.tile(flat, (draws, 1))
        if blocked:
            shuffled = rng.permuted(rows.reshape(draws, len(known), -1), axis=1).reshape(draws, -1)
        else:
            shuffled = rng.permuted(rows, axis=1)
        at_least += int(np.count_nonzero(between(shuffled) >= seen))
    return (at_least + 1) / (_RESAMPLES + 1)


def _portions(draws: int, size: int, most: int = 2_000_000) -> Iterable[int]:
    """So many draws of so many values, in portions that fit into memory."""
    portion = max(1, most // size)
    while draws > 0:
        yield min(portion, draws)
        draws -= portion


def outliers(values: Iterable[float]) -> list[int]:
    """Return indexes of values with a modified z-score beyond 3.5 (Iglewicz & Hoaglin 1993); none below four values.

    The score is the distance from the median in units of the median absolute deviation. Where that is 0, as more than
    half of the values are equal, the mean absolute deviation replaces it. A value within 1 % of the median isn't
    flagged: simulated times are multiples of an update, so most are equal, and any other would be flagged. Among ten
    normal values one is flagged in one of nine cases: look at a flagged value, don't remove it.
    """
    known = _finite(values)
    if len(known) < _FEWEST_FOR_OUTLIERS or _alike(known):
        return []
    centre = statistics.median(known)
    distances = [abs(value - centre) for value in known]
    # Each factor makes its deviation an estimate of the standard deviation of normal values.
    scale = statistics.median(distances) / 0.6745 or statistics.fmean(distances) * math.sqrt(math.pi / 2)
    least = _SMALLEST_OUTLIER * abs(centre)
    return [i for i, distance in enumerate(distances) if distance / scale > 3.5 and distance >= least]


def drift(values_in_order: Iterable[float]) -> Drift | None:
    """Return the trend of one setting's values over the order in which its trials ran, or None below five values.

    The p-value is that of the Mann–Kendall test (Mann 1945; Kendall's τ against the order), the slope the Theil–Sen
    estimate (Sen 1968): the median of the slopes between any two trials, in the values' unit for each trial.
    """
    known = _finite(values_in_order)
    if len(known) < _FEWEST_FOR_DRIFT:
        return None
    if _alike(known):
        return Drift(slope_per_trial=0.0, p_value=1.0, n=len(known))
    from scipy import stats

    order = range(len(known))
    return Drift(
        slope_per_trial=float(stats.theilslopes(known, order).slope),
        p_value=float(stats.kendalltau(order, known).pvalue),
        n=len(known),
    )


def repeats_needed(
    a: Iterable[float],
    b: Iterable[float],
    *,
    paired: bool = False,
    alpha: float = 0.05,
    power: float = 0.8,
    limit: int = 1000,
) -> int | None:
    """Return how many repeats of each setting would probably show a difference as large as this one; at most `limit`.

    The normal approximation with Guenther's correction for few values (1981), on the spread seen, and never fewer than
    let `compare` reach `alpha` at all. Divide `alpha` by the number of comparisons that will be made. None if the means
    don't differ, or if fewer than two values on a side leave the spread unknown.
    """
    a, b = _finite(a), _finite(b)
    if min(len(a), len(b)) < 2 or _alike([statistics.fmean(a), statistics.fmean(b)]):
        return None
    spread = statistics.stdev(_differences(a, b)) if paired else math.hypot(statistics.stdev(a), statistics.stdev(b))
    spreads = min(spread / abs(statistics.fmean(b) - statistics.fmean(a)), limit)
    normal = statistics.NormalDist()
    z = normal.inv_cdf(1 - alpha / 2)
    needed = (z + normal.inv_cdf(power)) ** 2 * spreads**2 + z**2 / (2 if paired else 4)
    enough = (n for n in range(math.ceil(needed), limit) if _smallest_p(n, n, paired) <= alpha)
    return next(enough, limit)


def _finite(values: Iterable[float]) -> list[float]:
    known = [float(value) for value in values]
    if not all(math.isfinite(value) for value in known):
        raise ValueError(f"statistics need finite values, not as in {known}")
    return known


def _differences(a: Sequence[float], b: Sequence[float]) -> list[float]:
    if len(a) != len(b):
        raise ValueError(f"pairs need as many values on both sides, not {len(a)} and {len(b)}")
    return [0.0 if math.isclose(x, y) else y - x for x, y in zip(a, b, strict=True)]


def _alike(values: Sequence[float]) -> bool:
    return math.isclose(min(values), max(values))


def _bounds(samples: Sequence[Sequence[float]], confidence: float) -> tuple[float, float] | tuple[None, None]:
    """Return the smoothed bootstrap interval of one sample's median, or of the difference of two medians."""
    if min(len(sample) for sample in samples) < _FEWEST_FOR_INTERVAL:
        return None, None
    import numpy as np
    from scipy import stats

    rng = np.random.default_rng(_SEED)
    centre = np.subtract.reduce([np.median(sample) for sample in samples])
    medians = np.subtract.reduce([_resampled_medians(np.array(sample), rng) for sample in samples])
    upper = (1 + confidence) / 2
    widening = stats.t.ppf(upper, _freedom(samples)) / stats.norm.ppf(upper)
    low, high = centre + widening * (np.quantile(medians, [1 - upper, upper]) - centre)
    return float(low), float(high)


def _resampled_medians(values: "NDArray[np.float64]", rng: "np.random.Generator") -> "NDArray[np.float64]":
    import numpy as np

    n = len(values)
    drawn = rng.choice(values, (_RESAMPLES, n))
    if not _alike(values.tolist()):
        drawn += rng.normal(scale=values.std(ddof=1) / math.sqrt(n), size=drawn.shape)
    return np.asarray(np.median(drawn, axis=1))


def _freedom(samples: Sequence[Sequence[float]]) -> float:
    """Return the degrees of freedom of a sum of means (Welch 1947): n − 1 of a single sample."""
    variances = [statistics.variance(sample) / len(sample) for sample in samples]
    total = sum(variances)
    if total == 0:
        return math.inf
    return 1 / sum((v / total) ** 2 / (len(sample) - 1) for v, sample in zip(variances, samples, strict=True))


def _permutation_p(a: Sequence[float], b: Sequence[float]) -> float:
    if min(len(a), len(b)) < 2 or _alike([*a, *b]):
        return 1.0
    import numpy as np

    centre = statistics.median_low([*a, *b])  # against cancellation; whole numbers stay whole, so that ties stay ties
    floor = 1e-12 * statistics.variance([*a, *b])  # a group of equal values has a large t, not an infinite one

    def welch_t(a: Any, b: Any, axis: int) -> Any:
        squared_error = a.var(axis=axis, ddof=1) / a.shape[axis] + b.var(axis=axis, ddof=1) / b.shape[axis]
        return (b.mean(axis=axis) - a.mean(axis=axis)) / np.sqrt(np.maximum(squared_error, floor))

    return _tested((np.array(a) - centre, np.array(b) - centre), welch_t, "independent")


def _sign_flip_p(differences: Sequence[float]) -> float:
    if len(differences) < 2:
        return 1.0
    import numpy as np

    # The mean orders the flips as t does: flipping a sign leaves the sum of squares as it is.
    return _tested((np.array(differences),), np.mean, "samples")


def _tested(samples: "tuple[NDArray[np.float64], ...]", statistic: Any, permutation_type: str) -> float:
    import numpy as np
    from scipy import stats

    result = stats.permutation_test(
        samples,
        statistic,
        permutation_type=permutation_type,
        vectorized=True,
        n_resamples=_RESAMPLES,
        random_state=np.random.default_rng(_SEED),
    )
    return float(result.pvalue)


def _smallest_p(n_a: int, n_b: int, paired: bool) -> float:
    """Two-sided: twice the share of the one permutation that sorts all values, or of one draw if it isn't exact."""
    if min(n_a, n_b) < 2:
        return 1.0
    permutations = 2**n_a if paired else math.comb(n_a + n_b, n_a)
    return 2 / (permutations if permutations <= _RESAMPLES else _RESAMPLES + 1)
