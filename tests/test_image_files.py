"""Image files of every kind, good and bad, as a data set reads them."""

import logging
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from cae_jax.data import Format, ImageError, place_of, resize
from cae_jax.data.image_files import bring_array, read_image_file

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


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("shape", [(28, 28), (31, 57), (64, 45), (15, 90), (200, 201)])
@pytest.mark.parametrize("size", [(28, 28), (21, 35)])
def test_the_place_of_an_image_on_its_picture_is_where_its_pixels_come_from(shape, size, fit):
    picture = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in shape), indexing="ij"), -1).astype(np.float32)
    image, place = resize(picture, size, fit), place_of(shape, size, fit)
    for axis, (start, extent) in enumerate(((place.top, place.height), (place.left, place.width))):
        inside = start + (np.arange(size[axis]) + 0.5) * extent / size[axis]
        # at the picture's edges filters are cut off, and what is padded comes from nowhere
        margin = max(extent / size[axis], 1.0)
        sure = (inside > margin) & (inside < shape[axis] - margin)
        assert sure.any()
        found = image[:, :, axis].max(1 - axis)  # of padding, 0
        tenth = extent / size[axis] / 10  # of an image's pixel; Pillow's filter, of whole pixels, is off by up to 0.07
        np.testing.assert_allclose(found[sure], inside[sure], atol=tenth)
        edges = start, start + extent
        if fit == "pad":
            assert edges[0] <= 0
            assert edges[1] >= shape[axis]
        else:
            assert edges[0] >= 0
            assert edges[1] <= shape[axis] + 1e-9
    if fit == "stretch":
        assert place == (0, 0, *shape)


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
        ({"background": "pink"}, "background must be black or white"),
    ],
)
def test_a_format_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Format(**settings)


UPRIGHT = {  # EXIF's orientations, as its standard has them: what is done to the stored image
    1: lambda x: x,
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(x, 2).swapaxes(0, 1),
    8: lambda x: np.rot90(x, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(
    ("name", "depth"),
    [(name, depth) for name in ("lying.png", "lying.tif", "packed.tif") for depth in ("8 bits", "16 bits")]
    + [("lying.webp", "8 bits")],
)
def test_photos_are_turned_upright_at_every_depth(tmp_path, orientation, name, depth):
    image = Image.fromarray(GREY.astype(np.uint16) * 257 if depth == "16 bits" else GREY)
    exif = image.getexif()
    exif[0x0112] = orientation
    options = {"packed.tif": {"compression": "tiff_lzw"}, "lying.webp": {"lossless": True}}.get(name, {})
    read = read_image_file(saved(tmp_path, name, image, exif=exif, **options), Format(channels=1))
    np.testing.assert_array_equal(read[..., 0], UPRIGHT[orientation](GREY))


def test_a_window_says_which_values_of_deep_images_are_shown(tmp_path):
    twelve = np.linspace(0, 4095, 192).astype(np.uint16).reshape(12, 16)
    file = saved(tmp_path, "twelve.png", twelve)
    assert read_image_file(file, Format()).max() == 16
    read = read_image_file(file, Format(window=(2048, 4096)))
    np.testing.assert_array_equal(read[..., 0], np.round(twelve / 4095 * 255))
    (tmp_path / "twelve.pgm").write_bytes(b"P5 16 12 4095\n" + twelve.astype(">u2").tobytes())
    np.testing.assert_array_equal(read_image_file(tmp_path / "twelve.pgm", Format(window=(2048, 4096))), read)
    (tmp_path / "plain.pgm").write_bytes(b"P2 16 12 4095\n" + b" ".join(b"%d" % value for value in twelve.ravel()))
    np.testing.assert_array_equal(read_image_file(tmp_path / "plain.pgm", Format(window=(2048, 4096))), read)
    unit = saved(tmp_path, "unit.tif", np.linspace(0, 1, 192, dtype=np.float32).reshape(12, 16))
    read = read_image_file(unit, Format(window=(0.5, 1.0)))
    np.testing.assert_array_equal(read[..., 0], np.round(np.linspace(0, 1, 192).reshape(12, 16) * 255))
    np.testing.assert_array_equal(read_image_file(saved(tmp_path, "8.png", GREY), Format(window=(50, 9)))[..., 0], GREY)


def test_sixteen_bits_of_either_byte_order_and_with_white_as_zero(tmp_path):
    deep = np.linspace(0, 65535, 192).astype(np.uint16).reshape(12, 16)
    (tmp_path / "deep.pgm").write_bytes(b"P5 16 12 65535\n" + deep.astype(">u2").tobytes())
    np.testing.assert_array_equal(
        read_image_file(tmp_path / "deep.pgm", Format())[..., 0], np.round(deep / np.float32(257))
    )
    film = saved(tmp_path, "film.tif", deep)
    entry = film.read_bytes().index(struct.pack("<HHI", 262, 3, 1)) + 8  # PhotometricInterpretation, one short
    film.write_bytes(film.read_bytes()[:entry] + struct.pack("<H", 0) + film.read_bytes()[entry + 2 :])
    np.testing.assert_allclose(read_image_file(film, Format())[..., 0], 255 - deep / 257.0, atol=0.51)


def test_transparent_images_are_laid_over_a_background_where_one_is_named(tmp_path):
    drawing = np.zeros((12, 16, 4), np.uint8)
    drawing[3:9, 3:9, 3] = 255
    drawing[0, 0, 3] = 51
    file = saved(tmp_path, "drawing.png", drawing)
    assert read_image_file(file, Format()).max() == 0
    read = read_image_file(file, Format(background="white"))[..., 0]
    assert (read[3:9, 3:9].max(), read[10, 10], read[0, 0]) == (0, 255, 204)
    palette = Image.fromarray(COLOUR).quantize(4)
    clear = saved(tmp_path, "palette.png", palette, transparency=0)
    index = np.asarray(palette)
    read = read_image_file(clear, Format(background="black"))
    assert read[index == 0].max() == 0
    np.testing.assert_array_equal(read[index != 0], np.asarray(palette.convert("RGB"))[index != 0])


def test_of_a_photo_with_another_image_inside_the_first_is_read(tmp_path):
    large, small = Image.fromarray(COLOUR).resize((64, 48)), Image.fromarray(COLOUR)
    several = {"save_all": True, "append_images": [small]}
    np.testing.assert_array_equal(
        read_image_file(saved(tmp_path, "page.tif", large, **several), Format()), np.asarray(large)
    )
    first_small = saved(tmp_path, "last.tif", small, save_all=True, append_images=[large])
    np.testing.assert_array_equal(read_image_file(first_small, Format()), np.asarray(large))
    phone = saved(tmp_path, "phone.jpg", large, format="MPO", quality=95, **several)
    read = read_image_file(phone, Format())
    assert read.shape == (48, 64, 3)
    assert abs(read.astype(float) - np.asarray(large)).mean() < 8


def test_what_a_file_is_decides_its_contents_and_not_its_name(tmp_path):
    saved(tmp_path, "real.jpg", COLOUR, quality=95)
    (tmp_path / "real.jpg").rename(tmp_path / "called.png")
    assert read_image_file(tmp_path / "called.png", Format()).shape == (12, 16, 3)
    np.testing.assert_array_equal(read_image_file(saved(tmp_path, "one.gif", GREY), Format(channels=1))[..., 0], GREY)


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("phone.heic", b"\0\0\0\x18ftypheic" + bytes(99), "phone.heic is of no kind that is read here (PNG, JPEG"),
        ("drawing.svg", b"<svg/>", "drawing.svg is of no kind that is read here"),
        ("script.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "script.png is no image, whatever"),
        ("folder.png", None, "folder.png is a folder, not an image file"),
    ],
)
def test_what_is_not_read_is_named_by_its_kind(tmp_path, name, contents, message):
    (tmp_path / name).mkdir() if contents is None else (tmp_path / name).write_bytes(contents)
    with pytest.raises(ImageError, match=re.escape(message)):
        read_image_file(tmp_path / name, Format())


@pytest.mark.parametrize(
    "error", [struct.error("short"), TypeError("odd"), KeyError("tag"), MemoryError(), zlib.error()]
)
def test_whatever_a_reader_raises_names_the_file_and_keeps_its_cause(tmp_path, monkeypatch, caplog, error):
    file = saved(tmp_path, "odd.png", GREY)

    def broken(*_, **__):
        raise error

    monkeypatch.setattr(Image, "open", broken)
    with (
        caplog.at_level(logging.INFO),
        pytest.raises(ImageError, match=rf"odd\.png cannot be read.*{type(error).__name__}") as caught,
    ):
        read_image_file(file, Format())
    assert caught.value.__cause__ is error
    assert caplog.records[0].exc_info[1] is error


def test_damaged_files_are_always_named(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a.png", "a.jpg", "a.tif", "a.gif", "a.webp", "a.bmp"):
        whole = saved(tmp_path, name, COLOUR).read_bytes()
        for turn in range(20):
            damaged = bytearray(whole[: rng.integers(1, len(whole))] if turn % 2 else whole)
            for place in rng.integers(0, min(len(damaged), 200), 3):
                damaged[place] = rng.integers(256)
            (tmp_path / name).write_bytes(damaged)
            try:
                assert read_image_file(tmp_path / name, Format()).dtype == np.uint8
            except ImageError as error:
                assert name in str(error)  # noqa: PT017


def test_another_size_is_refused_where_images_may_not_be_scaled(tmp_path):
    file = saved(tmp_path, "odd.png", GREY)
    with pytest.raises(ImageError, match=r"odd\.png has 12×16 pixels, but others have 8×8; .*--config\.data\.size=8,8"):
        read_image_file(file, Format(size=(8, 8), scale=False))


def test_arrays_are_brought_to_a_format_as_files_are(tmp_path):
    file = saved(tmp_path, "image.png", COLOUR)
    for wanted in (Format(), Format((6, 6), 1), Format((20, 20), fit="pad")):
        np.testing.assert_array_equal(bring_array(COLOUR, wanted, "it"), read_image_file(file, wanted))
    np.testing.assert_array_equal(bring_array(GREY.astype(np.uint16) * 257, Format(), "it")[..., 0], GREY)
    with pytest.raises(ImageError, match="it is float32 with 3 channels"):
        bring_array(COLOUR.astype(np.float32), Format(), "it")
    with pytest.raises(ImageError, match=r"it is no image .* \(2, 12, 16, 3\)"):
        bring_array(np.stack([COLOUR, COLOUR]), Format(), "it")
