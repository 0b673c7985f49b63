"""Saves a checkpoint while training goes on."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from cae_jax.mirror import push_all
from cae_jax.training.checkpoints import CheckpointStore, host_copy


class BackgroundSave:
    """Writes one checkpoint at a time in a thread. What could not be written is raised by whatever is called next."""

    def __init__(self, store: CheckpointStore):
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="save")
        self._pending: Future[None] | None = None

    def __call__(self, step: int, trees: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Copies the trees to the host, then returns while they are written; see `CheckpointStore.save`."""
        copies = {name: host_copy(tree) for name, tree in trees.items()}
        self.wait()
        self._pending = self._thread.submit(self._save, step, copies, facts)

    def _save(self, step: int, copies: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        self._store.save(step, copies, facts)
        push_all()

    def look(self) -> None:
        """Raises `CheckpointError` or `BucketError` if the last one is known not to be written."""
        if self._pending is not None and self._pending.done():
            self.wait()

    def wait(self) -> None:
        """Returns when the last one is written; raises `CheckpointError` or `BucketError` if it cannot be."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def close(self) -> None:
        """Returns when the last one is written or cannot be."""
        self._thread.shutdown()
