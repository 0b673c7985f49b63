"""Images that people hand in: what is accepted, and that what is not is named."""

import logging
import os
import pathlib
import warnings

import numpy as np
import pytest
from PIL import Image

from cae_jax.data import ArraySource, FileSource, Format, Selection
from cae_jax.errors import InputError
from cae_jax.explaining.inputs import SplitInputs, check_images, read_images

GREY, RGB = (8, 6, 1), (8, 6, 3)


def wanted(shape):
    return Format(shape[:2], shape[2], convert=False)


def make_images(count=2, shape=GREY, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


def test_uint8_and_float_images_are_equal():
    images = make_images()
    expected = images.astype(np.float64) / 255
    for given in (images, expected, expected.astype(np.float32)):
        checked = check_images(given, GREY)
        assert checked.dtype == np.float32
        np.testing.assert_allclose(checked, expected, atol=1e-6)


def test_grey_images_may_lack_the_channel():
    images = make_images()
    np.testing.assert_array_equal(check_images(images[..., 0], GREY), check_images(images, GREY))


def test_lists_of_arrays_are_accepted():
    images = make_images()
    np.testing.assert_array_equal(check_images(list(images), GREY), check_images(images, GREY))


def test_rounding_errors_beyond_the_range_are_clipped():
    checked = check_images(np.full((1, *GREY), 1.0005), GREY)
    assert checked.max() == 1.0


def test_other_sizes_are_resized_with_a_warning():
    images = np.full((2, 16, 12, 3), 0.25, np.float32)
    images[1, :, :, 2] = 0.75
    with pytest.warns(UserWarning, match="16×12 are resized to the trained 8×6"):
        checked = check_images(images, RGB)
    assert checked.shape == (2, 8, 6, 3)
    np.testing.assert_allclose(checked[1, :, :, 2], 0.75, atol=1e-6)
    np.testing.assert_allclose(checked[1, :, :, :2], 0.25, atol=1e-6)


def test_the_right_size_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_images(make_images(), GREY)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named_by_index(value):
    images = make_images(3) / 255
    images[1, 2, 2, 0] = value
    with pytest.raises(InputError, match="image 1 has values that are not finite"):
        check_images(images, GREY)


@pytest.mark.parametrize("value", [-0.5, 255.0])
def test_floats_out_of_range_are_named_by_index(value):
    images = make_images(3) / 255
    images[2, 0, 0, 0] = value
    with pytest.raises(InputError, match=r"image 2 has values .* must lie in \[0, 1\]"):
        check_images(images, GREY)


@pytest.mark.parametrize(
    ("images", "shape", "message"),
    [
        (make_images(shape=RGB), GREY, r"trained on 1 channel.* have 3"),
        (make_images(shape=GREY), RGB, r"trained on 3 channel.* have 1"),
        (make_images().astype(np.int64), GREY, "not int64"),
        (make_images().astype(bool), GREY, "not bool"),
        (make_images().astype(object), GREY, "not object"),
        (make_images(0), GREY, r"N of 1 or more, not \(0, 8, 6, 1\)"),
        (make_images()[0], RGB, r"not \(8, 6, 1\)"),
        (make_images()[..., 0], RGB, r"not \(2, 8, 6\)"),
        (np.zeros(0), GREY, r"not \(0,\)"),
    ],
    ids=["colour", "grey", "int64", "bool", "object", "no images", "one image", "no channels", "nothing"],
)
def test_other_arrays_are_refused(images, shape, message):
    with pytest.raises(InputError, match=message):
        check_images(images, shape)


@pytest.mark.parametrize(
    ("image", "shape"),
    [(make_images()[0], GREY), (make_images()[0, ..., 0], GREY), (make_images(shape=RGB)[0], RGB)],
    ids=["grey", "grey without its channel", "colour"],
)
def test_one_image_without_a_batch_axis_is_refused(image, shape):
    with pytest.raises(InputError, match=r"if this is one image, hand in image\[None\]"):
        check_images(image, shape)
    assert len(check_images(image[None], shape)) == 1


@pytest.mark.parametrize("channels", [3, 4])
def test_one_colour_image_is_not_taken_for_as_many_grey_ones_as_it_has_rows(channels):
    with pytest.raises(InputError, match=r"look like one of colours, but the model was trained on grey ones"):
        check_images(np.zeros((8, 6, channels), np.uint8), GREY)
    assert len(check_images(np.zeros((8, 6, 3), np.uint8), (6, 3, 1))) == 8  # grey ones of that width


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_one_picture_is_handed_in_as_a_list_of_one(mode):
    picture = Image.fromarray(make_images()[0, ..., 0]).convert(mode)
    shape = (8, 6, len(picture.getbands()))
    with pytest.raises(InputError, match=r"if this is one, as \[picture\]"):
        check_images(picture, shape)
    assert len(check_images([picture], shape)) == 1


@pytest.mark.parametrize("mode", ["I", "F", "I;16"])
def test_pictures_of_more_bits_are_not_to_be_converted_since_that_cuts_them_off(mode):
    with pytest.raises(InputError, match=r"of 8 bits, not .*; hand in an array in \[0, 1\]") as raised:
        check_images([Image.new(mode, (6, 8))], GREY)
    assert "convert" not in str(raised.value)


def test_images_that_are_one_pixel_wide_may_lack_the_channel():
    assert check_images(np.zeros((5, 8, 1), np.uint8), (8, 1, 1)).shape == (5, 8, 1, 1)


def test_channels_first_is_recognised():
    with pytest.raises(InputError, match=r"transpose\(0, 2, 3, 1\)"):
        check_images(make_images(shape=RGB).transpose(0, 3, 1, 2), RGB)


def test_images_of_several_sizes_are_named():
    with pytest.raises(InputError, match=r"image 1 is \(4, 4, 1\) and image 0 is \(8, 6, 1\)"):
        check_images([make_images()[0], np.zeros((4, 4, 1), np.uint8)], GREY)
    with pytest.raises(InputError, match="no array"):
        check_images([[[0.0]], [[0.0, 1.0]]], GREY)


def test_pictures_are_read_as_arrays_and_palettes_refused():
    images = make_images()[..., 0]
    pictures = [Image.fromarray(image) for image in images]
    np.testing.assert_array_equal(check_images(pictures, GREY), check_images(images, GREY))
    with pytest.raises(InputError, match="grey or RGB, not P"):
        check_images([picture.convert("P") for picture in pictures], GREY)


def test_arrays_are_taken_whatever_their_memory_and_left_as_they_were():
    images = make_images(4)
    expected = check_images(images, GREY)
    read_only = images.copy()
    read_only.flags.writeable = False
    np.testing.assert_array_equal(check_images(read_only, GREY), expected)
    np.testing.assert_array_equal(check_images(images[::-1][::-1], GREY), expected)
    np.testing.assert_array_equal(check_images(np.asfortranarray(images), GREY), expected)
    floats = images / 255
    checked = check_images(floats, GREY)
    checked[:] = 0
    np.testing.assert_array_equal(floats, images / 255)


def test_floats_up_to_255_are_refused_with_what_to_do():
    with pytest.raises(InputError, match="divide by 255"):
        check_images(make_images().astype(np.float32), GREY)


def test_tensors_are_taken():
    torch = pytest.importorskip("torch")
    images = make_images()
    for tensor in (torch.tensor(images), torch.tensor(images / 255, requires_grad=True)):
        np.testing.assert_allclose(check_images(tensor, GREY), check_images(images, GREY), atol=1e-6)


def save(folder, name, pixels):
    Image.fromarray(pixels.squeeze()).save(folder / name)
    return folder / name


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path):
    images = make_images(16)
    for number in np.random.default_rng(1).permutation(16):
        save(tmp_path, f"{number:02d}.png", images[number])
    (tmp_path / "notes.txt").write_text("not an image")
    read, names = read_images(tmp_path, wanted(GREY))
    assert names == [f"{number:02d}.png" for number in range(16)]
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, images)


def test_one_file_is_read(tmp_path):
    images = make_images(1, RGB)
    read, names = read_images(save(tmp_path, "one.PNG", images[0]), wanted(RGB))
    assert names == ["one.PNG"]
    np.testing.assert_array_equal(read, images)


def test_transparency_is_dropped(tmp_path):
    image = make_images(1, (8, 6, 4))[0]
    read, _ = read_images(save(tmp_path, "clear.png", image), wanted(RGB))
    np.testing.assert_array_equal(read[0], image[..., :3])


def test_a_file_of_another_size_is_resized_with_a_warning_that_names_it(tmp_path):
    file = save(tmp_path, "big.png", np.full((16, 12), 77, np.uint8))
    with pytest.warns(UserWarning, match=r"big\.png is 16×12 and is resized to the trained 8×6"):
        read, _ = read_images(file, wanted(GREY))
    np.testing.assert_array_equal(read, np.full((1, *GREY), 77))


def test_an_empty_folder_and_a_missing_path_are_named(tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path} has no images"):
        read_images(tmp_path, wanted(GREY))
    with pytest.raises(InputError, match=r"nowhere\.png does not exist"):
        read_images(tmp_path / "nowhere.png", wanted(GREY))


def write_broken(folder, kind):
    file = save(folder, "broken.png", make_images(1, (64, 64, 1))[0])
    whole = file.read_bytes()
    if kind == "text":
        file.write_text("this is no image")
    elif kind == "empty":
        file.write_bytes(b"")
    elif kind == "truncated":
        file.write_bytes(whole[: len(whole) // 2])
    elif kind == "cut in its header":
        file.write_bytes(whole[:20])
    else:
        file.write_bytes(whole[:200] + bytes([whole[200] ^ 255]) + whole[201:])
    return file


@pytest.mark.parametrize("kind", ["text", "empty", "truncated", "cut in its header", "changed byte"])
def test_a_broken_file_is_named(tmp_path, kind):
    save(tmp_path, "a_good_one.png", make_images(1, (64, 64, 1))[0])
    write_broken(tmp_path, kind)
    with pytest.raises(InputError, match=r"broken\.png (cannot be read as an image|is no image|is empty)"):
        read_images(tmp_path, wanted((64, 64, 1)))


def test_files_of_other_channels_are_named(tmp_path):
    colour = save(tmp_path, "colour.png", make_images(1, RGB)[0])
    grey = save(tmp_path, "grey.png", make_images(1, GREY)[0])
    with pytest.raises(InputError, match=r"colour\.png .*in colour.*grey"):
        read_images(colour, wanted(GREY))
    with pytest.raises(InputError, match=r"grey\.png is grey.*RGB"):
        read_images(grey, wanted(RGB))


def test_a_palette_file_is_read_in_its_colours(tmp_path):
    image = Image.fromarray(make_images(1, RGB)[0]).quantize(16)
    image.save(tmp_path / "palette.png")
    read, _ = read_images(tmp_path / "palette.png", wanted(RGB))
    np.testing.assert_array_equal(read[0], np.asarray(image.convert("RGB")))


def test_a_palette_file_of_colours_is_not_taken_for_grey(tmp_path):
    Image.fromarray(make_images(1, RGB)[0]).quantize(16).save(tmp_path / "palette.png")
    with pytest.raises(InputError, match=r"palette\.png .*in colour"):
        read_images(tmp_path / "palette.png", wanted(GREY))


def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path):
    levels = np.linspace(0, 65535, 48).astype(np.uint16).reshape(8, 6)
    read, _ = read_images(save(tmp_path, "deep.png", levels), wanted(GREY))
    np.testing.assert_array_equal(read[0, ..., 0], np.round(levels / 257))


def test_what_else_is_in_a_folder_is_counted(tmp_path, caplog):
    save(tmp_path, "a.png", make_images(1)[0])
    for name in ("notes.txt", "more.txt", ".hidden.png", "Thumbs.db"):
        (tmp_path / name).write_text("")
    (tmp_path / "inner").mkdir()
    save(tmp_path / "inner", "b.png", make_images(1)[0])
    with caplog.at_level(logging.WARNING):
        _, names = read_images(tmp_path, wanted(GREY))
    assert names == ["a.png"]
    assert caplog.messages == [f"{tmp_path}: not read: 2 .txt, 1 hidden, 1 in its folders"]


def test_an_image_of_a_split_that_cannot_be_read_does_not_stop_the_others(tmp_path):
    images = make_images(3)
    files = [save(tmp_path, f"{number}.png", image) for number, image in enumerate(images)]
    files[1].write_bytes(b"")
    source = FileSource(files, np.arange(3), wanted(GREY))
    read, good, failures = SplitInputs(source, "test", [0, 1, 2]).read([0, 1, 2])
    np.testing.assert_array_equal(read, images[[0, 2]])
    assert good == [0, 2]
    reason = f"{files[1]} is empty (0 bytes)"
    assert [(failure.name, failure.reason) for failure in failures] == [(files[1].as_posix(), reason)]


def test_images_of_a_split_are_named_by_their_files_below_the_data_or_by_their_positions(tmp_path):
    files = [tmp_path / "glioma" / f"{number}.png" for number in range(3)]
    source = FileSource(files, np.arange(3), wanted(GREY))
    assert SplitInputs(source, "test", [2, 0], tmp_path).names == ["glioma/2.png", "glioma/0.png"]
    assert SplitInputs(Selection(source, np.asarray([1, 2])), "test", [1], tmp_path).names == ["glioma/2.png"]
    relative = FileSource([pathlib.Path(os.path.relpath(file)) for file in files], np.arange(3), wanted(GREY))
    assert SplitInputs(relative, "test", [2], tmp_path).names == ["glioma/2.png"]
    assert SplitInputs(source, "test", [1], tmp_path / "elsewhere").names == [files[1].as_posix()]
    assert SplitInputs(ArraySource(make_images(3), np.arange(3)), "test", [2], tmp_path).names == ["test_2"]
