"""The contact sheet: every row on some page, within it, its words as text; what is left out is said."""

import re
import zlib

import numpy as np
import pytest
from PIL import Image
from test_report import NAMES, make_explanation

from cae_jax.report.contact_sheet import (
    HEIGHT,
    MARGIN,
    WIDTH,
    Entry,
    explanation_entry,
    explanation_heads,
    sheet_pages,
    write_contact_sheet,
)
from cae_jax.types import Ending

LONG = "a $b$ " + "scan_of_" * 12 + "7.png"


def entries(count):
    explanation = make_explanation()
    images = np.random.default_rng(1).random((len(Ending), 8, 8, 1))
    for number in range(count):
        row = number % len(Ending)
        yield explanation_entry(explanation, row, images[row], NAMES, f"image {number}")


def words(figure):
    return list(figure.axes[0].texts)


def test_an_entry_has_the_image_its_reconstruction_the_counterfactual_and_the_map():
    explanation, image = make_explanation(), np.zeros((8, 8, 1))
    flipped = explanation_entry(explanation, 0, image, NAMES, "seven.png")
    assert flipped.title == "seven.png: cat → dog  FLIPPED"
    assert [caption.split(":")[0] for caption in flipped.captions] == [
        "exemplar",
        "reconstruction",
        "counterfactual at 0.600",
        "map",
    ]
    assert (np.asarray(flipped.tiles[0]) == 0).all()
    np.testing.assert_array_equal(
        flipped.tiles[1][:: flipped.tiles[1].shape[0] // 8, :: flipped.tiles[1].shape[0] // 8, 0],
        np.rint(255 * explanation.path_images[0, 0, ..., 0]),
    )
    weak = explanation_entry(explanation, 1, image, NAMES, "weak")
    assert weak.captions[2].startswith("path's end: ")
    assert weak.captions[3] == "no map"


def test_rows_fill_pages_in_order_and_stay_within_their_edges():
    pages = list(sheet_pages(entries(40), ["first", "of all"], ["continued"], columns=2))
    titles = [t.get_text() for page in pages for t in words(page) if re.match(r"image \d+:", t.get_text())]
    assert [int(re.findall(r"\d+", title)[0]) for title in titles] == list(range(40))
    assert [words(page)[0].get_text() for page in pages] == ["first", *["continued"] * (len(pages) - 1)]
    assert 2 <= len(pages) <= 5
    for page in pages:
        for picture in page.axes[0].images:
            left, right, bottom, top = picture.get_extent()
            assert MARGIN <= left < right <= WIDTH - MARGIN
            assert MARGIN <= top < bottom <= HEIGHT - MARGIN
            assert right - left == pytest.approx(bottom - top)


def test_a_long_name_is_broken_within_its_column_and_a_dollar_is_one():
    tile = np.zeros((300, 20, 3), np.uint8)  # as high as may be, and narrow
    (page,) = sheet_pages([Entry(LONG, [tile] * 2, ["one", LONG])] * 2, [], [], columns=2)
    lines = words(page)
    assert "".join(line.get_text() for line in lines if line.get_text() != "one").replace(" ", "") == (
        4 * LONG.replace(" ", "")
    )
    page.draw_without_rendering()
    for line in lines:
        box = line.get_window_extent().transformed(page.axes[0].transData.inverted())
        assert box.x1 <= WIDTH / 2 + 1 or box.x0 > WIDTH / 2
        assert box.x1 <= WIDTH - MARGIN + 1
    assert max(picture.get_extent()[2] - picture.get_extent()[3] for picture in page.axes[0].images) == 200


def test_the_heads_say_what_is_left_out_and_what_endings_and_colours_mean():
    endings = {Ending.FLIPPED: 5, Ending.WEAK: 2, Ending.NO_ANSWER: 0}
    first, others = explanation_heads(endings, 4, {"model": "toy"}, "collapsed", "input", 3)
    text = "\n".join(first)
    assert first[0] == "7 explanations"
    assert "The first 4 are drawn; all 7 are in explanations.json." in text
    assert "3 images could not be explained" in text
    assert "FLIPPED 5: On the way" in text
    assert "NO_ANSWER" not in text
    assert "blue" not in text  # the published map has no sign
    assert all("Not to be relied on: collapsed" in head for head in (first, others))
    assert "left" not in "".join(explanation_heads(endings, 7, {}, "", "relevance", 0)[0])


def test_the_pdf_has_as_many_pages_as_there_are_pictures_of_them(tmp_path):
    write_contact_sheet(entries(20), tmp_path, ["first"], ["continued"])
    pdf = (tmp_path / "contact_sheet.pdf").read_bytes()
    pages = sorted(tmp_path.glob("page_*.png"))
    assert len(pages) == len(re.findall(rb"/Type /Page\b", pdf)) == 2
    with Image.open(pages[0]) as picture:
        assert picture.width / picture.height == pytest.approx(WIDTH / HEIGHT, abs=1e-3)
    assert b"/MediaBox [ 0 0 595 842 ]" in pdf
    streams = re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL)
    assert sum(len(re.findall(rb"\bT[jJ]\b", unpacked(stream))) for stream in streams) > 40  # operators that show text


def unpacked(stream):
    try:
        return zlib.decompressobj().decompress(stream)  # what follows the stream is not minded
    except zlib.error:
        return b""
