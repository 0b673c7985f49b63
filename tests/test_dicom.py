"""DICOM files, written by pydicom and read as they are meant to be shown."""

import datetime
import re

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from cae_jax.data import Format, ImageError
from cae_jax.data.image_files import read_image_file


def write(path, pixels, **tags):
    """A secondary capture of 16-bit grey values, or of 8-bit RGB."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.ContentDate = datetime.date(2024, 1, 1).strftime("%Y%m%d")
    bits = pixels.dtype.itemsize * 8
    dataset.SamplesPerPixel = 3 if pixels.shape[-1] == 3 and pixels.ndim == 3 else 1
    dataset.PhotometricInterpretation = "RGB" if dataset.SamplesPerPixel == 3 else "MONOCHROME2"
    if dataset.SamplesPerPixel == 3:
        dataset.PlanarConfiguration = 0
    elif pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    dataset.Rows, dataset.Columns = pixels.shape[:2] if dataset.SamplesPerPixel == 3 else pixels.shape[-2:]
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


RAMP = np.arange(64, dtype=np.int16).reshape(8, 8)


def test_without_a_window_the_range_is_spread_over_black_to_white(tmp_path):
    read = read_image_file(write(tmp_path / "plain.dcm", RAMP), Format())
    np.testing.assert_array_equal(read[..., 0], np.round(RAMP / 63 * 255))


def test_the_file_s_window_is_in_rescaled_units_and_the_user_s_goes_before_it(tmp_path):
    file = write(
        tmp_path / "ct.dcm", RAMP, RescaleSlope=10, RescaleIntercept=-100, WindowCenter=[0, 40], WindowWidth=[201, 5]
    )
    units = RAMP * 10.0 - 100
    read = read_image_file(file, Format())
    np.testing.assert_allclose(read[..., 0], np.clip((units + 100.5) / 200, 0, 1) * 255, atol=0.51)
    read = read_image_file(file, Format(window=(100.0, 51.0)))
    np.testing.assert_allclose(read[..., 0], np.clip((units - 74.5) / 50, 0, 1) * 255, atol=0.51)


def test_monochrome1_is_inverted_and_colours_stay(tmp_path):
    inverted = read_image_file(write(tmp_path / "film.dcm", RAMP, PhotometricInterpretation="MONOCHROME1"), Format())
    np.testing.assert_allclose(inverted[..., 0], 255 - RAMP / 63 * 255, atol=0.51)
    colours = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    np.testing.assert_array_equal(read_image_file(write(tmp_path / "rgb.dcm", colours), Format()), colours)


def test_several_frames_and_files_that_are_no_dicom_are_named(tmp_path):
    film = write(tmp_path / "film.dcm", np.stack([RAMP, RAMP]))
    with pytest.raises(ImageError, match=re.escape("film.dcm cannot be read as an image: it holds 2 frames")):
        read_image_file(film, Format())
    (tmp_path / "text.dcm").write_text("this is no image")
    with pytest.raises(ImageError, match=r"text\.dcm cannot be read as an image"):
        read_image_file(tmp_path / "text.dcm", Format())


def shown(file, **wanted):
    return read_image_file(file, Format(**wanted))[..., 0]


@pytest.mark.parametrize("empty", [None, [], ""])
def test_tags_without_a_value_are_absent(tmp_path, empty):
    plain = np.round(RAMP / 63 * 255)
    tags = ("WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "VOILUTFunction")
    file = write(tmp_path / "empty.dcm", RAMP, **dict.fromkeys(tags, empty))
    np.testing.assert_array_equal(shown(file), plain)
    half = write(tmp_path / "half.dcm", RAMP, RescaleSlope=2, RescaleIntercept=empty, WindowCenter=63, WindowWidth=127)
    np.testing.assert_allclose(shown(half), np.clip((RAMP * 2 + 0.5) / 126, 0, 1) * 255, atol=0.51)
    np.testing.assert_array_equal(shown(write(tmp_path / "no.dcm", RAMP, WindowCenter=5, WindowWidth=0)), plain)


def test_a_palette_becomes_its_colours(tmp_path):
    index = (np.arange(64) % 4).astype(np.uint8).reshape(8, 8)
    colours = np.asarray([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], np.uint8)
    tags = {}
    for column, colour in enumerate(("Red", "Green", "Blue")):
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [4, 0, 16]
        tags[f"{colour}PaletteColorLookupTableData"] = (colours[:, column].astype("<u2") * 257).tobytes()
    file = write(tmp_path / "palette.dcm", index, PhotometricInterpretation="PALETTE COLOR", **tags)
    np.testing.assert_array_equal(read_image_file(file, Format()), colours[index])


def test_a_voi_table_is_applied_unless_a_window_is_named(tmp_path):
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", "US", [64, 0, 16])
    item.add_new("LUTData", "OW", (np.arange(64)[::-1] * 1040).astype("<u2").tobytes())
    file = write(tmp_path / "table.dcm", RAMP.astype(np.uint16), VOILUTSequence=pydicom.Sequence([item]))
    np.testing.assert_array_equal(shown(file), np.round(RAMP[::-1, ::-1] * 1040.0 / 65535 * 255))
    np.testing.assert_array_equal(shown(file, window=(32, 64)), np.round(RAMP / 63 * 255))


def test_padding_is_black_and_no_part_of_the_range(tmp_path):
    padded = np.pad(RAMP, 2, constant_values=-2000)
    expected = np.pad(np.round(RAMP / 63 * 255), 2)
    np.testing.assert_array_equal(shown(write(tmp_path / "one.dcm", padded, PixelPaddingValue=-2000)), expected)
    file = write(tmp_path / "range.dcm", padded, PixelPaddingValue=-3000, PixelPaddingRangeLimit=-1000)
    np.testing.assert_array_equal(shown(file), expected)
    inverted = write(tmp_path / "film.dcm", padded, PixelPaddingValue=-2000, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(shown(inverted), np.pad(np.round((63 - RAMP) / 63 * 255), 2))
    assert shown(write(tmp_path / "all.dcm", np.full_like(RAMP, 7), PixelPaddingValue=7)).max() == 0


def test_windows_of_other_functions(tmp_path):
    exact = write(tmp_path / "exact.dcm", RAMP, WindowCenter=32, WindowWidth=64, VOILUTFunction="LINEAR_EXACT")
    np.testing.assert_array_equal(shown(exact), np.round(RAMP / 64 * 255))
    soft = write(tmp_path / "soft.dcm", RAMP, WindowCenter=32, WindowWidth=20, VOILUTFunction="SIGMOID")
    np.testing.assert_allclose(shown(soft), 255 / (1 + np.exp(-4 * (RAMP - 32) / 20)), atol=0.51)


def test_deep_colours_and_those_of_photographs(tmp_path):
    deep = np.random.default_rng(0).integers(0, 4096, (8, 8, 3)).astype(np.uint16)
    file = write(tmp_path / "deep.dcm", deep, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(read_image_file(file, Format()), np.round(deep / np.float32(4095) * 255))
    grey = np.zeros((8, 8, 3), np.uint8) + np.asarray([100, 128, 128], np.uint8)
    file = write(tmp_path / "photo.dcm", grey, PhotometricInterpretation="YBR_FULL")
    assert read_image_file(file, Format())[0, 0].tolist() == [100, 100, 100]


def test_one_frame_is_an_image_and_its_own_tags_count(tmp_path):
    values = pydicom.Dataset()
    values.RescaleSlope, values.RescaleIntercept = 10, -100
    voi = pydicom.Dataset()
    voi.WindowCenter, voi.WindowWidth = 0, 201
    frame = pydicom.Dataset()
    frame.PixelValueTransformationSequence, frame.FrameVOILUTSequence = (
        pydicom.Sequence([values]),
        pydicom.Sequence([voi]),
    )
    file = write(
        tmp_path / "one.dcm", RAMP[None], NumberOfFrames=1, SharedFunctionalGroupsSequence=pydicom.Sequence([frame])
    )
    np.testing.assert_allclose(shown(file), np.clip((RAMP * 10 + 0.5) / 200, 0, 1) * 255, atol=0.51)


def test_a_file_is_known_by_its_beginning(tmp_path):
    plain = np.round(RAMP / 63 * 255)
    for name in ("IM000001", "1.2.840.113619.2.5", "scan.png"):
        np.testing.assert_array_equal(shown(write(tmp_path / name, RAMP)), plain)


def test_pixels_that_cannot_be_decoded_are_said_in_a_line(tmp_path):
    dataset = pydicom.dcmread(write(tmp_path / "packed.dcm", RAMP))
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.70"  # lossless JPEG, which needs a plugin
    dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8" + bytes(40)])
    dataset["PixelData"].VR = "OB"
    dataset.save_as(tmp_path / "packed.dcm")
    with pytest.raises(ImageError, match=r"packed\.dcm cannot be read as an image: Unable to dec[^\n]*$"):
        read_image_file(tmp_path / "packed.dcm", Format())
    del dataset.PixelData
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(tmp_path / "report.dcm")
    with pytest.raises(ImageError, match=r"report\.dcm .* it is DICOM, but has no pixels"):
        read_image_file(tmp_path / "report.dcm", Format())
