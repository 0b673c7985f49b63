"""Data sets of image files: folders, the published layout, tables; their splits, and what is wrong with some."""

import logging
import re

import numpy as np
import pytest
from PIL import Image

from cae_jax.data import Columns, DataUnavailable, FileSettings, Format, ImageError, open_dataset

AB = "trainAB_img-name_label.txt"
CLASSES = ("benign", "malignant")


def draw(path, seed, size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, size, np.uint8)).save(path)
    return path


def class_folders(root, counts=(30, 20), names=CLASSES, seed=0):
    for label, (name, count) in enumerate(zip(names, counts, strict=True)):
        for number in range(count):
            draw(root / name / f"{number:03d}.png", (seed, label, number))
    return root


def published(root, counts=(6, 6), splits=("train", "test")):
    for split in splits:
        lines = ""
        for label, (letter, count) in enumerate(zip("AB", counts, strict=True)):
            for number in range(count):
                name = f"{split}{letter}{number}.png"
                draw(root / f"{split}{letter}_img" / name, (len(split), label, number))
                lines += f"{name} {label}\n"
        (root / f"{split}AB_img-name_label.txt").write_text(lines)
    return root


def table(root, count=40, header="path,label,patient", row="{file},{label},p{patient}"):
    lines = [header]
    for number in range(count):
        draw(root / "images" / f"{number}.png", number)
        file = f"images/{number}.png"
        lines.append(row.format(file=file, label=number % 2, patient=number // 4, name=CLASSES[number % 2]))
    (root / "images.csv").write_text("\n".join(lines) + "\n")
    return root / "images.csv"


def sizes(dataset):
    return len(dataset.train), len(dataset.validation), len(dataset.test)


def test_class_folders_are_split_in_proportion_and_always_alike(tmp_path):
    found = open_dataset(str(class_folders(tmp_path)))
    assert found.class_names == CLASSES
    assert found.image_shape == (8, 8, 1)
    assert sizes(found) == (36, 4, 10)
    assert np.bincount(found.test.labels).tolist() == [6, 4]
    again = open_dataset(str(tmp_path))
    rows = np.arange(10)
    np.testing.assert_array_equal(again.test.take(rows), found.test.take(rows))


def test_folders_of_splits_are_kept(tmp_path):
    class_folders(tmp_path / "train", (20, 20), seed=1)
    class_folders(tmp_path / "val", (3, 4), seed=2)
    class_folders(tmp_path / "test", (5, 6), seed=3)
    found = open_dataset(str(tmp_path))
    assert sizes(found) == (40, 7, 11)
    expected = np.asarray(Image.open(tmp_path / "test" / "malignant" / "000.png"))
    np.testing.assert_array_equal(found.test.take(np.asarray([5]))[0, ..., 0], expected)


def test_the_published_layout_is_read_with_its_labels(tmp_path):
    found = open_dataset(str(published(tmp_path, (12, 12))))
    assert found.class_names == ("0", "1")
    assert sizes(found) == (22, 2, 24)
    assert found.test.labels.tolist() == [0] * 12 + [1] * 12


def test_a_label_file_is_of_the_folders_that_its_letters_say_or_of_all(tmp_path):
    published(tmp_path, (12, 12))
    train = tmp_path / AB
    lines = train.read_text().splitlines(keepends=True)
    for letter, part in (("A", lines[:12]), ("B", lines[12:])):
        (tmp_path / f"train{letter}_img-name_label.txt").write_text("".join(part))
    train.unlink()
    (tmp_path / "testAB_img-name_label.txt").rename(tmp_path / "test_img-name_label.txt")
    assert sizes(open_dataset(str(tmp_path))) == (22, 2, 24)


def test_a_table_keeps_a_patient_s_images_in_one_split(tmp_path):
    file = table(tmp_path, 80)
    found = open_dataset(str(file), files=FileSettings(columns=Columns(group="patient")))
    patient_of = {Image.open(tmp_path / f"images/{i}.png").tobytes(): i // 4 for i in range(80)}
    patients = [
        {patient_of[image.tobytes()] for image in split.take(np.arange(len(split)))}
        for split in (found.train, found.validation, found.test)
    ]
    assert sum(map(len, patients)) == len(set.union(*patients)) == 20
    assert sum(sizes(found)) == 80
    assert len(found.test) == 16


def test_a_table_may_have_names_for_classes_and_a_column_of_splits(tmp_path):
    file = table(tmp_path, 24, "file,finding,fold", "{file},{name},train")
    text = file.read_text().replace("train", "test", 8)
    file.write_text(text.replace("train", "val", 4))
    found = open_dataset(str(file), files=FileSettings(columns=Columns("file", "finding", "fold")))
    assert found.class_names == CLASSES
    assert sizes(found) == (12, 4, 8)


def test_sizes_and_channels_are_settled_or_asked_for(tmp_path):
    class_folders(tmp_path)
    draw(tmp_path / "benign" / "zz_wide.png", 0, (12, 30))
    with pytest.raises(DataUnavailable, match=r"zz_wide\.png 12×30|12×30 pixels.*--config\.data\.size"):
        open_dataset(str(tmp_path))
    found = open_dataset(str(tmp_path), files=FileSettings(Format(size=(6, 6), channels=3)))
    assert found.image_shape == (6, 6, 3)
    draw(tmp_path / "benign" / "zz_wide.png", 0, (8, 8, 3))
    assert open_dataset(str(tmp_path)).image_shape == (8, 8, 3)


def test_large_sets_are_read_when_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("cae_jax.data.listed.HELD", 0)
    found = open_dataset(str(class_folders(tmp_path)))
    before = found.train.take(np.asarray([3, 0, 3]))
    np.testing.assert_array_equal(before[0], before[2])
    for file in tmp_path.rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(ImageError, match="is empty"):
        found.train.take(np.asarray([0]))


def test_files_that_cannot_be_used_raise_or_are_skipped_and_listed(tmp_path):
    class_folders(tmp_path)
    broken = tmp_path / "malignant" / "007.png"
    broken.write_text("this is no image")
    with pytest.raises(DataUnavailable, match=r"007\.png is no image"):
        open_dataset(str(tmp_path))
    found = open_dataset(str(tmp_path), files=FileSettings(on_error="skip"))
    assert sum(sizes(found)) == 49
    assert [(skipped.path, skipped.reason) for skipped in found.skipped] == [
        (broken, f"{broken} is no image, whatever its name says")
    ]


def test_other_files_and_hidden_ones_are_left_alone(tmp_path):
    class_folders(tmp_path)
    (tmp_path / "benign" / "notes.txt").write_text("")
    (tmp_path / "benign" / ".hidden.png").write_text("")
    (tmp_path / ".cache").mkdir()
    assert sum(sizes(open_dataset(str(tmp_path)))) == 50


def test_images_that_are_in_both_splits_are_warned_of(tmp_path, caplog):
    class_folders(tmp_path / "train", (12, 12), seed=1)
    class_folders(tmp_path / "test", (5, 6), seed=3)
    same = tmp_path / "test" / "benign" / "copy.png"
    same.write_bytes((tmp_path / "train" / "malignant" / "004.png").read_bytes())
    with caplog.at_level(logging.WARNING):
        open_dataset(str(tmp_path))
    assert f"1 test images are training images too ({same} is " in caplog.text


def test_a_patient_in_two_given_splits_is_warned_of(tmp_path, caplog):
    file = table(tmp_path, 24, "path,label,fold,patient", "{file},{label},train,p{patient}")
    file.write_text(file.read_text().replace("train", "test", 6))
    with caplog.at_level(logging.WARNING):
        open_dataset(str(file), files=FileSettings(columns=Columns(split="fold", group="patient")))
    assert "groups are in the training split and in another" in caplog.text


def link_out(root):
    other = draw(root.parent / "elsewhere.png", 0)
    (root / "benign" / "link.png").symlink_to(other)


def empty_class(root):
    (root / "odd").mkdir()


def one_class(root):
    for file in (root / "benign").iterdir():
        file.unlink()
    (root / "benign").rmdir()


def few(root):
    for file in list((root / "benign").iterdir())[1:]:
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (link_out, r"link\.png is a link to .*elsewhere\.png, out of .*copy the file"),
        (empty_class, "odd has no images"),
        (one_class, "needs a folder of images for each class, two or more, but has malignant"),
        (few, "cannot be split"),
    ],
)
def test_a_bad_folder_is_named(tmp_path, spoil, message):
    root = class_folders(tmp_path / "set")
    spoil(root)
    with pytest.raises(DataUnavailable, match=message):
        open_dataset(str(root))


def change(file, old, new):
    file.write_text(file.read_text().replace(old, new, 1))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: change(root / AB, "trainA0.png 0\n", ""), r"trainA0\.png has no line in trainAB"),
        (lambda root: (root / "trainA_img/trainA0.png").unlink(), r"has a line for trainA0\.png, which is not in"),
        (lambda root: change(root / AB, "trainA1.png", "trainA0.png"), r"more than once: trainA0\.png"),
        (lambda root: change(root / AB, "trainA0.png 0", "trainA0.png zero"), "line 1: 'zero' is no whole number"),
        (lambda root: change(root / AB, "trainA0.png 0", "0"), "line 1: expected 'name label'"),
        (lambda root: change(root / AB, "trainA0.png 0", "trainA0.png 3"), "without a gap, but no image has 2"),
        (lambda root: change(root / AB, "trainA0.png 0", "trainA0.png -1"), "-1 is below"),
        (lambda root: (root / AB).unlink(), "trainA_img has no label file"),
        (lambda root: (root / AB).rename(root / "trainABC_img-name_label.txt"), "of a folder trainC_img, which is not"),
        (lambda root: (root / AB).rename(root / "foldA_img-name_label.txt"), "belongs to no split"),
    ],
)
def test_a_bad_published_layout_is_named(tmp_path, spoil, message):
    spoil(published(tmp_path))
    with pytest.raises(DataUnavailable, match=message):
        open_dataset(str(tmp_path))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file: change(file, "path,", "file,"), r"has no column path; it has file, label, patient"),
        (lambda file: change(file, "images/0.png", "images/none.png"), r"line 2: .*none\.png does not exist"),
        (lambda file: change(file, "images/1.png", "images/0.png"), r"more than once: images/0\.png"),
        (lambda file: change(file, "0.png,0", "0.png,"), "line 2: label is empty"),
        (lambda file: change(file, "0.png,0", "0.png,sick"), "numbers and names as labels: compare lines 2 and 3"),
        (lambda file: change(file, "0.png,0", "0.png,5"), "no image has 2, 3, 4"),
        (lambda file: file.write_text("path,label\n"), "no lines but its first"),
        (lambda file: file.write_bytes(b"\xff\xfe\x00"), "cannot be read as CSV"),
    ],
)
def test_a_bad_table_is_named(tmp_path, spoil, message):
    file = table(tmp_path)
    spoil(file)
    with pytest.raises(DataUnavailable, match=message):
        open_dataset(str(file))


@pytest.mark.parametrize("name", ["./absent", "absent.csv", "/absent/set"])
def test_a_path_that_is_not_there_is_named(name):
    with pytest.raises(DataUnavailable, match=re.escape("absent") + ".*does not exist"):
        open_dataset(name)


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="on_error must be one of raise, skip"):
        FileSettings(on_error="ignore")
