"""The training objectives: swaps of a batch of pairs, and the losses of generator and discriminator on them."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from cae_jax import images as image_ranges
from cae_jax import losses
from cae_jax.models import CAE, RESIDUALS, Discriminator, apply
from cae_jax.models.discriminator import FAKE, REAL

Params = Any
Terms = dict[str, jax.Array]


class Networks(NamedTuple):
    """The modules that a training step calls, and the classifier if it is differentiable.

    Attributes:
        model: generator.
        discriminator: discriminator, which tells real images from fake ones and predicts the class.
        predict: classifier, `[batch, height, width, channels]` in [0, 1] to probabilities `[batch, K]`; of a student,
            see `taught`; None where a step asks no classifier that JAX could differentiate.
        image_size: height and width that `predict` expects.
        remat: whether activations of the generator are recomputed in the backward pass instead of kept: less memory,
            one more forward pass (Chen et al. 2016, arXiv 1604.06174).
        residual: what swaps keep of the exemplars, a name in `models.RESIDUALS`; empty for nothing.
    """

    model: CAE
    discriminator: Discriminator
    predict: Callable[..., jax.Array] | None
    image_size: tuple[int, int]
    remat: bool = False
    residual: str = ""

    def taught(self, student: Params) -> "Networks":
        """The same networks with a student's parameters in `predict`, which takes them first."""
        assert self.predict is not None
        return self._replace(predict=functools.partial(self.predict, student))

    def seen(self, x: jax.Array) -> jax.Array:
        """The classifier's probabilities for images `[batch, height, width, channels]` in [-1, 1], padded."""
        assert self.predict is not None
        return self.predict(image_ranges.from_model(x, self.image_size))


@flax.struct.dataclass
class Weights:
    """Weights of the loss terms; `config.presets` has the published values and the project's own.

    Attributes:
        image: L1 of reconstructions.
        class_code: L1 of the swap's class code against the donor's.
        individual_code: L1 of the swap's individual code against the exemplar's.
        cycle: L1 of cycles: images that are swapped and swapped back.
        adversarial: cross-entropy of the discriminator's answer 'real' to swaps.
        swap_class: cross-entropy of the donor's class in the discriminator's answer to swaps.
        squared: squared error of reconstructions and cycles; unlike L1 alone, it does not get stuck where all images
            are drawn as background.
        structure: what reconstructions lack of structural similarity.
        proximity: difference of the swap from the reconstruction; relative to its size, a faint change costs most.
        neighbourhood: loss that is low where nearby class codes are of the same class.
        consistency: cross-entropy of the donor's class in the classifier's answer to swaps.
        fidelity: divergence of the classifier's answer to a reconstruction from that to the image.
        leakage: dependence of individual codes on the class.
        bits: bits of an individual code, where it is rounded.
        discriminator_class: cross-entropy of the class of real images, in the discriminator's loss.
        gradient_penalty: R1 penalty at real images, in the discriminator's loss.
    """

    image: float
    class_code: float
    individual_code: float
    cycle: float
    adversarial: float
    swap_class: float
    squared: float
    structure: float
    proximity: float
    neighbourhood: float
    consistency: float
    fidelity: float
    leakage: float
    bits: float
    discriminator_class: float
    gradient_penalty: float


UNWEIGHTED = Weights(**{field.name: 0.0 for field in dataclasses.fields(Weights)})


class Swaps(NamedTuple):
    """Swaps of 2P samples: each sample decoded with the class code of its partner in the pair.

    Attributes:
        changes: swap minus reconstruction, before the exemplar is kept anywhere.
        images: swaps, `[2P, height, width, channels]` in [-1, 1], with noise if there is any.
        individual_code: individual codes of the swaps, encoded again; None where no loss looks at them.
        class_code: class codes of the swaps, `[2P, size]`; None likewise.
        cycles: images decoded from the swaps' individual codes and the samples' own class codes; None
            where `weights.cycle` is 0.
    """

    changes: jax.Array
    images: jax.Array
    individual_code: jax.Array | None = None
    class_code: jax.Array | None = None
    cycles: jax.Array | None = None


class Generated(NamedTuple):
    """The generator's outputs for a batch of P pairs, flattened to 2P samples (a₀, b₀, a₁, b₁, ...)."""

    individual_code: jax.Array
    class_code: jax.Array
    reconstructions: jax.Array
    swaps: Swaps | None  # None while warming up
    bits: jax.Array | None = None  # of the individual codes, where `weights.bits` is not 0


def interleave(a: jax.Array, b: jax.Array) -> jax.Array:
    """Interleaves two arrays `[N, ...]` as `[2N, ...]` (a₀, b₀, a₁, b₁, ...), so that rows stay on their device."""
    return jnp.stack([a, b], axis=1).reshape(-1, *a.shape[1:])


def deinterleave(joined: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Undoes `interleave`: returns the two arrays `[N, ...]` of an array `[2N, ...]`."""
    both = joined.reshape(-1, 2, *joined.shape[1:])
    return both[:, 0], both[:, 1]


def exchange(x: jax.Array) -> jax.Array:
    """Gives each of the 2P samples its partner's row: a and b of every pair are exchanged in `[2P, ...]`."""
    return x.reshape(-1, 2, *x.shape[1:])[:, ::-1].reshape(x.shape)


def generate(
    networks: Networks,
    weights: Weights,
    params: Params,
    x: jax.Array,
    key: jax.Array,
    noise: jax.Array | float = 0.0,
    swap: bool = True,
) -> Generated:
    """Encodes and reconstructs samples and, if `swap` is set, swaps class codes, re-encodes the swaps and cycles them.

    With `networks.residual`, swaps keep something of the exemplars. The gradient ignores this (straight-through):
    otherwise the parts of a drawing that are hidden would get no gradient, and could never learn to show.

    Args:
        networks: modules to call.
        weights: weights of the losses; swaps are encoded again, and cycled, only if a loss on that has a weight.
        params: parameters of the generator.
        x: samples, `[2P, height, width, channels]` in [-1, 1].
        key: PRNG key of the noise that individual codes have in place of rounding, where they are rounded.
        noise: noise that is added to the swaps.
        swap: whether to draw swaps.
    """
    model = networks.model

    def run(method: str) -> Callable[..., Any]:
        compute = lambda params, *inputs: apply(model, params, *inputs, method=method)  # noqa: E731
        return functools.partial(jax.checkpoint(compute) if networks.remat else compute, params)

    decode = run("decode")

    def encode(images: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        answers = jax.lax.stop_gradient(networks.seen(images)) if model.told else None
        return run("encode")(images, answers, key)

    key, key_of_swaps = jax.random.split(key)
    individual_code, class_code = encode(x, key)
    bits = run("code_bits")(individual_code) if weights.bits else None
    if not swap:
        return Generated(individual_code, class_code, decode(individual_code, class_code), None, bits)
    both = decode(interleave(individual_code, individual_code), interleave(class_code, exchange(class_code)))
    reconstructions, swaps = deinterleave(both)
    changes = swaps - reconstructions
    if networks.residual:
        keep = RESIDUALS[networks.residual]
        swaps += jax.lax.stop_gradient(keep(x, reconstructions, swaps, span=2.0) - swaps)
    swaps += noise
    made = Swaps(changes, swaps)
    if weights.class_code or weights.individual_code or weights.cycle:
        made = made._replace(**dict(zip(("individual_code", "class_code"), encode(swaps, key_of_swaps), strict=True)))
    if weights.cycle:
        made = made._replace(cycles=decode(made.individual_code, class_code))
    return Generated(individual_code, class_code, reconstructions, made, bits)


def _of_class(real_fake: jax.Array, classes: jax.Array) -> jax.Array:
    """Logits of fake and real, `[batch, 2]`; with a conditional discriminator, those for each sample's class."""
    if real_fake.ndim == 2:
        return real_fake
    return jnp.take_along_axis(real_fake, classes[:, None, None], axis=1)[:, 0]


def _over_pair(per_sample: jax.Array) -> jax.Array:
    """Mean over pairs of (term of a + term of b), as published."""
    return 2.0 * per_sample.mean()


def _of_answered(per_sample: jax.Array, *answers: jax.Array) -> jax.Array:
    """Sets the terms of samples to 0 where a classifier's answer is not finite.

    The other terms are scaled up, so that the mean over all samples is the mean over the others; without any others the
    terms are NaN.
    """
    answered = jnp.stack([jnp.isfinite(rows).all(-1) for rows in answers]).all(0)
    return jnp.where(answered, per_sample, 0.0) / answered.mean(dtype=per_sample.dtype)


def discriminator_loss(
    discriminator: Params,
    networks: Networks,
    weights: Weights,
    x: jax.Array,
    labels: jax.Array,
    generated: Generated,
    key: jax.Array,
) -> tuple[jax.Array, Terms]:
    """Loss of the discriminator on real images and detached swaps.

    Args:
        discriminator: parameters of the discriminator.
        networks: modules to call.
        weights: weights of the terms.
        x: real images, `[2P, height, width, channels]` in [-1, 1].
        labels: their classes, `[2P]`.
        generated: outputs of the generator.
        key: PRNG key of dropout.

    Returns:
        The weighted total, and the unweighted terms by name; without swaps, those of fake and real are left out.
    """
    judge = lambda images, key: apply(  # noqa: E731
        networks.discriminator, discriminator, images, train=True, rngs={"dropout": key}
    )
    dropout_key, penalty_key = jax.random.split(key)
    terms = {}
    if generated.swaps is None:
        _, classes_of_images = judge(x, dropout_key)
    else:
        real_fake, classes = judge(interleave(generated.swaps.images, x), dropout_key)
        of_swaps, of_images = deinterleave(_of_class(real_fake, interleave(exchange(labels), labels)))
        _, classes_of_images = deinterleave(classes)
        terms["discriminator_fake"] = _over_pair(losses.cross_entropy(of_swaps, jnp.full_like(labels, FAKE)))
        terms["discriminator_real"] = _over_pair(losses.cross_entropy(of_images, jnp.full_like(labels, REAL)))
    total = sum(terms.values(), jnp.zeros(()))
    terms["discriminator_class"] = _over_pair(losses.cross_entropy(classes_of_images, labels))
    total += weights.discriminator_class * terms["discriminator_class"]
    if weights.gradient_penalty:
        score = lambda images: jnp.diff(_of_class(judge(images, penalty_key)[0], labels))[:, 0]  # noqa: E731
        terms["gradient_penalty"] = _over_pair(losses.gradient_penalty(score, x))
        total += weights.gradient_penalty * terms["gradient_penalty"]
    return total, terms


def generator_loss(
    generated: Generated,
    discriminator: Params,
    networks: Networks,
    weights: Weights,
    x: jax.Array,
    labels: jax.Array,
    key: jax.Array,
) -> tuple[jax.Array, Terms]:
    """Loss of the generator's outputs, judged by the discriminator and, if it is differentiable, the classifier.

    Args:
        generated: outputs of the generator.
        discriminator: parameters of the discriminator.
        networks: modules to call.
        weights: weights of the terms.
        x: exemplars, `[2P, height, width, channels]` in [-1, 1].
        labels: their classes, `[2P]`.
        key: PRNG key of dropout.

    Returns:
        The weighted total, and the unweighted terms by name; without swaps, terms that need them are left out.
    """
    swaps, donor_labels = generated.swaps, exchange(labels)
    per_sample = {"image": losses.absolute_error(generated.reconstructions, x)}
    if swaps is not None:
        real_fake, classes = apply(
            networks.discriminator, discriminator, swaps.images, train=True, rngs={"dropout": key}
        )
        real_fake, real = _of_class(real_fake, donor_labels), jnp.full(labels.shape, REAL)
        if swaps.class_code is not None and swaps.individual_code is not None:
            per_sample["class_code"] = losses.absolute_error(swaps.class_code, exchange(generated.class_code))
            per_sample["individual_code"] = losses.absolute_error(swaps.individual_code, generated.individual_code)
        if swaps.cycles is not None:
            per_sample["cycle"] = losses.absolute_error(swaps.cycles, x)
        per_sample |= {
            "adversarial": losses.cross_entropy(real_fake, real),
            "swap_class": losses.cross_entropy(classes, donor_labels),
        }
    if weights.squared:
        per_sample["squared"] = losses.squared_error(generated.reconstructions, x)
        if swaps is not None and swaps.cycles is not None:
            per_sample["squared"] += losses.squared_error(swaps.cycles, x)
    if weights.structure:
        per_sample["structure"] = losses.structure_loss(generated.reconstructions, x)
    if weights.proximity and swaps is not None:
        per_sample["proximity"] = losses.proximity_loss(swaps.changes)
    if weights.leakage:
        per_sample["leakage"] = losses.dependence_loss(generated.individual_code, labels)
    if generated.bits is not None:
        per_sample["bits"] = generated.bits
    if weights.neighbourhood:
        per_sample["neighbourhood"] = losses.neighbourhood_loss(generated.class_code, labels)
    if networks.predict is not None:
        seen = networks.seen
        if weights.consistency and swaps is not None:
            of_swaps = seen(swaps.images)
            per_sample["consistency"] = _of_answered(losses.probability_cross_entropy(of_swaps, donor_labels), of_swaps)
        if weights.fidelity:
            of_images, of_reconstructions = seen(x), seen(generated.reconstructions)
            divergence = losses.prediction_divergence(of_images, of_reconstructions)
            per_sample["fidelity"] = _of_answered(divergence, of_images, of_reconstructions)
    terms = {name: _over_pair(values) for name, values in per_sample.items()}
    total = sum((getattr(weights, name) * value for name, value in terms.items()), jnp.zeros(()))
    return total, terms
