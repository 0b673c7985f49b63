"""Pictures and pages: grids with the pixels that were asked for, a strip and a card for every ending."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from cae_jax.file_names import printable
from cae_jax.report import ExplanationPage, draw_explanation, explanation_page, metrics_table, picture_grid
from cae_jax.report.pictures import lettered, wrapped
from cae_jax.report.plots import PALETTE, SHAPES, class_colour, class_mark, class_shape
from cae_jax.report.strips import saliency_tile
from cae_jax.types import Ending, Explanation

NAMES = ("cat", "dog", "fish")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(28, 28), (10, 7), (100, 64)])
def test_a_grid_holds_every_image_enlarged_by_whole_pixels(channels, size):
    rng = np.random.default_rng(0)
    rows = {name: rng.random((3, *size, channels)) for name in ("exemplar", "swap")}
    grid = np.asarray(picture_grid(rows))
    scale = max(1, 56 // size[0])
    height, width = size[0] * scale, size[1] * scale
    assert grid.shape == (2 * (height + 2) + 2, 92 + 3 * (width + 2), 3)
    assert grid.dtype == np.uint8
    for row, images in enumerate(rows.values()):
        for column, image in enumerate(images):
            top, left = 2 + row * (height + 2), 92 + column * (width + 2)
            cell = grid[top : top + height, left : left + width]
            expected = np.rint(image * 255).repeat(scale, 0).repeat(scale, 1)
            np.testing.assert_array_equal(cell, np.broadcast_to(expected, (height, width, 3)))
    assert (grid[:, :92] < 128).any()  # the captions
    assert (grid[:2] == 255).all()


def test_values_out_of_range_are_clipped_and_not_wrapped():
    images = np.asarray([-0.2, 1.3]).reshape(2, 1, 1, 1) * np.ones((1, 60, 60, 1))
    grid = np.asarray(picture_grid({"x": images}))
    assert grid[30, 92 + 30].tolist() == [0, 0, 0]
    assert grid[30, 92 + 62 + 30].tolist() == [255, 255, 255]


def make_explanation(channels=1, side=8):
    """A row for every ending, as the explainer would write it."""
    rng = np.random.default_rng(0)
    count, nan = len(Ending), np.nan
    size = (side, side, channels)
    shift = np.asarray([0.6, nan, nan, nan, nan, nan, nan])
    saliency = rng.uniform(-1.0, 1.0, (count, side, side))
    saliency[np.isnan(shift)] = 0.0
    answers = rng.dirichlet(np.ones(3), (count, 5))
    answers[-1, 2:4] = nan  # on the way, there is none
    return Explanation(
        image_index=np.arange(count),
        prediction=np.asarray([0, 0, 1, 1, 2, 2, -1]),
        target=np.asarray([1, 2, 0, 1, 0, -1, -1]),
        status=np.asarray([ending.value for ending in Ending]),
        flip_shift=np.asarray([0.4, 0.5, nan, nan, nan, nan, nan]),
        shift=shift,
        typicality=np.asarray([0.125, 0.0, *[nan] * 5]),
        individual_bits=np.asarray([31.4, *[nan] * 6]),
        reference=np.full(count, -1),
        counterfactual=rng.random((count, *size)),
        counterfactual_code=rng.random((count, 2)),
        counterfactual_probabilities=answers[:, 4],
        saliency=saliency,
        path_shifts=np.linspace(0.0, 1.0, 4),
        path_images=rng.random((count, 4, *size)),
        path_probabilities=answers[:, :4],
        answer=np.zeros(count, int),
        tried=np.ones(count, int),
        confident=(np.arange(count) == Ending.FLIPPED).astype(int),
    )


@pytest.mark.parametrize(("channels", "side", "tile"), [(1, 8, 80), (3, 100, 100), (1, 300, 256)])
@pytest.mark.parametrize("ending", list(Ending), ids=lambda ending: ending.name)
def test_every_ending_is_drawn_with_its_images(ending, channels, side, tile):
    explanation = make_explanation(channels, side)
    image = np.zeros((side, side, channels))
    image[: side // 4, : side // 4] = 1.0
    picture = np.asarray(draw_explanation(explanation, ending.value, image, NAMES, "digit"))
    black = int((picture[:, 8 : 8 + tile].max(axis=(1, 2)) < 30).argmax())
    top = black - tile // 4  # below title and captions
    assert 50 < top < 100
    exemplar = picture[top : top + tile, 8 : 8 + tile]
    assert exemplar[0, 0].tolist() == [255, 255, 255]
    assert exemplar[tile // 2 :].max() < 30
    assert (picture[:top].min(axis=(1, 2)) < 100).any()  # text
    assert picture[top + tile :].std() > 1.0  # bars


LONG = "a name of many words " * 6 + "and" + "onewithoutanyspaces" * 9


def test_a_strip_grows_so_that_long_names_are_there_whole():
    explanation, image = make_explanation(), np.zeros((8, 8, 1))
    usual = draw_explanation(explanation, 0, image, NAMES, "digit")
    for names, name in ((NAMES, LONG), ((LONG, "dog", "fish"), "digit")):
        long = draw_explanation(explanation, 0, image, names, name)
        assert long.width == usual.width
        assert long.height > usual.height + 10
        assert (np.asarray(long)[:, -3:] == 255).all()  # no line is cut at the edge


@pytest.mark.parametrize("text", [LONG, "x" * 300, "", " ", "два слова", "a\nb\tc", "猫" * 40])
def test_wrapped_lines_hold_all_of_a_text_and_are_as_wide_as_there_is_room_for(text):
    lines, font = wrapped(text, 11, 80)
    shown, _ = lettered(text, 11)
    assert "".join(lines).replace(" ", "") == shown.replace(" ", "")
    assert max(font.getlength(line) for line in lines) <= 80


def test_what_no_font_has_stands_as_its_escape_and_other_scripts_as_they_are():
    assert lettered("Größe ↔ Ωж ער", 11)[0] == "Größe ↔ Ωж ער"
    assert lettered("猫 cat", 11)[0] == "\\u732b cat"
    assert lettered("😀\udcff\x1b[31m", 11)[0].endswith("\\udcff\\x1b[31m")
    assert lettered("plain", 11)[1] is not lettered("é", 11)[1]


@pytest.mark.parametrize("name", ["[red]x[/]", "猫😀", "שלום", "हिन्दी", "\udcff.png", "a\nb", "\u202egnp.exe"])
def test_names_of_any_kind_are_drawn_and_escaped(name):
    explanation = make_explanation()
    draw_explanation(explanation, 0, np.zeros((8, 8, 1)), (name, *NAMES[1:]), name)
    report = ExplanationPage((name, *NAMES[1:]), {"target": name})
    report.add(explanation, np.zeros((len(Ending), 8, 8, 1)), [name] * len(Ending))
    html = report.render(
        [(name, "unreadable")], 0, [{"image": name, "target": name, "asked": 2, "found": 1, "why": "!"}]
    )
    assert html.count(f"<bdi>{printable(name)}</bdi>") > 5
    html.encode()


def test_a_page_says_which_requests_have_fewer_answers():
    fewer = [{"image": f"<{i}>", "target": "cat", "asked": 3, "found": 2, "why": "of 3 paths"} for i in range(60)]
    html = page(make_explanation(), fewer=fewer)
    assert "3 different answers were asked for; 60 requests have fewer" in html
    assert "<bdi>&lt;49&gt;</bdi> → <bdi>cat</bdi></b>: 2; of 3 paths" in html
    assert "<bdi>&lt;50&gt;</bdi>" not in html
    assert "The others are listed in explanations.json." in html


def test_a_saliency_tile_is_red_where_something_was_added_and_blue_where_removed():
    saliency = np.asarray([[0.5, -0.25], [0.0, 0.0]])
    tile = saliency_tile(saliency, np.zeros((2, 2, 1))).astype(int)
    red, green, blue = tile[0, 0]
    assert red > 150 > blue
    assert tile[0, 1, 2] > tile[0, 1, 0]
    assert tile[1].tolist() == [[255, 255, 255]] * 2
    assert green < tile[0, 1, 1]  # the stronger, the more colour


def page(explanation, **arguments):
    report = ExplanationPage(NAMES, {"model": "<toy>"})
    images = np.random.default_rng(1).random((len(Ending), 8, 8, 1))
    report.add(explanation, images, [f"image & {i}" for i in range(len(Ending))])
    return report.render(**arguments)


def test_a_page_shows_a_card_for_every_row_and_totals_and_asks_for_nothing_from_elsewhere():
    html = page(make_explanation(), failures=[("broken.png", "it is <empty>")], missing=3)
    assert html.count('<section class="card"') == len(Ending)
    for ending in Ending:
        assert html.count(f'data-ending="{ending.name}"') == 2  # its card and its button
        assert ending.message.replace("'", "&#39;") in html
    assert "14.3 %" in html  # one of seven
    assert "33.3 %" in html  # one of the three that were reconstructed and had somewhere to go
    assert "0.600" in html
    assert "at least as sure as of 12 % of the training images that it calls <bdi>dog</bdi>" in html
    assert html.count("at the end the classifier is at least as sure as of") == 2  # of what flipped
    assert "broken.png" in html
    assert "it is &lt;empty&gt;" in html
    assert "image &amp; 0" in html
    assert html.count("individual code: 31 bits") == html.count("individual code:") == 1
    assert html.count("the answer did not flip confidently") == html.count("<div>no map</div>") == len(Ending) - 1
    assert "&lt;toy&gt;" in html
    assert "3 of the images" in html
    addresses = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)""", html)
    assert len(addresses) == len(Ending)
    assert all(address.startswith("data:image/png;base64,") for address in addresses)
    assert "nan" not in re.sub(r"base64,[^\"]+", "", html).lower().replace("explanations", "")


def test_a_page_holds_no_more_cards_than_browsers_bear_and_says_so(monkeypatch):
    monkeypatch.setattr(explanation_page, "MOST_BYTES", 1)
    html = page(make_explanation())
    assert html.count('<section class="card"') == 1
    assert f"The first 1 are shown; all {len(Ending)} are in explanations.json" in html


def test_the_pictures_of_a_page_hold_the_images_pixel_by_pixel():
    explanation = make_explanation()
    address = re.search(r'src="data:image/png;base64,([^"]+)"', page(explanation)).group(1)
    sprite = np.asarray(Image.open(io.BytesIO(base64.b64decode(address))).convert("RGB"))
    assert sprite.shape == (8, 8 * 7, 3)  # exemplar, four of the path, counterfactual, map
    counterfactual = np.rint(explanation.counterfactual[0, ..., 0] * 255)
    assert np.abs(sprite[:, 40:48, 0] - counterfactual).max() <= 8  # a palette of 256 colours


def test_a_page_without_explanations_is_still_a_page():
    html = ExplanationPage(NAMES, {}).render(failures=[("a.png", "broken")])
    assert "0 explanations" in html
    assert "a.png" in html


def test_a_page_says_above_all_else_that_a_model_is_not_to_be_relied_on():
    html = ExplanationPage(NAMES, {}, "weak (<few>). Bring more.").render()
    assert "<b>Not to be relied on:</b> weak (&lt;few&gt;). Bring more." in html
    assert "Not to be relied on" not in ExplanationPage(NAMES, {}).render()


def luminance(colour):
    """WCAG's relative luminance of '#rrggbb'."""
    parts = np.asarray([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_classes_differ_in_colour_and_shape_and_are_seen_on_light_and_on_dark():
    from bokeh.core.enums import MarkerType

    assert set(SHAPES) <= set(MarkerType)
    assert len({(class_colour(number), class_shape(number)) for number in range(110)}) == 110
    assert len({class_mark(number) for number in range(110)}) == 110
    for colour in PALETTE:
        assert 1.05 / (luminance(colour) + 0.05) > 1.7  # on white
        assert (luminance(colour) + 0.05) / (luminance("#161616") + 0.05) > 2.9


def test_a_metrics_table_has_a_row_for_every_number():
    console = Console(file=io.StringIO(), width=100)
    console.print(metrics_table({"swap_flip_rate": 0.97125, "steps": 1000, "versions": {"jax": "1"}}))
    text = console.file.getvalue()
    assert "0.9712" in text or "0.9713" in text
    assert "1000" in text
    assert "versions" not in text
