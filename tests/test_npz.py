"""Data sets in one .npz file, whole and damaged."""

import logging
import tracemalloc

import numpy as np
import pytest

from cae_jax.data import DataUnavailable, FileSettings, Format, open_dataset, resize
from cae_jax.workdir.files import write_npz, write_npz_in_parts


def write(path, **changes):
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 6), ("val", 3), ("test", 4)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, 5, 7), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.arange(count, dtype=np.uint8)[:, None] % 3
    arrays |= changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return arrays


def test_a_file_is_read_whole_and_by_split(tmp_path):
    path = tmp_path / "set.npz"
    arrays = write(path)
    found = open_dataset(str(path))
    assert found.name == str(path)
    assert found.class_names == ("0", "1", "2")
    assert found.image_shape == (5, 7, 1)
    np.testing.assert_array_equal(found.validation.take(np.arange(3))[..., 0], arrays["val_images"])
    np.testing.assert_array_equal(found.test.labels, [0, 1, 2, 0])


def test_colour_and_flat_labels_are_read(tmp_path):
    path = tmp_path / "set.npz"
    images = {f"{split}_images": np.zeros((4, 5, 5, 3), np.uint8) for split in ("train", "val", "test")}
    labels = {f"{split}_labels": np.arange(4) % 2 for split in ("train", "val", "test")}
    write(path, **images, **labels)
    assert open_dataset(str(path)).image_shape == (5, 5, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val_labels": None}, r"set.npz has no array val_labels; it has train_images"),
        ({"train_images": np.zeros((6, 5, 7))}, r"train_images of .*set.npz must be uint8 .* not float64"),
        ({"test_images": np.zeros((4, 5, 7, 2), np.uint8)}, r"test_images of .* must be uint8"),
        ({"test_labels": np.zeros((4, 2), int)}, r"test_labels of .* one whole number for each of 4 images"),
        ({"train_labels": np.zeros(6)}, r"train_labels of .* not float64"),
        ({"train_labels": np.arange(6) - 1}, r"train_labels of .* must not be negative, but -1"),
        ({"val_images": np.zeros((3, 6, 7), np.uint8)}, r"images of different sizes in its splits"),
        ({"train_labels": np.zeros(6, int)}, r"images of one class only"),
        ({"train_labels": np.asarray([None] * 6)}, r"cannot be read as .npz"),
        (
            {"validation_labels": np.zeros(3, int)},
            r"val_labels and validation_labels both are the labels of valid",
        ),
    ],
)
def test_what_is_wrong_is_said_with_the_file_and_the_array(tmp_path, changes, message):
    path = tmp_path / "set.npz"
    write(path, **changes)
    with pytest.raises(DataUnavailable, match=message):
        open_dataset(str(path))


def test_a_file_that_is_none_is_said_by_name(tmp_path):
    (tmp_path / "set.npz").write_bytes(b"not a zip file")
    with pytest.raises(DataUnavailable, match=r"set.npz cannot be read as .npz"):
        open_dataset(str(tmp_path / "set.npz"))
    with pytest.raises(DataUnavailable, match=r"absent.npz does not exist"):
        open_dataset(str(tmp_path / "absent.npz"))


def test_large_splits_are_read_when_asked_for_packed_or_not(tmp_path, monkeypatch):
    monkeypatch.setattr("cae_jax.data.npz.HELD", 0)
    for save in (np.savez, np.savez_compressed):
        path = tmp_path / f"{save.__name__}.npz"
        arrays = write(path)
        save(path, **arrays)
        found = open_dataset(str(path))
        assert type(found.test).__name__ == "RowSource"
        np.testing.assert_array_equal(found.test.take(np.asarray([3, 0, 3]))[..., 0], arrays["test_images"][[3, 0, 3]])
        np.testing.assert_array_equal(found.train.take(np.arange(6))[..., 0], arrays["train_images"])


def test_opening_a_large_file_does_not_load_it(tmp_path):
    path = tmp_path / "large.npz"
    images = np.zeros((500, 128, 128, 3), np.uint8)  # 25 MB a split
    images[:, 0, 0] = 255
    splits = ("train", "val", "test")
    np.savez_compressed(
        path, **{f"{s}_images": images for s in splits}, **{f"{s}_labels": np.arange(500) % 2 for s in splits}
    )
    del images
    tracemalloc.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cae_jax.data.npz.HELD", 0)
        open_dataset(str(path))
    assert tracemalloc.get_traced_memory()[1] < 12 << 20
    tracemalloc.stop()


def test_images_are_brought_to_size_and_channels_as_files_are(tmp_path):
    path = tmp_path / "set.npz"
    arrays = write(path, val_images=np.zeros((3, 6, 7), np.uint8))
    found = open_dataset(str(path), files=FileSettings(Format((10, 14), 3)))
    assert found.image_shape == (10, 14, 3)
    expected = resize(arrays["train_images"][2][..., None], (10, 14), "crop")
    np.testing.assert_array_equal(found.train.take(np.asarray([2]))[0], np.repeat(expected, 3, -1))


def test_colours_in_another_split_than_the_first_grey_one_are_refused_unless_grey_is_asked_for(tmp_path):
    path = tmp_path / "set.npz"
    write(path, test_images=np.arange(4 * 105, dtype=np.uint16).astype(np.uint8).reshape(4, 5, 7, 3))
    with pytest.raises(DataUnavailable, match="test_images 0 is in colour, but grey images are expected"):
        open_dataset(str(path), files=FileSettings(Format((5, 7))))
    assert open_dataset(str(path), files=FileSettings(Format((5, 7), 1))).image_shape == (5, 7, 1)


def test_images_that_splits_share_are_warned_of(tmp_path, caplog):
    path = tmp_path / "set.npz"
    images = write(path)["train_images"]
    write(path, val_images=np.stack([images[4], images[4] + 1, images[2]]))
    with caplog.at_level(logging.WARNING):
        open_dataset(str(path))
    assert "2 images of the validation split are in the training split too (validation 0 is train 4)" in caplog.text
    assert "test split" not in caplog.text


def test_splits_that_are_missing_are_drawn(tmp_path):
    path = tmp_path / "set.npz"
    images = np.arange(30 * 25, dtype=np.uint16).astype(np.uint8).reshape(30, 5, 5)
    np.savez(path, train_images=images, train_labels=np.arange(30) % 3)
    found = open_dataset(str(path))
    counts = [np.bincount(found.split(split).labels).tolist() for split in ("train", "validation", "test")]
    assert counts == [[7, 7, 7], [1, 1, 1], [2, 2, 2]]
    np.savez(path, train_images=images, train_labels=[0] * 28 + [1] * 2)
    with pytest.raises(DataUnavailable, match="class 1 has 2 images, and needs 3"):
        open_dataset(str(path))


def test_labels_from_1_several_findings_and_an_order_of_classes(tmp_path):
    path = tmp_path / "set.npz"
    labels = {f"{split}_labels": np.arange(n) % 3 + 1 for split, n in (("train", 6), ("val", 3), ("test", 4))}
    write(path, **labels)
    found = open_dataset(str(path))
    assert found.class_names == ("1", "2", "3")
    assert found.test.labels.tolist() == [0, 1, 2, 0]
    turned = open_dataset(str(path), files=FileSettings(classes=("3", "2", "1")))
    assert turned.test.labels.tolist() == [2, 1, 0, 2]
    assert turned.fingerprint != found.fingerprint
    write(path, train_labels=np.zeros((6, 14), int))
    with pytest.raises(
        DataUnavailable, match=r"14 findings for each image: write the one to explain, such as labels\[:, 0\]"
    ):
        open_dataset(str(path))


def test_a_changed_byte_is_noticed_and_changes_the_fingerprint(tmp_path):
    path = tmp_path / "set.npz"
    arrays = write(path)
    first = open_dataset(str(path)).fingerprint
    assert open_dataset(str(path)).fingerprint == first
    whole = bytearray(path.read_bytes())
    whole[whole.index(arrays["train_images"].tobytes()) + 9] ^= 1
    path.write_bytes(whole)
    with pytest.raises(DataUnavailable, match=r"set\.npz cannot be read as \.npz: Bad CRC"):
        open_dataset(str(path))
    arrays["train_images"][0, 0, 0] ^= 1
    np.savez(path, **arrays)
    assert open_dataset(str(path)).fingerprint != first


def test_arrays_in_fortran_s_order_are_read(tmp_path):
    path = tmp_path / "set.npz"
    arrays = write(path)
    np.savez(path, **{name: np.asfortranarray(array) for name, array in arrays.items()})
    found = open_dataset(str(path))
    np.testing.assert_array_equal(found.train.take(np.arange(6))[..., 0], arrays["train_images"])


def test_a_draft_that_could_not_be_finished_is_gone_and_the_old_file_stays(tmp_path):
    path = tmp_path / "a.npz"
    write_npz(path, codes=np.ones(2))
    with pytest.raises(ZeroDivisionError):
        write_npz_in_parts(path, {"codes": (2, (np.ones(1) / (1 // row) for row in range(1, -1, -1)))})
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]
    with np.load(path) as file:
        np.testing.assert_array_equal(file["codes"], [1, 1])


def test_an_archive_of_ours_has_its_arrays_and_nothing_else(tmp_path):
    write_npz(tmp_path / "a.npz", names=np.asarray(["one", "twenty"]), codes=np.ones((2, 3), np.float32))
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert set(file.files) == {"names", "codes"}
        assert file["names"].tolist() == ["one", "twenty"]
    with pytest.raises(TypeError, match="names is an array of Python objects"):
        write_npz(tmp_path / "b.npz", names=np.asarray(["one", None]))
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
