"""What classifiers return and how they behave: read where it is plain, else named. No framework needed."""

import collections
import dataclasses
import logging
import pathlib
import re
import sys
import threading
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cae_jax.classifiers import (
    Classifier,
    ClassifierError,
    Contract,
    Preparation,
    Reference,
    classes_of,
    load_foreign,
    predicted_classes,
    with_sound_gradients,
    wrap_function,
)
from cae_jax.classifiers import answers as cae_answers
from cae_jax.data import ArraySource
from cae_jax.losses import prediction_divergence

IMAGES = np.random.default_rng(0).random((16, 4, 5, 3), np.float32)
NAMES = ("dark", "light")
KERNEL = np.asarray([[-9.0, 9.0], [-3.0, 3.0], [5.0, -5.0]], np.float32)


def scores(images):
    """Plain scores of two classes, `[N, 2]`."""
    return (images.mean((1, 2)) - 0.5) @ KERNEL


def features(images):
    return images.mean((1, 2))


def softmax(x):
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


EXPECTED = softmax(scores(IMAGES))
Outputs = collections.namedtuple("Outputs", "logits hidden")


@dataclasses.dataclass
class Answer:
    """What models of some libraries return."""

    logits: np.ndarray
    loss: float | None = None


class Tensor:
    """An array of a framework that numpy knows how to read."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.array, dtype)


def checked(function, names=NAMES, preparation=None, traceable=False, **contract):
    classifier = Classifier(function, preparation or Preparation(), Contract(**contract), traceable=traceable)
    classifier.check(IMAGES, names)
    return classifier


@pytest.mark.parametrize("traceable", [False, True], ids=["numpy", "jax"])
@pytest.mark.parametrize(
    ("function", "contract"),
    [
        (scores, {}),
        (lambda x: (scores(x),), {}),
        (lambda x: [scores(x)], {}),
        (lambda x: (scores(x), features(x)), {"output": "0"}),
        (lambda x: [features(x), scores(x)], {"output": "1"}),
        (lambda x: {"logits": scores(x), "hidden": features(x)}, {}),
        (lambda x: {"a": features(x), "b": scores(x)}, {"output": "b"}),
        (lambda x: {"a": features(x), "b": scores(x)}, {"output": "1"}),
        (lambda x: {"loss": None, "scores": scores(x)}, {}),
        (lambda x: Outputs(scores(x), features(x)), {}),
        (lambda x: Outputs(features(x), scores(x)), {"output": "hidden"}),
        (lambda x: Answer(scores(x)), {}),
        (lambda x: types.SimpleNamespace(logits=scores(x), hidden=features(x)), {}),
        (lambda x: {"out": {"logits": scores(x), "hidden": features(x)}}, {"output": "out"}),
        (lambda x: scores(x)[:, :, None, None], {}),
        (lambda x: list(scores(x)), {}),
        (lambda x: scores(x).astype("float16"), {}),
        (lambda x: scores(x).astype(jnp.bfloat16), {}),
        (lambda x: scores(x) - np.float32(50), {}),
    ],
)
def test_scores_are_found_in_whatever_they_are_packed_in(function, contract, traceable):
    predict = checked(function, traceable=traceable, **contract).predict
    for count in (1, 2, 7):
        answers = predict(jnp.asarray(IMAGES[:count]) if traceable else IMAGES[:count])
        np.testing.assert_allclose(answers, EXPECTED[:count], atol=2e-2)
        assert answers.dtype == np.float32


@pytest.mark.parametrize(
    "function",
    [
        lambda x: scores(x).tolist(),
        lambda x: Tensor(scores(x)),
        lambda x: [Tensor(row) for row in scores(x)],
        lambda x: jnp.asarray(scores(x)),
        lambda x: scores(x).astype(np.float64),
        lambda x: scores(x).squeeze(),
        lambda x: (scores(x) * 1e6).astype(np.int64) / 1e6,
    ],
)
def test_a_function_may_return_rows_or_arrays_of_other_libraries(function):
    predict = checked(function).predict
    for count in (1, 2, 7):
        np.testing.assert_allclose(predict(IMAGES[:count]), EXPECTED[:count], atol=1e-5)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda x: None, "returned None; an array of scores is expected"),
        (lambda x: "light", "returned str"),
        (lambda x: (scores(x), features(x)), r"returned tuple\(0: float32 \(16, 2\), 1: float32 \(16, 3\)\); say with "
         r"classifier.output which of them has the scores \('0' or '1'\)"),
        (lambda x: {"a": scores(x), "b": features(x)}, r"dict\(a: float32 \(16, 2\), b: .*\('a' or 'b'\)"),
        (lambda x: {}, "it has no scores"),
        (lambda x: scores(x).T, r"returned float32 \(2, 16\) for 16 images.*seem to be exchanged"),
        (lambda x: scores(x).mean(0), r"returned float32 \(2,\) for 16 images"),
        (lambda x: x, "scores for places of the image"),
        (lambda x: scores(x) + 1j, "complex64 .* real numbers are expected"),
        (lambda x: 1 / 0, "given float32 .* raised ZeroDivisionError: division by zero"),
        (lambda x: iter(()), "returned tuple_iterator"),
        (lambda x: [[1.0, 2.0], [3.0]], "returned list"),
    ],
)  # fmt: skip
def test_what_came_back_is_said_where_it_cannot_be_read(returned, message):
    with pytest.raises(ClassifierError, match=message):
        checked(returned)


def test_a_key_that_no_output_has_is_named():
    with pytest.raises(ClassifierError, match=r"classifier.output is 'x', but the classifier returned dict\(a: "):
        checked(lambda x: {"a": scores(x)}, output="x")
    with pytest.raises(ClassifierError, match=r"oracle.output is '0', but .* nothing else; leave oracle.output empty"):
        checked(scores, output="0", part="oracle")


def test_a_choice_by_name_is_logged(caplog):
    with caplog.at_level(logging.INFO):
        checked(lambda x: {"logits": scores(x), "hidden": features(x)})
    assert len([r for r in caplog.records if "'logits' is taken for its scores" in r.getMessage()]) == 1


def thousand(x):
    wide = np.tile(np.arange(1000, dtype=np.float32) / 100, (len(x), 1))
    wide[:, [977, 5]] = scores(x)
    return wide


def test_columns_are_those_of_the_classes_and_share_the_probability():
    assert np.allclose(checked(thousand, columns=(977, 5)).predict(IMAGES), EXPECTED, atol=1e-6)
    assert np.allclose(checked(thousand, columns=(5, 977)).predict(IMAGES), EXPECTED[:, ::-1], atol=1e-6)
    of_probabilities = checked(lambda x: softmax(thousand(x)), columns=(977, 5), head="probabilities")
    assert np.allclose(of_probabilities.predict(IMAGES), EXPECTED, atol=1e-5)


@pytest.mark.parametrize(
    ("function", "contract", "message"),
    [
        (thousand, {}, r"1000 outputs, but the data has 2 classes \(dark, light\). Say with classifier.columns"),
        (thousand, {"columns": (1, 2, 3)}, "classifier.columns names 3 columns of 1000, but the data has 2 classes"),
        (thousand, {"columns": (1, 1000)}, "column 1000 does not exist; the classifier has 0 to 999"),
        (lambda x: scores(x)[:, :1], {}, "score of light, say classifier.head = 'logit'.*'probability'"),
        (scores, {"head": "logit"}, "2 outputs an image, but classifier.head = 'logit' takes one.*'sigmoid'"),
        (scores, {"head": "sigmoid", "finding": 2}, "finding 2 does not exist; the classifier has 0 to 1"),
        (lambda x: softmax(scores(x)), {}, "sum to 1 in each of 16 rows: .*say classifier.head = 'probabilities'"),
        (lambda x: softmax(scores(x))[:, :1], {"head": "logit"}, "already.*classifier.head = 'probability'"),
        (lambda x: softmax(scores(x)), {"head": "sigmoid"}, "already.*classifier.head = 'findings'"),
        (scores, {"head": "probabilities"}, "no probabilities, but scores; say classifier.head = 'softmax'"),
        (lambda x: np.log(softmax(scores(x))), {"head": "probabilities"}, "logarithms.*head = 'softmax'"),
        (lambda x: softmax(scores(x)) * 0.7, {"head": "probabilities"}, "sum to 0.7.*'findings'"),
        (lambda x: scores(x)[:, :1], {"head": "probability"}, "scores; say classifier.head = 'logit'"),
        (scores, {"head": "findings"}, "scores; say classifier.head = 'sigmoid'"),
        (lambda x: np.ones((len(x), 1)), {"head": "probabilities"}, "'probability'"),
        (lambda x: 100 * softmax(scores(x)), {}, "about 100 in .*divide them by it, and say classifier.head = 'prob"),
        (lambda x: 100 * softmax(scores(x)), {"head": "probabilities"}, "about 100 in each .* divide them by it$"),
        (lambda x: np.round(255 * softmax(scores(x))).astype(np.uint8), {}, "about 255 in .*divide them by it"),
        (lambda x: 1000 * softmax(scores(x)), {}, "about 1000 in .*divide them by it, and say"),
        (lambda x: scores(x).argmax(-1), {}, "a whole number for each image: the class itself, it seems; scores"),
        (lambda x: scores(x).argmax(-1)[:, None], {"head": "logit"}, "a whole number for each image"),
    ],
)  # fmt: skip
def test_a_head_or_columns_that_do_not_go_with_the_outputs_are_named(function, contract, message):
    with pytest.raises(ClassifierError, match=message):
        checked(function, **contract)


def test_heads_of_two_classes_are_refused_for_more():
    with pytest.raises(ClassifierError, match=r"classifier.head = 'sigmoid' has two classes, but the data has 3"):
        checked(scores, names=("a", "b", "c"), head="sigmoid")
    with pytest.raises(ClassifierError, match=r"returned 2 outputs, but the data has 3 classes \(a, b, c\)"):
        checked(scores, names=("a", "b", "c"))


def test_each_head_has_a_twin_for_probabilities():
    score = lambda x: scores(x)[:, 1:]  # noqa: E731
    logistic = lambda x: 1 / (1 + np.exp(-scores(x)))  # noqa: E731
    present = logistic(IMAGES)[:, 1]
    wanted = np.stack([1 - present, present], -1)
    for function, contract in (
        (score, {"head": "logit"}),
        (lambda x: score(x)[:, 0], {"head": "logit"}),
        (scores, {"head": "sigmoid", "finding": 1}),
        (lambda x: logistic(x)[:, 1], {"head": "probability"}),
        (lambda x: logistic(x)[:, 1:], {"head": "probability"}),
        (logistic, {"head": "findings", "finding": 1}),
    ):
        predict = checked(function, **contract).predict
        for count in (1, 2, 16):
            np.testing.assert_allclose(predict(IMAGES[:count]), wanted[:count], atol=1e-5)
    np.testing.assert_allclose(checked(lambda x: np.log(softmax(scores(x)))).predict(IMAGES), EXPECTED, atol=1e-5)


@pytest.mark.parametrize("settings", [{"columns": (0,), "head": "sigmoid"}, {"columns": (1, 1)}, {"columns": (-1, 0)},
                                      {"batch_size": -1}, {"head": "softmx"}])  # fmt: skip
def test_a_contract_that_cannot_be_is_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        Contract(**settings)


def needs_nchw(x):
    if x.shape[1:] != (3, 4, 5):
        raise RuntimeError(f"\x1b[31mexpected 3 channels, but got {x.shape[1]}\x1b[0m\nmore\nlines")
    return scores(x.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("traceable", [False, True], ids=["numpy", "jax"])
def test_a_wrong_layout_is_named_with_the_right_one(traceable):
    with pytest.raises(ClassifierError) as raised:
        checked(needs_nchw, traceable=traceable)
    text = str(raised.value)
    assert text.endswith(
        "RuntimeError: expected 3 channels, but got 4. It answers with classifier.input.layout = 'NCHW'"
    )
    assert "\x1b" not in text
    checked(needs_nchw, preparation=Preparation(layout="NCHW"), traceable=traceable)


def test_wrong_channels_and_sizes_are_named():
    def grey(x):
        assert x.shape[-1] == 1
        return scores(np.repeat(x, 3, -1))

    with pytest.raises(ClassifierError, match=r"It answers with classifier.input.channels = 1"):
        checked(grey)

    def large(x):
        if x.shape[1] != 64:
            raise TypeError("dot_general requires contracting dimensions to have the same shape")
        return scores(x)

    with pytest.raises(
        ClassifierError, match=r"Check classifier.input: layout \(NHWC\), size \(4, 5\), channels \(3\)"
    ):
        checked(large)
    checked(large, preparation=Preparation(size=(64, 64)))
    with pytest.raises(ClassifierError, match=r"input.mean has 3 numbers, but the images have 1 channel.*channels = 3"):
        Preparation(mean=(0.1, 0.2, 0.3))(IMAGES[..., :1])


def test_what_jax_cannot_trace_is_told_from_what_is_asked_wrongly():
    def untraceable(x):
        return scores(np.asarray(x))

    with pytest.raises(ClassifierError, match="JAX cannot trace it; say kind = 'python'"):
        checked(untraceable, traceable=True)


def of_eight(x):
    if len(x) != 8:
        raise ValueError("8 images, please")
    return scores(x)


@pytest.mark.parametrize("traceable", [False, True], ids=["numpy", "jax"])
def test_a_fixed_batch_is_filled_and_cut(traceable):
    with pytest.raises(ClassifierError, match=r"classifier.batch_size"):
        checked(of_eight, traceable=traceable)
    predict = checked(of_eight, batch_size=8, traceable=traceable).predict
    for count in (1, 8, 13):
        images = jnp.asarray(IMAGES[:count]) if traceable else IMAGES[:count]
        np.testing.assert_allclose(predict(images), EXPECTED[:count], atol=1e-5)
    if traceable:
        gradient = jax.grad(lambda x: predict(x)[:, 0].sum())(jnp.asarray(IMAGES[:5]))
        expected = jax.grad(lambda x: jax.nn.softmax(scores(x))[:, 0].sum())(jnp.asarray(IMAGES[:5]))
        np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_one_image_at_a_time_is_found_out():
    def frozen(x):
        return features(x).reshape(1, 3) @ KERNEL

    with pytest.raises(ClassifierError, match=r"It answers about each image alone: say classifier.batch_size = 1"):
        checked(frozen)
    with pytest.raises(ClassifierError, match=r"It answers about each image alone"):
        checked(lambda x: scores(x).mean(0, keepdims=True))
    with pytest.raises(ClassifierError, match=r"classifier.batch_size = 1"):
        checked(lambda x: jnp.asarray(features(x)).reshape(1, 3) @ KERNEL, traceable=True)
    np.testing.assert_allclose(
        checked(lambda x: frozen(x) - np.asarray([-3.5, 3.5]), batch_size=1).predict(IMAGES[:5]),
        EXPECTED[:5],
        atol=1e-5,
    )


def test_answers_that_change_from_call_to_call_are_named():
    rng = np.random.default_rng(0)

    def dropout(x):
        return (features(x) * (rng.random((len(x), 3)) > 0.1)) @ KERNEL

    with pytest.raises(ClassifierError, match=r"change from call to call: by .*Dropout is on.*model\.eval\(\)"):
        checked(dropout)


def normalised(x):
    return (x - x.mean((0, 1, 2))) / (x.std((0, 1, 2)) + 1e-3)


@pytest.mark.parametrize("traceable", [False, True], ids=["numpy", "jax"])
def test_answers_that_change_with_the_batch_are_named(traceable):
    with pytest.raises(ClassifierError, match=r"change with the other images of the batch.*Batch normalisation"):
        checked(lambda x: scores(normalised(x)), traceable=traceable)


def test_noise_of_16_bits_is_no_change():
    rng = np.random.default_rng(0)

    def coarse(x):
        exact = scores(x)
        return (exact + 2e-3 * np.abs(exact).max() * rng.standard_normal(exact.shape)).astype(jnp.bfloat16)

    checked(coarse)


def test_a_function_may_write_into_its_images_and_use_its_buffer_again():
    buffer = np.empty((16, 2), np.float32)

    def in_place(x):
        x *= 2
        x -= 1
        buffer[: len(x)] = (features(x) / 2) @ KERNEL
        return buffer[: len(x)]

    classifier, images = checked(in_place), IMAGES.copy()
    first = classifier.predict(images)
    classifier.predict(images[::-1])
    np.testing.assert_allclose(first, EXPECTED, atol=1e-5)
    np.testing.assert_array_equal(images, IMAGES)
    own = wrap_function(lambda x: softmax(in_place(x)))
    own.check(images, NAMES)
    np.testing.assert_allclose(own.predict(images), EXPECTED, atol=1e-5)
    np.testing.assert_array_equal(images, IMAGES)


def refuses_blank(x):
    if (x.std((1, 2, 3)) == 0).any():
        raise ValueError("an image without contrast")
    return scores(x)


def with_blank(rows):
    images = IMAGES.copy()
    images[rows] = 0.0
    return images


def test_an_image_that_a_function_raises_for_has_no_answer_and_the_others_do(caplog):
    images = with_blank([2, 5])
    classifier = Classifier(refuses_blank)
    classifier.check(images, NAMES)
    answers = classifier.predict(images)
    assert np.flatnonzero(np.isnan(answers).any(-1)).tolist() == [2, 5]
    rest = np.setdiff1d(np.arange(16), [2, 5])
    np.testing.assert_allclose(answers[rest], EXPECTED[rest], atol=1e-6)
    assert "no answer to 2 of 16 images: " in caplog.text
    assert "an image without contrast" in caplog.text
    assert np.isnan(classifier.predict(images[2:3])).all()  # it is known to answer others
    assert classes_of(answers)[[2, 5]].tolist() == [-1, -1]


def test_a_classifier_that_has_broken_is_not_taken_for_images_without_an_answer():
    working = [True]

    def server(x):
        if not working:
            raise ConnectionError("the server is away")
        return scores(x)

    classifier = checked(server)
    working.clear()
    for count in (1, 5):
        with pytest.raises(ClassifierError, match="ConnectionError: the server is away"):
            classifier.predict(IMAGES[:count])


@pytest.mark.parametrize(("compiled", "asked"), [(True, [4, 4, 4]), (False, [4, 4, 2])])
def test_a_classifier_that_is_not_compiled_is_asked_about_each_image_once(monkeypatch, compiled, asked):
    monkeypatch.setattr(cae_answers, "rows_of_a_call", lambda height, width: 4)
    counts = []

    def answer(images):
        counts.append(len(images))
        return np.eye(2)[images[:, 0, 0, 0] % 2]

    numbers = np.arange(10, dtype=np.uint8)
    source = ArraySource(np.tile(numbers[:, None, None, None], (1, 2, 2, 1)), numbers.astype(np.int32))
    np.testing.assert_array_equal(predicted_classes(answer, source, compiled=compiled), numbers % 2)
    assert counts == asked
    counts.clear()
    few = ArraySource(source.images[:3], source.labels[:3])
    np.testing.assert_array_equal(predicted_classes(answer, few, compiled=compiled), [0, 1, 0])
    assert counts == [3]


def test_images_without_a_finite_answer_pass_the_check_and_the_others_count():
    def divides(x):
        with np.errstate(invalid="ignore", divide="ignore"):
            return scores(x) + 0 * (x / x.std((1, 2, 3), keepdims=True)).mean((1, 2, 3))[:, None]

    for traceable, xp in ((False, np), (True, jnp)):
        classifier = Classifier(divides, traceable=traceable)
        classifier.check(with_blank([0, 3]), NAMES)
        answers = np.asarray(classifier.predict(xp.asarray(with_blank([0, 3]))))
        assert classes_of(answers)[:4].tolist() == [-1, *EXPECTED[1:3].argmax(-1), -1]
        assert not classifier.check(with_blank(slice(None)), NAMES)  # which says nothing


def test_one_image_whose_scores_look_like_probabilities_is_no_cause_for_alarm():
    classifier = Classifier(lambda x: np.asarray([[0.3, 0.701]] * len(x)))
    assert classifier.check(IMAGES[:1], NAMES)
    with pytest.raises(ClassifierError, match="sum to 1 in each of 16 rows"):
        classifier.check(IMAGES, NAMES)
    one = Classifier(lambda x: np.full((len(x), 1), 0.3), contract=Contract(head="logit"))
    assert one.check(IMAGES[:1], NAMES)


def test_gradients_stop_at_images_that_have_none():
    def divides(x):
        shift = (x - x.mean((1, 2, 3), keepdims=True)) / x.std((1, 2, 3), keepdims=True)
        return jax.nn.softmax(scores(x) + shift[:, 0, 0, :2])

    images = jnp.asarray(with_blank([1]))
    loss = lambda predict, x: jnp.nansum(prediction_divergence(jnp.asarray(EXPECTED), predict(x)))  # noqa: E731
    sound = jax.grad(lambda x: loss(with_sound_gradients(divides), x))(images)
    plain = jax.grad(lambda x: loss(divides, x))(images)
    assert not sound[1].any()
    rest = np.setdiff1d(np.arange(16), [1])
    np.testing.assert_array_equal(sound[rest], plain[rest])
    assert np.isnan(plain[1]).any()


def test_several_threads_may_ask_at_once(tmp_path, monkeypatch):
    (tmp_path / "late_helper_of_threads.py").write_text("KERNEL = 2")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "late_helper_of_threads", raising=False)

    def late(x):
        import late_helper_of_threads  # pyright: ignore[reportMissingImports]

        return scores(x) * late_helper_of_threads.KERNEL / 2

    classifier, before, found = Classifier(late, folders=(str(tmp_path),)), list(sys.path), []
    threads = [threading.Thread(target=lambda: found.append(classifier.predict(IMAGES))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert sorted(sys.path) == sorted(before)


MODULE = """
import numpy as np
KERNEL = np.asarray([[-9.0, 9.0], [-3.0, 3.0], [5.0, -5.0]], np.float32)

def plain(x):
    return (x.mean((1, 2)) - 0.5) @ KERNEL

def late(x):
    from helper_beside import shift
    return plain(x) + shift

class Model:
    def __call__(self, x):
        return plain(x)

model = Model()
"""


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder with a classifier and its helper, below the current one."""
    folder = tmp_path / "run_12:30"
    folder.mkdir()
    (folder / "net.py").write_text(MODULE)
    (folder / "helper_beside.py").write_text("shift = 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "helper_beside", raising=False)
    return folder


@pytest.mark.parametrize("kind", ["python", "jax"])
@pytest.mark.parametrize("function", ["plain", "late", "model"])
def test_a_function_of_a_file_works_with_what_it_imports_late(elsewhere, function, kind, monkeypatch):
    foreign = load_foreign(Reference(f"run_12:30/net.py:{function}", kind))
    monkeypatch.chdir("/")
    images = jnp.asarray(IMAGES) if kind == "jax" else IMAGES
    np.testing.assert_allclose(foreign.predict(images), EXPECTED, atol=1e-6)
    assert str(elsewhere) not in sys.path


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("run_12:30/absent.py:f", "run_12:30/absent.py does not exist"),
        ("run_12:30/net.py:absent", "run_12:30/net.py has no function 'absent'"),
        ("run_12:30/net.py", "is a Python file; name a function of it, as in run_12:30/net.py:function"),
        ("run_12:30/absent.onnx", "run_12:30/absent.onnx does not exist"),
        ("some/folder/net:f", "some/folder/net is no module; name a file whole, as in path/to/file.py:f"),
        ("broken.py:f", "broken.py cannot be imported (SyntaxError"),
        ("needy.py:f", "needy.py cannot be imported: No module named 'no_such_thing'"),
    ],
)
def test_a_path_that_leads_to_no_function_is_named(elsewhere, path, message):
    pathlib.Path("broken.py").write_text("def f(:")
    pathlib.Path("needy.py").write_text("import no_such_thing")
    with pytest.raises(ValueError, match=re.escape(message)):
        load_foreign(Reference(path, "python"))


def test_kind_auto_asks_what_a_function_of_a_file_is(elsewhere):
    with pytest.raises(ValueError, match="say with kind = 'jax', 'python' or 'torch' what it is"):
        load_foreign(Reference("run_12:30/net.py:plain"))
    with pytest.raises(ValueError, match="is a Python file; name a function of it"):
        load_foreign(Reference("run_12:30/net.py"))


def test_losses_leave_samples_without_an_answer_out_and_say_so_if_there_are_none_with_one():
    from cae_jax.training.objectives import _of_answered

    answers = jnp.asarray([[0.5, 0.5], [np.nan, np.nan], [0.1, 0.9], [0.3, 0.7]])
    others = jnp.asarray([[0.5, 0.5], [0.2, 0.8], [0.4, 0.6], [np.nan, 0.7]])
    values = jnp.asarray([1.0, np.nan, 2.0, np.nan])
    assert float(_of_answered(values, answers, others).mean()) == pytest.approx(1.5)
    sound = jnp.asarray([1.0, 3.0])
    np.testing.assert_array_equal(_of_answered(sound, others[:2]), sound)
    assert np.isnan(_of_answered(values[1:2], answers[1:2]).mean())
