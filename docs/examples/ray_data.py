"""A Ray Data script: squares numbers in batches. It needs `pip install 'ray[data]'`."""

import time

import ray


def square(batch):
    """Return the squares of a batch, after a second."""
    time.sleep(1)
    return {"id": batch["id"] ** 2}


ray.init()
total = ray.data.range(400, override_num_blocks=8).map_batches(square, batch_size=50).sum("id")
print(f"the sum of the squares is {total}")
