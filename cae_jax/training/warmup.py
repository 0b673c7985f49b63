"""Teaches the class encoder and the discriminator to tell the classes apart before the rest is trained.

Where a class shows in a few pixels only, the decoder cannot learn to draw it before the class code says something, and
the class code is not asked for anything before the decoder uses it: both stay at chance. Nor can a discriminator that
does not know the classes tell what is wrong with a swap. A few hundred cheap steps of those two break the circle.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.progress import Progress

from cae_jax.data import make_augment
from cae_jax.images import to_model
from cae_jax.losses import cross_entropy, neighbourhood_loss
from cae_jax.models import apply
from cae_jax.training.run import Run
from cae_jax.training.state import TrainState

BATCH = 128  # images; neighbours are sought within it


def warm_up(run: Run, state: TrainState) -> TrainState:
    """Gathers class codes by the classifier's answers, and teaches those answers to the discriminator.

    The encoder's loss is `losses.neighbourhood_loss` alone, the discriminator's the cross entropy of the classes.

    Args:
        run: whose `train.warmup_steps` are taken, on its training images.
        state: a new one.

    Returns:
        The state with another class encoder, in its average too, and another discriminator.
    """
    steps = run.config.train.warmup_steps
    networks, source = run.trainer.networks, run.dataset.train
    optimizer = optax.adam(optax.cosine_onecycle_schedule(steps, run.config.optimizer.generator_rate))

    def loss(learned, images, labels):
        encoder, discriminator = learned
        x = to_model(images, networks.model.stride)
        codes = apply(networks.model, state.generator | {"class_encoder": encoder}, x, method="encode")[1]
        classes = apply(networks.discriminator, discriminator, x)[1]
        return neighbourhood_loss(codes, labels).mean() + cross_entropy(classes, labels).mean()

    @jax.jit
    def step(learned, moments, images, labels):
        updates, moments = optimizer.update(jax.grad(loss)(learned, images, labels), moments, learned)
        return optax.apply_updates(learned, updates), moments

    augment = make_augment(**run.config.augment.to_dict())
    rng = np.random.default_rng((run.config.seed, 3))
    unlearned = state.generator["class_encoder"], state.discriminator
    learned, moments = unlearned, optimizer.init(unlearned)
    with Progress(console=run.console) as progress:
        task = progress.add_task("warming up class encoder and discriminator", total=steps)
        for _ in range(steps):
            images = augment(source.take(rng.integers(len(source), size=BATCH)), rng)
            labels = run.functions.predict(jnp.asarray(images)).argmax(-1)
            learned, moments = step(learned, moments, images, labels)
            progress.advance(task)
    encoder, discriminator = jax.tree.map(lambda new, old: jax.device_put(new, old.sharding), learned, unlearned)
    ema = state.ema | {"class_encoder": jax.tree.map(lambda x: x.copy(), encoder)}
    generator = state.generator | {"class_encoder": encoder}
    return state.replace(generator=generator, discriminator=discriminator, ema=ema)
