"""The stress job of the guide that this project grew from: 512 tasks of two minutes, all at once."""

import time

import ray

ray.init(address="auto")


@ray.remote(num_cpus=1)
def heavy_task():
    """Hold one CPU for two minutes."""
    time.sleep(120)
    return True


ray.get([heavy_task.remote() for _ in range(512)])
