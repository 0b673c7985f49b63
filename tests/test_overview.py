"""Codes of a data set as a table, and the global explanation as a folder, with its page in a real browser."""

import json

import jax.numpy as jnp
import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
from browser import WHERE, changed, chromium, is_dark, watch

from cae_jax.counterfactual import along_path
from cae_jax.explaining import (
    InputError,
    code_parts,
    codes_file,
    describe,
    describe_to_folder,
    encode_splits,
)
from cae_jax.explaining.explainer import Explainer
from cae_jax.explaining.overview import _probes as describe_probes
from cae_jax.explaining.package import Parts
from cae_jax.manifold import PROPERTIES, MapperOptions, build_topology
from cae_jax.report.plots import class_colour, class_shape


@pytest.fixture
def explainer(trained_explainer):
    return trained_explainer


@pytest.fixture
def without_probes(monkeypatch):
    """What does not look at the probes does not fit them."""
    monkeypatch.setattr("cae_jax.explaining.overview._probes", lambda codes, seed: {})


@pytest.fixture(scope="module")
def codes(trained_explainer):
    return encode_splits(trained_explainer, ("train", "test"))


def test_codes_are_those_of_the_explainer_in_the_order_of_the_splits(explainer, codes, digits):
    assert codes.names[0] == "train_0"
    assert codes.names[-1] == f"test_{len(digits.test) - 1}"
    assert len(codes.names) == len(digits.train) + len(digits.test)
    test = codes.of("test")
    images = digits.test.take(np.arange(len(digits.test)))
    np.testing.assert_array_equal(test.take(np.arange(len(test))), images)
    np.testing.assert_array_equal(test.labels, digits.test.labels)
    np.testing.assert_allclose(test.class_codes, explainer.encode(images)[1], atol=1e-5)
    answers = explainer.predict(images)
    np.testing.assert_array_equal(test.predictions, answers.argmax(-1))
    np.testing.assert_allclose(test.confidences, answers.max(-1), atol=1e-5)
    some = np.asarray([9, 3, 3])
    np.testing.assert_array_equal(test.take(some), images[some])
    np.testing.assert_array_equal(codes.take(np.asarray([len(codes) - 1, 0]))[0], images[-1])
    np.testing.assert_allclose(test.individual(some).code, explainer.encode(images)[0].code[some], atol=1e-5)


def test_images_are_drawn_in_parts_in_the_order_that_was_asked(explainer, codes, monkeypatch):
    monkeypatch.setattr("cae_jax.explaining.codes.rows_at_once", lambda _: 3)
    test, rows = codes.of("test"), np.asarray([5, 1, 5, 5, 2, 1, 0, 5])
    drawn = test.drawn(rows, test.class_codes[:8], lambda images: images)
    expected = explainer.decode(explainer.encode(test.take(rows))[0], test.class_codes[:8])
    np.testing.assert_allclose(drawn, expected, atol=1e-5)


def test_a_limit_takes_the_first_of_each_split_and_progress_is_told(explainer):
    done = []
    few = encode_splits(explainer, ("train", "test"), limit=5, report=done.append)
    assert few.names.tolist() == [f"train_{i}" for i in range(5)] + [f"test_{i}" for i in range(5)]
    assert sum(done) == 10


def test_an_unknown_split_is_refused(explainer):
    with pytest.raises(InputError, match="no such split: holdout"):
        encode_splits(explainer, ("holdout",))


def write(path, explainer, splits=("train", "test")):
    with codes_file(path, explainer.record.class_names) as table:
        parts = list(code_parts(explainer, splits))
        for part in parts:
            table(part)
    return parts


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_begins_with_the_published_columns(explainer, codes, tmp_path, kind, monkeypatch):
    monkeypatch.setattr("cae_jax.explaining.codes.rows_at_once", lambda _: 64)
    path = tmp_path / "new" / f"codes.{kind}"
    parts = write(path, explainer)
    assert len(parts) == -(-400 // 64) + 1
    table = (pyarrow.csv.read_csv if kind == "csv" else pyarrow.parquet.read_table)(path)
    size = codes.class_codes.shape[1]
    assert table.column_names[: size + 2] == ["image", *map(str, range(size)), "label"]
    assert table["image"].to_pylist() == codes.names.tolist()
    np.testing.assert_allclose(table["3"].to_numpy(), codes.class_codes[:, 3], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(table["prediction"].to_numpy(), codes.predictions)
    ending = np.asarray(table["ending"].to_pylist())
    np.testing.assert_array_equal(ending == "KEPT", codes.reconstruction_predictions == codes.predictions)
    assert set(ending) <= {"KEPT", "NOT_RECONSTRUCTED"}
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    first = explainer.record.class_names[0]
    answers = np.concatenate([part.probabilities for part in parts])
    np.testing.assert_allclose(table[f"probability_{first}"].to_numpy(), answers[:, 0], rtol=1e-5)


def test_another_kind_of_table_is_refused(explainer, tmp_path):
    with pytest.raises(InputError, match=r"must end in .csv or .parquet"):
        write(tmp_path / "codes.xlsx", explainer)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_replaces_an_earlier_one_and_no_other_file(explainer, tmp_path, kind):
    path = tmp_path / f"mine.{kind}"
    path.write_bytes(b"path,label\n")
    with pytest.raises(InputError, match=r"mine\.\w+ is there already and is no table of codes"):
        write(path, explainer)
    assert path.read_bytes() == b"path,label\n"
    path.unlink()
    write(path, explainer, ["train"])
    before = path.stat().st_size
    write(path, explainer, ["test"])
    assert path.stat().st_size < before


def test_a_table_that_breaks_off_leaves_nothing_and_the_cause_is_told(explainer, tmp_path):
    def broken():
        yield from code_parts(explainer, ["test"])
        raise OSError("a disk of images is gone")

    with (  # noqa: PT012
        pytest.raises(OSError, match="a disk of images is gone"),
        codes_file(tmp_path / "codes.csv", explainer.record.class_names) as table,
    ):
        for part in broken():
            table(part)
    assert list(tmp_path.iterdir()) == []


def test_the_waypoints_of_a_graph_lead_the_search(explainer, codes):
    test = codes.of("test")
    graph = build_topology(codes.class_codes, codes.reconstruction_predictions, codes.reconstruction_confidences)
    donor = int(np.flatnonzero(test.predictions != test.predictions[0])[0])
    way = graph.way(test.class_codes[0], test.class_codes[donor])
    found = explainer.explain(test.take(np.arange(1)), int(test.predictions[donor]), waypoints=way.waypoints[1:])
    shift = np.nan_to_num(found.shift, nan=1.0).astype(np.float32)  # without a shift, the path's end
    codes_there = np.asarray(along_path(jnp.asarray(way.waypoints[None]), jnp.asarray(shift)))
    np.testing.assert_allclose(found.counterfactual_code, codes_there, atol=1e-4)
    drawn = explainer.decode(test.individual(np.arange(1)), codes_there)
    np.testing.assert_allclose(found.counterfactual, drawn, atol=1e-3)


@pytest.fixture(scope="module")
def described(trained_explainer, tmp_path_factory):
    """A folder with a description, the overview that it is of, and the stages that were told."""
    folder, stages = tmp_path_factory.mktemp("described"), []
    overview = describe_to_folder(trained_explainer, folder, limit=150, report=lambda *stage: stages.append(stage))
    return folder, overview, stages


def test_a_folder_holds_page_numbers_and_codes_and_the_same_seed_finds_the_same(explainer, described):
    folder, overview, stages = described
    assert {file.name for file in folder.iterdir()} == {"index.html", "manifold.json", "codes.parquet"}
    found = json.loads((folder / "manifold.json").read_text())
    assert found["numbers"]["nodes"] == len(overview.graph) == len(found["graph"]["nodes"])
    names = pyarrow.parquet.read_table(folder / "codes.parquet")["image"].to_pylist()
    node = found["graph"]["nodes"][0]
    assert node["names"] == [names[row] for row in node["members"]]
    assert np.shape(found["correlations"])[1] == len(PROPERTIES)
    assert (folder / "index.html").stat().st_size > 1e6
    again = describe(explainer, encode_splits(explainer, ("train", "validation", "test"), 150))
    assert again.numbers == pytest.approx(overview.numbers, abs=1e-6)
    assert again.graph.to_dict() == overview.graph.to_dict()
    np.testing.assert_array_equal(again.pervasiveness, overview.pervasiveness)
    assert [done for _, done, _ in stages] == list(range(stages[-1][2] + 1))


def test_the_manifold_page_shows_thumbnails_and_takes_choices_without_a_network(described, explainer):
    names = explainer.record.class_names
    read = "() => Array.from(Bokeh.documents[0].get_model_by_name('points').data_source.data['{}'].slice(0, 5))"
    with chromium() as browser:
        page, requests, errors = watch(browser)
        page.goto((described[0] / "index.html").as_uri())
        page.wait_for_function("() => window.Bokeh && Bokeh.documents.length > 0")
        place, *looks = (page.evaluate(read.format(column)) for column in ("x", "colour", "shape"))
        numbers = [names.index(name) for name in page.evaluate(read.format("prediction"))]
        assert looks == [[*map(class_colour, numbers)], [*map(class_shape, numbers)]]
        assert page.locator("p .mark").count() == len(names)
        page.get_by_label("projection").select_option("t-SNE")
        page.get_by_label("colour").select_option("confidence")
        changed(page, place, lambda page: page.evaluate(read.format("x")))
        shades = page.evaluate(read.format("colour"))
        assert shades != looks[0]
        page.get_by_label("colour").select_option("label")
        numbers = [names.index(name) for name in page.evaluate(read.format("label"))]
        changed(page, shades, lambda page: page.evaluate(read.format("colour")))
        assert page.evaluate(read.format("shape")) == [*map(class_shape, numbers)]
        assert not is_dark(page, "manifold", "projection")
        page.emulate_media(color_scheme="dark")
        assert is_dark(page, "manifold", "projection")
        x, y = page.evaluate(WHERE, ["manifold", "points", 0])
        page.mouse.move(x + 3, y)
        page.mouse.move(x, y)
        assert (page.locator(".bk-Tooltip img").first.get_attribute("src") or "").startswith("data:image/png")
    assert not errors
    assert all(url.startswith(("file:", "data:", "blob:")) for url in requests)


def test_one_class_is_no_decision(explainer, codes):
    rows = (codes.predictions == codes.of("test").predictions[0]) | np.char.startswith(codes.names, "train")
    with pytest.raises(InputError, match=r"the test split has .* fewer than two classes"):
        describe(explainer, codes.select(rows))


def test_a_graph_without_nodes_says_what_to_change(explainer, codes, without_probes):
    with pytest.raises(InputError, match="raise reach"):
        describe(explainer, codes, MapperOptions(reach=1e-6, members=5))


def test_a_folder_of_others_is_refused_and_one_of_ours_is_described_again(explainer, tmp_path, without_probes):
    (tmp_path / "index.html").write_text("somebody's page")
    with pytest.raises(InputError, match="holds other files"):
        describe_to_folder(explainer, tmp_path, limit=60)
    assert (tmp_path / "index.html").read_text() == "somebody's page"
    out = tmp_path / "new"
    with pytest.raises(InputError, match="raise reach"):
        describe_to_folder(explainer, out, MapperOptions(reach=1e-6, members=5), limit=60)
    assert list(out.iterdir()) == []  # so that it can be tried again
    (out / "codes.parquet.7.draft").write_bytes(b"of one that was killed")
    with pytest.raises(InputError, match="raise reach"):
        describe_to_folder(explainer, out, MapperOptions(reach=1e-6, members=5), limit=60)
    (out / "manifold.json").write_text("an earlier one")
    with pytest.raises(InputError, match="raise reach"):
        describe_to_folder(explainer, out, MapperOptions(reach=1e-6, members=5), limit=60)


def test_leakage_is_that_of_the_evaluation_whether_or_not_the_exemplar_is_carried(explainer, trained, codes, digits):
    found = describe_probes(codes, 0)
    keeping_config = explainer.record.config.copy_and_resolve_references()
    keeping_config.model.keep_residual = True
    record = explainer.record._replace(config=keeping_config)
    keeping = Explainer(Parts(record, 0, explainer.params, explainer.classifier, "", ""), trained[0])
    keeping._dataset = digits
    carries = [e.encode(codes.take(np.arange(2)))[0].exemplar is not None for e in (keeping, explainer)]
    assert carries == [True, False]
    plain, drawn = (encode_splits(e, ["test"], 12) for e in (explainer, keeping))
    np.testing.assert_array_equal(drawn.reconstruction_predictions, plain.reconstruction_predictions)
    np.testing.assert_allclose(drawn.reconstruction_confidences, plain.reconstruction_confidences, atol=1e-4)
    carried = describe_probes(encode_splits(keeping, ("train", "test")), 0)
    assert carried["individual_code_leakage"] == pytest.approx(found["individual_code_leakage"], abs=0.02)
    leakage = {name: value for name, value in trained[1].items() if name.startswith("individual_code_leakage")}
    assert len(leakage) == 8
    for name, value in leakage.items():
        assert found[name] == pytest.approx(value, abs=0.02)
