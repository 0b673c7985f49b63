"""Phantoms: anatomy-like images whose class is decided by a finding that is known to the pixel, drawn from numbers.

An *individual* is a body of textured tissue with ventricles, vessels and a gland; the *finding* sits in the gland and
decides the class. The same individual can be drawn with any finding, which is its true counterfactual.
"""

from typing import NamedTuple

import numpy as np

FINDINGS = ("normal", "nodule", "cyst", "ring")
"""Classes: nothing, a bright disc, a dark disc, a bright ring."""
GRADES = (0.5, 0.75, 1.0)
"""Strengths of a finding, as shares of `CONTRAST`."""
CONTRAST = 0.4
TINTS = np.asarray([[1.0, 1.0, 1.0], [1.0, 0.75, 0.55], [0.95, 0.75, 0.6], [0.8, 0.9, 1.0]])
"""Colour of each finding's brightness, on RGB images."""
TISSUE = np.asarray([1.0, 0.72, 0.66])
MARK = (0.04, 0.14)
"""The planted mark: a bright square between these shares of the side, from the top left corner."""
WAVES, VESSELS = 24, 4


class Individual(NamedTuple):
    """What differs from individual to individual; lengths are shares of the side, angles radians.

    Attributes:
        body: centre x and y, half axes, angle.
        tissue: brightness of the tissue.
        waves: `[WAVES, 4]`: of the texture, frequency x and y, phase, amplitude.
        ventricles: shape of the left one (the right one mirrors it): distance from the middle, height, half axes, tilt.
        vessels: `[VESSELS, 8]`: three points of a quadratic curve, width, brightness.
        gland: centre x and y, radius, brightness above the tissue.
        noise: seed of the sensor's noise.
    """

    body: np.ndarray
    tissue: float
    waves: np.ndarray
    ventricles: np.ndarray
    vessels: np.ndarray
    gland: np.ndarray
    noise: int


def draw_individual(seed: tuple[int, ...]) -> Individual:
    """Draws an individual from a seed."""
    rng = np.random.default_rng(seed)
    body = rng.uniform([0.48, 0.48, 0.38, 0.42, -0.2], [0.52, 0.52, 0.43, 0.47, 0.2])
    frequency, direction = rng.uniform(1.0, 5.0, WAVES), rng.uniform(0, 2 * np.pi, WAVES)
    waves = np.stack(
        [
            frequency * np.cos(direction),
            frequency * np.sin(direction),
            rng.uniform(0, 2 * np.pi, WAVES),
            0.045 / np.sqrt(frequency),
        ],
        axis=1,
    )
    ventricles = rng.uniform([0.07, 0.38, 0.03, 0.07, 0.1], [0.11, 0.48, 0.05, 0.12, 0.5])
    ends = rng.uniform(0.2, 0.8, (VESSELS, 6))
    vessels = np.concatenate([ends, rng.uniform([0.008, 0.12], [0.016, 0.25], (VESSELS, 2))], axis=1)
    angle = rng.uniform(0.15 * np.pi, 0.85 * np.pi)  # below the ventricles
    reach = rng.uniform(0.2, 0.26)
    gland = [body[0] + reach * np.cos(angle), body[1] + reach * np.sin(angle), *rng.uniform([0.12, 0.05], [0.15, 0.09])]
    return Individual(
        body, rng.uniform(0.38, 0.48), waves, ventricles, vessels, np.asarray(gland), int(rng.integers(2**31))
    )


def _grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    places = (np.arange(side) + 0.5) / side
    return places[None, :], places[:, None]


def _soft(distance: np.ndarray, side: int) -> np.ndarray:
    """1 inside (negative distances), 0 outside, with an edge about a pixel wide."""
    return np.clip(0.5 - distance * side, 0.0, 1.0)


def _ellipse(side: int, x: float, y: float, a: float, b: float, angle: float) -> np.ndarray:
    columns, rows = _grid(side)
    u = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
    v = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
    return _soft((np.sqrt(np.square(u / a) + np.square(v / b)) - 1.0) * min(a, b), side)


def _vessel(side: int, vessel: np.ndarray) -> np.ndarray:
    t = np.linspace(0.0, 1.0, max(48, side))[:, None, None]  # dense enough not to look beaded
    start, middle, end = vessel[:2], vessel[2:4], vessel[4:6]
    x, y = ((1 - t) ** 2 * p + 2 * t * (1 - t) * q + t**2 * r for p, q, r in zip(start, middle, end, strict=True))
    columns, rows = _grid(side)
    return np.exp(-(np.square(columns - x) + np.square(rows - y)).min(0) / (2 * vessel[6] ** 2))


def draw_body(individual: Individual, side: int) -> np.ndarray:
    """Brightness `[side, side]` of an individual without finding, noise or mark."""
    columns, rows = _grid(side)
    inside = _ellipse(side, *individual.body)
    texture = np.zeros((side, side))
    for across, down, phase, amplitude in individual.waves:
        texture += amplitude * np.cos(2 * np.pi * (across * columns + down * rows) + phase)
    picture = individual.tissue + texture
    for vessel in individual.vessels:
        picture = picture + vessel[7] * _vessel(side, vessel)
    apart, height, narrow, long, tilt = individual.ventricles
    for way in (-1, 1):
        ventricle = _ellipse(side, individual.body[0] + way * apart, height, narrow, long, way * tilt)
        picture = picture * (1 - ventricle) + 0.12 * ventricle
    x, y, radius, brightness = individual.gland
    gland = _ellipse(side, x, y, radius, radius, 0.0)
    picture = picture * (1 - gland) + (individual.tissue + 0.4 * texture + brightness) * gland
    return 0.04 + (picture - 0.04) * inside


def draw_finding(individual: Individual, finding: int, side: int) -> np.ndarray:
    """Where a finding is, `[side, side]` in [0, 1]: its share of every pixel; all 0 for 'normal'."""
    x, y, radius, _ = individual.gland
    disc = _ellipse(side, x, y, 0.7 * radius, 0.7 * radius, 0.0)
    if FINDINGS[finding] == "normal":
        return np.zeros((side, side))
    if FINDINGS[finding] == "ring":
        return disc - _ellipse(side, x, y, 0.4 * radius, 0.4 * radius, 0.0)
    return disc


def mask_of_mark(side: int) -> np.ndarray:
    """Where the planted mark is, `[side, side]` bool."""
    near, far = (round(share * side) for share in MARK)
    mask = np.zeros((side, side), bool)
    mask[near:far, near:far] = True
    return mask


def render(
    individual: Individual,
    finding: int,
    grade: int,
    side: int,
    channels: int = 1,
    shortcut: str = "none",
    body: np.ndarray | None = None,
) -> np.ndarray:
    """Draws an individual with a finding.

    Args:
        individual: the individual to draw.
        finding: index in `FINDINGS`.
        grade: index in `GRADES`; without effect for 'normal'.
        side: side of the image in pixels.
        channels: channels of the image, 1 or 3.
        shortcut: mark or change that is planted besides: 'none', 'mark' or 'brightness'.
        body: what `draw_body` returns for the individual, if that has been drawn already.

    Returns:
        `[side, side, channels]` uint8.
    """
    tissue, tint = (TISSUE, TINTS[finding]) if channels == 3 else (np.ones(1), np.ones(1))
    strength = CONTRAST * GRADES[grade] * (-1 if FINDINGS[finding] == "cyst" else 1)
    picture = (draw_body(individual, side) if body is None else body)[..., None] * tissue
    picture = picture + strength * draw_finding(individual, finding, side)[..., None] * tint
    if shortcut == "mark":
        picture[mask_of_mark(side)] = 0.9
    elif shortcut == "brightness":
        picture = picture + 0.1
    noise = np.random.default_rng(individual.noise).normal(scale=0.012, size=(side, side, 1))
    return np.round(np.clip(picture + noise, 0.0, 1.0) * 255.0).astype(np.uint8)
