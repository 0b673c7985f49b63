"""Teaches every network its easier half before they are trained together: to tell the classes apart, to reconstruct.

Where a class shows in a few pixels only, the decoder cannot learn to draw it before the class code says something, and
the class code is not asked for anything before the decoder uses it: both stay at chance. Nor can a discriminator that
does not know the classes tell what is wrong with a swap, or a decoder that does not know the individual put a finding
where it belongs. A few hundred cheap steps break the circle.
"""

import jax
import jax.numpy as jnp

from cae_jax.data import pair_batches
from cae_jax.parallel.sharding import split_batch
from cae_jax.training.monitor import Monitor
from cae_jax.training.run import Run
from cae_jax.training.step import TrainState
from cae_jax.training.unfinished import Unfinished

PAIRS = 16  # at least; neighbours are sought within a batch


def warm_up(run: Run) -> tuple[TrainState, float]:
    """Takes `train.warmup_steps` steps without swaps, see `build.warmup_weights`.

    They are logged as 'warm-up' and kept now and then, and those that an earlier start has taken are not taken again.
    A batch has as many pairs as in training, a few times over where that is few.

    Args:
        run: what is trained.

    Returns:
        A new state of the run but for the networks, the generator's average included; and the seconds that it took.

    Raises:
        NonFiniteLoss: if a loss breaks.
        KeyboardInterrupt: after Ctrl-C.
        Terminated: after SIGTERM.
    """
    train, step = run.config.train, run.trainer.warmup_step
    assert step is not None  # the config asks for a warm-up
    sampler = run.sampler(train.batch_size * -(-PAIRS // train.batch_size))
    with Unfinished(run.workdir, "warm-up", {"steps": train.warmup_steps}) as unfinished:
        done, state = unfinished.resume(run.trainer.init(), shared=True)
        settings = {"kind": "warm-up", "start": done, "log_every": train.log_every, "images": 2 * sampler.batch_size}
        with Monitor(run.workdir, run.console, train.warmup_steps, **settings) as monitor:
            for number, batch in enumerate(pair_batches(sampler, done, train.warmup_steps), done + 1):
                state, terms = step(state, split_batch(run.mesh, batch))
                monitor.step(number, terms)
                unfinished.after(number, state, monitor.settle)
            monitor.settle()
    learned = {"generator": state.generator, "discriminator": state.discriminator}
    return run.trainer.init().replace(**learned, ema=jax.tree.map(jnp.copy, state.generator)), unfinished.seconds
