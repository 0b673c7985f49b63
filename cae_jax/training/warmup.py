"""Teaches every network its easier half before they are trained together: to tell the classes apart, to reconstruct.

Where a class shows in a few pixels only, the decoder cannot learn to draw it before the class code says something, and
the class code is not asked for anything before the decoder uses it: both stay at chance. Nor can a discriminator that
does not know the classes tell what is wrong with a swap, or a decoder that does not know the individual put a finding
where it belongs. A few hundred cheap steps break the circle.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.progress import Progress

from cae_jax.data import make_augment
from cae_jax.images import to_model
from cae_jax.losses import cross_entropy, image_reconstruction_loss, neighbourhood_loss, squared_error
from cae_jax.models import apply
from cae_jax.training.run import Run
from cae_jax.training.step import TrainState
from cae_jax.training.unfinished import Unfinished

BATCH = 32  # images; neighbours are sought within it
DRAWN = 16  # of them that are reconstructed, which costs most


def warm_up(run: Run, state: TrainState) -> tuple[TrainState, float]:
    """Gathers class codes by the classifier's answers, teaches those to the discriminator, and reconstructs.

    The loss is `losses.neighbourhood_loss` of the class codes, the cross entropy of the discriminator's classes, and
    the config's losses of reconstructions, added up.

    Args:
        run: whose `train.warmup_steps` are taken, on its training images; those that an earlier start has taken are
            not taken again.
        state: a new one.

    Returns:
        The state with another generator, in its average too, and another discriminator; and the seconds that it took.
    """
    steps, weights, rates = run.config.train.warmup_steps, run.config.loss, run.config.optimizer
    networks, source = run.trainer.networks, run.dataset.train
    optimizer = optax.multi_transform(
        {
            "generator": optax.adam(optax.cosine_onecycle_schedule(steps, rates.warmup_rate)),
            "discriminator": optax.adam(optax.cosine_onecycle_schedule(steps, rates.discriminator_rate)),
        },
        {"generator": "generator", "discriminator": "discriminator"},
    )

    def loss(learned, images, labels):
        generator, discriminator = learned["generator"], learned["discriminator"]
        x = to_model(images, networks.model.stride)
        # Of either pair of codes, the one that is not used is not computed.
        _, class_codes = apply(networks.model, generator, x, method="encode")
        individual_codes, _ = apply(networks.model, generator, x[:DRAWN], method="encode")
        drawn = apply(networks.model, generator, individual_codes, class_codes[:DRAWN], method="decode")
        classes = apply(networks.discriminator, discriminator, x)[1]
        reconstruction = weights.image * image_reconstruction_loss(drawn, x[:DRAWN])
        reconstruction += weights.squared * squared_error(drawn, x[:DRAWN])
        told_apart = neighbourhood_loss(class_codes, labels).mean() + cross_entropy(classes, labels).mean()
        return told_apart + reconstruction.mean()

    @jax.jit
    def step(learned, moments, images, labels):
        updates, moments = optimizer.update(jax.grad(loss)(learned, images, labels), moments, learned)
        return optax.apply_updates(learned, updates), moments

    augment = jax.jit(make_augment(**run.config.augment.to_dict()))
    rng, key = np.random.default_rng((run.config.seed, 3)), jax.random.key(run.config.seed)
    unlearned = {"generator": state.generator, "discriminator": state.discriminator}
    with Unfinished(run.workdir, "warm-up", {"steps": steps}) as unfinished, Progress(console=run.console) as progress:
        done, (learned, moments) = unfinished.resume((unlearned, optimizer.init(unlearned)), shared=True)
        task = progress.add_task("warming up", total=steps, completed=done)
        for number in range(steps):
            rows = rng.integers(len(source), size=BATCH)
            if number < done:
                continue
            images = augment(jax.random.fold_in(key, number), source.take(rows))
            labels = run.functions.predict(images).argmax(-1)
            learned, moments = step(learned, moments, images, labels)
            unfinished.after(number + 1, (learned, moments))
            progress.advance(task)
    learned = jax.tree.map(lambda new, old: jax.device_put(new, old.sharding), learned, unlearned)
    return state.replace(**learned, ema=jax.tree.map(jnp.copy, learned["generator"])), unfinished.seconds
