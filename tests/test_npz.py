"""Data sets in one .npz file, whole and damaged."""

import numpy as np
import pytest

from cae_jax.data import DataUnavailable, open_dataset
from cae_jax.training.files import write_npz


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


def test_an_archive_of_ours_has_its_arrays_and_nothing_else(tmp_path):
    write_npz(tmp_path / "a.npz", names=np.asarray(["one", "twenty"]), codes=np.ones((2, 3), np.float32))
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert set(file.files) == {"names", "codes"}
        assert file["names"].tolist() == ["one", "twenty"]
    with pytest.raises(TypeError, match="names is an array of Python objects"):
        write_npz(tmp_path / "b.npz", names=np.asarray(["one", None]))
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
