"""The small loop of gradient descent that classifiers, probes and autoencoders are fitted by."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import optax


def descend(
    loss: Callable[..., jax.Array],
    optimizer: optax.GradientTransformation,
    start: tuple[Any, Any],
    batches: Iterable[tuple],
    look: Callable[[int, tuple[Any, Any], jax.Array], None] = lambda number, state, value: None,
) -> Any:
    """Takes a step of an optimizer for each batch.

    Args:
        loss: Parameters and what a batch holds to a number; compiled once.
        optimizer: The optimizer whose steps are taken.
        start: Parameters before the first step, and the optimizer's state.
        batches: Arguments of `loss` behind the parameters, a tuple for each step.
        look: Called after each step with the number of its batch, from 0, with parameters and optimizer's state, and
            with the loss before it.

    Returns:
        The parameters after the last step.
    """

    @jax.jit
    def step(params: Any, state: Any, *batch: Any) -> tuple[Any, Any, jax.Array]:
        value, gradients = jax.value_and_grad(loss)(params, *batch)
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, value

    (params, state), before = start, None
    for number, batch in enumerate(batches):
        params, state, value = step(params, state, *batch)
        jax.block_until_ready(before)  # no more than one step is under way
        before = value
        look(number, (params, state), value)
    return params
