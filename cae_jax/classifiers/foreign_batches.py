"""Batches of the one size that some exported models take."""

from collections.abc import Callable

import numpy as np

HOST_BATCH = 256  # images a call of a model that takes any number


def in_batches(function: Callable[[np.ndarray], np.ndarray], fixed: int | None) -> Callable[[np.ndarray], np.ndarray]:
    """Calls a function with `fixed` rows at a time, filled up by repeating the last one, or with up to `HOST_BATCH`."""

    def call(inputs: np.ndarray) -> np.ndarray:
        size = fixed or HOST_BATCH
        outputs = []
        for start in range(0, len(inputs), size):
            part = inputs[start : start + size]
            missing = (fixed or len(part)) - len(part)
            full = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) if missing else part
            outputs.append(np.asarray(function(full))[: len(part)])
        return np.concatenate(outputs)

    return call
