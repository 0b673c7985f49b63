"""Image files of every kind, good and bad, as a data set reads them."""

import re

import numpy as np
import pytest
from PIL import Image

from cae_jax.data import Format, ImageError, resize
from cae_jax.data.image_files import read_image_file

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (12, 16), np.uint8)
COLOUR = RNG.integers(0, 256, (12, 16, 3), np.uint8)


def saved(folder, name, pixels, **options):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(folder / name, **options)
    return folder / name


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "tiff", "PNG"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_files_without_loss_come_back_as_they_are(tmp_path, suffix, pixels):
    read = read_image_file(saved(tmp_path, f"image.{suffix}", pixels), Format())
    np.testing.assert_array_equal(read, pixels.reshape(12, 16, -1))


def test_a_jpeg_comes_back_nearly(tmp_path):
    smooth = np.add.outer(np.arange(12), np.arange(16)).astype(np.uint8) * 8
    for name in ("image.jpg", "image.jpeg"):
        read = read_image_file(saved(tmp_path, name, smooth, quality=95), Format())
        np.testing.assert_allclose(read[..., 0], smooth, atol=6)


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    deep = np.linspace(0, 65535, 192).astype(np.uint16).reshape(12, 16)
    for name in ("deep.png", "deep.tif"):
        read = read_image_file(saved(tmp_path, name, deep), Format())
        np.testing.assert_allclose(read[..., 0], deep / 257.0, atol=1.0)


def test_transparency_is_dropped_and_a_photo_is_turned_upright(tmp_path):
    clear = np.dstack([COLOUR, np.full((12, 16), 9, np.uint8)])
    np.testing.assert_array_equal(read_image_file(saved(tmp_path, "clear.png", clear), Format()), COLOUR)
    lying = Image.fromarray(COLOUR)
    exif = lying.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    read = read_image_file(saved(tmp_path, "lying.png", lying, exif=exif), Format())
    np.testing.assert_array_equal(read, np.rot90(COLOUR, -1))


def test_channels_are_converted_where_that_is_wanted_and_refused_where_not(tmp_path):
    grey, colour = saved(tmp_path, "grey.png", GREY), saved(tmp_path, "colour.png", COLOUR)
    same = saved(tmp_path, "same.png", np.repeat(GREY[..., None], 3, -1))
    np.testing.assert_array_equal(read_image_file(grey, Format(channels=3)), np.repeat(GREY[..., None], 3, -1))
    luminance = COLOUR @ np.asarray([0.299, 0.587, 0.114])
    np.testing.assert_allclose(read_image_file(colour, Format(channels=1))[..., 0], luminance, atol=1.0)
    np.testing.assert_array_equal(read_image_file(same, Format(channels=1, convert=False))[..., 0], GREY)
    with pytest.raises(ImageError, match=r"grey\.png is grey, but RGB"):
        read_image_file(grey, Format(channels=3, convert=False))
    with pytest.raises(ImageError, match=r"colour\.png is in colour, but grey"):
        read_image_file(colour, Format(channels=1, convert=False))


def test_a_size_is_reached_by_cropping_padding_or_stretching():
    image = np.zeros((10, 30, 1), np.uint8)
    image[:, 10:20] = 200  # the middle third
    np.testing.assert_array_equal(resize(image, (10, 10), "crop"), np.full((10, 10, 1), 200))
    padded = resize(image, (30, 30), "pad")
    assert padded[:10].max() == padded[20:].max() == 0
    np.testing.assert_array_equal(padded[10:20], image)
    stretched = resize(image, (10, 10), "stretch")
    assert stretched[0, 0, 0] == stretched[0, -1, 0] == 0
    assert stretched[5, 5, 0] == 200


def test_cropping_scales_the_shorter_side_first(tmp_path):
    file = saved(tmp_path, "wide.png", np.full((40, 80), 50, np.uint8))
    assert read_image_file(file, Format(size=(20, 20))).shape == (20, 20, 1)
    ramp = np.tile(np.arange(80, dtype=np.float32), (40, 1))[..., None]
    np.testing.assert_allclose(resize(ramp, (20, 20), "crop")[10, :, 0], np.arange(20) * 2 + 20.5, atol=0.01)


def animated(folder):
    frames = [Image.fromarray(RNG.integers(0, 256, (12, 16), np.uint8)) for _ in range(3)]
    return saved(folder, "film.tif", frames[0], save_all=True, append_images=frames[1:])


def text(folder):
    (folder / "text.png").write_text("this is no image")
    return folder / "text.png"


def nothing(folder):
    (folder / "nothing.png").touch()
    return folder / "nothing.png"


def truncated(folder):
    whole = saved(folder, "cut.png", RNG.integers(0, 256, (64, 64), np.uint8)).read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    return folder / "cut.png"


def bomb(folder):
    """A file of a few hundred kilobytes that becomes 400 million pixels."""
    return saved(folder, "bomb.png", Image.new("1", (20_000, 20_000)))


def large(folder):
    return saved(folder, "large.png", Image.new("1", (11_000, 11_000)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "absent.png", "absent.png does not exist"),
        (nothing, "nothing.png is empty (0 bytes)"),
        (text, "text.png is no image, whatever its name says"),
        (truncated, "cut.png cannot be read as an image"),
        (
            lambda folder: saved(folder, "print.jpg", Image.new("CMYK", (16, 12))),
            "print.jpg is CMYK; convert it to RGB",
        ),
        (animated, "film.tif holds 3 images"),
        (lambda folder: saved(folder, "dot.png", Image.new("L", (1, 1))), "dot.png has only 1×1 pixels"),
        (lambda folder: saved(folder, "float.tif", np.ones((12, 16), np.float32)), "float.tif has pixels of 32 bits"),
        (bomb, "bomb.png has more than 100,000,000 pixels; make it smaller first"),
        (large, "large.png has 11000×11000 pixels, more than 100,000,000; make it smaller first"),
    ],
    ids=["absent", "zero bytes", "text", "truncated", "CMYK", "animated", "1x1", "float", "bomb", "large"],
)
def test_a_file_that_cannot_be_used_is_named_with_what_to_do(tmp_path, make, message):
    with pytest.raises(ImageError, match=re.escape(message)):
        read_image_file(make(tmp_path), Format(size=(8, 8)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fit": "squeeze"}, "fit must be one of crop, pad, stretch"),
        ({"channels": 4}, "channels must be 1, 3"),
        ({"size": (2, 2)}, "size must be 4 pixels or more"),
    ],
)
def test_a_format_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Format(**settings)
