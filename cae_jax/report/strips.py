"""Draws one explanation as a strip: exemplar, guided path with probabilities, counterfactual, saliency map."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from cae_jax.images import to_uint8
from cae_jax.report.pictures import wrapped
from cae_jax.types import Ending, Explanation

TILE = 84  # least height of a tile in a strip, in pixels; larger images keep theirs, up to MOST
MOST = 256
GAP, BARS, FOOT = 8, 52, 8
TITLE, TITLE_LINE, SMALL, LINE = 13, 17, 11, 14  # sizes of letters and heights of lines
GREY, RED, BLUE, BLACK = (120, 120, 120), (200, 40, 40), (40, 80, 200), (20, 20, 20)


def class_name(class_names: Sequence[str], number: int) -> str:
    """The name of a class, by its number; "no answer" for -1."""
    return class_names[number] if number >= 0 else "no answer"


def answer_name(class_names: Sequence[str], probabilities: np.ndarray) -> str:
    """The name of the most probable class of `[K]` probabilities; "no answer" where they are not finite."""
    return class_name(class_names, int(probabilities.argmax()) if np.isfinite(probabilities).all() else -1)


def _to_rgb(image: np.ndarray) -> np.ndarray:
    pixels = to_uint8(image)
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels


def saliency_veil(saliency: np.ndarray) -> np.ndarray:
    """Draws a saliency map to be laid over a picture: the colours of `saliency_tile`, as opaque as the map is strong.

    Args:
        saliency: the map, `[height, width]`.

    Returns:
        `[height, width, 4]` uint8, the last channel the opacity.
    """
    strength = np.abs(saliency) / max(float(np.abs(saliency).max()), 1e-6)
    colour = np.where((saliency > 0)[..., None], np.asarray(RED), np.asarray(BLUE))
    return np.concatenate([colour.astype(np.uint8), to_uint8(strength)[..., None]], axis=-1)


def saliency_tile(saliency: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Draws a saliency map over the pale image: positive values (added, or for the answer) red, negative ones blue.

    Colours are scaled by the largest absolute value of the map.

    Args:
        saliency: the map, `[height, width]`.
        image: the exemplar, `[height, width, channels]` in [0, 1].

    Returns:
        `[height, width, 3]` uint8.
    """
    pale = 1.0 - 0.25 * np.repeat(image.mean(-1, keepdims=True), 3, axis=-1)
    strength = np.abs(saliency) / max(float(np.abs(saliency).max()), 1e-6)
    colour = np.where((saliency > 0)[..., None], np.asarray(RED), np.asarray(BLUE)) / 255.0
    return to_uint8(pale + strength[..., None] * (colour - pale))


def explanation_tiles(explanation: Explanation, row: int, image: np.ndarray) -> np.ndarray:
    """Returns the tiles of an explanation's strip: exemplar, path, counterfactual and saliency map.

    Args:
        explanation: the record.
        row: number of the record's row to draw.
        image: the exemplar, `[height, width, channels]` in [0, 1].

    Returns:
        `[tiles, height, width, 3]` uint8.
    """
    pictures = [image, *explanation.path_images[row], explanation.counterfactual[row]]
    return np.stack([*(_to_rgb(picture) for picture in pictures), saliency_tile(explanation.saliency[row], image)])


def resize_tiles(tiles: np.ndarray, side: int) -> np.ndarray:
    """Brings tiles to about `side` pixels of height.

    Small tiles are enlarged by a whole factor, so that pixels stay sharp squares; large ones are reduced to exactly
    this height.
    """
    height = tiles.shape[1]
    if height <= side:
        times = max(side // height, 1)
        return tiles.repeat(times, axis=1).repeat(times, axis=2)
    size = (max(round(tiles.shape[2] * side / height), 1), side)
    return np.stack([np.asarray(Image.fromarray(tile).resize(size, Image.Resampling.LANCZOS)) for tile in tiles])


def _draw_bars(draw: ImageDraw.ImageDraw, left: int, top: int, width: int, values: Sequence[tuple[float, tuple]]):
    draw.line([(left, top + BARS), (left + width, top + BARS)], fill=(200, 200, 200))
    bar = width // (2 * len(values) + 1)
    for i, (value, colour) in enumerate(values):
        x = left + bar * (2 * i + 1)
        draw.rectangle([x, top + BARS - round(value * BARS), x + bar, top + BARS], fill=colour)


def _write(draw: ImageDraw.ImageDraw, at: tuple[int, int], texts: Sequence[tuple[str, tuple]], width: int) -> int:
    """Writes coloured texts below each other, in lines of at most `width` pixels; returns the y where they end."""
    left, top = at
    for text, colour in texts:
        lines, font = wrapped(text, SMALL, width)
        for line in lines:
            draw.text((left, top), line, colour, font)
            top += LINE
    return top


def draw_explanation(
    explanation: Explanation, row: int, image: np.ndarray, class_names: Sequence[str], name: str
) -> Image.Image:
    """Draws one row of an explanation record as a strip; long names are wrapped, never cut off.

    Args:
        explanation: the record.
        row: number of the record's row to draw.
        image: the exemplar, `[height, width, channels]` in [0, 1].
        class_names: K names of classes.
        name: name of the exemplar.
    """
    prediction, target = int(explanation.prediction[row]), int(explanation.target[row])
    ending = Ending(int(explanation.status[row]))
    shifts, probabilities = explanation.path_shifts, explanation.path_probabilities[row]
    shift, flip = explanation.shift[row], explanation.flip_shift[row]
    aim = class_names[target] if target >= 0 else "none"
    aimed = target >= 0 and target != prediction

    tiles = explanation_tiles(explanation, row, image)
    tiles = resize_tiles(tiles, min(max(tiles.shape[1], TILE), MOST))
    height, width = tiles.shape[1:3]
    column = max(width, 84) + GAP
    predicted = class_name(class_names, prediction)
    captions = [("exemplar", predicted)]
    captions += [(f"shift {s:.2f}", answer_name(class_names, p)) for s, p in zip(shifts, probabilities, strict=True)]
    end = ("counterfactual", f"shift {shift:.3f}") if np.isfinite(shift) else ("path's end", "no counterfactual")
    captions += [end, ("saliency", "+ red, - blue")]
    legend = [("probability", GREY), (f"of {predicted}", GREY), *([(f"of {aim}", RED)] if aimed else [])]

    wide = GAP + len(tiles) * column
    whole = f"{name}: {predicted} to {aim}.  {ending.name}: {ending.message}"
    title, font = wrapped(whole, TITLE, wide - 2 * GAP)
    header = 9 + TITLE_LINE * len(title)
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    top = max(_write(measure, (0, header), [(t, BLACK) for t in texts], column - 4) for texts in captions) + 2
    bars = top + height + GAP
    foot = max(_write(measure, (0, bars), legend, column - 4), bars + BARS) + FOOT

    sheet = Image.new("RGB", (wide, foot), "white")
    draw = ImageDraw.Draw(sheet)
    for i, line in enumerate(title):
        draw.text((GAP, 6 + i * TITLE_LINE), line, BLACK, font)
    for i, (tile, texts) in enumerate(zip(tiles, captions, strict=True)):
        left = GAP + i * column
        _write(draw, (left, header), [(text, BLACK) for text in texts], column - 4)
        sheet.paste(Image.fromarray(tile), (left, top))
    for i, p in enumerate([*probabilities, explanation.counterfactual_probabilities[row]]):
        p = np.nan_to_num(p)  # no bar where there is no answer
        values = [(float(p[prediction]), GREY), *([(float(p[target]), RED)] if aimed else [])]
        _draw_bars(draw, GAP + (i + 1) * column, bars, width, values)
    _write(draw, (GAP, bars), legend, column - 4)
    if np.isfinite(flip):
        texts = [("flip at", BLACK), (f"shift {flip:.3f}", BLACK)]
        _write(draw, (GAP + (len(tiles) - 1) * column, bars), texts, column - 4)
    return sheet
