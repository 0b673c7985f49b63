"""How several processes find each other, and how they share batches."""

import numpy as np
import pytest

from cae_jax import processes
from cae_jax.batching import map_batches


@pytest.mark.parametrize(
    "spec", ["", "on", "localhost", "localhost,2,0", "localhost:1,2", "localhost:1,2,2", "a:1,b,0"]
)
def test_a_place_that_is_none_is_named(spec):
    with pytest.raises(processes.DistributedError, match="must be auto, off or HOST:PORT,N,I"):
        processes.start(spec)


def test_a_machine_alone_is_told_so():
    with pytest.raises(processes.DistributedError, match="name them as HOST:PORT,N,I"):
        processes.start("auto")


@pytest.mark.parametrize("count", [1, 5, 8, 9, 24, 25])
def test_processes_share_batches_and_each_gets_all_rows(count, monkeypatch):
    rows = np.arange(count) * 10
    shares = {}

    def run(index, gather):
        monkeypatch.setattr("jax.process_count", lambda: 3)
        monkeypatch.setattr("jax.process_index", lambda: index)
        monkeypatch.setattr("cae_jax.batching.gather", gather)
        return map_batches(lambda batch: {"ten": batch + 1}, rows, batch_size=4, spread=True)

    def hand_in(index):
        def keep(tree):
            shares[index] = tree["ten"]
            return {"ten": tree["ten"][None]}

        return keep

    for index in range(3):
        run(index, hand_in(index))
    assert len({len(share) for share in shares.values()}) == 1  # or gathering would wait for ever
    found = run(0, lambda tree: {"ten": np.stack([shares[index] for index in range(3)])})
    np.testing.assert_array_equal(found["ten"], rows + 1)
