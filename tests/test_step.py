"""The training step against a naive one in two passes, on one device and on eight; the check of its terms."""

import dataclasses
import functools
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
from jax import export
from jax.sharding import AxisType
from published import draw_params, make_cae, make_discriminator, make_weights

from cae_jax import losses, metrics
from cae_jax.data import make_augment
from cae_jax.models import add_detail, draw_on
from cae_jax.parallel.sharding import data_mesh, replicated, split_batch
from cae_jax.training.build import warmup_weights
from cae_jax.training.objectives import (
    Networks,
    Weights,
    discriminator_loss,
    exchange,
    generate,
    generator_loss,
)
from cae_jax.training.step import NORMS, TrainState, make_train_step, norm, update_ema

CLASSES = 3
KEY = jax.random.key(11)  # of noise in place of rounding, where codes are rounded
RATES = {"generator": 0.01, "discriminator": 0.05}
DISCRIMINATORS = {"discriminator_class", "gradient_penalty"}
GENERATORS = {field.name for field in dataclasses.fields(Weights)} - DISCRIMINATORS - {"bits"}  # of rounded codes
EVERY_TERM = make_weights(
    squared=2.0,
    structure=0.8,
    proximity=0.6,
    neighbourhood=0.5,
    consistency=1.5,
    fidelity=0.9,
    leakage=0.7,
    gradient_penalty=0.3,
    discriminator_class=2.0,
)


def toy_predict(images):
    """A fixed linear classifier of 8×8 grey images."""
    weights = np.random.default_rng(7).normal(size=(64, CLASSES)).astype(np.float32)
    return jax.nn.softmax(images.reshape(images.shape[0], -1) @ weights)


NETWORKS = Networks(
    make_cae(
        1,
        width=4,
        class_width=4,
        class_code_size=4,
        class_downsamplings=2,
        individual_downsamplings=1,
        individual_code_channels=2,
        residual_blocks=1,
        mlp_width=8,
        stem_kernel=3,
        output_kernel=3,
    ),
    make_discriminator(CLASSES, width=4, downsamplings=2, residual_blocks=1, hidden=8, dropout=0.4),
    toy_predict,
    (8, 8),
)
SWAP_NOISE = 0.05
UNCHANGED = make_augment(0, 0.0, False)
GENERATOR_OPTIMIZER, DISCRIMINATOR_OPTIMIZER = optax.sgd(RATES["generator"]), optax.sgd(RATES["discriminator"])


# The compiler's last optimisations take most of its time and change nothing here.
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def generator_terms(made, discriminator, networks, weights, x, labels, key):
    """The terms of the generator's loss, compiled as one."""
    terms = lambda made, x, labels: generator_loss(made, discriminator, networks, weights, x, labels, key)[1]  # noqa: E731
    return quick_jit(terms)(made, x, labels)


def make_step(weights, relabel=False, augment=UNCHANGED, swap=True):
    optimizers = GENERATOR_OPTIMIZER, DISCRIMINATOR_OPTIMIZER
    return make_train_step(
        NETWORKS, weights, *optimizers, 0.9, augment=augment, relabel=relabel, swap_noise=SWAP_NOISE, swap=swap
    )


@pytest.fixture(scope="module")
def state():
    images = jnp.zeros((1, 8, 8, 1))
    generator = draw_params(NETWORKS.model, 0, images)
    discriminator = draw_params(NETWORKS.discriminator, 1, images)
    return TrainState(
        step=jnp.asarray(5, jnp.int32),
        key=jax.random.key(3),
        generator=generator,
        discriminator=discriminator,
        generator_optimizer=GENERATOR_OPTIMIZER.init(generator),
        discriminator_optimizer=DISCRIMINATOR_OPTIMIZER.init(discriminator),
        ema=jax.tree.map(lambda x: x - 1.0, generator),
    )


@pytest.fixture(scope="module")
def batch():
    images = np.random.default_rng(0).random((2, 2, 8, 8, 1), np.float32)
    return {"images": images, "labels": np.asarray([[0, 1], [2, 0]], np.int32)}


@pytest.fixture(scope="module")
def step():
    """The compiled step; to trace it a second time is an error."""
    chex.clear_trace_counter()
    return quick_jit(chex.assert_max_traces(make_step(EVERY_TERM), n=1))


@pytest.fixture(scope="module")
def stepped(step, state, batch):
    """The state after one step, and its terms."""
    return step(state, batch)


@pytest.fixture(scope="module")
def naive(state, batch):
    """Parameters after one step in two passes, each differentiating a network's own loss from the images on."""
    x = jnp.asarray(batch["images"].reshape(4, 8, 8, 1) * 2.0 - 1.0)
    labels = jnp.asarray(batch["labels"].reshape(4))
    keys = jax.random.split(jax.random.fold_in(state.key, state.step), 3)
    discriminator_key, generator_key, noise_key = keys
    noise = 2 * SWAP_NOISE * jax.random.normal(noise_key, x.shape)  # images lie in [-1, 1] here

    def loss_of_discriminator(discriminator):
        made = jax.lax.stop_gradient(generate(NETWORKS, EVERY_TERM, state.generator, x, KEY, noise))
        return discriminator_loss(discriminator, NETWORKS, EVERY_TERM, x + noise, labels, made, discriminator_key)[0]

    def loss_of_generator(generator, discriminator):
        made = generate(NETWORKS, EVERY_TERM, generator, x, KEY, noise)
        return generator_loss(made, discriminator, NETWORKS, EVERY_TERM, x, labels, generator_key)[0]

    descend = lambda rate: lambda value, gradient: value - rate * gradient  # noqa: E731
    gradients = quick_jit(jax.grad(loss_of_discriminator))(state.discriminator)
    discriminator = jax.tree.map(descend(RATES["discriminator"]), state.discriminator, gradients)
    gradients = quick_jit(jax.grad(loss_of_generator))(state.generator, discriminator)
    return jax.tree.map(descend(RATES["generator"]), state.generator, gradients), discriminator


@pytest.fixture(scope="module")
def generated(state, batch):
    x = jnp.asarray(batch["images"].reshape(4, 8, 8, 1) * 2.0 - 1.0)
    return x, quick_jit(lambda params, x: generate(NETWORKS, EVERY_TERM, params, x, KEY))(state.generator, x)


def test_what_no_weight_asks_for_is_not_made_and_the_rest_is_the_same(state, generated):
    x, made = generated
    none = {"class_code": 0.0, "individual_code": 0.0, "cycle": 0.0}

    def with_changes(changes):
        weights = EVERY_TERM.replace(**changes)
        return quick_jit(lambda params: generate(NETWORKS, weights, params, x, KEY))(state.generator)

    fewer, fewest = with_changes({"cycle": 0.0}), with_changes(none)
    assert fewer.swaps.cycles is None
    np.testing.assert_allclose(fewer.swaps.class_code, made.swaps.class_code, atol=1e-5)
    assert (fewest.swaps.individual_code, fewest.swaps.class_code, fewest.swaps.cycles) == (None, None, None)
    np.testing.assert_allclose(fewest.swaps.images, made.swaps.images, atol=1e-5)
    terms = generator_terms(
        fewest, state.discriminator, NETWORKS, EVERY_TERM.replace(**none), x, jnp.asarray([0, 1, 2, 0]), state.key
    )
    assert GENERATORS - terms.keys() == none.keys()


def test_images_and_swaps_are_encoded_with_the_classifier_s_answers_to_them(state, generated):
    x, made = generated
    networks = NETWORKS._replace(model=NETWORKS.model.clone(answers=CLASSES))
    kernel = np.random.default_rng(3).normal(size=(CLASSES, 4)).astype(np.float32)
    told = state.generator | {"class_encoder": state.generator["class_encoder"] | {"answer": {"kernel": kernel}}}
    found = quick_jit(lambda params: generate(networks, EVERY_TERM, params, x, KEY))(told)
    seen = lambda images: 1.0 + np.log(toy_predict((images + 1.0) / 2.0) + 1e-3) / np.log(1e3)  # noqa: E731
    np.testing.assert_allclose(found.class_code, made.class_code + seen(x) @ kernel, atol=1e-4)
    encode = quick_jit(lambda x: NETWORKS.model.apply({"params": state.generator}, x, method="encode"))
    swaps = found.swaps.images
    np.testing.assert_allclose(found.swaps.class_code, encode(swaps)[1] + seen(swaps) @ kernel, atol=1e-4)


def largest_change(before, after):
    return max(float(np.abs(a - b).max()) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True))


def test_one_forward_pass_gives_the_gradients_of_two(stepped, naive, state):
    generator, discriminator = naive
    assert largest_change(state.generator, generator) > 1e-3
    assert largest_change(state.discriminator, discriminator) > 1e-3
    chex.assert_trees_all_close(stepped[0].discriminator, discriminator, atol=1e-5)
    chex.assert_trees_all_close(stepped[0].generator, generator, atol=1e-5)


def test_a_step_counts_keeps_the_key_and_moves_the_average(stepped, state):
    new, terms = stepped
    assert int(new.step) == 6
    assert (jax.random.key_data(new.key) == jax.random.key_data(state.key)).all()
    rate = min(0.9, (1 + 5) / (10 + 5))
    expected = jax.tree.map(lambda old, value: rate * old + (1 - rate) * value, state.ema, new.generator)
    chex.assert_trees_all_close(new.ema, expected, atol=1e-6)
    assert all(np.isfinite(value) and np.shape(value) == () for value in terms.values())


def test_what_checkpoints_hold_keeps_its_names_so_that_runs_of_earlier_versions_go_on(state):
    names = [field.name for field in dataclasses.fields(state)]
    optimizers = ["generator_optimizer", "discriminator_optimizer"]
    assert names == ["step", "key", "generator", "discriminator", *optimizers, "ema"]


def test_norms_are_of_each_network_s_gradient_and_update(stepped, state):
    new, terms = stepped
    norm = lambda tree: np.sqrt(sum(np.square(x, dtype=np.float64).sum() for x in jax.tree.leaves(tree)))  # noqa: E731
    pairs = {name: (state.generator[name], new.generator[name], RATES["generator"]) for name in state.generator}
    pairs["discriminator"] = state.discriminator, new.discriminator, RATES["discriminator"]
    assert pairs.keys() == {"class_encoder", "individual_encoder", "decoder", "discriminator"}
    for name, (before, after, rate) in pairs.items():
        update = norm(jax.tree.map(lambda x, y: x - y, before, after))
        assert float(terms[f"update_norm/{name}"]) == pytest.approx(update, rel=1e-3)
        assert float(terms[f"gradient_norm/{name}"]) == pytest.approx(update / rate, rel=1e-3)


def test_a_norm_is_finite_where_all_numbers_are():
    assert float(norm({"a": jnp.asarray([3e30, 0.0]), "b": jnp.asarray([[-4e30]])})) == pytest.approx(5e30, rel=1e-6)
    assert float(norm({"a": jnp.zeros(3)})) == 0.0
    for broken in (np.nan, np.inf):
        assert not np.isfinite(norm({"a": jnp.asarray([1.0, broken])}))


def test_without_swaps_nothing_looks_at_any_and_all_networks_learn(state, batch):
    new, terms = quick_jit(make_step(warmup_weights(EVERY_TERM), swap=False))(state, batch)
    found = {name: float(value) for name, value in terms.items() if not name.startswith(NORMS)}
    own = {"image", "squared", "structure", "neighbourhood", "leakage", "discriminator_class"}
    assert found.keys() == own | {"generator_total", "discriminator_total"}
    assert found["discriminator_total"] == pytest.approx(found["discriminator_class"])
    weighted = sum(getattr(EVERY_TERM, name) * found[name] for name in ("image", "squared", "structure", "leakage"))
    total = weighted + found["neighbourhood"]
    assert found["generator_total"] == pytest.approx(total, rel=1e-5)
    x = jnp.asarray(batch["images"].reshape(4, 8, 8, 1)) * 2.0 - 1.0
    made = quick_jit(lambda params: generate(NETWORKS, EVERY_TERM, params, x, KEY, swap=False))(state.generator)
    drawn = made.reconstructions
    assert found["image"] == pytest.approx(2.0 * float(np.abs(drawn - x).mean()), rel=1e-4)
    assert found["squared"] == pytest.approx(2.0 * float(np.square(drawn - x).mean()), rel=1e-4)
    for name in state.generator:
        assert largest_change(state.generator[name], new.generator[name]) > 1e-4
    assert largest_change(state.discriminator, new.discriminator) > 1e-4


def test_the_totals_are_weighted_sums_of_the_terms(stepped):
    _, terms = stepped
    weights = EVERY_TERM
    ours = GENERATORS
    assert all(getattr(weights, name) for name in ours)  # none is left out of these tests
    total = sum(getattr(weights, name) * float(terms[name]) for name in ours)
    assert float(terms["generator_total"]) == pytest.approx(total, rel=1e-4)
    total = float(terms["discriminator_fake"] + terms["discriminator_real"])
    total += 2.0 * float(terms["discriminator_class"]) + 0.3 * float(terms["gradient_penalty"])
    assert float(terms["discriminator_total"]) == pytest.approx(total, rel=1e-4)


def test_the_discriminator_learns_nothing_from_the_losses_of_the_generator_nor_it_from_theirs(stepped, state, batch):
    silent = make_weights(**dict.fromkeys(GENERATORS, 0.0), gradient_penalty=0.3)
    new, _ = quick_jit(make_step(silent))(state, batch)
    chex.assert_trees_all_close(new.discriminator, stepped[0].discriminator, atol=1e-6)
    assert largest_change(new.generator, state.generator) == 0.0


def test_the_classifier_labels_what_augmentation_left_where_asked(step, state, batch):
    upside_down = batch["images"][:, :, ::-1]
    answers = np.asarray(toy_predict(jnp.asarray(upside_down).reshape(4, 8, 8, 1))).argmax(-1).reshape(2, 2)
    assert (answers != batch["labels"]).any()
    relabelling = quick_jit(make_step(EVERY_TERM, relabel=True, augment=lambda key, images: images[:, ::-1]))
    relabelled, _ = relabelling(state, batch)
    told, _ = step(state, {"images": upside_down, "labels": answers.astype(np.int32)})
    chex.assert_trees_all_close(relabelled.generator, told.generator, atol=1e-6)
    chex.assert_trees_all_close(relabelled.discriminator, told.discriminator, atol=1e-6)


def test_the_step_is_traced_once(step, state, batch):
    for _ in range(3):
        state, _ = step(state, batch)
    assert int(state.step) == 8


def test_the_step_lowers_for_accelerators_too(state, batch):
    lowered = export.export(jax.jit(make_step(EVERY_TERM)), platforms=("cuda", "tpu"))(state, batch)
    assert lowered.platforms == ("cuda", "tpu")
    assert len(lowered.out_avals) > len(jax.tree.leaves(state))


@pytest.mark.many_devices
def test_eight_devices_give_the_result_of_one(state, batch):
    mesh = data_mesh()
    assert mesh.devices.size == jax.device_count() == 8
    pairs = {name: np.concatenate([rows, rows[::-1]] * 2) for name, rows in batch.items()}
    step = make_step(EVERY_TERM, augment=make_augment(1, 10.0, True))
    alone, alone_terms = quick_jit(step)(state, pairs)
    everywhere = replicated(mesh)
    shared = split_batch(mesh, pairs)
    assert {shard.data.shape[:2] for shard in shared["images"].addressable_shards} == {(1, 2)}
    state = jax.device_put(state, everywhere)
    compiled = quick_jit(step, out_shardings=everywhere).lower(state, shared).compile()
    new, terms = compiled(state, shared)
    for name, value in alone_terms.items():
        assert float(terms[name]) == pytest.approx(float(value), rel=1e-5), name
    for name, rate in RATES.items():
        before, one, many = (jax.device_get(getattr(x, name)) for x in (state, alone, new))
        gradients = [jax.tree.map(lambda x, y: (x - y) / rate, before, after) for after in (one, many)]  # noqa: B023
        largest = max(np.abs(x).max() for x in jax.tree.leaves(gradients[0]))
        chex.assert_trees_all_close(*gradients, rtol=1e-5, atol=1e-5 * largest)
    text = compiled.as_text()
    exchanged = set(re.findall(r" (all-to-all|collective-\w+|reduce-scatter|all-reduce|all-gather)\(", text))
    # Gradients and terms are summed, codes and labels gathered for the terms of a whole batch: no image moves.
    assert exchanged == {"all-reduce", "all-gather"}
    gathered = re.findall(r" \w+\[([\d,]*)\]\S* all-gather\(", text)
    assert gathered
    assert max(shape.count(",") for shape in gathered) <= 1


def test_the_mesh_has_one_automatic_axis():
    mesh = data_mesh()
    assert mesh.axis_names == ("data",)
    assert mesh.axis_types == (AxisType.Auto,)


def test_pairs_that_devices_cannot_share_are_refused(monkeypatch):
    monkeypatch.setattr(jax, "local_device_count", lambda: 2)
    with pytest.raises(ValueError, match=r"3 pairs .* 2 devices.*train\.batch_size"):
        split_batch(data_mesh(), {"images": np.zeros((3, 2, 8, 8, 1))})


def test_exchange_swaps_the_rows_of_every_pair():
    np.testing.assert_array_equal(exchange(jnp.asarray([[0], [1], [2], [3]])), [[1], [0], [3], [2]])
    np.testing.assert_array_equal(exchange(jnp.asarray([5, 6])), [6, 5])


def test_swaps_are_drawn_with_the_class_codes_of_their_partners(generated, state):
    x, made = generated
    encode = quick_jit(lambda x: NETWORKS.model.apply({"params": state.generator}, x, method="encode"))
    decode = quick_jit(lambda c, s: NETWORKS.model.apply({"params": state.generator}, c, s, method="decode"))
    individual, classes = encode(x)
    partners = np.asarray([1, 0, 3, 2])
    np.testing.assert_allclose(made.reconstructions, decode(individual, classes), atol=1e-5)
    np.testing.assert_allclose(made.swaps.images, decode(individual, classes[partners]), atol=1e-5)
    assert np.abs(made.swaps.images - made.reconstructions).max() > 1e-3
    swap_individual, swap_classes = encode(made.swaps.images)
    np.testing.assert_allclose(made.swaps.individual_code, swap_individual, atol=1e-4)
    np.testing.assert_allclose(made.swaps.class_code, swap_classes, atol=1e-4)
    np.testing.assert_allclose(made.swaps.cycles, decode(swap_individual, classes), atol=1e-4)


def test_a_model_that_keeps_residuals_keeps_exemplars_in_swaps(generated, state):
    x, made = generated
    keeping = NETWORKS._replace(residual="exemplar")
    kept = quick_jit(lambda p: generate(keeping, EVERY_TERM, p, x, KEY))(state.generator)
    np.testing.assert_allclose(kept.swaps.changes, made.swaps.images - made.reconstructions, atol=1e-5)
    np.testing.assert_allclose(
        kept.swaps.images, draw_on(x, made.reconstructions, made.swaps.images, span=2.0), atol=1e-5
    )


def test_a_model_that_keeps_detail_adds_it_to_swaps(generated, state):
    x, made = generated
    kept = quick_jit(lambda p: generate(NETWORKS._replace(residual="detail"), EVERY_TERM, p, x, KEY))(state.generator)
    expected = add_detail(x, made.reconstructions, made.swaps.images, span=2.0)
    np.testing.assert_allclose(kept.swaps.images, expected, atol=1e-5)


def test_the_gradient_of_swaps_that_keep_exemplars_is_that_of_what_was_drawn(generated, state):
    x, _ = generated
    weights = jnp.asarray(np.random.default_rng(0).normal(size=x.shape), jnp.float32)

    def through_swaps(keep):
        networks = NETWORKS._replace(residual="exemplar" if keep else "")
        total = lambda p: (weights * generate(networks, EVERY_TERM, p, x, KEY).swaps.images).sum()  # noqa: E731
        return quick_jit(jax.grad(total))(state.generator)

    plain, kept = through_swaps(False), through_swaps(True)
    chex.assert_trees_all_close(kept, plain, rtol=1e-4, atol=1e-4)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(plain["decoder"])) > 1e-2


def test_computing_anew_gives_the_same_gradients_and_keeps_less(generated, state):
    x, _ = generated

    def gradient(remat):
        networks = NETWORKS._replace(remat=remat)
        return jax.grad(lambda p: jnp.square(generate(networks, EVERY_TERM, p, x, KEY).swaps.cycles).sum())

    chex.assert_trees_all_close(*(quick_jit(gradient(remat))(state.generator) for remat in (False, True)), rtol=1e-4)
    kept, anew = (str(jax.make_jaxpr(gradient(remat))(state.generator)) for remat in (False, True))
    convolutions = "name=_run"  # in `models/convolve.py`
    assert anew.count(convolutions) > 1.2 * kept.count(convolutions) > 0


def test_noise_is_on_swaps_before_they_are_encoded_again(generated, state):
    x, made = generated
    noise = jnp.asarray(np.random.default_rng(0).normal(size=x.shape), jnp.float32)
    noisy = quick_jit(lambda p: generate(NETWORKS, EVERY_TERM, p, x, KEY, noise))(state.generator)
    np.testing.assert_allclose(noisy.swaps.images, made.swaps.images + noise, atol=1e-5)
    code, _ = quick_jit(lambda x: NETWORKS.model.apply({"params": state.generator}, x, method="encode"))(
        noisy.swaps.images
    )
    np.testing.assert_allclose(noisy.swaps.individual_code, code, atol=1e-4)


def test_a_conditional_discriminator_is_asked_about_the_class_that_the_image_should_have(generated, batch):
    x, made = generated
    networks = NETWORKS._replace(discriminator=NETWORKS.discriminator.clone(conditional=True, dropout=0.0))
    params = draw_params(networks.discriminator, 1, x)
    labels, key = batch["labels"].reshape(4), jax.random.key(0)
    donors = labels[[1, 0, 3, 2]]
    judge = quick_jit(lambda images: networks.discriminator.apply({"params": params}, images)[0])
    fake, real = (scipy.special.log_softmax(np.asarray(judge(images)), axis=-1) for images in (made.swaps.images, x))
    assert fake.shape == (4, CLASSES, 2)
    rows = np.arange(4)
    terms = generator_terms(made, params, networks, EVERY_TERM, x, jnp.asarray(labels), key)
    np.testing.assert_allclose(terms["adversarial"], 2 * -fake[rows, donors, 1].mean(), rtol=1e-4)
    told = jnp.asarray(labels)
    learn = quick_jit(lambda x, made: discriminator_loss(params, networks, EVERY_TERM, x, told, made, key)[1])
    terms = learn(x, made)
    np.testing.assert_allclose(terms["discriminator_fake"], 2 * -fake[rows, donors, 0].mean(), rtol=1e-4)
    np.testing.assert_allclose(terms["discriminator_real"], 2 * -real[rows, labels, 1].mean(), rtol=1e-4)


def test_every_loss_of_the_generator_is_of_what_it_says(generated, state, batch):
    x, made = generated
    still = NETWORKS._replace(discriminator=NETWORKS.discriminator.clone(dropout=0.0))
    labels = batch["labels"].reshape(4)
    terms = generator_terms(made, state.discriminator, still, EVERY_TERM, x, jnp.asarray(labels), jax.random.key(0))
    partners = np.asarray([1, 0, 3, 2])
    judge = quick_jit(lambda images: still.discriminator.apply({"params": state.discriminator}, images))
    real_fake, classes = judge(made.swaps.images)
    chosen = scipy.special.log_softmax(np.asarray(classes), axis=-1)[np.arange(4), labels[partners]]
    real = scipy.special.log_softmax(np.asarray(real_fake), axis=-1)[:, 1]
    seen = lambda images: np.asarray(toy_predict(images * 0.5 + 0.5), np.float64)  # noqa: E731
    answers = seen(made.swaps.images)[np.arange(4), labels[partners]]
    unit = lambda images: np.asarray(images * 0.5 + 0.5)  # noqa: E731
    expected = {
        "swap_class": -chosen,
        "adversarial": -real,
        "consistency": -np.log(answers),
        "class_code": np.abs(made.swaps.class_code - np.asarray(made.class_code)[partners]).mean(-1),
        "individual_code": np.abs(made.swaps.individual_code - made.individual_code).mean((1, 2, 3)),
        "proximity": 0.2 * np.log(1 + np.abs(made.swaps.images - made.reconstructions) / 0.2).mean((1, 2, 3)),
        "image": np.abs(made.reconstructions - x).mean((1, 2, 3)),
        "cycle": np.abs(made.swaps.cycles - x).mean((1, 2, 3)),
        "squared": np.square(made.reconstructions - x).mean((1, 2, 3))
        + np.square(made.swaps.cycles - x).mean((1, 2, 3)),
        "structure": 1 - metrics.structural_similarity(unit(made.reconstructions), unit(x)),
        "fidelity": scipy.special.rel_entr(seen(x), seen(made.reconstructions)).sum(-1),
        "leakage": np.asarray(losses.dependence_loss(made.individual_code, jnp.asarray(labels))),
        "neighbourhood": np.asarray(losses.neighbourhood_loss(made.class_code, jnp.asarray(labels))),
    }
    assert expected.keys() == terms.keys()
    for name, values in expected.items():
        pairs = values.reshape(2, 2).sum(-1).mean()
        assert float(terms[name]) == pytest.approx(float(pairs), rel=1e-4), name


def test_a_decay_of_zero_copies_and_early_steps_weigh_more():
    ema, params = {"w": jnp.asarray([1.0])}, {"w": jnp.asarray([3.0])}
    assert update_ema(ema, params, jnp.asarray(1000), 0.0)["w"] == 3.0
    assert update_ema(ema, params, jnp.asarray(0), 0.99)["w"] == pytest.approx(0.1 * 1.0 + 0.9 * 3.0)
    assert update_ema(ema, params, jnp.asarray(10**6), 0.99)["w"] == pytest.approx(0.99 * 1.0 + 0.01 * 3.0)
