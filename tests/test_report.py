"""Pictures: grids of the size and with the pixels that were asked for, and a figure for every ending."""

import io

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from cae_jax.report import draw_explanation, metrics_table, picture_grid
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


def make_explanation(channels=1):
    """A row for every ending, as the explainer would write it."""
    rng = np.random.default_rng(0)
    count, nan = len(Ending), np.nan
    size = (8, 8, channels)
    shift = np.asarray([0.6, nan, nan, nan, nan, nan])
    saliency = rng.uniform(-1.0, 1.0, (count, 8, 8))
    saliency[np.isnan(shift)] = 0.0
    return Explanation(
        image_index=np.arange(count),
        prediction=np.asarray([0, 0, 1, 1, 2, 2]),
        target=np.asarray([1, 2, 0, 1, 0, -1]),
        status=np.asarray([ending.value for ending in Ending]),
        flip_shift=np.asarray([0.4, 0.5, nan, nan, nan, nan]),
        shift=shift,
        counterfactual=rng.random((count, *size)),
        saliency=saliency,
        path_shifts=np.linspace(0.0, 1.0, 4),
        path_images=rng.random((count, 4, *size)),
        path_probabilities=rng.dirichlet(np.ones(3), (count, 4)),
    )


@pytest.mark.parametrize("ending", list(Ending), ids=lambda ending: ending.name)
def test_every_ending_is_drawn_and_says_so(ending):
    explanation = make_explanation(channels=3 if ending == Ending.FLIPPED else 1)
    image = np.random.default_rng(1).random(explanation.counterfactual.shape[1:])
    figure = draw_explanation(explanation, ending.value, image, NAMES, "digit")
    file = io.BytesIO()
    figure.savefig(file, dpi=40)
    drawn = np.asarray(Image.open(file).convert("L"))
    assert drawn.std() > 5.0
    title = figure.get_suptitle()
    aim = {-1: "none", 0: "cat", 1: "dog", 2: "fish"}[int(explanation.target[ending.value])]
    for part in (ending.name, ending.message, f"→ {aim}", "digit:"):
        assert part in title
    captions = " ".join(axes.get_title() for axes in figure.axes)
    assert ("no counterfactual" in captions) == (ending != Ending.FLIPPED)
    assert "nan" not in captions + title
    assert captions.count("shift") == 4 + (ending == Ending.FLIPPED)


def test_a_metrics_table_has_a_row_for_every_number():
    console = Console(file=io.StringIO(), width=100)
    console.print(metrics_table({"swap_flip_rate": 0.97125, "steps": 1000, "versions": {"jax": "1"}}))
    text = console.file.getvalue()
    assert "0.9712" in text or "0.9713" in text
    assert "1000" in text
    assert "versions" not in text
