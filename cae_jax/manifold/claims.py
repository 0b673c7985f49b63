"""Measures of what the method claims of class codes: pervasive, coherent, smooth (Xie et al., arXiv 2406.07961)."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.neighbors import NearestNeighbors

ROWS = 4096  # rows classified at once, to save memory: each has a probability for every class
MOST = 200_000  # decoded images for one measure of all classes

Answer = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Takes row numbers of individual codes `[M]` and class codes `[M, size]`; returns the classifier's probabilities for
the decoded images, `[M, K]`; NaN where it has no answer, which then is of no class."""


def _classes(probabilities: np.ndarray) -> np.ndarray:
    """The classes that `[M, K]` probabilities say, `[M]`; -1 where they are not finite."""
    return np.where(np.isfinite(probabilities).all(-1), probabilities.argmax(-1), -1)


class CodeSpace(NamedTuple):
    """The class codes of N images, and a function that decodes and classifies any combination of codes.

    Attributes:
        answer: Function that decodes individual codes, given by row number, with any class codes, and returns the
            classifier's probabilities; see `Answer`.
        class_codes: Class codes, `[N, size]`.
        predictions: Classifier's class of each image, `[N]`.
        classes: Number of classes, K.
    """

    answer: Answer
    class_codes: np.ndarray
    predictions: np.ndarray
    classes: int

    def by_class(self, measure: Callable[[int], float | tuple[float, ...] | None], values: int = 1) -> np.ndarray:
        """Evaluates a measure for each class.

        Args:
            measure: Function from a class to its numbers, or to None if they are undefined.
            values: Count of numbers that the measure returns.

        Returns:
            `[values, K]`, NaN where the measure is undefined.
        """
        found = np.full((values, self.classes), np.nan)
        for c in range(self.classes):
            if (numbers := measure(c)) is not None:
                found[:, c] = numbers
        return found


def _allowed(wanted: int, images: int, most: int) -> int:
    """How many draws there are: as many as wanted, or as the limit allows, but at least one.

    Args:
        wanted: Number of draws.
        images: Number of decoded images that one draw takes, of all classes or pairs of classes together.
        most: Limit of all decoded images.
    """
    return max(min(wanted, most // images), 1)


def pervasiveness(space: CodeSpace, seed: int, *, swaps: int = 100, most: int = MOST) -> np.ndarray:
    """How often a swap takes the donor's class, for each pair of classes.

    Args:
        space: Class codes and the classifier.
        seed: Seed of the draw.
        swaps: Number of random pairs of exemplar and donor for each pair of classes.
        most: Limit of all swaps together. To keep it, each pair of classes gets fewer swaps, but at least one; if there
            are more pairs of classes than that, a random choice of them is evaluated.

    Returns:
        Shares of swaps that take the donor's class, `[K, K]` in [0, 1], exemplar's class by donor's class; NaN where a
        class has no image, or the pair was not evaluated. On the diagonal, codes are swapped within a class.
    """
    rng, classes = np.random.default_rng(seed), space.classes
    members = [np.flatnonzero(space.predictions == c) for c in range(classes)]
    pairs = [(a, b) for a in range(classes) for b in range(classes) if len(members[a]) and len(members[b])]
    swaps = _allowed(swaps, len(pairs), most)
    if len(pairs) > most:
        pairs = [pairs[i] for i in np.sort(rng.permutation(len(pairs))[:most])]
    exemplars = np.concatenate([rng.choice(members[a], swaps) for a, _ in pairs])
    donors = np.concatenate([rng.choice(members[b], swaps) for _, b in pairs])
    parts = np.split(np.arange(len(donors)), range(ROWS, len(donors), ROWS))
    answers = [_classes(space.answer(exemplars[part], space.class_codes[donors[part]])) for part in parts]
    hits = np.concatenate(answers) == space.predictions[donors]
    table = np.full((classes, classes), np.nan)
    for (a, b), share in zip(pairs, hits.reshape(len(pairs), swaps).mean(1), strict=True):
        table[a, b] = share
    return table


def coherency(
    space: CodeSpace, seed: int, *, codes: int = 30, individuals: int = 30, most: int = MOST
) -> tuple[np.ndarray, np.ndarray]:
    """Whether a class code gives the same class to many individuals.

    Args:
        space: Class codes and the classifier.
        seed: Seed of the draw.
        codes: Number of class codes drawn from each class.
        individuals: Number of individual codes that each class code is decoded with.
        most: Limit of all decoded images together. To keep it, fewer class codes are drawn, but at least one.

    Returns:
        Two arrays `[K]`, NaN where a class has no image: the share of decoded images that are classified as the class
        code's class, in [0, 1]; and the standard deviation of the probability of that class over the individuals,
        averaged over the class codes.
    """
    rng = np.random.default_rng(seed)
    codes = _allowed(codes, individuals * space.classes, most)

    def measure(c: int) -> tuple[float, float] | None:
        members = np.flatnonzero(space.predictions == c)
        if not len(members):
            return None
        rows = np.repeat(rng.choice(members, codes), individuals)
        probabilities = space.answer(rng.integers(len(space.predictions), size=len(rows)), space.class_codes[rows])
        spread = np.nan_to_num(probabilities[:, c]).reshape(codes, individuals).std(1).mean()
        return float((_classes(probabilities) == c).mean()), float(spread)

    share, spread = space.by_class(measure, 2)
    return share, spread


def smoothness(space: CodeSpace, seed: int, *, codes: int = 300, neighbours: int = 5, most: int = MOST) -> np.ndarray:
    """Whether points between class codes of one class are of that class, too.

    As in SMOTE (Chawla et al. 2002), a point is drawn on the line between a random code and one of its nearest
    neighbours of the same class; it is decoded with a random individual code.

    Args:
        space: Class codes and the classifier.
        seed: Seed of the draw.
        codes: Number of points drawn for each class.
        neighbours: Number of nearest neighbours that the other end is drawn from.
        most: Limit of all points together. To keep it, fewer are drawn for each class, but at least one.

    Returns:
        For each class, the share of points that are classified as that class, `[K]` in [0, 1]; NaN where a class has
        fewer than 2 images.
    """
    rng = np.random.default_rng(seed)
    codes = _allowed(codes, space.classes, most)

    def measure(c: int) -> float | None:
        own = space.class_codes[space.predictions == c]
        if len(own) < 2:
            return None
        count = min(neighbours, len(own) - 1)
        near = NearestNeighbors(n_neighbors=count).fit(own).kneighbors(return_distance=False)
        first = rng.integers(len(own), size=codes)
        second = near[first, rng.integers(count, size=codes)]
        drawn = own[first] + rng.random((codes, 1)) * (own[second] - own[first])
        individuals = rng.integers(len(space.predictions), size=codes)
        return (_classes(space.answer(individuals, drawn.astype(np.float32))) == c).mean()

    return space.by_class(measure)[0]


def path_roughness(space: CodeSpace, seed: int, *, paths: int = 30, steps: int = 32, most: int = MOST) -> np.ndarray:
    """How often the predicted class changes along straight lines between codes of two classes, per unit of length.

    The one change that every such line needs is counted, too. So the measure is never 0, and on a smooth manifold it is
    the lower, the farther its classes are apart.

    Args:
        space: Class codes and the classifier.
        seed: Seed of the draw.
        paths: Number of lines from each class to random codes of other classes; a line is decoded with the individual
            code of its start.
        steps: Number of steps along a line.
        most: Limit of all decoded images together. To keep it, fewer lines are drawn, but at least one from each class.

    Returns:
        For each class, the number of changes of the predicted class per unit of length in class-code space, `[K]`; NaN
        where the class has no image, or all other classes have none.
    """
    rng, class_codes = np.random.default_rng(seed), space.class_codes
    paths = _allowed(paths, (steps + 1) * space.classes, most)

    def measure(c: int) -> float | None:
        members, others = np.flatnonzero(space.predictions == c), np.flatnonzero(space.predictions != c)
        if not len(members) or not len(others):
            return None
        start, end = rng.choice(members, paths), rng.choice(others, paths)
        shares = np.linspace(0.0, 1.0, steps + 1, dtype=np.float32)[None, :, None]
        line = class_codes[start][:, None] * (1 - shares) + class_codes[end][:, None] * shares
        answers = _classes(space.answer(np.repeat(start, steps + 1), line.reshape(-1, line.shape[-1])))
        lengths = np.linalg.norm(class_codes[end] - class_codes[start], axis=-1)
        return (np.diff(answers.reshape(paths, -1), axis=1) != 0).sum() / max(lengths.sum(), 1e-12)

    return space.by_class(measure)[0]
