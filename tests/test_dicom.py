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
