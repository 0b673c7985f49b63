"""Pairs of images of different classes: every batch is a function of the seed and the step."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import grain
import numpy as np

from cae_jax.types import ImageSource


@dataclass(frozen=True)
class PairSampler:
    """Draws the batch of a step.

    Exemplars run through the data set in a new order every epoch; each one's donor is an image of another class, drawn
    by class first, so that rare classes are donors as often as common ones. The pairs of a step do not depend on how
    many processes share them: each process draws all and reads its own.

    Attributes:
        source: images that pairs are drawn from.
        labels: `[N]`, the classes that pairs must differ in (the classifier's predictions, or the data set's labels).
        batch_size: number of pairs of a batch, over all processes.
        seed: seed of the whole run.
        balanced: whether exemplars, too, are drawn by class first; rare ones then come around more often.
        process_index: number of this process among them.
        process_count: number of processes that share a batch.
    """

    source: ImageSource
    labels: np.ndarray
    batch_size: int
    seed: int
    balanced: bool = False
    process_index: int = 0
    process_count: int = 1
    _orders: dict[tuple[int, ...], tuple[int, np.ndarray]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        classes = np.unique(self.labels)
        if len(classes) < 2:
            raise ValueError(f"pairs need images of two classes or more, but all labels are {classes.tolist()}")
        if self.batch_size % self.process_count:
            raise ValueError(
                f"train.batch_size {self.batch_size} cannot be shared evenly by {self.process_count} processes"
            )
        object.__setattr__(self, "_members", [np.flatnonzero(self.labels == c) for c in classes])
        object.__setattr__(self, "_class_rank", np.searchsorted(classes, self.labels))

    def _shuffled(self, positions: np.ndarray, count: int, *stream: int) -> np.ndarray:
        """The rows at some positions of an endless series of permutations of `count` rows."""
        epochs, within = np.divmod(positions, count)
        rows = np.empty(len(positions), np.int64)
        for epoch in np.unique(epochs):
            rows[epochs == epoch] = self._order(count, stream, int(epoch))[within[epochs == epoch]]
        return rows

    def _order(self, count: int, stream: tuple[int, ...], epoch: int) -> np.ndarray:
        """A permutation of `count` rows; the last of every stream is kept, as many batches ask for it."""
        kept = self._orders.get(stream)
        if kept is None or kept[0] != epoch:  # threads may ask for two epochs at once: each goes on with its own
            kept = epoch, np.random.default_rng((self.seed, *stream, epoch)).permutation(count)
            self._orders[stream] = kept
        return kept[1]

    def _exemplars(self, step: int) -> np.ndarray:
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        if not self.balanced:
            return self._shuffled(positions, len(self.labels), 0)
        turns, ranks = np.divmod(positions, len(self._members))
        rows = np.empty(len(positions), np.int64)
        for rank, members in enumerate(self._members):
            mine = ranks == rank
            rows[mine] = members[self._shuffled(turns[mine], len(members), 3, rank)]
        return rows

    def indices(self, step: int) -> np.ndarray:
        """Row numbers of all pairs of a step, `[batch_size, 2]`."""
        rng = np.random.default_rng((self.seed, 1, step))
        exemplars = self._exemplars(step)
        ranks = self._class_rank[exemplars]
        other = (ranks + rng.integers(1, len(self._members), len(ranks))) % len(self._members)
        fractions = rng.random(len(ranks))
        donors = [self._members[c][int(f * len(self._members[c]))] for c, f in zip(other, fractions, strict=True)]
        return np.stack([exemplars, np.asarray(donors)], axis=1)

    def __call__(self, step: int) -> dict[str, np.ndarray]:
        """Reads this process's share of a step.

        Returns:
            `images`, `[pairs, 2, height, width, channels]` uint8, and `labels`, `[pairs, 2]` int32.
        """
        share = self.batch_size // self.process_count
        mine = np.arange(self.process_index * share, (self.process_index + 1) * share)
        rows = self.indices(step)[mine]
        images = self.source.take(rows.reshape(-1))
        images = images.reshape(share, 2, *images.shape[1:])
        return {"images": images, "labels": self.labels[rows].astype(np.int32)}


def pair_batches(sampler: PairSampler, start: int, stop: int) -> Iterator[dict[str, np.ndarray]]:
    """Reads the batches of steps `start` to `stop - 1` ahead of their use, in Grain's threads.

    Args:
        sampler: sampler that draws them.
        start: number of the first step.
        stop: number of the step after the last one.
    """
    batches = grain.MapDataset.range(start, stop).map(sampler)
    return iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=8)))
