"""What a sweep costs beside the trials themselves."""

import pytest

from benchmarks.conftest import Watched


def test_sweep_overhead(watched_sweep: Watched, capsys: pytest.CaptureFixture[str]) -> None:
    """Wall time over the sum of makespans and scale-downs, once the cluster is up; the goal is 1.25."""
    cards = [trial.scorecard for trial in watched_sweep.record.trials]
    measured = sum((card.makespan_s or 0) + (card.scale_down_s or 0) for card in cards if card is not None)
    with capsys.disabled():
        print(
            f"\nsweep overhead: {watched_sweep.wall_s:.1f} s for {measured:.1f} s of {len(cards)} trials "
            f"= {watched_sweep.wall_s / measured:.2f} (goal 1.25)"
        )
    assert all(card is not None and card.valid for card in cards)
