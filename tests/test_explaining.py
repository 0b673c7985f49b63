"""The `Explainer` and the explain program on a short run: records, black boxes, jobs that break off and go on."""

import dataclasses
import functools
import io
import json
import re
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image
from rich.console import Console

from cae_jax import Ending, Explainer
from cae_jax.classifiers import check_answers
from cae_jax.cli import explain as explain_program
from cae_jax.config.reading import ConfigError
from cae_jax.counterfactual import odds_of_probability
from cae_jax.data import ArraySource
from cae_jax.explaining import (
    Aim,
    ClassifierError,
    FileInputs,
    InputError,
    SplitInputs,
    code_parts,
    explain_to_folder,
    find_target,
    job,
    package,
)
from cae_jax.explaining.codes import gather_codes
from cae_jax.explaining.package import Parts
from cae_jax.models import draw_on
from cae_jax.parallel.rows import take
from cae_jax.workdir.checkpoints import CheckpointError
from cae_jax.workdir.classifier_store import handed_in

EASY = {"confidence": 0.11}  # the model is hardly trained: of what it draws, all ten classes are about as likely


@pytest.fixture(scope="module")
def explainer(trained_explainer):
    assert len(trained_explainer.code_table.names) == 400
    return trained_explainer


@pytest.fixture
def images(digits):
    return digits.test.take(np.arange(5))


def test_predict_encode_and_decode_take_what_users_have(explainer, images):
    probabilities = explainer.predict(images)
    np.testing.assert_allclose(probabilities.sum(-1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(explainer.predict(images[..., 0] / 255.0), probabilities, rtol=1e-4, atol=1e-6)
    individual_code, class_code = explainer.encode(images)
    assert class_code.shape == (5, 8)
    decoded = explainer.decode(individual_code, class_code)
    assert decoded.shape == (5, 28, 28, 1)
    assert decoded.min() >= 0
    assert decoded.max() <= 1
    with pytest.raises(InputError, match="5 individual codes do not go with 3 class codes"):
        explainer.decode(individual_code, class_code[:3])


def test_with_residuals_every_path_begins_at_the_exemplar_itself(explainer, images):
    record = explainer.explain(images, "all", residual=True, **EASY)
    exemplars = images[record.image_index] / 255.0
    np.testing.assert_allclose(record.path_images[:, 0], exemplars, atol=1e-5)
    assert not (record.status == Ending.NOT_RECONSTRUCTED).any()
    individual, class_codes = explainer.encode(images)
    index = record.image_index
    codes = take(individual, index)
    own = explainer.decode(codes, class_codes[index])
    shifted = explainer.decode(codes, record.counterfactual_code)
    expected = draw_on(*map(jnp.asarray, (exemplars, own, shifted)))
    np.testing.assert_allclose(record.counterfactual, expected, atol=1e-4)


def test_a_model_that_keeps_exemplars_does_so_once(explainer, images, tmp_path):
    config = ConfigDict(explainer.record.config.to_dict())
    config.model.keep_residual = True
    record = explainer.record._replace(config=config)
    keeping = Explainer(Parts(record, 0, explainer.params, explainer.classifier, "keeping", ""), tmp_path)
    options = {"waypoints": explainer.code_table.class_codes[:1], **EASY}
    plain, asked = (keeping.explain(images, 3, residual=residual, **options) for residual in (False, True))
    np.testing.assert_allclose(plain.path_images[:, 0], images[plain.image_index] / 255.0, atol=1e-5)
    np.testing.assert_array_equal(asked.path_images, plain.path_images)
    np.testing.assert_array_equal(asked.shift, plain.shift)


def test_class_codes_are_told_the_answers_of_the_classifier_that_is_explained(explainer, images, tmp_path, digits):
    config = explainer.record.config.copy_and_resolve_references()
    config.model.answers = True
    size = config.model.class_code_size
    kernel = np.random.default_rng(0).normal(size=(10, size)).astype(np.float32)
    params = explainer.params | {"class_encoder": explainer.params["class_encoder"] | {"answer": {"kernel": kernel}}}
    parts = Parts(explainer.record._replace(config=config), 0, params, explainer.classifier, "told", "")
    told = Explainer(parts, tmp_path)
    always_3 = lambda images: np.tile(np.eye(10, dtype=np.float32)[3], (len(images), 1))  # noqa: E731
    other = Explainer(parts._replace(classifier=handed_in(always_3, explainer.record.image_shape)), tmp_path)
    for those, answers in ((told, explainer.predict(images)), (other, always_3(images))):
        logs = 1.0 + np.log(answers + 1e-3) / np.log(1e3)
        np.testing.assert_allclose(those.encode(images)[1], explainer.encode(images)[1] + logs @ kernel, atol=1e-3)
    told._dataset = digits
    rows = [int(key.removeprefix("train_")) for key in told.code_table.names[:5]]
    np.testing.assert_allclose(
        told.code_table.class_codes[:5], told.encode(digits.train.take(np.asarray(rows)))[1], atol=1e-4
    )
    assert (told.explain(images, 3, **EASY).prediction == explainer.explain(images, 3, **EASY).prediction).all()


@pytest.mark.parametrize("saliency", ["reconstruction", "input", "path", "relevance"])
@pytest.mark.parametrize(("target", "rows"), [("any", 5), ("all", 45), (8, 5), ([0, 1, 2, 3, 4], 5)])
def test_a_record_has_its_rows_and_no_map_without_a_confident_flip(explainer, images, target, rows, saliency):
    record = explainer.explain(images, target, saliency=saliency, **EASY)
    assert len(record) == rows
    assert record.counterfactual.shape == (rows, 28, 28, 1)
    assert record.saliency.shape == (rows, 28, 28)
    assert record.path_images.shape[:2] == (rows, len(record.path_shifts))
    np.testing.assert_array_equal(np.unique(record.image_index), np.arange(5))
    unreached = np.isnan(record.shift)
    assert not record.saliency[unreached].any()
    assert np.array_equal(unreached, record.status != Ending.FLIPPED)
    assert (record.status[record.target == record.prediction] == Ending.ALREADY_TARGET).all()
    flipped = record.status == Ending.FLIPPED
    chosen = record.counterfactual_probabilities[np.arange(rows), np.maximum(record.target, 0)]
    assert (chosen[flipped] >= EASY["confidence"] - 1e-4).all()
    assert (record.flip_shift[flipped] <= record.shift[flipped] + 1 / 256).all()


@pytest.mark.parametrize("strategy", ["closest", "nearest", "medoid", "centroid", "geodesic"])
def test_every_strategy_ends_at_a_code_of_the_target(explainer, images, strategy):
    table = explainer.code_table
    target = int(np.bincount(table.predictions[table.odds > odds_of_probability(EASY["confidence"])]).argmax())
    record = explainer.explain(images, target, strategy=strategy, **EASY)
    with_reference = record.reference >= 0
    assert (table.predictions[record.reference[with_reference]] == target).all()
    assert with_reference.any() == (strategy != "centroid")


def test_many_images_are_explained_as_few_are(explainer, digits):
    images = digits.test.take(np.arange(60))
    many = explainer.explain(np.concatenate([images, images[:10]]), "any", **EASY)  # two batches of 64
    few = explainer.explain(images[:10], "any", **EASY)
    np.testing.assert_array_equal(many.image_index, np.arange(70))
    np.testing.assert_array_equal(many.status[60:], few.status)
    np.testing.assert_array_equal(many.shift[60:], few.shift)
    np.testing.assert_allclose(many.counterfactual[60:], few.counterfactual, atol=1e-5)


def test_a_black_box_gets_the_answers_of_a_traced_classifier(trained, explainer, images):
    calls = []

    def black_box(batch):
        assert isinstance(batch, np.ndarray)
        calls.append(len(batch))
        return np.asarray(jax.jit(explainer.classifier.predict)(batch))

    other = Explainer.load(trained[0], host_classifier=black_box)
    for target in ("any", 8):
        ours, theirs = (e.explain(images, target, **EASY) for e in (explainer, other))
        np.testing.assert_array_equal(ours.status, theirs.status)
        np.testing.assert_array_equal(ours.target, theirs.target)
        np.testing.assert_allclose(ours.shift, theirs.shift, atol=1 / 256)
        np.testing.assert_allclose(ours.saliency, theirs.saliency, atol=2e-2)
    assert max(calls) <= 1024


def test_a_constant_classifier_has_no_references_no_maps_and_no_crash(trained, images):
    constant = np.full(10, 0.02, np.float32)
    constant[3] = 0.82  # below the confidence that a reference must have
    e = Explainer.load(trained[0], host_classifier=lambda batch: np.tile(constant, (len(batch), 1)))
    for target in ("any", "all"):
        record = e.explain(images, target, saliency="path")
        assert (record.status == Ending.NO_REFERENCE).all()
        assert not record.saliency.any()
        assert np.isnan(record.flip_shift).all()
    assert (e.explain(images, 3).status == Ending.ALREADY_TARGET).all()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda n: np.full((n, 10), np.nan), "answer to image 0 is not finite"),
        (lambda n: np.tile(np.arange(10.0) - 4, (n, 1)), "no probabilities, but scores; put a softmax behind them"),
        (lambda n: np.full((n, 3), 1 / 3), r"returned 3 outputs for each image; the run has 10 classes"),
        (lambda n: np.full(n, 0.5), "returned 1 outputs for each image; the run has 10 classes"),
        (lambda n: np.ones((n, 10), int), "in 1 to 1 and sum to 10 to 10 in a row; probabilities sum to 1"),
        (lambda n: (np.ones((n, 10)), np.ones(n)), r"returned tuple\(0: float64 .*; return the scores alone"),
        (lambda n: {}["logits"], "raised KeyError: 'logits'. It gets float32 arrays"),
    ],
)
def test_answers_that_are_no_probabilities(trained, images, answer, message):
    e = Explainer.load(trained[0], host_classifier=lambda batch: answer(len(batch)))
    with pytest.raises(ClassifierError, match=message):
        e.predict(images)


def test_an_image_without_an_answer_ends_so_and_the_others_are_explained(trained, explainer, images):
    def answer(batch):
        answers = np.array(explainer.classifier.answer(batch))
        answers[batch.std((1, 2, 3)) == 0] = np.nan
        return answers

    e = Explainer.load(trained[0], host_classifier=answer)
    e._table = explainer.code_table
    blank = np.array(images)
    blank[1] = 0
    with pytest.raises(ClassifierError, match="answer to image 1 is not finite"):
        e.predict(blank)
    found, expected = e.explain(blank, "any", **EASY), explainer.explain(images, "any", **EASY)
    assert found.status[1] == Ending.NO_ANSWER
    assert found.prediction[1] == found.target[1] == -1
    others = np.arange(len(images)) != 1
    np.testing.assert_array_equal(found.status[others], expected.status[others])
    np.testing.assert_allclose(found.shift[others], expected.shift[others], atol=1 / 256)
    with pytest.raises(InputError, match="no finite answer to the reference image"):
        e.explain(images, reference=blank[1])


@pytest.mark.parametrize("backend", ["cpu", "gpu"])  # beside a GPU too: where a classifier computes is not known
def test_a_classifier_of_ones_own_is_asked_about_so_many_images_at_most(trained, monkeypatch, backend):
    asked = []

    def answer(batch):
        asked.append(len(batch))
        return np.full((len(batch), 10), 0.1)

    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    Explainer.load(trained[0], host_classifier=answer).model.predict(np.zeros((2500, 28, 28, 1), np.float32))
    assert asked[-3:] == [1024, 1024, 452]


def test_answers_of_a_traced_classifier_are_checked_too():
    with pytest.raises(ClassifierError, match="softmax"):
        check_answers(np.full((1, 2), 3.0, np.float32), 1, 2)
    assert check_answers(np.full((1, 2), 0.5), 1, 2).dtype == np.float32


ODD_TARGETS = [10, -1, "eight", "", "10", "-1", 2.5, [1, 2], None, True, np.nan, ["any"] * 3, np.eye(3)]


@pytest.mark.parametrize("target", ODD_TARGETS, ids=str)
def test_targets_that_do_not_exist(explainer, digits, target):
    with pytest.raises(InputError, match="target"):
        explainer.explain(digits.test.take(np.arange(3)), target)


@pytest.mark.parametrize(
    "option",
    [
        {"strategy": "telepathy"},
        {"saliency": "gut"},
        {"confidence": 1.5},
        {"tolerance": 0.0},
        {"references": 0},
        {"diverse": 0},
        {"smoothing": -1.0},
    ],
)
def test_options_that_cannot_be(explainer, images, option):
    with pytest.raises(InputError, match=next(iter(option))):
        explainer.explain(images, "any", **option)


def test_a_reference_image_is_where_paths_lead(explainer, images):
    classes = explainer.predict(images).argmax(-1)
    reference = next(i for i in range(1, 5) if classes[i] != classes[0])
    record = explainer.explain(images, reference=images[reference], **EASY)
    assert (record.target == classes[reference]).all()
    own = classes == classes[reference]
    np.testing.assert_array_equal(record.status == Ending.ALREADY_TARGET, own)
    individual, code = explainer.encode(images)
    end = explainer.decode(take(individual, slice(1)), code[[reference]])
    np.testing.assert_allclose(record.path_images[0, -1], end[0], atol=1e-5)
    with pytest.raises(InputError, match="exemplar's own class"):
        explainer.explain(images[[reference]], reference=images[reference])
    with pytest.raises(InputError, match="target"):
        explainer.explain(images, int(classes[reference] + 1) % 10, reference=images[reference])


def test_diverse_answers_of_the_closest_strategy_are_those_of_medoids(explainer, images):
    ways = {"diverse": 2, **EASY}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a model that is hardly trained there may be fewer
        ours, theirs = (explainer.explain(images, strategy=name, **ways) for name in ("closest", "medoid"))
    np.testing.assert_array_equal(ours.tried, theirs.tried)
    np.testing.assert_array_equal(ours.reference, theirs.reference)


@pytest.mark.parametrize("residual", [False, True])
def test_a_fixed_region_stays_on_the_whole_path(explainer, images, residual):
    free = explainer.explain(images, "all", residual=residual, **EASY)
    fixed = np.zeros((28, 28), bool)
    fixed[:, :14] = True
    record = explainer.explain(images, "all", fixed=fixed, residual=residual, **EASY)
    start = images[record.image_index] / np.float32(255) if residual else free.path_images[:, 0]
    np.testing.assert_allclose(record.counterfactual[:, fixed], start[:, fixed], atol=1e-6)
    np.testing.assert_allclose(record.path_images[:, :, fixed], start[:, None][:, :, fixed].repeat(7, 1), atol=1e-6)
    assert not record.saliency[:, fixed].any() or residual
    ends, free_ends = record.path_images[:, -1], free.path_images[:, -1]
    same = record.reference == free.reference
    assert same.any()
    np.testing.assert_allclose(ends[same][:, ~fixed], free_ends[same][:, ~fixed], atol=1e-6)
    assert (abs(free_ends - free.path_images[:, 0])[:, fixed] > 0.01).any()


def test_masks_of_what_is_fixed_are_of_each_image_or_of_all(explainer, images):
    all_fixed = np.zeros((len(images), 28, 28), int)
    all_fixed[0] = 1
    record = explainer.explain(images, "all", fixed=all_fixed, **EASY)
    of_first = record.image_index == 0
    assert not np.isin(record.status[of_first], (Ending.FLIPPED, Ending.WEAK)).any()
    others = explainer.explain(images[1:], "all", **EASY)
    np.testing.assert_array_equal(record.status[~of_first], others.status)
    np.testing.assert_allclose(record.shift[~of_first], others.shift, atol=1e-6)
    for mask, message in (
        (np.zeros((14, 28)), r"fixed is a mask \[28, 28\], or \[5, 28, 28\], not \(14, 28\)"),
        (np.zeros((4, 28, 28)), "not \\(4, 28, 28\\)"),
        (np.full((28, 28), 255), "true and false, or 1 and 0"),
    ):
        with pytest.raises(InputError, match=message):
            explainer.explain(images, "all", fixed=mask)


def test_waypoints_are_walked_through(explainer, images):
    individual, _ = explainer.encode(images)
    middle, end = np.full(8, 0.5, np.float32), np.full(8, -1.0, np.float32)
    record = explainer.explain(images, 8, waypoints=np.stack([middle, end]), **EASY)
    np.testing.assert_allclose(record.path_images[:, -1], explainer.decode(individual, np.tile(end, (5, 1))), atol=1e-5)
    for waypoints, message in ((np.zeros((2, 3)), "waypoints are"), (np.zeros((4, 2, 8)), "4 rows of waypoints")):
        with pytest.raises(InputError, match=message):
            explainer.explain(images, 8, waypoints=waypoints)
    with pytest.raises(InputError, match="waypoints need a target class"):
        explainer.explain(images, waypoints=np.zeros((2, 8)))


def test_the_code_table_is_kept_and_a_damaged_one_made_again(trained, caplog):
    first = Explainer.load(trained[0])
    codes = first.code_table.class_codes
    kept = package.load_code_table(trained[0], first.fingerprint)
    np.testing.assert_array_equal(kept.class_codes, codes)
    assert package.load_code_table(trained[0], "another model") is None
    path = trained[0] / package.CODE_TABLE
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert package.load_code_table(trained[0], first.fingerprint) is None
    assert "is damaged" in caplog.text
    np.testing.assert_array_equal(Explainer.load(trained[0]).code_table.class_codes, codes)
    assert package.load_code_table(trained[0], first.fingerprint) is not None


def test_the_code_table_of_other_data_is_made_again(trained, digits, caplog):
    first = Explainer.load(trained[0])
    assert first.code_table is not None
    assert package.load_code_table(trained[0], first.fingerprint, digits.fingerprint) is not None
    assert package.load_code_table(trained[0], first.fingerprint, "other images") is None
    assert "the training images have changed" in caplog.text
    moved = Explainer.load(trained[0])
    rows = np.arange(len(digits.train))[::-1]
    train = ArraySource(digits.train.take(rows), digits.train.labels[rows])
    moved._dataset = dataclasses.replace(digits, train=train, fingerprint="lines moved")
    np.testing.assert_allclose(moved.code_table.class_codes, first.code_table.class_codes[::-1], atol=1e-5)
    np.testing.assert_array_equal(moved.code_table.labels, first.code_table.labels[::-1])


def test_a_workdir_without_a_run(tmp_path):
    with pytest.raises(ConfigError, match="holds no run"):
        Explainer.load(tmp_path)


def test_a_run_without_a_checkpoint(trained, tmp_path):
    (tmp_path / "run.json").write_bytes((trained[0] / "run.json").read_bytes())
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        Explainer.load(tmp_path)


def program_on(workdir, out, *options):
    """Runs the program; returns the numbers that it writes and what it prints."""
    parsed = explain_program.PROGRAM.parse(["--workdir", str(workdir), "--out", str(out), *options])
    console = Console(record=True, width=200)
    explain_program.explain(parsed, console)
    return json.loads((out / "explanations.json").read_text()), console.export_text()


@pytest.fixture
def run_program(trained, explainer, monkeypatch):
    """Runs the program on the short run, which is loaded and compiled already."""
    loaded = {str(trained[0]): explainer}
    monkeypatch.setattr(Explainer, "load", lambda workdir: loaded[str(workdir)])
    return functools.partial(program_on, trained[0])


def test_the_program_writes_pictures_numbers_arrays_and_a_page(trained, tmp_path):
    summary, text = program_on(trained[0], tmp_path / "out", "--index", "3,7", "--target", "8")
    rows = summary["explanations"]
    assert [row["image"] for row in rows] == ["test_3", "test_7"]
    assert sum(summary["totals"].values()) == 2
    assert all((tmp_path / "out" / row["picture"]).stat().st_size > 1000 for row in rows)
    with np.load(tmp_path / "out" / "explanations.npz", allow_pickle=False) as arrays:
        assert arrays["counterfactual"].shape == (2, 28, 28, 1)
        assert arrays["image_names"].tolist() == ["test_3", "test_7"]
    assert (tmp_path / "out" / "index.html").read_text().count('<section class="card"') == 2
    assert "2 explanations" in text


def test_a_target_is_a_name_or_a_number_and_names_come_first(explainer, images, monkeypatch):
    monkeypatch.setattr(
        explainer, "record", explainer.record._replace(class_names=("zero", "1", "any", "3", *"456789"))
    )
    by_number = explainer.explain(images, 3, **EASY).target
    np.testing.assert_array_equal(explainer.explain(images, "3", **EASY).target, by_number)
    assert set(explainer.explain(images, "any", **EASY).target) == {2}
    assert len(explainer.explain(images, **EASY)) == 5  # nothing said: whichever class comes first
    names = np.asarray(["zero", "1", "any", "3", "4"])
    np.testing.assert_array_equal(explainer.explain(images, names, **EASY).target, np.arange(5))
    assert set(explainer.explain(images, "2", **EASY).target) == {2}  # no class has that name


NAMES = ["zero", "0", "any", "all", "cafe\u0301", *"abcde"]


@pytest.mark.parametrize(
    ("text", "means"),
    [("zero", 0), ("0", 1), ("any", 2), ("all", 3), ("caf\u00e9", 4), ("e", 9), ("5", 5), (Aim.ANY, Aim.ANY)],
)
def test_a_text_means_a_class_first_and_a_number_last(text, means):
    assert find_target(text, NAMES) == means


def test_any_and_all_are_no_classes_unless_one_is_called_so():
    assert find_target("all", NAMES[4:]) is Aim.ALL
    with pytest.raises(InputError, match=r"the classes are k0, k1, .*k19 and 980 more"):
        find_target("x" * 9, [f"k{number}" for number in range(1000)])


def test_options_of_no_such_name_are_named(explainer, images):
    with pytest.raises(InputError, match="no option 'divers'; did you mean diverse"):
        explainer.explain(images, divers=3)


def test_memory_is_bounded_and_the_answers_are_the_same(explainer, images, monkeypatch):
    asked = {"diverse": 2, "strategy": "medoid", **EASY}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that some have fewer answers
        whole = explainer.explain(images, "all", **asked)
    monkeypatch.setattr("cae_jax.explaining.engine.MEMORY", 10 * 28 * 28 * 16 * 4)
    monkeypatch.setattr("cae_jax.explaining.explainer.MEMORY", 100_000)
    parts = list(explainer.explain_batches(images, "all", **asked))
    assert max(map(len, parts)) <= 10
    assert len(parts) >= 45 / 5
    for name in ("image_index", "target", "status", "answer", "tried", "confident"):
        np.testing.assert_array_equal(np.concatenate([getattr(p, name) for p in parts]), getattr(whole, name))
    np.testing.assert_allclose(np.concatenate([p.saliency for p in parts]), whole.saliency, atol=1e-4)


def test_fewer_answers_than_asked_for_are_said(explainer, images):
    waypoints = explainer.code_table.class_codes[:1]
    with pytest.warns(UserWarning, match="3 answers were asked for; 5 of 5 have fewer, such as: "):
        explainer.explain(images, 3, waypoints=waypoints, diverse=3, **EASY)


ODD_NAMES = ("a/b", "[red]x[/]", "N/A", "..", "Cat", "cat", "猫😀", "x" * 290, "שלום", "\udcff_to_")


def test_names_of_any_kind_are_shown_whole_and_written_safely(explainer, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(explainer, "record", explainer.record._replace(class_names=ODD_NAMES))
    monkeypatch.setattr(explain_program, "_images", lambda *_: SplitInputs(digits.test, "test", [0]))
    monkeypatch.setattr(Explainer, "load", lambda *_: explainer)
    out = tmp_path / "out"
    command = [
        "--workdir",
        str(tmp_path),
        "--out",
        str(out),
        "--target",
        "all",
        "--confidence",
        "0.11",
        "--diverse",
        "2",
    ]
    console = Console(file=io.StringIO(), width=100, markup=True)
    explain_program.explain(explain_program.PROGRAM.parse(command), console)
    text = console.file.getvalue()
    rows = json.loads((out / "explanations.json").read_text())["explanations"]
    assert {row["target"] for row in rows} == set(ODD_NAMES) - {rows[0]["prediction"]}
    pictures = {row["picture"] for row in rows}
    assert len({picture.casefold() for picture in pictures}) == len(rows)
    assert {f"strips/{path.name}" for path in (out / "strips").iterdir()} == pictures
    html = (out / "index.html").read_text()
    assert "<b>Not to be relied on:</b> collapsed (" in html
    assert json.loads((out / "explanations.json").read_text())["verdict"].startswith("collapsed (")
    for name in ("a/b", "[red]x[/]", "猫😀", "x" * 290, "\\udcff_to_"):
        assert name in html
        assert name in re.sub(r"[\s│]", "", text) or len(name) > 30
    assert text.count("x") > 290  # folded, not cut


def test_the_program_says_where_there_are_fewer_answers(run_program, tmp_path):
    _, text = run_program(tmp_path / "out", "--index", "3", "--diverse", "3", "--confidence", "0.97")
    summary = json.loads((tmp_path / "out" / "explanations.json").read_text())
    (fewer,) = summary["fewer_answers"]
    assert (fewer["image"], fewer["asked"], fewer["found"]) == ("test_3", 3, 1)
    assert fewer["why"] == summary["explanations"][0]["message"]
    assert "3 different answers were asked for; 1 request has fewer, and the page says why" in text
    assert "3 different answers were asked for; 1 request has fewer" in (tmp_path / "out" / "index.html").read_text()


def test_an_image_that_is_named_twice_is_refused(run_program, tmp_path):
    with pytest.raises(InputError, match="test_3 is asked for more than once"):
        run_program(tmp_path / "out", "--index", "3,4,3")


def test_a_file_is_no_folder_for_results(run_program, tmp_path):
    (tmp_path / "out").write_text("mine")
    for more in ((), ("--overwrite",)):
        with pytest.raises(ConfigError, match="out is a file; name a folder as --out"):
            run_program(tmp_path / "out", "--index", "3", *more)
    assert (tmp_path / "out").read_text() == "mine"


def test_codes_leave_out_what_the_classifier_has_no_answer_to_and_name_it(trained, digits, caplog):
    odd = digits.test.take(np.asarray([3]))[0] / np.float32(255)

    def answer(batch):
        answers = np.full((len(batch), 10), 0.1, np.float32)
        answers[np.abs(batch - odd).max((1, 2, 3)) < 1e-6] = np.nan
        return answers

    e = Explainer.load(trained[0], host_classifier=answer)
    e._dataset = digits
    codes = gather_codes(e, code_parts(e, ("test",), 6))
    assert codes.names.tolist() == ["test_0", "test_1", "test_2", "test_4", "test_5"]
    np.testing.assert_array_equal(codes.labels, np.asarray(digits.test.labels)[[0, 1, 2, 4, 5]])
    assert "left out, as the classifier has no finite answer: test_3" in caplog.text


@pytest.fixture
def folder(tmp_path, digits):
    """Seventy digits as files, of which two cannot be read: more than a batch."""
    path = tmp_path / "digits"
    path.mkdir()
    for i in range(70):
        Image.fromarray(digits.train.take(np.asarray([i]))[0, ..., 0]).save(path / f"{i:02d}.png")
    (path / "05.png").write_bytes(b"no picture")
    (path / "68.png").write_bytes(b"")
    return path


def test_unreadable_images_are_reported_and_the_rest_goes_on(run_program, tmp_path, folder):
    summary, text = run_program(tmp_path / "out", "--input", str(folder))
    assert [failure["name"] for failure in summary["failures"]] == ["05.png", "68.png"]
    assert "2 images could not be explained:\n  05.png: " in text
    assert "\n  68.png: " in text
    reasons = [failure["reason"].split("05.png ")[-1].split("68.png ")[-1] for failure in summary["failures"]]
    assert reasons == ["is no image, whatever its name says", "is empty (0 bytes)"]
    assert len({row["image"] for row in summary["explanations"]}) == 68
    assert "05.png" in (tmp_path / "out" / "index.html").read_text()
    with np.load(tmp_path / "out" / "explanations.npz") as arrays:
        assert len(arrays["images"]) == 68
        np.testing.assert_array_equal(arrays["image_index"], np.arange(68))


def test_an_interrupted_job_leaves_what_is_done_and_goes_on(run_program, tmp_path, folder, monkeypatch):
    whole, _ = run_program(tmp_path / "whole", "--input", str(folder))
    original, batches = Explainer.explain_batches, []

    def interrupt(self, images, *arguments, **options):
        batches.append(len(images))
        if len(batches) == 2:
            raise KeyboardInterrupt
        return original(self, images, *arguments, **options)

    monkeypatch.setattr(Explainer, "explain_batches", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_program(tmp_path / "cut", "--input", str(folder))
    cut = json.loads((tmp_path / "cut" / "explanations.json").read_text())
    assert (len(cut["explanations"]), cut["missing"]) == (63, 6)
    assert "6 of the images" in (tmp_path / "cut" / "index.html").read_text()
    done, _ = run_program(tmp_path / "cut", "--input", str(folder))
    assert done == whole
    assert batches == [63, 5, 5]


def test_a_damaged_part_is_made_again(run_program, tmp_path, folder):
    whole, _ = run_program(tmp_path / "out", "--input", str(folder))
    part = tmp_path / "out" / "parts" / "000001.npz"
    part.write_bytes(part.read_bytes()[:100])
    again, _ = run_program(tmp_path / "out", "--input", str(folder))
    assert again == whole


def test_results_of_another_job_are_kept_unless_overwritten(run_program, tmp_path):
    out = tmp_path / "out"
    run_program(out, "--index", "3")
    (out / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"differs in: target.*--overwrite"):
        run_program(out, "--index", "3", "--target", "8")
    summary, _ = run_program(out, "--index", "4", "--overwrite")
    assert [row["image"] for row in summary["explanations"]] == ["test_4"]
    assert (out / "notes.txt").read_text() == "mine"
    assert {path.name.split("_to_")[0] for path in (out / "strips").iterdir()} == {"test_4"}
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "a.txt").write_text("")
    with pytest.raises(InputError, match="holds files already"):
        run_program(tmp_path / "foreign", "--index", "3")


def test_images_that_differ_in_their_suffix_alone_get_pictures_of_their_own(run_program, tmp_path, digits):
    for suffix in ("png", "bmp"):
        Image.fromarray(digits.train.take(np.asarray([0]))[0, ..., 0]).save(tmp_path / f"digit.{suffix}")
    summary, _ = run_program(tmp_path / "out", "--input", str(tmp_path), "--target", "all")
    pictures = [row["picture"] for row in summary["explanations"]]
    assert len(pictures) == len(set(pictures)) == 18


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "nine"], "target class 'nine' does not exist"),
        (["--index", "60"], "test split has images 0 to 59"),
        (["--index", "60", "--split", "validation"], "validation split has images 0 to 59"),
        (["--input", "nowhere.png"], "nowhere.png does not exist"),
        (["--input", "nowhere.png", "--split", "train"], "--split train is of the data set, and --input names other"),
        (["--confidence", "2"], "confidence must be 'typical' or lie in"),
        (["--reference", "nowhere.png"], "nowhere.png"),
    ],
)
def test_the_program_refuses_what_cannot_be(run_program, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        run_program(tmp_path, *options)


def test_a_job_without_a_readable_image_says_why(run_program, tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match=re.compile(r"none of the 1 images could be explained; .*a\.png", re.DOTALL)):
        run_program(tmp_path / "out", "--input", str(tmp_path / "a.png"))


def test_a_job_names_the_image_without_an_answer_and_explains_the_others(trained, explainer, digits, tmp_path):
    images = digits.test.take(np.arange(3))
    for name, image in (("a", images[0]), ("blank", images[0] * 0), ("c", images[2])):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{name}.png")

    def answer(batch):
        if (batch.std((1, 2, 3)) == 0).any():
            raise ValueError("nothing to see")
        return np.array(explainer.classifier.answer(batch))

    e = Explainer.load(trained[0], host_classifier=answer)
    e._table = explainer.code_table
    rows = explain_to_folder(e, FileInputs(tmp_path, e.image_format), "any", tmp_path / "out", **EASY)
    assert [row["image"] for row in rows] == ["a.png", "c.png"]
    summary = json.loads((tmp_path / "out" / "explanations.json").read_text())
    assert [failure["name"] for failure in summary["failures"]] == ["blank.png"]
    assert "no finite answer" in summary["failures"][0]["reason"]
    expected = explainer.explain(images[[0, 2]], "any", **EASY)
    assert [row["ending"] for row in rows] == [Ending(s).name for s in expected.status]
    with np.load(tmp_path / "out" / "explanations.npz") as arrays:
        assert arrays["image_index"].tolist() == [0, 1]
        assert arrays["image_names"].tolist() == ["a.png", "c.png"]


def test_a_job_toward_a_reference_of_the_own_class_is_refused(explainer, digits, tmp_path):
    image = digits.test.take(np.asarray([0]))[0]
    with pytest.raises(InputError, match="exemplar's own class"):
        explain_to_folder(explainer, SplitInputs(digits.test, "test", [0]), "any", tmp_path / "out", reference=image)
    assert job.IMAGES == 64
