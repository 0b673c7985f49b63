"""The warm-up: trains reconstruction and telling the classes apart, before the networks are trained on swaps.

Where a class shows in a few pixels only, the decoder cannot learn to draw it before class codes carry information, and
class codes get no gradient before the decoder uses them: both stay at chance. Nor can a discriminator that does not
know the classes tell what is wrong with a swap, or a decoder that does not know the individual place a finding where it
belongs. A few hundred cheap steps break the circle.
"""

import jax
import jax.numpy as jnp

from cae_jax.config.reading import FREE_TO_CHANGE, OF_CAE, flatten
from cae_jax.data import pair_batches
from cae_jax.parallel.sharding import split_batch
from cae_jax.training.monitor import Monitor
from cae_jax.training.run import Run
from cae_jax.training.step import TrainState
from cae_jax.training.unfinished import Unfinished

PAIRS = 16  # least number of pairs in a batch, since the neighbourhood loss compares codes within it


def warmup_pairs(batch_size: int) -> int:
    """The number of pairs in a batch of the warm-up: as many as in training, or a multiple of that, `PAIRS` or more."""
    return batch_size * -(-PAIRS // batch_size)


def warm_up(run: Run) -> tuple[TrainState, float]:
    """Takes `train.warmup_steps` steps without swaps, with the weights of `build.warmup_weights`.

    They are logged as 'warm-up'. Progress is saved from time to time, and continued by a later start.

    Args:
        run: run to warm up.

    Returns:
        A new training state with the warmed-up networks (the generator's moving average starts at its parameters); and
        the seconds that the warm-up took.

    Raises:
        NonFiniteLoss: if a loss or norm is not finite.
        KeyboardInterrupt: after Ctrl-C.
        Terminated: after SIGTERM.
    """
    train, step = run.config.train, run.trainer.warmup_step
    assert step is not None  # the config asks for a warm-up
    sampler = run.sampler(warmup_pairs(train.batch_size))
    of_it = {key: value for key, value in flatten(run.config).items() if key.startswith(OF_CAE)}
    later = {key for key in of_it if key in FREE_TO_CHANGE or key.startswith("evaluation.")}
    facts = {key: value for key, value in of_it.items() if key not in later} | run.learned_from
    with Unfinished(run.workdir, "warm-up", facts) as unfinished:
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
