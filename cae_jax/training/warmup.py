"""Teaches the class encoder to tell the classes apart before the rest is trained.

Where a class shows in a few pixels only, the decoder cannot learn to draw it before the class code says something, and
the class code is not asked for anything before the decoder uses it: both stay at chance. A few hundred cheap steps of
the encoder alone break the circle.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.progress import Progress

from cae_jax.data import make_augment
from cae_jax.images import to_model
from cae_jax.losses import neighbourhood_loss
from cae_jax.models import apply
from cae_jax.training.run import Run
from cae_jax.training.state import TrainState

BATCH = 128  # images; neighbours are sought within it


def warm_up(run: Run, state: TrainState) -> TrainState:
    """Gathers class codes by the classifier's answers, with the loss of `losses.neighbourhood` alone.

    Args:
        run: whose `train.warmup_steps` are taken, on its training images.
        state: a new one.

    Returns:
        The state with another class encoder, in its average too.
    """
    steps = run.config.train.warmup_steps
    model, source = run.trainer.networks.model, run.dataset.train
    optimizer = optax.adam(optax.cosine_onecycle_schedule(steps, run.config.optimizer.generator_rate))
    rest = state.generator

    @jax.jit
    def step(params, moments, images, labels):
        def loss(params):
            whole = rest | {"class_encoder": params}
            codes = apply(model, whole, to_model(images, model.stride), method="encode")[1]
            return neighbourhood_loss(codes, labels).mean()

        value, gradients = jax.value_and_grad(loss)(params)
        updates, moments = optimizer.update(gradients, moments, params)
        return optax.apply_updates(params, updates), moments, value

    augment = make_augment(**run.config.augment.to_dict())
    rng = np.random.default_rng((run.config.seed, 3))
    params = rest["class_encoder"]
    moments = optimizer.init(params)
    with Progress(console=run.console) as progress:
        task = progress.add_task("warming up the class encoder", total=steps)
        for _ in range(steps):
            images = augment(source.take(rng.integers(len(source), size=BATCH)), rng)
            labels = run.functions.predict(jnp.asarray(images)).argmax(-1)
            params, moments, _ = step(params, moments, images, labels)
            progress.advance(task)
    copied = jax.tree.map(lambda new, old: jax.device_put(new, old.sharding), params, rest["class_encoder"])
    ema = jax.tree.map(lambda x: x.copy(), copied)
    return state.replace(generator=rest | {"class_encoder": copied}, ema=state.ema | {"class_encoder": ema})
