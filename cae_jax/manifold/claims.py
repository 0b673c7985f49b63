"""What the method claims of class codes, as numbers: pervasive, coherent, smooth (Xie et al., arXiv 2406.07961)."""

from collections.abc import Callable

import numpy as np
from sklearn.neighbors import NearestNeighbors

ROWS = 4096  # asked about at once, since each answer has a probability for every class

Answer = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Row numbers of individual codes `[M]` and class codes `[M, size]` to the classifier's probabilities `[M, K]`."""


def pervasiveness(
    answer: Answer,
    class_codes: np.ndarray,
    predictions: np.ndarray,
    classes: int,
    seed: int,
    swaps: int = 100,
    most: int = 200_000,
) -> np.ndarray:
    """How often a swap takes the donor's class, for each pair of classes.

    Args:
        answer: see `Answer`.
        class_codes: `[N, size]`.
        predictions: `[N]`, the classifier's classes of the images.
        classes: K.
        seed: of the draw.
        swaps: random pairs of exemplar and donor for each pair of classes.
        most: swaps in all. Where there are more, each pair of classes gets fewer, one at least; where there are more
            pairs of classes than that, a random choice of them is asked about.

    Returns:
        `[K, K]` in [0, 1], exemplar's class by donor's class; NaN where a class has no image, or the pair was not asked
        about. The diagonal swaps codes within a class.
    """
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(predictions == c) for c in range(classes)]
    pairs = [(a, b) for a in range(classes) for b in range(classes) if len(members[a]) and len(members[b])]
    swaps = max(min(swaps, most // len(pairs)), 1)
    if len(pairs) > most:
        pairs = [pairs[i] for i in np.sort(rng.permutation(len(pairs))[:most])]
    exemplars = np.concatenate([rng.choice(members[a], swaps) for a, _ in pairs])
    donors = np.concatenate([rng.choice(members[b], swaps) for _, b in pairs])
    parts = np.split(np.arange(len(donors)), range(ROWS, len(donors), ROWS))
    answers = [answer(exemplars[part], class_codes[donors[part]]).argmax(-1) for part in parts]
    hits = np.concatenate(answers) == predictions[donors]
    table = np.full((classes, classes), np.nan)
    for (a, b), share in zip(pairs, hits.reshape(len(pairs), swaps).mean(1), strict=True):
        table[a, b] = share
    return table


def coherency(
    answer: Answer,
    class_codes: np.ndarray,
    predictions: np.ndarray,
    classes: int,
    seed: int,
    codes: int = 30,
    individuals: int = 30,
) -> tuple[np.ndarray, np.ndarray]:
    """Whether one class code means the same for many individuals.

    Args:
        answer: see `Answer`.
        class_codes: `[N, size]`.
        predictions: `[N]`.
        classes: K.
        seed: of the draw.
        codes: class codes drawn of each class.
        individuals: individual codes that each of them is decoded with.

    Returns:
        For each class, `[K]`: the share of those images that are of the code's class, and the standard deviation of
        the probability of that class over the individuals, averaged over the codes. NaN where a class has no image.
    """
    rng = np.random.default_rng(seed)
    share, spread = np.full((2, classes), np.nan)
    for c in range(classes):
        members = np.flatnonzero(predictions == c)
        if len(members):
            rows = np.repeat(rng.choice(members, codes), individuals)
            probabilities = answer(rng.integers(len(predictions), size=len(rows)), class_codes[rows])
            share[c] = (probabilities.argmax(-1) == c).mean()
            spread[c] = probabilities[:, c].reshape(codes, individuals).std(1).mean()
    return share, spread


def smoothness(
    answer: Answer,
    class_codes: np.ndarray,
    predictions: np.ndarray,
    classes: int,
    seed: int,
    codes: int = 300,
    neighbours: int = 5,
) -> np.ndarray:
    """Whether what lies between class codes of a class is of that class: SMOTE-style codes with random individuals.

    A code is drawn between a random code and one of its nearest of the same class (Chawla et al. 2002).

    Args:
        answer: see `Answer`.
        class_codes: `[N, size]`.
        predictions: `[N]`.
        classes: K.
        seed: of the draw.
        codes: drawn for each class.
        neighbours: to draw the other one from.

    Returns:
        For each class, `[K]`, the share that the classifier sees as that class; NaN where a class has fewer than 2
        images.
    """
    rng = np.random.default_rng(seed)
    share = np.full(classes, np.nan)
    for c in range(classes):
        own = class_codes[predictions == c]
        if len(own) >= 2:
            count = min(neighbours, len(own) - 1)
            near = NearestNeighbors(n_neighbors=count).fit(own).kneighbors(return_distance=False)
            first = rng.integers(len(own), size=codes)
            second = near[first, rng.integers(count, size=codes)]
            drawn = own[first] + rng.random((codes, 1)) * (own[second] - own[first])
            individuals = rng.integers(len(predictions), size=codes)
            share[c] = (answer(individuals, drawn.astype(np.float32)).argmax(-1) == c).mean()
    return share


def path_roughness(
    answer: Answer,
    class_codes: np.ndarray,
    predictions: np.ndarray,
    classes: int,
    seed: int,
    paths: int = 30,
    steps: int = 32,
) -> np.ndarray:
    """How often the answer changes along straight lines between codes of two classes, per unit of their length.

    The one change that every such line needs is counted too: of a smooth manifold it is the less the farther its
    classes are apart, and never 0.

    Args:
        answer: see `Answer`.
        class_codes: `[N, size]`.
        predictions: `[N]`.
        classes: K.
        seed: of the draw.
        paths: from each class to random codes of other classes, decoded with the first one's individual code.
        steps: of a path.

    Returns:
        For each class, `[K]`, changes of the predicted class per unit of code length; NaN where a class, or every
        other one, has no image.
    """
    rng = np.random.default_rng(seed)
    changes = np.full(classes, np.nan)
    for c in range(classes):
        members, others = np.flatnonzero(predictions == c), np.flatnonzero(predictions != c)
        if len(members) and len(others):
            start, end = rng.choice(members, paths), rng.choice(others, paths)
            shares = np.linspace(0.0, 1.0, steps + 1, dtype=np.float32)[None, :, None]
            line = class_codes[start][:, None] * (1 - shares) + class_codes[end][:, None] * shares
            answers = answer(np.repeat(start, steps + 1), line.reshape(-1, line.shape[-1])).argmax(-1)
            lengths = np.linalg.norm(class_codes[end] - class_codes[start], axis=-1)
            changes[c] = (np.diff(answers.reshape(paths, -1), axis=1) != 0).sum() / max(lengths.sum(), 1e-12)
    return changes
