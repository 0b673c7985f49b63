"""Between checkpoints, the training loop moves nothing to the device but what it says: its batches.

JAX's transfer guard forbids what is not asked for, such as numpy arrays and Python's numbers among a step's inputs,
which hold up an accelerator. On a CPU it does not see the way back; that terms are fetched one step behind is in
`test_monitor.py`.
"""

import dataclasses

import jax
import pytest
from rich.console import Console
from small_run import new_beside, small_config

from cae_jax.training import loop

STEPS, GUARDED = 6, range(3, 6)  # the first calls compile, and the last step is saved


def fit_guarded(trained, workdir):
    """Trains a few steps, the guard up during some of them; how many there were."""
    config = small_config(**new_beside(trained[0]))
    run, numbers = loop.prepare(config, workdir, Console(quiet=True)), []

    def step(state, batch):
        numbers.append(len(numbers) + 1)
        jax.config.update("jax_transfer_guard", "disallow" if numbers[-1] in GUARDED else "allow")
        return run.trainer.step(state, batch)

    try:
        loop.fit(dataclasses.replace(run, trainer=run.trainer._replace(step=step)))
    finally:
        jax.config.update("jax_transfer_guard", "allow")
    return len(numbers)


def test_steps_that_follow_each_other_move_nothing_unasked(trained, tmp_path):
    assert fit_guarded(trained, tmp_path / "run") == STEPS


def test_a_batch_that_is_left_to_the_step_to_move_is_found(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "split_batch", lambda mesh, batch: batch)
    with pytest.raises(jax.errors.JaxRuntimeError, match="Disallowed host-to-device transfer"):
        fit_guarded(trained, tmp_path / "run")
