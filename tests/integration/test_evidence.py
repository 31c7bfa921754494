"""The statistics on simulated sweeps: Ray's own autoscaler, under boot times that differ from seed to seed.

200 sweeps of 10 repeats are drawn from a pool of trials, which costs seconds instead of minutes.
"""

import random
import statistics
from math import sqrt

import pytest

from orchestrator.analysis.sweep.evidence import Sample, any_difference_between, contrasts
from orchestrator.analysis.sweep.statistics import median_interval
from orchestrator.model.cluster import ClusterShape, NodeType
from orchestrator.model.latency import Delay, LaunchModel
from orchestrator.model.settings import Settings
from orchestrator.model.trial import Trial
from orchestrator.model.workload import Workload
from orchestrator.simulator.scored import simulate_and_score

SEEDS = range(300)
SWEEPS, REPEATS = 200, 10
SHAPE = ClusterShape(
    head=NodeType(name="head", arch="x86_64", resources={"CPU": 0}),
    workers=(NodeType(name="x86", arch="x86_64", resources={"CPU": 4}, min_workers=1, max_workers=6),),
    max_workers=6,
    launch=LaunchModel(boot=Delay(distribution="lognormal", mean_s=60, sigma=0.3)),
)

Pool = dict[int, float]


def makespans(speed: float) -> Pool:
    """Of one setting, by seed."""
    found = {}
    for seed in SEEDS:
        trial = Trial(
            backend="simulated",
            settings=Settings(upscaling_speed=speed, idle_timeout_minutes=1),
            shape=SHAPE,
            workload=Workload(tasks=60, seconds=40),
            seed=seed,
        )
        found[seed] = simulate_and_score(trial, timeout_s=86_400).card.makespan_s or 0.0
    return found


@pytest.fixture(scope="module")
def slow() -> Pool:
    return makespans(0.5)


@pytest.fixture(scope="module")
def fast() -> Pool:
    return makespans(10)


def drawn(pool: Pool, rng: random.Random) -> Pool:
    return {seed: pool[seed] for seed in rng.sample(sorted(pool), REPEATS)}


def beyond(share: float) -> float:
    """A share that 200 sweeps may show by chance where the true one is `share`: three standard errors more."""
    return share + 3 * sqrt(share * (1 - share) / SWEEPS)


def test_a_known_difference_is_found_in_nine_of_ten_sweeps(slow: Pool, fast: Pool) -> None:
    """About one standard deviation; a sweep gives its settings the same seeds, which makes that plain."""
    found = 0
    for seed in range(SWEEPS):
        a = drawn(slow, random.Random(seed))
        b = {each: fast[each] for each in a}
        found += contrasts("makespan_s", [(Sample("slow", a), Sample("fast", b))])[0].verdict == "lower"

    assert found / SWEEPS >= 0.9


def test_where_there_is_none_a_difference_is_seen_in_one_of_twenty_at_most(fast: Pool) -> None:
    """Both sides are the same setting, with other boot times."""
    alarms = 0
    for seed in range(SWEEPS):
        seeds = random.Random(seed).sample(sorted(fast), 2 * REPEATS)
        a, b = ({each: fast[each] for each in half} for half in (seeds[:REPEATS], seeds[REPEATS:]))
        alarms += contrasts("makespan_s", [(Sample("a", a), Sample("b", b))])[0].verdict in ("lower", "higher")

    assert alarms / SWEEPS <= beyond(0.05)


def test_an_interval_covers_the_true_median_in_nine_of_ten_sweeps(slow: Pool) -> None:
    true, covered = statistics.median(slow.values()), 0
    for seed in range(SWEEPS):
        interval = median_interval(drawn(slow, random.Random(seed)).values())
        assert interval.low is not None
        assert interval.high is not None
        covered += interval.low <= true <= interval.high

    assert covered / SWEEPS >= 0.9


def test_a_best_among_equals_is_announced_in_one_of_twenty_sweeps_at_most() -> None:
    """Eight settings that differ by chance only: whichever is fastest, it has to prove it against the others."""
    alarms = 0
    for seed in range(SWEEPS // 2):
        rng = random.Random(seed)
        samples = [Sample(str(n), {repeat: rng.gauss(50, 5) for repeat in range(REPEATS)}) for n in range(8)]
        best = min(samples, key=lambda sample: statistics.median(sample.values.values()))
        pairs = [(best, sample) for sample in samples if sample is not best]
        found = contrasts("makespan_s", pairs, least_p=any_difference_between(samples))
        alarms += any(each.verdict in ("lower", "higher") for each in found)

    assert alarms / (SWEEPS // 2) <= beyond(0.05)
