"""A Ray Tune script: finds the best of four values. It needs `pip install 'ray[tune]'`."""

import time

from ray import tune


def objective(config):
    """Return a score that is lowest at 2, after two seconds."""
    time.sleep(2)
    return {"score": (config["x"] - 2) ** 2}


found = tune.Tuner(objective, param_space={"x": tune.grid_search([0, 1, 2, 3])}).fit()
best = found.get_best_result(metric="score", mode="min")
print(f"the best value is {best.config['x']}")
