"""Jobs are what they were made of: contents, not names, decide what is kept."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cae_jax.config.reading import ConfigError
from cae_jax.data import ArraySource, FileSource, Format
from cae_jax.errors import InputError
from cae_jax.explaining import Aim, Explainer, FileInputs, SplitInputs, explain_to_folder, job
from cae_jax.explaining.inputs import Failure
from cae_jax.types import Ending, Explanation
from cae_jax.workdir.lock import hold

SIDE = 8


class Toy(Explainer):
    """Explains an image by its brightness: the shift is the mean, and bright images aim at 'dark'."""

    step, fingerprint, verdict = 3, "toy", ""

    def __init__(self):
        self.record = SimpleNamespace(data="toy", class_names=("dark", "light"))
        self.asked = []

    def answered(self, images):
        """The classifier has an answer to all images."""
        return np.full(len(images), True)

    def toward_reference(self, reference, target, count):
        """A reference is of class 'light'."""
        if target is Aim.ALL:
            raise InputError("a reference image has one class")

    def explain_batches(self, images, target, *, reference=None, **options):
        """As `Explainer.explain_batches`, for all images at once."""
        self.asked.append(len(images))
        images = np.asarray(images, np.float32) / 255
        light = (images.mean((1, 2, 3)) > 0.5).astype(int)
        rows, halves = len(images), np.full((len(images), 2), 0.5, np.float32)
        yield Explanation(
            image_index=np.arange(rows),
            prediction=light,
            target=1 - light,
            status=np.full(rows, Ending.FLIPPED),
            flip_shift=images.mean((1, 2, 3)),
            shift=images.mean((1, 2, 3)),
            typicality=np.full(rows, 0.25),
            individual_bits=np.full(rows, np.nan),
            reference=np.zeros(rows, int),
            counterfactual=1 - images,
            counterfactual_code=halves,
            counterfactual_probabilities=halves,
            saliency=np.zeros((rows, SIDE, SIDE), np.float32),
            path_shifts=np.asarray([0.0, 1.0]),
            path_images=np.stack([images, 1 - images], axis=1),
            path_probabilities=np.stack([halves, halves], axis=1),
            answer=np.zeros(rows, int),
            tried=np.ones(rows, int),
            confident=np.ones(rows, int),
        )


def paint(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((SIDE, SIDE), value, np.uint8)).save(path)


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(job, "IMAGES", 2)


@pytest.fixture
def folder(tmp_path):
    """Five grey files, three parts."""
    for number in range(5):
        paint(tmp_path / "in" / f"{number}.png", 20 * number)
    return tmp_path / "in"


def explain(folder, out, target="any", **options):
    """The shifts by image, in levels of grey, and how many images were explained for them."""
    toy = Toy()
    inputs = folder if hasattr(folder, "read") else FileInputs(folder, Format(size=(SIDE, SIDE), channels=1))
    rows = explain_to_folder(toy, inputs, target, out, **options)
    assert rows == json.loads((out / "explanations.json").read_text())["explanations"]
    return {row["image"]: round(255 * row["shift"]) for row in rows}, toy.asked


ALL = {f"{number}.png": 20 * number for number in range(5)}


def test_a_finished_job_is_not_done_again(small_parts, folder, tmp_path):
    assert explain(folder, tmp_path / "out") == (ALL, [2, 2, 1])
    assert explain(folder, tmp_path / "out") == (ALL, [])


def test_files_in_another_place_are_known_again(small_parts, folder, tmp_path):
    explain(folder, tmp_path / "out")
    folder.rename(tmp_path / "moved")
    assert explain(tmp_path / "moved", tmp_path / "out") == (ALL, [])


def test_an_edited_file_is_explained_again_with_its_part_alone(small_parts, folder, tmp_path, caplog):
    explain(folder, tmp_path / "out")
    paint(folder / "3.png", 200)
    assert (tmp_path / "out" / "strips" / "3_to_light.png").exists()
    assert explain(folder, tmp_path / "out") == (ALL | {"3.png": 200}, [2])
    assert "1 images have other contents" in caplog.text
    assert "(3.png)" in caplog.text
    assert not (tmp_path / "out" / "strips" / "3_to_light.png").exists()
    assert (tmp_path / "out" / "strips" / "3_to_dark.png").exists()


def test_another_folder_with_the_same_names_gets_its_own_answers(folder, tmp_path):
    explain(folder, tmp_path / "out")
    for number in range(5):
        paint(tmp_path / "tuesday" / f"{number}.png", 100 + number)
    shifts, _ = explain(tmp_path / "tuesday", tmp_path / "out")
    assert shifts == {f"{number}.png": 100 + number for number in range(5)}
    assert explain(folder, tmp_path / "out")[0] == ALL


def test_interrupted_after_an_edit_a_job_hands_back_no_old_answers(small_parts, folder, tmp_path, monkeypatch):
    explain(folder, tmp_path / "out")
    for number in range(5):
        paint(folder / f"{number}.png", 100 + number)

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Toy, "explain_batches", interrupt)
    with pytest.raises(KeyboardInterrupt):
        explain(folder, tmp_path / "out")
    found = json.loads((tmp_path / "out" / "explanations.json").read_text())
    assert (found["explanations"], found["missing"]) == ([], 5)


def test_what_failed_is_tried_again_and_only_that(small_parts, folder, tmp_path):
    (folder / "1.png").write_bytes(b"no picture")
    without = {name: value for name, value in ALL.items() if name != "1.png"}
    assert explain(folder, tmp_path / "out") == (without, [1, 2, 1])
    assert explain(folder, tmp_path / "out") == (without, [])
    paint(folder / "1.png", 20)
    shifts, asked = explain(folder, tmp_path / "out")
    assert (shifts, asked) == (ALL, [2])
    assert not json.loads((tmp_path / "out" / "explanations.json").read_text())["failures"]


def test_a_failure_that_has_nothing_to_do_with_the_file_is_tried_again(small_parts, folder, tmp_path, monkeypatch):
    """A file server that is back: the contents are the same."""
    original = FileInputs.read

    def without_2(self, rows):
        images, good, failures = original(self, [row for row in rows if row != 2])
        failures += [Failure("2.png", "the server does not answer")] if 2 in rows else []
        return images, good, failures

    with monkeypatch.context() as patch:
        patch.setattr(FileInputs, "read", without_2)
        assert "2.png" not in explain(folder, tmp_path / "out")[0]
    assert explain(folder, tmp_path / "out") == (ALL, [2])


def test_another_reference_is_another_job_whatever_its_file_is_called(folder, tmp_path):
    reference = np.full((SIDE, SIDE, 1), 250, np.uint8)
    explain(folder, tmp_path / "out", reference=reference, reference_name="reference.png")
    explain(folder, tmp_path / "out", reference=reference, reference_name="renamed.png")
    with pytest.raises(InputError, match=r"differs in: reference\); add --overwrite"):
        explain(folder, tmp_path / "out", reference=reference - 1, reference_name="reference.png")


@pytest.mark.parametrize("name", ["parts", "index.html"])
def test_a_folder_that_is_no_earlier_job_s_is_not_written_over(folder, tmp_path, name):
    theirs = tmp_path / "out" / name
    theirs.parent.mkdir()
    theirs.write_text("of another program")
    with pytest.raises(InputError, match=rf"{name} is no result of an earlier job"):
        explain(folder, tmp_path / "out", overwrite=True)
    assert theirs.read_text() == "of another program"


@pytest.mark.parametrize("name", ["fingerprint", "record", "cae_jax"])
def test_another_model_other_class_names_or_another_version_is_another_job(folder, tmp_path, monkeypatch, name):
    explain(folder, tmp_path / "out")
    if name == "cae_jax":
        monkeypatch.setattr(job, "versions", lambda: {"cae_jax": "another"})
    elif name == "record":
        other = SimpleNamespace(data="toy", class_names=("night", "day"))
        original = Toy.__init__
        monkeypatch.setattr(Toy, "__init__", lambda self: (original(self), setattr(self, "record", other))[0])
    else:
        monkeypatch.setattr(Toy, "fingerprint", "another")
    differing = {"fingerprint": "checkpoint and classifier", "record": "class_names", "cae_jax": "cae_jax"}[name]
    with pytest.raises(InputError, match=rf"differs in: {differing}\)"):
        explain(folder, tmp_path / "out")


def test_images_that_have_other_names_are_another_job(folder, tmp_path):
    explain(folder, tmp_path / "out")
    (folder / "4.png").rename(folder / "5.png")
    with pytest.raises(InputError, match=r"differs in: names\)"):
        explain(folder, tmp_path / "out")


def test_rows_of_a_split_are_known_by_their_pixels(tmp_path):
    labels = np.asarray([0, 1])

    def split(*values):
        images = np.stack([np.full((SIDE, SIDE, 1), value, np.uint8) for value in values])
        return SplitInputs(ArraySource(images, labels), "test", [0, 1])

    assert explain(split(10, 20), tmp_path / "out") == ({"test_0": 10, "test_1": 20}, [2])
    assert explain(split(10, 20), tmp_path / "out")[1] == []
    assert explain(split(20, 10), tmp_path / "out") == ({"test_0": 20, "test_1": 10}, [2])


def test_what_is_refused_neither_replaces_results_nor_claims_a_folder(folder, tmp_path):
    reference = np.full((SIDE, SIDE, 1), 250, np.uint8)
    for bad, message in (
        ({"confidence": 90.0}, "confidence must"),
        ({"target": "all", "reference": reference}, "one c"),
    ):
        with pytest.raises(InputError, match=message):
            explain(folder, tmp_path / "new", **bad)
        assert not (tmp_path / "new").exists()
        explain(folder, tmp_path / "out", overwrite=True)
        with pytest.raises(InputError, match=message):
            explain(folder, tmp_path / "out", overwrite=True, **bad)
        assert len(json.loads((tmp_path / "out" / "explanations.json").read_text())["explanations"]) == 5


def test_options_are_said_as_they_are_whatever_is_left_at_its_default(folder, tmp_path):
    explain(folder, tmp_path / "out", confidence=0.99999, diverse=1)
    assert "confidence <b>0.99999</b>" in (tmp_path / "out" / "index.html").read_text()
    assert explain(folder, tmp_path / "out", confidence=0.99999)[1] == []


def test_a_split_s_image_that_is_gone_stops_no_job_and_the_page_says_why(tmp_path):
    for number in range(3):
        paint(tmp_path / f"{number}.png", 20 * number)
    files = [tmp_path / f"{number}.png" for number in range(3)]
    source = FileSource(files, np.zeros(3, int), Format(size=(SIDE, SIDE), channels=1))
    files[1].unlink()
    inputs = SplitInputs(source, "test", [0, 1, 2], tmp_path)
    assert explain(inputs, tmp_path / "out")[0] == {"0.png": 0, "2.png": 40}
    assert "1 could not be explained" in (tmp_path / "out" / "index.html").read_text()
    assert explain(inputs, tmp_path / "out")[1] == []
    for file in (files[0], files[2]):
        file.unlink()
    with pytest.raises(InputError, match="none of the 3 images could be explained"):
        explain(inputs, tmp_path / "out")
    assert not (tmp_path / "out" / "explanations.npz").exists()


def test_two_jobs_do_not_share_a_folder(folder, tmp_path):
    with hold(tmp_path / "out", "--out"), pytest.raises(ConfigError, match=r"at work in .*name another --out"):
        explain(folder, tmp_path / "out")
    assert explain(folder, tmp_path / "out")[0] == ALL


def test_a_contact_sheet_is_drawn_when_asked_for_and_follows_the_results(folder, tmp_path, monkeypatch):
    from cae_jax.explaining import outputs

    monkeypatch.setattr(outputs, "MOST_ON_SHEET", 3)
    sheet, drawn = tmp_path / "out" / "sheet", []
    original = outputs.write_contact_sheet

    def write(entries, *rest):
        entries = list(entries)
        drawn.append(([entry.title.split(":")[0] for entry in entries], rest[1][0]))
        original(entries, *rest)

    monkeypatch.setattr(outputs, "write_contact_sheet", write)
    explain(folder, tmp_path / "out")
    assert not sheet.exists()
    explain(folder, tmp_path / "out", sheet=True)
    assert drawn == [(["0.png", "1.png", "2.png"], "5 explanations")]
    assert sorted(file.name for file in sheet.iterdir()) == ["contact_sheet.pdf", "page_001.png"]
    paint(folder / "3.png", 200)
    (sheet / "page_002.png").write_bytes(b"of an older sheet")
    explain(folder, tmp_path / "out")
    assert len(drawn) == 2
    assert not (sheet / "page_002.png").exists()

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    paint(folder / "3.png", 100)
    with monkeypatch.context() as patch:
        patch.setattr(Toy, "explain_batches", interrupt)
        with pytest.raises(KeyboardInterrupt):
            explain(folder, tmp_path / "out")
    assert len(drawn) == 2
    explain(folder, tmp_path / "out")
    assert len(drawn) == 3  # it is still wanted


def test_the_page_has_the_whole_pictures_of_files_of_another_size(folder, tmp_path, caplog):
    Image.fromarray(np.full((3 * SIDE, 5 * SIDE), 90, np.uint8)).save(folder / "1.png")
    Image.fromarray(np.full((2 * SIDE, 7 * SIDE), 90, np.uint8)).save(folder / "2.png")
    wanted = Format(size=(SIDE, SIDE), channels=1)
    whole = FileInputs(folder, wanted).picture(1)
    assert whole.pixels.shape == (3 * SIDE, 5 * SIDE, 1)
    assert whole.place == pytest.approx((0, 2.5 * SIDE - 1.5 * SIDE, 3 * SIDE, 3 * SIDE), abs=2)
    assert FileInputs(folder, wanted).picture(0) is None  # of the trained size
    with pytest.warns(UserWarning, match=r"1\.png is 24×40 and is resized"):
        explain(folder, tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count("data:image/jpeg") == 2
    assert page.count(' data-whole="') == 2
    inputs = FileInputs(folder, wanted)
    (folder / "1.png").unlink()
    assert inputs.picture(1) is None
    assert "1.png does not exist; its page shows the image alone" in caplog.text
