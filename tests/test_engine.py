"""The engine on a toy in closed form: images are class codes, which are the classifier's log odds."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cae_jax.counterfactual import STRATEGIES, CodeTable, along_path, log_odds, odds_of, search
from cae_jax.counterfactual.selection import find_shortfalls
from cae_jax.explaining import ExplainOptions, engine
from cae_jax.explaining.compiled_model import CompiledModel
from cae_jax.explaining.engine import Exemplars, concatenate, explain_batch, route_along, route_by_strategy
from cae_jax.explaining.requests import ANY, Aim, Requests, make_requests
from cae_jax.types import Ending

CLASSES = 3
SHARPNESS = 6.0


def decode(individual_code, class_code):
    """A picture of one row whose pixels are the class code, plus the individual code, which is 0 here."""
    return (individual_code[:, 0, 0] + class_code)[:, None, :, None]


def predict(images):
    return jax.nn.softmax(SHARPNESS * images[:, 0, :, 0])


def answer_odds(probabilities, classes):
    return log_odds(jnp.take_along_axis(probabilities, classes[:, None], axis=-1)[:, 0])


class Toy(CompiledModel):
    """A model of the functions above."""

    def __init__(self, predict=predict, black_box=False):
        self._find, self._answer = jax.jit(functools.partial(search, decode, predict)), predict
        odds = lambda images, classes: answer_odds(predict(images), classes).sum()  # noqa: E731
        self.sensitivity = None if black_box else jax.jit(jax.grad(odds))

    def at(self, individual, waypoints, shifts):
        """See `CompiledModel`."""
        return np.asarray(decode(individual[:], along_path(jnp.asarray(waypoints[:]), jnp.asarray(shifts))))

    def predict(self, images):
        """See `CompiledModel`."""
        return np.asarray(self._answer(images))

    def code_bits(self, individual):
        """See `CompiledModel`."""
        return np.full(len(individual), np.nan)

    def search(self, paths, **precision):
        """See `CompiledModel`."""
        return self._find(paths._replace(individual=paths.individual[:]), **precision)


TOY = Toy()
TABLE_CODES = np.asarray([[1, 0, 0], [0, 1, 0], [0, 0.9, 0.05], [0, 0, 1], [0, 0.05, 0.8]], np.float32)


def table_of(codes):
    """A table whose reconstructions are their images, as the individual codes are 0."""
    answers = TOY.predict(codes[:, None, :, None])
    classes = answers.argmax(-1)
    odds = odds_of(answers, classes)
    names = np.asarray([f"train_{i}" for i in range(len(codes))])
    return CodeTable(names, codes, classes, classes, odds, classes, odds)


def make_table():
    return table_of(TABLE_CODES)


def exemplars_at(codes, predictions=None):
    codes = np.asarray(codes, np.float32)
    images = codes[:, None, :, None]
    return Exemplars(
        images,
        TOY.predict(images).argmax(-1) if predictions is None else np.asarray(predictions),
        np.zeros((len(codes), 1, 1, 3), np.float32),
        codes,
    )


def explain(codes, aims, predictions=None, model=TOY, table=None, **options):
    table = table or make_table()
    exemplars = exemplars_at(codes, predictions)
    settings = ExplainOptions(**{"confidence": 0.9} | options)
    strategy = STRATEGIES[settings.strategy](table, settings.confidence)
    route = route_by_strategy(model, table, strategy, settings)
    requests = Requests(np.arange(len(codes)), np.asarray(aims))
    return explain_batch(model, exemplars, requests, route, table, settings)


def test_the_flip_is_where_the_two_log_odds_meet_and_the_counterfactual_where_the_target_is_confident():
    record = explain([[1.0, 0.2, 0.0]], [1], strategy="medoid")
    end = TABLE_CODES[record.reference[0]]
    gap = lambda shift: (1 - shift) * (1.0 - 0.2) + shift * (end[0] - end[1])  # noqa: E731
    assert record.status[0] == Ending.FLIPPED
    assert gap(record.flip_shift[0]) <= 1e-6 < gap(record.flip_shift[0] - 1 / 256)
    assert record.counterfactual_probabilities[0, 1] >= 0.9
    np.testing.assert_allclose(record.counterfactual[0, 0, :, 0], record.counterfactual_code[0], rtol=1e-5)
    before = (1 - (s := record.shift[0] - 1 / 256)) * np.asarray([1.0, 0.2, 0.0]) + s * end
    assert jax.nn.softmax(SHARPNESS * before)[1] < 0.9
    np.testing.assert_allclose(record.saliency[0, 0], record.counterfactual_code[0] - [1.0, 0.2, 0.0], atol=1e-6)


def classes_at(sharpest, count=40):
    """Codes of three classes; the longer a code, the surer is the classifier, up to a length for each class."""
    return np.concatenate(
        [np.linspace(0.3, most, count)[:, None] * np.eye(3, dtype=np.float32)[c] for c, most in enumerate(sharpest)]
    ).astype(np.float32)


def test_typical_is_as_sure_as_of_two_thirds_of_the_real_images_of_each_class():
    table = table_of(classes_at([1.0, 1.0, 6.0]))  # of class 2 the classifier is surer than float32 can say
    exemplars = exemplars_at([[1.0, 0.0, 0.0]] * 2)
    requests, settings = Requests(np.arange(2), np.asarray([1, 2])), ExplainOptions()
    assert settings.confidence == "typical"
    ends = route_along(np.asarray([[[0.0, 2.0, 0.0]], [[0.0, 0.0, 8.0]]], np.float32))
    record = explain_batch(TOY, exemplars, requests, ends, table, settings)
    assert (record.status == Ending.FLIPPED).all()
    assert (record.typicality >= 1 / 3).all()
    assert (record.typicality <= 0.4).all()
    found = odds_of(record.counterfactual_probabilities, record.target)
    least = np.asarray([table.real_odds(target)[13] for target in (1, 2)])  # 27 of the 40 are as sure
    np.testing.assert_allclose(found, least, rtol=0.06)
    assert found[1] > 1.5 * found[0]
    far = explain_batch(TOY, exemplars, requests, ends, table, ExplainOptions(confidence=0.6))
    assert (far.typicality == 0.0).all()  # the classifier is surer of every real image
    assert (far.shift < record.shift).all()
    short = route_along(np.asarray([[[0.0, 0.3, 0.0]], [[0.0, 0.0, 0.5]]], np.float32))
    weak = explain_batch(TOY, exemplars, requests, short, table, settings)
    assert (weak.status == Ending.WEAK).all()
    assert (weak.typicality < 1 / 3).all()


def labels_only(images):
    return jax.nn.one_hot(predict(images).argmax(-1), CLASSES)


def test_of_a_classifier_that_answers_0_or_1_typical_is_the_flip():
    table, toy = table_of(classes_at([1.0, 1.0, 1.0])), Toy(labels_only, black_box=True)
    answers = toy.predict(table.class_codes[:, None, :, None])
    odds = odds_of(answers, table.predictions)
    assert np.isfinite(odds).all()
    table = table._replace(odds=odds, image_odds=odds)
    exemplars, requests = exemplars_at([[1.0, 0.0, 0.0]]), Requests(np.arange(1), np.asarray([1]))
    route = route_along(np.asarray([[0.0, 2.0, 0.0]], np.float32))
    record = explain_batch(toy, exemplars, requests, route, table, ExplainOptions())
    assert record.status.tolist() == [Ending.FLIPPED]
    assert record.shift[0] == record.flip_shift[0]
    assert record.typicality[0] == 1.0


def test_any_takes_the_class_that_is_confident_first():
    record = explain([[1.0, 0.8, 0.0], [1.0, 0.0, 0.8]], [ANY, ANY])
    assert record.target.tolist() == [1, 2]
    each = explain([[1.0, 0.8, 0.0], [1.0, 0.8, 0.0]], [1, 2])
    assert record.shift[0] == each.shift.min() < each.shift.max()


def test_the_closest_of_the_ends_that_are_sure_enough_is_taken():
    codes = [[1.0, 0.2, 0.0], [0.3, 0.1, 1.0], [0.0, 1.0, 0.4]]
    table = table_of(np.random.default_rng(0).normal(0.0, 0.7, (90, 3)).astype(np.float32))
    aims, chosen = [1, 0, 2], []
    less_sure = Toy(lambda images: 0.92 * predict(images) + 0.08 / CLASSES)  # than references of their class
    for model in (TOY, less_sure):
        record = explain(codes, aims, model=model, table=table)
        kept = []
        for row, (code, aim) in enumerate(zip(codes, aims, strict=True)):
            ends = STRATEGIES["medoid"](table, 0.9)(np.asarray([code], np.float32), np.asarray([aim]), 8)
            images = table.class_codes[ends.reference]
            sure = model.predict(images[:, None, :, None])[:, aim] >= 0.9
            apart = np.where(sure, abs(images - np.asarray(code, np.float32)).mean(-1), np.inf)
            assert record.reference[row] == ends.reference[apart.argmin()]
            kept += sure.tolist()
        assert len(kept) > 20
        assert any(kept)
        assert all(kept) == (model is TOY)
        assert (record.status == Ending.FLIPPED).all()
        assert (record.tried == 1).all()
        chosen.append(record.reference)
    assert (chosen[0] != explain(codes, aims, table=table, strategy="medoid").reference).any()
    assert (chosen[0] != chosen[1]).any()


def test_where_no_end_is_sure_enough_the_surest_is_taken():
    half = Toy(lambda images: 0.5 * predict(images) + 0.5 / CLASSES)  # never as sure as references are of their class
    record = explain([[1.0, 0.2, 0.0]], [1], model=half)
    ends = STRATEGIES["medoid"](make_table(), 0.9)(np.asarray([[1.0, 0.2, 0.0]], np.float32), np.asarray([1]), 8)
    surest = half.predict(make_table().class_codes[ends.reference][:, None, :, None])[:, 1].argmax()
    assert record.reference.tolist() == [ends.reference[surest]]
    assert record.status.tolist() == [Ending.WEAK]


def test_several_diverse_answers_are_sought_among_all_ends():
    record = explain([[1.0, 0.2, 0.0]], [1], diverse=2)
    assert record.tried[0] > 1
    of_medoids = explain([[1.0, 0.2, 0.0]], [1], diverse=2, strategy="medoid")
    np.testing.assert_array_equal(record.counterfactual, of_medoids.counterfactual)


def test_endings_that_have_no_path_and_those_that_have():
    confident, undecided = [1.0, 0.0, 0.0], [0.1, 0.0, 0.0]
    record = explain([confident, confident, undecided], [1, 0, 2], predictions=[0, 0, 1])
    assert [Ending(s).name for s in record.status] == ["FLIPPED", "ALREADY_TARGET", "NOT_RECONSTRUCTED"]
    assert np.isnan(record.shift[1:]).all()
    assert not record.saliency[1:].any()
    assert (explain([confident], [1], confidence=0.999).status == Ending.NO_REFERENCE).all()


def test_requests_keep_their_order_whatever_their_endings():
    codes = np.random.default_rng(0).normal(size=(12, 3))
    exemplars = exemplars_at(codes)
    requests = make_requests(exemplars.predictions, Aim.ALL, CLASSES)
    settings = ExplainOptions(confidence=0.9)
    route = route_by_strategy(TOY, make_table(), STRATEGIES["medoid"](make_table(), 0.9), settings)
    record = explain_batch(TOY, exemplars, requests, route, None, settings)
    np.testing.assert_array_equal(record.image_index, np.repeat(np.arange(12), 2))
    np.testing.assert_array_equal(record.target, requests.aim)
    assert (record.status == Ending.FLIPPED).all()


def test_more_references_never_flip_later():
    codes = np.random.default_rng(1).normal((2.0, 0.0, 0.0), size=(20, 3))
    one, three = (explain(codes, [1] * 20, strategy="nearest", references=n) for n in (1, 3))
    reached = ~np.isnan(one.shift)
    assert reached.any()
    assert (three.shift[reached] <= one.shift[reached]).all()


def test_diverse_answers_are_apart_and_begin_with_the_best():
    record = explain([[1.0, 0.1, 0.0], [0.0, 0.0, 1.0]], [1, ANY], strategy="nearest", diverse=2)
    for image in (0, 1):
        rows = np.flatnonzero(record.image_index == image)
        assert len(rows) == 2
        assert record.shift[rows[0]] <= record.shift[rows[1]]
        assert np.linalg.norm(np.subtract(*record.counterfactual_code[rows])) > 1e-3


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_as_many_different_answers_are_given_as_are_asked_for_whatever_the_strategy(strategy):
    codes = np.concatenate([np.random.default_rng(0).normal(0.0, 0.15, (40, 3)) + centre for centre in np.eye(3)])
    table = table_of(codes)
    settings = ExplainOptions(strategy=strategy, diverse=3, confidence=0.9)
    route = route_by_strategy(TOY, table, STRATEGIES[strategy](table, 0.9), settings)
    for aim in (1, ANY):
        exemplars = exemplars_at([[1.0, 0.1, 0.0], [0.0, 0.1, 1.0]])
        record = explain_batch(TOY, exemplars, Requests(np.arange(2), np.full(2, aim)), route, table, settings)
        assert record.image_index.tolist() == [0, 0, 0, 1, 1, 1]
        assert record.answer.tolist() == [0, 1, 2] * 2
        assert (record.status == Ending.FLIPPED).all()
        assert (record.counterfactual_probabilities[np.arange(6), record.target] >= 0.9).all()
        for rows in (record.counterfactual[:3, 0, :, 0], record.counterfactual[3:, 0, :, 0]):
            assert min(np.linalg.norm(rows[a] - rows[b]) for a, b in ((0, 1), (0, 2), (1, 2))) > 0.05
        assert (record.confident <= record.tried).all()
        assert (record.tried >= 20).all()
        assert not find_shortfalls(record, 3)


def test_where_there_are_fewer_answers_it_is_said_why():
    record = explain(np.eye(3), [1, 1, 0], strategy="nearest", diverse=5)  # two codes of class 1, one of class 0
    assert record.answers.tolist() == [2, 2, 1, 1]
    assert record.answer.tolist() == [0, 1, 0, 0]
    found = find_shortfalls(record, 5)
    assert [(s.row, s.found) for s in found] == [(0, 2), (2, 1), (3, 1)]
    assert found[0].why == "of 2 paths tried, 2 reached a confident flip"
    assert found[1].why == Ending.ALREADY_TARGET.message
    assert found[2].why == "of 1 path tried, 1 reached a confident flip"
    assert not find_shortfalls(record, 1)
    blurred = explain([[1.0, 0.0, 0.0]], [1], strategy="nearest", diverse=2, tolerance=0.5)
    assert find_shortfalls(blurred, 2)[0].why.endswith(
        "2 reached a confident flip, of which the search can tell 1 apart"
    )


@pytest.mark.parametrize(
    ("saliency", "expected"),
    [
        ("reconstruction", lambda start, end: end - start),
        ("input", lambda start, end: np.abs(end - start)),
        ("path", lambda start, end: end - start),  # all of a straight line's change is in proportion
    ],
)
def test_the_kinds_of_saliency(saliency, expected):
    start = np.asarray([1.0, 0.0, 0.0])
    record = explain([start], [1], saliency=saliency)
    wanted = expected(start, record.counterfactual_code[0])
    if saliency == "path":  # sixteen equal steps, their weights adding up to 1
        wanted = wanted / 16
    np.testing.assert_allclose(record.saliency[0, 0], wanted, atol=1e-5)


@pytest.mark.parametrize("saliency", ["input", "reconstruction", "path", "relevance"])
def test_maps_of_one_image_are_computed_for_no_more_rows_than_a_call_takes(monkeypatch, saliency):
    rows = []
    name = "_relevance" if saliency == "relevance" else f"_{saliency}_saliency"
    original = getattr(engine, name)
    monkeypatch.setattr(engine, name, lambda *arrays: (rows.append(len(arrays[0])), original(*arrays))[1])
    monkeypatch.setattr(engine, "rows_of_a_call", lambda height, width: 2)
    explain([[1, 0, 0]], [1], saliency=saliency)
    assert rows == [2]


def test_relevance_adds_up_to_what_the_answer_has_beyond_the_counterfactual():
    record = explain([[1.0, 0.0, 0.0], [0.8, 0.1, 0.3]], [1, 2], saliency="relevance")
    assert not np.isnan(record.shift).any()
    classes = jnp.asarray(record.prediction)
    exemplars = TOY.predict(np.asarray([[1.0, 0.0, 0.0], [0.8, 0.1, 0.3]], np.float32)[:, None, :, None])
    gained = answer_odds(exemplars, classes) - answer_odds(record.counterfactual_probabilities, classes)
    np.testing.assert_allclose(record.saliency.sum((1, 2)), gained, rtol=0.02)
    assert (record.saliency[:, 0, 0] > 0).all()  # the pixel of the exemplars' class speaks for it,
    assert (record.saliency[[0, 1], 0, record.target] > 0).all()  # and so does that the target's is dark


def test_a_black_box_s_relevance_is_nearly_that_of_the_gradients():
    request = ([[1.0, 0.0, 0.0], [0.8, 0.1, 0.3]], [1, 2])
    traced = explain(*request, saliency="relevance")
    black_box = explain(*request, saliency="relevance", model=Toy(black_box=True))
    assert np.abs(traced.saliency).max() > 1.0
    np.testing.assert_allclose(black_box.saliency.sum((1, 2)), traced.saliency.sum((1, 2)), rtol=1e-2)
    np.testing.assert_allclose(black_box.saliency, traced.saliency, rtol=0.2, atol=0.1)


def test_smoothing_spreads_a_map():
    sharp, soft = (explain([[1.0, 0.0, 0.0]], [1], smoothing=sigma) for sigma in (0.0, 1.0))
    assert np.abs(soft.saliency).max() < np.abs(sharp.saliency).max()


def test_a_path_along_given_points_goes_through_them():
    exemplars = exemplars_at([[1.0, 0.0, 0.0]])
    through = np.asarray([[0.0, 0.0, 0.0], [0.0, 2.0, 0.0]], np.float32)  # lengths 1 and 2
    requests, settings = Requests(np.asarray([0]), np.asarray([1])), ExplainOptions(confidence=0.9)
    record = explain_batch(TOY, exemplars, requests, route_along(through), None, settings)
    assert np.isnan(record.typicality).all()
    np.testing.assert_allclose(record.path_images[0, 2, 0, :, 0], [0.0, 0.0, 0.0], atol=1e-6)  # at a third
    np.testing.assert_allclose(record.path_images[0, -1, 0, :, 0], [0.0, 2.0, 0.0], atol=1e-6)
    assert record.flip_shift[0] == pytest.approx(1 / 3, abs=1 / 128)
    assert record.reference[0] == -1


def breaks(images):
    return jnp.where(images[:, 0, 1] > 0.5, jnp.nan, predict(images))


@pytest.mark.parametrize("saliency", ["reconstruction", "relevance", "path"])
def test_a_path_with_an_image_that_has_no_answer_ends_so_and_the_others_go_on(saliency):
    codes, aims, predictions = [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], [0, 1], [2, 0]
    record = explain(codes, aims, predictions, Toy(breaks), saliency=saliency)
    assert [Ending(s).name for s in record.status] == ["FLIPPED", "NO_ANSWER"]
    assert np.isnan([record.shift[1], record.flip_shift[1]]).all()
    assert record.target.tolist() == [0, 1]
    assert not record.saliency[1].any()
    whole = explain(codes, aims, predictions, saliency=saliency)
    assert record.shift[0] == whole.shift[0]
    np.testing.assert_array_equal(record.saliency[0], whole.saliency[0])


@pytest.mark.parametrize("target", [Aim.ANY, Aim.ALL, np.asarray([1, 2, 2])])
def test_an_image_without_an_answer_gets_one_row_that_says_so(target):
    exemplars = exemplars_at([[0.0, 0.0, 1.0], [0.0, 2.0, 0.0], [1.0, 0.0, 0.0]], predictions=[2, -1, 0])
    requests = make_requests(exemplars.predictions, target, CLASSES)
    settings = ExplainOptions(confidence=0.9)
    route = route_by_strategy(TOY, make_table(), STRATEGIES["medoid"](make_table(), 0.9), settings)
    record = explain_batch(TOY, exemplars, requests, route, None, settings)
    rows = record.image_index == 1
    assert rows.sum() == 1
    assert record.status[rows] == Ending.NO_ANSWER
    assert record.prediction[rows] == -1
    assert record.target[rows] == (2 if isinstance(target, np.ndarray) else -1)
    assert (record.status[~rows] == Ending.FLIPPED).all()
    only = exemplars_at([[0.0, 2.0, 0.0]], predictions=[-1])
    alone = explain_batch(TOY, only, make_requests(only.predictions, Aim.ALL, CLASSES), route, None, settings)
    assert alone.status.tolist() == [Ending.NO_ANSWER]


def test_fewer_rows_are_explained_together_the_more_each_of_them_takes(monkeypatch):
    small, large = (
        Exemplars(np.zeros((1, side, side, 3), np.float32), np.zeros(1), np.zeros(1), np.zeros(1)) for side in (8, 256)
    )
    rows = lambda exemplars, classes=10, **options: engine.rows_at_once(exemplars, classes, ExplainOptions(**options))  # noqa: E731
    assert rows(small) > 5000
    assert rows(large) * 256 * 256 * 3 * 4 * 16 <= 2**28
    assert rows(small, 1000) * 1000 * 4 * 16 <= 2**28
    assert rows(large, saliency="relevance") < rows(large) / 3
    assert rows(small, diverse=3) == pytest.approx(rows(small) / 3, rel=0.01)
    monkeypatch.setattr(engine, "MEMORY", 1)
    assert rows(large) == 1


def test_records_are_joined_row_after_row():
    parts = [explain([[1.0, 0.0, 0.0]], [1]), explain([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [0, 0])]
    whole = concatenate(parts)
    assert len(whole) == 3
    np.testing.assert_array_equal(whole.shift, np.concatenate([part.shift for part in parts]))
    np.testing.assert_array_equal(whole.path_shifts, parts[0].path_shifts)
