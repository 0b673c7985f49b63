"""Data sets of image files: folders, the published layout, tables; their splits, and what is wrong with some."""

import logging
import os
import re

import numpy as np
import pytest
from PIL import Image

from cae_jax.data import (
    LISTING,
    Columns,
    DataChanged,
    DataUnavailable,
    FileSettings,
    Format,
    ImageError,
    Keeping,
    listing_bytes,
    open_dataset,
)

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
    monkeypatch.setattr("cae_jax.data.open_listing.HELD", 0)
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
    assert f"1 images of the test split are in the training split too ({same} is " in caplog.text


def test_images_that_a_drawn_or_validation_split_shares_are_warned_of_every_one(tmp_path, caplog):
    for split, seed in (("train", 1), ("val", 2), ("test", 3)):
        class_folders(tmp_path / split, (6, 6), seed=seed)
    for number, (source, name) in enumerate((("train", "val"), ("train", "val"), ("val", "test"))):
        copy = tmp_path / name / "benign" / f"copy{number}.png"
        copy.write_bytes((tmp_path / source / "malignant" / f"00{number}.png").read_bytes())
    with caplog.at_level(logging.WARNING):
        open_dataset(str(tmp_path))
    assert "2 images of the validation split are in the training split too" in caplog.text
    assert "1 images of the test split are in the validation split too" in caplog.text
    assert "the test split are in the training split" not in caplog.text


def test_a_patient_in_two_given_splits_is_warned_of(tmp_path, caplog):
    file = table(tmp_path, 24, "path,label,fold,patient", "{file},{label},train,p{patient}")
    file.write_text(file.read_text().replace("train", "test", 6))
    with caplog.at_level(logging.WARNING):
        open_dataset(str(file), files=FileSettings(columns=Columns(split="fold", group="patient")))
    assert "1 groups of the test split are in the training split too (p1)" in caplog.text


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
        (lambda file: change(file, "patient", "label"), r"has more than one column label; call one of them otherwise"),
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


def names_by_split(dataset):
    """The files' names in each split, in their order."""
    names = dataset.listing.names()
    return {
        split: [name for name, own in zip(names, dataset.listing.splits, strict=True) if own == split]
        for split in ("train", "validation", "test")
    }


@pytest.mark.parametrize(
    ("counts", "each"),
    [((3, 3), ((1, 1), (1, 1), (1, 1))), ((5, 40), ((3, 29), (1, 3), (1, 8))), ((10, 10), ((7, 7), (1, 1), (2, 2)))],
)
def test_small_classes_give_an_image_to_each_split(tmp_path, counts, each):
    found = open_dataset(str(class_folders(tmp_path, counts)))
    assert tuple(tuple(np.bincount(found.split(split).labels)) for split in ("train", "validation", "test")) == each


def test_many_small_classes_are_split_alike(tmp_path):
    names = [f"c{number}" for number in range(30)]
    found = open_dataset(str(class_folders(tmp_path, (10,) * 30, names)))
    assert np.bincount(found.train.labels).tolist() == [7] * 30
    assert np.bincount(found.validation.labels).tolist() == [1] * 30
    assert np.bincount(found.test.labels).tolist() == [2] * 30


def test_a_class_that_is_too_small_is_named_with_what_it_needs(tmp_path):
    with pytest.raises(DataUnavailable, match="class malignant has 2 images, and needs 3, one for each split"):
        open_dataset(str(class_folders(tmp_path / "two", (40, 2))))
    file = table(tmp_path, 40, row="{file},{label},p{label}")
    with pytest.raises(DataUnavailable, match=r"class 0 has 20 images in 1 group .*and needs 3"):
        open_dataset(str(file), files=FileSettings(columns=Columns(group="patient")))


def test_a_draw_hangs_on_names_and_not_on_neighbours_or_order(tmp_path):
    file = table(tmp_path, 80)
    opened = open_dataset(str(file))
    first = names_by_split(opened)
    header, *lines = file.read_text().splitlines()
    file.write_text("\n".join([header, *lines[40:], *lines[:40]]) + "\n")
    moved = open_dataset(str(file))
    assert names_by_split(moved) == first
    assert moved.fingerprint == opened.fingerprint
    file.write_text("\n".join([header, *lines[3:]]) + "\n")
    fewer = names_by_split(open_dataset(str(file)))
    still = {name for names in fewer.values() for name in names}
    assert sum(len(set(fewer[split]) ^ (set(first[split]) & still)) for split in first) <= 6


def test_classes_are_in_natural_order_or_in_the_one_that_is_named(tmp_path):
    names = [str(number) for number in (10, 9, 1, 2)]
    class_folders(tmp_path, (4,) * 4, names)
    assert open_dataset(str(tmp_path)).class_names == ("1", "2", "9", "10")
    order = ("10", "2", "9", "1")
    found = open_dataset(str(tmp_path), files=FileSettings(classes=order))
    assert found.class_names == order
    labels = [order.index(name.split("/")[0]) for name in names_by_split(found)["train"]]
    assert found.train.labels.tolist() == labels
    with pytest.raises(DataUnavailable, match=r"data\.classes is 1, 2, 9, but .* has a class 10 too"):
        open_dataset(str(tmp_path), files=FileSettings(classes=("1", "2", "9")))


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (("Training", "Testing"), (36, 4, 8)),
        (("train", "val"), (32, 8, 8)),
        (("train",), (28, 4, 8)),
        (("train", "dev", "eval"), (40, 8, 8)),
        (("train", "eval", "test"), (40, 8, 8)),
        (("training_set", "test_set"), (36, 4, 8)),
    ],
)
def test_usual_names_of_splits_are_known_and_a_missing_split_is_drawn(tmp_path, folders, expected):
    for seed, name in enumerate(folders):
        class_folders(tmp_path / name, (20, 20) if seed == 0 else (4, 4), seed=seed)
    found = open_dataset(str(tmp_path))
    assert sizes(found) == expected
    for split, names in names_by_split(found).items():
        given = {"train": folders[0], "validation": folders[1:2], "test": folders[-1:]}[split]
        if len(folders) == 3:
            assert {name.split("/")[0] for name in names} == {given if isinstance(given, str) else given[0]}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda root: draw(root / "test" / "1.png", 0),
            "test has no class folders, so its images' classes are not known",
        ),
        (
            lambda root: class_folders(root / "test", (3,), ("benign",)),
            "test has no folder malignant, which .*train has",
        ),
        (
            lambda root: class_folders(root / "Testing", (3, 3)) and class_folders(root / "test", (3, 3)),
            "both mean the test",
        ),
    ],
)
def test_splits_that_do_not_fit_are_named(tmp_path, make, message):
    class_folders(tmp_path / "train", (20, 20))
    make(tmp_path)
    with pytest.raises(DataUnavailable, match=message):
        open_dataset(str(tmp_path))


def test_what_is_not_read_is_counted_by_kind(tmp_path, caplog):
    class_folders(tmp_path)
    for name in ("notes.txt", "scan.heic", ".hidden.png", ".DS_Store", "Thumbs.db"):
        (tmp_path / "benign" / name).write_text("")
    draw(tmp_path / "beside.png", 0)
    draw(tmp_path / "malignant" / "inner" / "a.png", 0)
    (tmp_path / "__MACOSX" / "benign").mkdir(parents=True)
    (tmp_path / "benign" / "folder.png").mkdir()
    with caplog.at_level(logging.WARNING):
        assert sum(sizes(open_dataset(str(tmp_path)))) == 50
    (said,) = [message for message in caplog.messages if "not read" in message]
    assert sorted(said.removeprefix(f"{tmp_path}: not read: ").split(", ")) == [
        "1 .heic",
        "1 .txt",
        f"1 beside the class folders of {tmp_path.name}",
        "1 hidden",
        "1 in the folders of malignant",
    ]


def test_images_in_folders_of_a_class_folder_are_named(tmp_path):
    class_folders(tmp_path / "benign", (3, 3), ("p1", "p2"))
    class_folders(tmp_path / "malignant", (3,), ("p3",))
    with pytest.raises(DataUnavailable, match="benign has no images, but its folders p1, p2 have 6"):
        open_dataset(str(tmp_path))
    inner = class_folders(tmp_path / "set" / "inner", (3, 3))
    with pytest.raises(DataUnavailable, match=re.escape(f"did you mean {inner}?")):
        open_dataset(str(tmp_path / "set"))


def test_images_of_every_suffix_are_read(tmp_path):
    class_folders(tmp_path)
    for number, suffix in enumerate(("webp", "gif", "PNG", "JPG", "tif")):
        draw(tmp_path / "benign" / f"x.{suffix}", number)
    assert sum(sizes(open_dataset(str(tmp_path)))) == 55


def test_an_odd_size_is_named_and_left_out_on_request(tmp_path, monkeypatch):
    class_folders(tmp_path, (50, 50))
    odd = draw(tmp_path / "benign" / "001.png", 0, (12, 30))  # not among those that are looked at first
    with pytest.raises(DataUnavailable, match=r"benign/001\.png has 12×30 pixels, but others have 8×8"):
        open_dataset(str(tmp_path))
    skipped = open_dataset(str(tmp_path), files=FileSettings(on_error="skip")).skipped
    assert [entry.path for entry in skipped] == [odd]
    monkeypatch.setattr("cae_jax.data.open_listing.HELD", 0)
    found = open_dataset(str(tmp_path))
    (split,) = [split for split, names in names_by_split(found).items() if "benign/001.png" in names]
    with pytest.raises(ImageError, match=r"001\.png has 12×30"):
        images_of(found.split(split))


def test_deep_images_that_stay_dark_are_warned_of_with_the_window_to_set(tmp_path, caplog):
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (tmp_path / name).mkdir()
        for number in range(5):
            levels = rng.integers(0, 4000, (8, 8)).astype(np.uint16)
            levels[0, 0] = 4000
            Image.fromarray(levels).save(tmp_path / name / f"{number}.png")
    with caplog.at_level(logging.WARNING):
        open_dataset(str(tmp_path))
    assert "have values up to 4000 only" in caplog.text
    assert "--config.data.window=2048,4096 shows 0 to 4095" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        found = open_dataset(str(tmp_path), files=FileSettings(Format(window=(2048, 4096))))
    assert not caplog.messages
    assert found.train.take(np.arange(6)).max() == 249


def test_images_that_show_nothing_are_counted(tmp_path, caplog):
    class_folders(tmp_path)
    Image.new("L", (8, 8), 90).save(tmp_path / "benign" / "010.png")
    with caplog.at_level(logging.WARNING):
        open_dataset(str(tmp_path))
    assert "1 of 50 images looked at are of one value (benign/010.png)" in caplog.text
    caplog.clear()
    for number in range(5):
        for name in CLASSES:
            drawing = np.zeros((8, 8, 4), np.uint8)
            drawing[number : number + 3, 2:5, 3] = 255
            (tmp_path / "clear" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(drawing).save(tmp_path / "clear" / name / f"{number}.png")
    with caplog.at_level(logging.WARNING):
        open_dataset(str(tmp_path / "clear"))
    assert "10 of 10 images looked at are transparent in places" in caplog.text
    assert "what is stored there is shown: 10 show nothing; --config.data.background=white" in caplog.text
    assert "10 of 10 images looked at are of one value" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        open_dataset(str(tmp_path / "clear"), files=FileSettings(Format(background="white")))
    assert "of one value" not in caplog.text


@pytest.mark.parametrize("text", ["{file},{label}.0,", "{file},{label},", "  {file} , {label}.0 ,"])
def test_whole_floats_are_numbers(tmp_path, text):
    assert open_dataset(str(table(tmp_path, 40, row=text + "p"))).class_names == ("0", "1")


def test_numbers_from_1_and_names_with_numbers_are_classes_in_their_order(tmp_path):
    file = table(tmp_path, 40)
    text = file.read_text()
    file.write_text(text.replace(",1,", ",2,").replace(",0,", ",1,"))
    assert open_dataset(str(file)).class_names == ("1", "2")
    file.write_text(text.replace(",1,", ",grade 10,").replace(",0,", ",grade 9,"))
    assert open_dataset(str(file)).class_names == ("grade 9", "grade 10")
    file.write_text(text.replace(",1,", ",7,"))
    with pytest.raises(DataUnavailable, match=r"but no image has 1, 2.*--config\.data\.classes=0,7"):
        open_dataset(str(file))
    assert open_dataset(str(file), files=FileSettings(classes=("7", "0"))).class_names == ("7", "0")


def test_tables_of_other_programs_are_read(tmp_path):
    file = table(tmp_path, 40, "path; label ;fold", "{file};{name};Valid ")
    text = file.read_text().replace("Valid", "TRAINING", 32).replace("Valid", "val", 2).replace("/", "\\")
    file.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").replace("p0", "p0").encode() + b";;\r\n\r\n")
    found = open_dataset(str(file), files=FileSettings(columns=Columns(split="fold")))
    assert found.class_names == CLASSES
    assert sizes(found) == (26, 8, 6)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda text: text + "./images/3.png,0,p\n",
            r"more than once: \./images/3\.png in lines 5 and 42, as '1' and '0'",
        ),
        (lambda text: text + "a,b.png,1,p\n", "line 42: 4 cells, but the first line has 3"),
        (lambda text: text.replace("images/5.png", "images"), "line 7: .*images is a folder"),
        (
            lambda text: text.replace("\n", "\n\n", 1).replace("images/5.png", "no.png"),
            r"line 8: .*no\.png does not exist",
        ),
    ],
)
def test_lines_that_cannot_be_are_named_by_their_number(tmp_path, spoil, message):
    file = table(tmp_path)
    file.write_text(spoil(file.read_text()))
    with pytest.raises(DataUnavailable, match=message):
        open_dataset(str(file))


def test_names_may_have_any_byte(tmp_path):
    root = os.fsencode(tmp_path / "set")
    for name in (b"kl\xe4sse", "класс/".encode()[:-1], b"two\nlines, [1]"):
        os.makedirs(root + b"/" + name)
        for number in range(4):
            source = draw(tmp_path / "source.png", (len(name), number))
            os.rename(source, root + b"/" + name + b"/\xff %d\n.png" % number)
    settings = FileSettings(keeping=Keeping(tmp_path / LISTING))
    first = open_dataset(str(tmp_path / "set"), files=settings)
    (tmp_path / LISTING).write_bytes(listing_bytes(first.listing))
    again = open_dataset(str(tmp_path / "set"), files=settings)
    assert names_by_split(again) == names_by_split(first)
    assert again.fingerprint == first.fingerprint
    assert "two\nlines, [1]" in again.class_names


@pytest.fixture
def kept(tmp_path):
    """A run's folder, a function that opens it with other settings of its listing, and what was opened first."""
    root = class_folders(tmp_path / "set", (30, 20))

    def reopen(name=root, **settings):
        return open_dataset(str(name), files=FileSettings(keeping=Keeping(tmp_path / LISTING, **settings)))

    first = reopen()
    (tmp_path / LISTING).write_bytes(listing_bytes(first.listing))
    return root, reopen, first


def images_of(source):
    return source.take(np.arange(len(source)))


def test_a_run_s_splits_stay_when_files_are_added(kept, caplog):
    root, reopen, first = kept
    assert reopen().fingerprint == first.fingerprint
    for number in range(20):
        draw(root / "benign" / f"a{number:02d}.png", (9, number))
    class_folders(root, (3,), ("another",))
    with caplog.at_level(logging.WARNING):
        again = reopen()
    for split in ("train", "validation", "test"):
        np.testing.assert_array_equal(images_of(again.split(split)), images_of(first.split(split)))
    assert again.class_names == CLASSES
    assert again.fingerprint == first.fingerprint
    assert "new: 23 (another/000.png, another/001.png, another/002.png, ...)" in caplog.text
    assert "--config.data.new_files=take" in caplog.text
    with pytest.raises(DataUnavailable, match="has no class another"):
        reopen(new_files="take")


def test_new_files_are_taken_in_on_request_and_all_others_stay(kept, caplog):
    root, reopen, first = kept
    before = names_by_split(first)
    for number in range(20):
        draw(root / "benign" / f"a{number:02d}.png", (9, number))
    with caplog.at_level(logging.WARNING):
        grown = reopen(new_files="take")
    assert "20 new files are taken in" in caplog.text
    assert sizes(grown) == (36 + 14, 4 + 2, 10 + 4)
    for split, names in names_by_split(grown).items():
        assert names[: len(before[split])] == before[split]
    assert grown.fingerprint != first.fingerprint


def test_lines_of_a_table_may_move_and_positions_stay(tmp_path):
    file = table(tmp_path, 80)
    settings = FileSettings(columns=Columns(group="patient"), keeping=Keeping(tmp_path / LISTING, "take"))
    first = open_dataset(str(file), files=settings)
    (tmp_path / LISTING).write_bytes(listing_bytes(first.listing))
    header, *lines = file.read_text().splitlines()
    file.write_text("\n".join([header, *lines[::-1]]) + "\n")
    again = open_dataset(str(file), files=settings)
    for split in ("train", "validation", "test"):
        np.testing.assert_array_equal(images_of(again.split(split)), images_of(first.split(split)))
    lines += [f"images/new{number}.png,{number % 2},p{number}" for number in range(20)]
    for number in range(20):
        draw(tmp_path / "images" / f"new{number}.png", 100 + number)
    file.write_text("\n".join([header, *lines]) + "\n")
    grown = open_dataset(str(file), files=settings).listing
    split_of = dict(zip(first.listing.groups.tolist(), first.listing.splits.tolist(), strict=True))
    assert all(split_of[group] == split for group, split in zip(grown.groups, grown.splits, strict=True))
    assert len(grown.files) == 100


@pytest.mark.parametrize("how", ["gone", "relabelled"])
def test_a_run_is_not_gone_on_with_when_its_files_are_gone_or_relabelled(kept, caplog, how):
    root, reopen, first = kept
    name = names_by_split(first)["train"][0]
    if how == "gone":
        (root / name).unlink()
        message = f"gone or not to be read: 1 \\({name}\\)"
    else:
        (root / name).rename(root / "malignant" / "z.png")
        message = "gone or not to be read: 1 "
    with pytest.raises(DataChanged, match=message):
        reopen()
    with caplog.at_level(logging.WARNING):
        again = reopen(strict=False)
    assert "gone or not to be read: 1" in caplog.text
    assert names_by_split(again) == names_by_split(first)
    assert again.fingerprint == first.fingerprint
    np.testing.assert_array_equal(again.train.take(np.asarray([3])), first.train.take(np.asarray([3])))
    assert again.image_shape == first.image_shape
    with pytest.raises(ImageError, match=f"{name} does not exist"):
        again.train.take(np.asarray([0]))


def test_other_labels_and_other_contents_of_a_run_s_files_are_told_apart(tmp_path, caplog):
    file = table(tmp_path, 40)
    reopen = lambda: open_dataset(str(file), files=FileSettings(keeping=Keeping(tmp_path / LISTING)))  # noqa: E731
    first = reopen()
    (tmp_path / LISTING).write_bytes(listing_bytes(first.listing))
    draw(tmp_path / "images" / "7.png", 1000)
    with caplog.at_level(logging.WARNING):
        assert reopen().fingerprint != first.fingerprint
    assert "with other contents: 1 (images/7.png)" in caplog.text
    change(file, "images/6.png,0", "images/6.png,1")
    with pytest.raises(DataChanged, match=r"with another label: 1 \(images/6\.png\)"):
        reopen()
    (tmp_path / LISTING).write_text("file,label\na,b\n")
    with pytest.raises(DataChanged, match=r"listing\.csv is damaged"):
        reopen()


def test_other_splits_and_groups_of_a_run_s_files_stop_it(tmp_path):
    file = table(tmp_path, 40, "path,label,fold,patient", "{file},{label},train,p{patient}")
    settings = FileSettings(columns=Columns(split="fold", group="patient"), keeping=Keeping(tmp_path / LISTING))
    first = open_dataset(str(file), files=settings)
    assert min(sizes(first)) > 0  # drawn out of the one that is given
    (tmp_path / LISTING).write_bytes(listing_bytes(first.listing))
    assert open_dataset(str(file), files=settings).fingerprint == first.fingerprint
    lines = file.read_text().splitlines(True)
    name = names_by_split(first)["train"][0]
    file.write_text("".join(line.replace(",p", ",q") if name in line else line for line in lines))
    with pytest.raises(DataChanged, match=f"of another group: 1 \\({name}\\)"):
        open_dataset(str(file), files=settings)
    file.write_text("".join(line.replace("train", "test") if name in line else line for line in lines))
    with pytest.raises(DataChanged, match=f"in another split: .*{name}"):
        open_dataset(str(file), files=settings)


def test_a_byte_in_the_middle_of_a_large_file_is_noticed(tmp_path, caplog):
    root = class_folders(tmp_path / "set", (30, 20))
    large = root / "benign" / "large.bmp"
    Image.fromarray(np.zeros((256, 256), np.uint8)).save(large)
    settings = FileSettings(Format((8, 8)), keeping=Keeping(tmp_path / LISTING))
    first = open_dataset(str(root), files=settings)
    (tmp_path / LISTING).write_bytes(listing_bytes(first.listing))
    contents = bytearray(large.read_bytes())
    contents[20_000] ^= 255
    large.write_bytes(contents)
    with caplog.at_level(logging.WARNING):
        assert open_dataset(str(root), files=settings).fingerprint != first.fingerprint
    assert "with other contents: 1 (benign/large.bmp)" in caplog.text
