"""The benchmark program on a short run: every method, going on, failures as rows, tables by hand."""

import copy
import csv
import dataclasses
import functools
import importlib.util
import io
import json
import pathlib
from types import SimpleNamespace
from unittest.mock import Mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from cae_jax import Explainer, baselines, classifiers, metrics
from cae_jax.cli import compare as program
from cae_jax.comparison import cae_methods, methods, suite, tables, used_to_gaps
from cae_jax.comparison.methods import Method, Role
from cae_jax.comparison.scores import AttributionScores, CounterfactualScores, Score, _digests
from cae_jax.comparison.suite import Result
from cae_jax.comparison.task import Judge, Setting, Task, open_classifier
from cae_jax.config.protocol import bench_config, read_protocol
from cae_jax.data import Truth
from cae_jax.workdir.lock import hold

pytestmark = pytest.mark.usefixtures("loaded_once")

SMALL = {
    "protocol.images": "10",
    "protocol.steps": "4",
    "protocol.patch": "7",
    "protocol.fills": "mean,blur",
    "protocol.road_shares": "0.2",
    "protocol.bootstrap": "50",
    "protocol.pictures": "3",
    "protocol.confidence": "0.2",  # the model is hardly trained
    "attribution.confidence": "0.2",
}


def run_on(model, workdir, **changes):
    """Runs the program on a trained run; returns its exit code."""
    arguments = ["--config", "bench_mnist", "--model", str(model), "--workdir", str(workdir)]
    arguments += [f"--config.{key}={value}" for key, value in (SMALL | changes).items()]
    return program.PROGRAM(arguments)


@pytest.fixture
def compare(capsys, trained):
    """Runs the program on the short run; returns its exit code and what it printed."""
    return lambda workdir, **changes: (run_on(trained[0], workdir, **changes), capsys.readouterr().out)


def read(workdir):
    with (workdir / "benchmark.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("other", ["data", "oracle", "svm_images"])
def test_results_of_other_inputs_are_not_used(tmp_path, other):
    inputs = {"data": "a", "oracle": "b", "svm_images": 4000}

    def kept(**changes):
        setting = Mock(spec=Setting, inputs=tuple((inputs | changes).values()))
        setting.task = Mock(spec=Task, cae={}, attribution={}, explainer=SimpleNamespace(fingerprint="model"))
        setting.judge = SimpleNamespace(protocol=SimpleNamespace(seed=0))
        return suite._Kept(tmp_path, setting)

    result = Result("attributions", "CAE", Role.OURS, {"ROAD": Score(np.ones(3))}, np.zeros((3, 2, 2)), 0.1)
    kept().write(result)
    assert kept().read("attributions", "CAE") is not None
    assert kept(**{other: "another"}).read("attributions", "CAE") is None


def test_random_directions_are_as_long_as_the_ways_of_the_very_options():
    asked = []

    class Found(Exception):
        pass

    def explain(images, targets, **options):
        asked.append(options)
        raise Found

    options = {"strategy": "medoid", "confidence": 0.5}
    task = Mock(spec=Task, images=None, targets=None, cae=options, confidence=0.9)
    task.explainer = SimpleNamespace(explain=explain)
    with pytest.raises(Found):
        cae_methods.random_direction(task)
    assert asked == [{"strategy": "medoid", "confidence": 0.9}]


CHEAP = "CAE,gradient,control: random map,control: the image itself"


def test_methods_are_scored_into_tables_and_a_page_and_done_ones_are_not_run_again(
    compare, tmp_path, monkeypatch, trained
):
    code, text = compare(tmp_path, methods=CHEAP, **{"train.seed": "3"})
    assert code == 0
    assert "--config.train.seed: of no use, as --model names a trained run" in text
    rows = read(tmp_path)
    assert {(row["kind"], row["method"]) for row in rows} == {
        ("attributions", "CAE"),
        ("attributions", "gradient"),
        ("attributions", "control: random map"),
        ("counterfactuals", "CAE"),
        ("counterfactuals", "control: the image itself"),
    }
    itself = {row["score"]: float(row["mean"]) for row in rows if row["method"] == "control: the image itself"}
    assert (itself["validity"], itself["flip rate"], itself["L1"], itself["sparsity"]) == (0, 0, 0, 0)
    assert all(0 <= float(row["images"]) <= 10 for row in rows)
    judged = {row["score"] for row in rows if row["method"] == "CAE" and row["kind"] == "counterfactuals"}
    assert {"oracle", "SVM"} <= judged
    page = (tmp_path / "index.html").read_text()
    assert page.count('alt="gradient"') == 3
    assert "<b>Not to be relied on:</b> collapsed (" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    text = (tmp_path / "benchmark.md").read_text()
    assert "control: random map" in text
    metrics = json.loads((trained[0] / "metrics.json").read_text())
    leakage = metrics["individual_code_leakage"]
    assert f"| individual code leakage (strongest of four probes) | {leakage:.3f} |" in text
    assert f"| the same, by the SVM | {metrics['swap_svm_rate']:.3f} |" in text
    summary = (tmp_path / "summary.md").read_text()
    assert summary.splitlines()[0] == (
        "| | LeRF−MoRF ↑ | LeRF−MoRF, used to gaps ↑ | insertion ↑ | ROAD ↓ | ROAD, blurred ↓ | seconds ↓ |"
    )
    scores = {row["score"]: float(row["mean"]) for row in rows if row["method"] == "gradient"}
    by_fill = [scores[f"LeRF−MoRF ({fill})"] for fill in ("mean", "blur")]
    assert scores["LeRF−MoRF"] == pytest.approx(np.mean(by_fill))
    facts = json.loads((tmp_path / "used_to_gaps" / "manifest.json").read_text())["facts"]
    assert facts["seed"] == 3000
    said = f"is right on {facts['accuracy']:.3f} of the whole test images, and gives {facts['agreement']:.3f} of them"
    assert said in summary
    assert said in text
    assert f"| individual code leakage (strongest of four probes) | {leakage:.3f} |" in summary

    def refuse(setting):
        raise AssertionError("run again")

    monkeypatch.setitem(methods.ATTRIBUTIONS, "gradient", Method(refuse))
    with monkeypatch.context() as patch:
        patch.setattr(classifiers, "fit_classifier", refuse)
        assert compare(tmp_path, methods=CHEAP)[0] == 0
    assert read(tmp_path) == rows
    assert compare(tmp_path, methods="gradient", **{"protocol.seed": "1"})[0] == 0
    assert read(tmp_path)[0]["error"] == "AssertionError: run again"  # another protocol is another comparison


def test_a_method_that_fails_is_a_row_that_says_why_and_is_tried_again(compare, tmp_path, monkeypatch):
    def fail(setting):
        raise RuntimeError("no luck")

    with monkeypatch.context() as patch:
        patch.setitem(methods.ATTRIBUTIONS, "control: edges", Method(fail))
        code, text = compare(tmp_path, methods="control: edges")
    assert code == 0
    assert "no luck" in text
    assert "failed: RuntimeError: no luck" in (tmp_path / "index.html").read_text()
    assert "no luck" in (tmp_path / "methods" / "attributions_failed.log").read_text()
    assert compare(tmp_path, methods="control: edges")[0] == 0
    assert {row["error"] for row in read(tmp_path)} == {""}


def test_a_second_comparison_in_a_workdir_is_refused(compare, tmp_path):
    with hold(tmp_path):
        code, out = compare(tmp_path, methods="control: edges")
    assert code == 1
    assert "another run is at work in" in " ".join(out.split())
    assert not (tmp_path / "summary.md").exists()


def test_an_unknown_method_lists_the_known_ones(compare, tmp_path):
    code, text = compare(tmp_path, methods="LIME")
    assert code == 1
    assert "no such method: LIME; there are CAE" in " ".join(text.split())


def test_an_oracle_of_others_is_refused_before_anything_is_trained(capsys, tmp_path):
    arguments = ["--config", "bench_mnist", "--workdir", str(tmp_path / "run")]
    assert program.PROGRAM([*arguments, "--config.train.oracle.path=my_model.onnx"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "oracle.path is my_model.onnx, a classifier that was made elsewhere" in printed
    assert not (tmp_path / "run").exists()


def test_a_function_that_jax_traces_shows_gradients_but_no_layers(trained_explainer, digits):
    function = trained_explainer.classifier.predict
    of_a_function = copy.copy(trained_explainer)
    of_a_function.classifier = trained_explainer.classifier._replace(params=None, facts={"path": "module:function"})
    nowhere = pathlib.Path(), Console(quiet=True)
    box, own = (open_classifier(explainer, *nowhere) for explainer in (of_a_function, trained_explainer))
    images = jnp.asarray(digits.test.take(np.arange(3)) / np.float32(255))
    np.testing.assert_allclose(box.predict(images), function(images), rtol=1e-5)
    answers = [jax.nn.softmax(each.logits(images)) for each in (box, own)]
    np.testing.assert_allclose(*answers, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="does not show its layers"):
        baselines.grad_cam(box, np.asarray(images), np.zeros(3, int))


def test_a_black_box_answers_itself_and_its_student_shows_the_rest(trained, tmp_path, digits, monkeypatch):
    from cae_jax.training import student

    monkeypatch.setattr(student, "STEPS", 30)
    monkeypatch.setattr(student, "VIEWS", 10)
    asked = []

    def brightness(images):
        asked.append(type(images))
        share = np.clip(6 * images.mean((1, 2, 3)), 0, 1)[:, None]
        return np.concatenate([share, 1 - share, np.zeros((len(images), 8), np.float32)], 1)

    explainer = Explainer.load(trained[0], host_classifier=brightness)
    console = Console(file=io.StringIO(), width=200)
    box = open_classifier(explainer, tmp_path, console)
    images = digits.test.take(np.arange(4)) / np.float32(255)
    np.testing.assert_allclose(box.predict(jnp.asarray(images)), brightness(images), atol=1e-6)
    assert set(asked) == {np.ndarray}
    assert "methods that need them are given its student" in console.file.getvalue()
    assert (tmp_path / "student").is_dir()
    occlusion = functools.partial(baselines.occlusion, fill=0.0, patch=7, stride=7)
    for find in (baselines.gradient, baselines.grad_cam, occlusion):
        maps = find(box, images, np.zeros(4, int))
        assert np.isfinite(maps).all()
        assert maps.std() > 0
    curves = metrics.perturbation_curves(
        box.predict, images, np.zeros(4, int), maps, patch=7, steps=4, fill=metrics.mean_fill(np.zeros(1))
    )
    np.testing.assert_allclose(curves[:, 0], brightness(images)[:, 0], atol=1e-6)
    np.testing.assert_allclose(curves[:, -1], 0.0, atol=1e-6)


def test_what_a_student_stood_in_for_is_marked():
    marked = dataclasses.replace(made("gradient", [0.5]), student=True)
    assert "| gradient (by the student) | 0.500" in tables.markdown([marked], 0, 20)
    needs = {name for kind in methods.KINDS.values() for name, method in kind.items() if method.inside}
    assert needs == {
        *("gradient", "input × gradient", "SmoothGrad", "integrated gradients", "Grad-CAM", "Grad-CAM++"),
        *("control: randomised classifier", "pixel search (Wachter)", "latent shift in an autoencoder"),
    }


def task_of(images, predict, removal=None):
    """A task of class 0, for methods and scores that look at these parts of it."""
    classes, fill = np.zeros(len(images), np.int32), metrics.mean_fill(np.zeros(1))
    return Task(
        images=images,
        classes=classes,
        targets=classes,
        train_images=images,
        mean_colour=np.zeros(1, np.float32),
        removal=removal or metrics.Removal(1, 4, {"mean": fill}),
        classifier=baselines.WhiteBox(predict),
        explainer=Explainer.__new__(Explainer),  # without a model
        confidence=0.9,
        student=False,
        seed=0,
        cae={},
        attribution={},
    )


def test_of_the_ranks_of_two_maps_the_mean_is_taken(monkeypatch):
    monkeypatch.setattr(cae_methods, "cae", lambda task: np.asarray([[[-5.0, 0.0], [7.0, 7.5]]]))
    monkeypatch.setattr(methods, "_occlusion", lambda task: np.asarray([[[0.1, 0.1], [0.3, 0.2]]]))
    task = task_of(np.zeros((1, 2, 2, 3), np.float32), jnp.asarray)
    found = methods.ATTRIBUTIONS["CAE + occlusion"].answer(task)
    np.testing.assert_allclose(found, [[[(1 + 1.5) / 8, (2 + 1.5) / 8], [(3 + 4) / 8, (4 + 3) / 8]]])


def test_the_ceiling_is_searched_with_quick_fills_unless_there_is_no_other(monkeypatch):
    asked = []

    def search_order(predict, images, classes, *, fills, **cells):
        asked.append((fills, cells))
        return images[..., 0]

    monkeypatch.setattr(metrics, "search_order", search_order)
    fills = {"imputation": metrics.noisy_linear_imputation(), "mean": metrics.mean_fill(np.zeros(1))}
    for allowed in (fills, {"imputation": fills["imputation"]}):
        task = task_of(np.zeros((1, 2, 2, 1), np.float32), jnp.asarray, metrics.Removal(2, 4, allowed))
        methods.ATTRIBUTIONS["ceiling: order found by search"].answer(task)
    cells = {"patch": 2, "steps": 4, "seed": 0}
    assert asked == [([fills["mean"]], cells), ([fills["imputation"]], cells)]


def test_gaps_are_whole_cells_of_a_share_that_differs_and_of_one_fill_a_batch():
    removal = metrics.Removal(2, 4, {name: metrics.mean_fill(np.asarray([c])) for name, c in (("a", 0.0), ("b", 0.5))})
    change = jax.jit(used_to_gaps.with_gaps(lambda key, images: images, removal))
    seen = set()
    for seed in range(8):
        changed = np.asarray(change(jax.random.key(seed), jnp.ones((200, 5, 5, 1))))[..., 0]
        (colour,) = set(np.unique(changed)) - {1.0}
        seen.add(float(colour))
        cells = changed[:, ::2, ::2] < 1
        np.testing.assert_array_equal(changed < 1, np.repeat(np.repeat(cells, 2, 1), 2, 2)[:, :5, :5])
        shares = cells.mean((1, 2))
        assert shares.min() == 0
        assert shares.max() == 1
        assert shares.mean() == pytest.approx(0.5, abs=0.1)
    assert seen == {0.0, 0.5}


def test_maps_are_scored_by_the_truth_first_by_both_classifiers_and_once_more_blurred():
    def pixel(images):
        share = images[:, 2, 3, 0]
        return jnp.stack([1 - share, share], axis=-1)

    images = np.full((1, 6, 6, 1), 0.8, np.float32)
    images[0, 2, 3] = 0.2  # the classifier sees class 0 here, and 1 in what the neighbours suggest
    maps = np.zeros((1, 6, 6), np.float32)
    maps[0, 2, 2], maps[0, ::5, ::5] = 1.0, 0.05
    black, white = (metrics.mean_fill(np.asarray([value])) for value in (0.0, 1.0))
    task = task_of(images, pixel, metrics.Removal(1, 36, {"black": black, "white": white}))
    undecided = used_to_gaps.UsedToGaps(lambda images: jnp.full((len(images), 2), 0.5), 0.5, 0.5)
    truth = Truth(maps > 0.5, np.zeros((1, 2, 1, 6, 6, 1), np.uint8), np.zeros(1, bool))
    protocol = dataclasses.replace(read_protocol(bench_config("mnist")), road_shares=(5 / 36,))
    scores = AttributionScores(task, Judge(protocol, task.classifier, None, undecided, truth))(maps)
    assert next(iter(scores)) == tables.MAIN["attributions"][0] == "pointing game"
    assert scores["pointing game"].values == 1
    # The pixel is one of 31 that are 0: five places later in one order than in the other. Black adds 0.2 to the
    # probability, white takes 0.8 away.
    by_fill = [float(scores[f"LeRF−MoRF ({fill})"].values[0]) for fill in ("black", "white")]
    assert by_fill == pytest.approx([0.2 * 5 / 37, -0.8 * 5 / 37], rel=1e-4)
    assert scores["LeRF−MoRF"].values == pytest.approx(-0.3 * 5 / 37, rel=1e-4)
    assert scores["LeRF−MoRF, used to gaps"].values == 0
    assert scores["ROAD"].values == 1  # the strongest five are the one beside it and the corners
    assert scores["ROAD, blurred"].values == 0  # the strongest one and its neighbours


def test_no_method_s_own_images_are_among_the_real_ones_it_is_compared_with():
    images = np.random.default_rng(0).random((4, 2, 2, 1), np.float32)
    scores = CounterfactualScores.__new__(CounterfactualScores)
    scores._real, scores._real_classes = np.arange(4.0)[:, None], np.asarray([0, 1, -1, 1])  # one without an answer
    scores._real_digests = _digests(images)
    features, classes = scores._real_but(images[[0, 0]])
    assert features.tolist() == [[1.0], [3.0]]
    assert classes.tolist() == [1, 1]


def test_methods_get_neither_the_oracle_nor_the_truth():
    seen = {field.name for field in dataclasses.fields(Task)}
    assert not seen & set(Judge._fields)


@pytest.fixture(scope="module")
def missing():
    """Methods whose optional package is not here."""
    return {"partition SHAP"} if importlib.util.find_spec("shap") is None else set()


@pytest.fixture(scope="module")
def every_method(trained, tmp_path_factory, missing, optimised):
    """The rows of one comparison of all methods of both kinds, and its exit code."""
    few = {"fit_autoencoder": "steps", "pixel_search": "steps", "rise": "masks", "partition_shap": "evaluations"}
    workdir = tmp_path_factory.mktemp("every_method")
    wanted = dict.fromkeys(name for kind in methods.KINDS.values() for name in kind if name not in missing)
    looping = "SmoothGrad,integrated gradients,control: randomised classifier,pixel search (Wachter)"
    with pytest.MonkeyPatch.context() as patch:
        for name, turns in few.items():
            patch.setattr(baselines, name, functools.partial(getattr(baselines, name), **{turns: 20}))
        with optimised():  # gradients of convolutions in a loop; the others compile longer than they compute
            assert run_on(trained[0], workdir, methods=looping, **{"protocol.fills": "mean"}) == 0
        code = run_on(trained[0], workdir, methods=",".join(wanted), **{"protocol.fills": "mean"})
    return code, read(workdir)


@pytest.mark.parametrize("kind", ["attributions", "counterfactuals"])
def test_every_method_answers_for_every_image(every_method, missing, kind):
    code, rows = every_method
    assert code == 0
    rows = [row for row in rows if row["kind"] == kind]
    wanted = set(methods.KINDS[kind]) - missing
    assert {row["method"] for row in rows} == wanted
    assert {row["error"] for row in rows} == {""}
    main = {row["method"]: row["images"] for row in rows if row["score"] in ("LeRF−MoRF", "oracle")}
    assert set(main.values()) == {"10"}


def made(name, values, role=Role.BASELINE, kind="attributions", **other):
    return Result(kind, name, role, {"AOPC": Score(np.asarray(values, float))} | other, np.zeros((0,)), 0.5)


def test_a_difference_is_paired_against_the_best_of_each_kind():
    ours = made("CAE", [0.5, 0.7, 0.9], Role.OURS)
    others = [
        made("CAE change", [1.0, 1.0, 1.0], Role.VARIANT),
        made("weak", [0.1, 0.1, 0.1]),
        made("strong", [0.4, 0.6, 0.8]),
        made("control: random map", [0, 0.2, 0.4], Role.CONTROL),
    ]
    found = tables.differences([ours, *others], 0, 100)
    assert [(x.score, x.other) for x in found] == [("AOPC", "strong"), ("AOPC", "control: random map")]
    assert found[0].difference == pytest.approx((0.1, 0.1, 0.1))
    assert found[1].difference.mean == pytest.approx(0.5)


def test_where_lower_is_better_the_difference_is_turned_round():
    ours, other = (
        made(name, [1.0], role, deletion=Score(np.asarray(values), lower_is_better=True))
        for name, role, values in (("CAE", Role.OURS, [0.2]), ("x", Role.BASELINE, [0.3]))
    )
    (difference,) = [x for x in tables.differences([ours, other], 0, 20) if x.score == "deletion"]
    assert difference.difference.mean == pytest.approx(0.1)


def test_markdown_has_a_row_a_method_arrows_and_reasons():
    failed = Result("attributions", "broken", Role.BASELINE, {}, np.zeros((0,)), float("nan"), "ValueError: bad")
    empty = Score(np.asarray([np.nan, np.nan]), lower_is_better=True)
    text = tables.markdown([made("CAE", [0.25, 0.75], Role.OURS, ROAD=empty), failed], 0, 20)
    assert text.splitlines()[0] == "| | AOPC ↑ | ROAD ↓ | seconds ↓ |"
    assert text.splitlines()[2].startswith("| CAE | 0.500 [0.")
    assert text.splitlines()[2].endswith("| – | 0.500 |")
    assert text.splitlines()[3] == "| broken | failed: ValueError: bad |"


def test_what_is_chosen_keeps_the_order_of_the_tables():
    assert suite.chosen(("control: edges", "CAE")) == [
        ("attributions", "CAE"),
        ("attributions", "control: edges"),
        ("counterfactuals", "CAE"),
    ]
    assert len(suite.chosen(())) == len(methods.ATTRIBUTIONS) + len(methods.COUNTERFACTUALS)
