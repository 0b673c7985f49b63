"""Codes of a data set as a table, and the global explanation as a folder."""

import json

import jax.numpy as jnp
import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest

from cae_jax.counterfactual import along_path
from cae_jax.explaining import (
    InputError,
    SplitCodes,
    describe,
    describe_to_folder,
    encode_splits,
    write_codes,
)
from cae_jax.manifold import PROPERTIES, MapperOptions, build_topology


@pytest.fixture
def explainer(trained_explainer):
    return trained_explainer


@pytest.fixture(scope="module")
def codes(trained_explainer):
    return encode_splits(trained_explainer, ("train", "test"))


def test_codes_are_those_of_the_explainer_in_the_order_of_the_splits(explainer, codes, digits):
    assert codes.names[0] == "train_0"
    assert codes.names[-1] == f"test_{len(digits.test) - 1}"
    assert len(codes.names) == len(digits.train) + len(digits.test)
    test = codes.of("test")
    images = digits.test.take(np.arange(len(digits.test)))
    np.testing.assert_array_equal(test.images, images)
    np.testing.assert_array_equal(test.labels, digits.test.labels)
    np.testing.assert_allclose(test.class_codes, explainer.encode(images)[1], atol=1e-5)
    np.testing.assert_allclose(test.probabilities, explainer.predict(images), atol=1e-5)


def test_a_limit_takes_the_first_of_each_split_and_progress_is_told(explainer):
    done = []
    few = encode_splits(explainer, ("train", "test"), limit=5, report=done.append)
    assert few.names.tolist() == [f"train_{i}" for i in range(5)] + [f"test_{i}" for i in range(5)]
    assert sum(done) == 10


def test_an_unknown_split_is_refused(explainer):
    with pytest.raises(InputError, match="no such split: holdout"):
        encode_splits(explainer, ("holdout",))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_begins_with_the_published_columns(explainer, codes, tmp_path, kind):
    path = tmp_path / "new" / f"codes.{kind}"
    write_codes(path, codes, explainer.record.class_names)
    table = (pyarrow.csv.read_csv if kind == "csv" else pyarrow.parquet.read_table)(path)
    size = codes.class_codes.shape[1]
    assert table.column_names[: size + 2] == ["image", *map(str, range(size)), "label"]
    np.testing.assert_allclose(table["3"].to_numpy(), codes.class_codes[:, 3], rtol=1e-6)
    np.testing.assert_array_equal(table["prediction"].to_numpy(), codes.predictions)
    ending = np.asarray(table["ending"].to_pylist())
    np.testing.assert_array_equal(ending == "KEPT", codes.kept)
    assert set(ending) <= {"KEPT", "NOT_RECONSTRUCTED"}
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_another_kind_of_table_is_refused(codes, tmp_path):
    with pytest.raises(InputError, match=r"must end in .csv or .parquet"):
        write_codes(tmp_path / "codes.xlsx", codes, ["a"])


def test_the_waypoints_of_a_graph_lead_the_search(explainer, codes):
    test = codes.of("test")
    confidences = codes.reconstructed.max(-1)
    graph = build_topology(codes.class_codes, codes.reconstructed.argmax(-1), confidences)
    donor = int(np.flatnonzero(test.predictions != test.predictions[0])[0])
    way = graph.way(test.class_codes[0], test.class_codes[donor])
    found = explainer.explain(test.images[:1], int(test.predictions[donor]), waypoints=way.waypoints[1:])
    shift = np.nan_to_num(found.shift, nan=1.0).astype(np.float32)  # without a shift, the path's end
    codes_there = np.asarray(along_path(jnp.asarray(way.waypoints[None]), jnp.asarray(shift)))
    np.testing.assert_allclose(found.counterfactual_code, codes_there, atol=1e-4)
    drawn = explainer.decode(test.individual_codes[:1], codes_there)
    np.testing.assert_allclose(found.counterfactual, drawn, atol=1e-3)


def test_a_folder_holds_page_numbers_and_codes_and_the_same_seed_finds_the_same(explainer, tmp_path):
    stages = []
    overview = describe_to_folder(explainer, tmp_path, limit=150, report=lambda *stage: stages.append(stage))
    assert {file.name for file in tmp_path.iterdir()} == {"index.html", "manifold.json", "codes.parquet"}
    found = json.loads((tmp_path / "manifold.json").read_text())
    assert found["numbers"]["nodes"] == len(overview.graph) == len(found["graph"]["nodes"])
    names = pyarrow.parquet.read_table(tmp_path / "codes.parquet")["image"].to_pylist()
    node = found["graph"]["nodes"][0]
    assert node["names"] == [names[row] for row in node["members"]]
    assert np.shape(found["correlations"])[1] == len(PROPERTIES)
    assert (tmp_path / "index.html").stat().st_size > 1e6
    again = describe(explainer, encode_splits(explainer, ("train", "validation", "test"), 150))
    assert again.numbers == pytest.approx(overview.numbers, abs=1e-6)
    assert again.graph.to_dict() == overview.graph.to_dict()
    np.testing.assert_array_equal(again.pervasiveness, overview.pervasiveness)
    assert [done for _, done, _ in stages] == list(range(stages[-1][2] + 1))


def test_one_class_is_no_decision(explainer, codes):
    rows = (codes.predictions == codes.of("test").predictions[0]) | np.char.startswith(codes.names, "train")
    with pytest.raises(InputError, match=r"the test split has .* fewer than two classes"):
        describe(explainer, SplitCodes(*(field[rows] for field in codes)))


def test_a_graph_without_nodes_says_what_to_change(explainer, codes):
    with pytest.raises(InputError, match="raise reach"):
        describe(explainer, codes, MapperOptions(reach=1e-6, members=5))
