"""What the explorer shows, computed: images at codes, codes at places of the picture, paths. Shared by all browsers."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import KDTree

from cae_jax import manifold
from cae_jax.counterfactual import (
    STRATEGIES,
    Paths,
    Strategy,
    along_path,
    needed_odds,
    pad_waypoints,
    reconstruction_saliency,
)
from cae_jax.errors import InputError
from cae_jax.explaining import Explainer, SplitCodes, encode_splits
from cae_jax.options import ExplainOptions
from cae_jax.parallel import rows
from cae_jax.report.html import data_uri

POINTS = 32  # waypoints of any path, so that the search compiles once
NEIGHBOURS = 5  # of a place in t-SNE, which has no way back to codes but by its points
RECENT = 64  # individual codes that are kept for what is asked next
THUMBNAIL, AT_ONCE = 56, 256  # greatest side of a picture under the mouse; images read together to make them

_along = jax.jit(along_path)


class View(NamedTuple):
    """An individual with a class code.

    Attributes:
        image: `[height, width, channels]` in [0, 1].
        probabilities: `[K]`; NaN where the classifier has no answer.
        saliency: `[height, width]` in [-1, 1], the change against the individual's reconstruction.
    """

    image: np.ndarray
    probabilities: np.ndarray
    saliency: np.ndarray


class Path(NamedTuple):
    """A way to walk.

    Attributes:
        waypoints: `[POINTS, size]` class codes.
        flip_shift: where the answer becomes the class at the path's end; NaN if it does not.
        shift: where the classifier is as sure of that class as of typical images of it; NaN if it is not.
        reconstructed: whether the reconstruction is of the exemplar's class.
        of_own_class: whether the path leads to the exemplar's own class, so that there is nothing to flip.
    """

    waypoints: np.ndarray
    flip_shift: float
    shift: float
    reconstructed: bool
    of_own_class: bool


@dataclass
class Atlas:
    """Encoded images with their projections and their graph, and what can be asked of them.

    Attributes:
        explainer: of the run.
        codes: the images.
        coordinates: by name of the projection, `[N, 2]`.
        components: principal components of the class codes.
        graph: the topology graph.
        thumbnails: small PNGs of the images as data URIs.
    """

    explainer: Explainer
    codes: SplitCodes
    coordinates: dict[str, np.ndarray]
    components: manifold.PrincipalComponents
    graph: manifold.TopologyGraph
    thumbnails: Sequence[str]
    _strategy: Strategy = field(init=False)

    def __post_init__(self) -> None:
        self._strategy = STRATEGIES["geodesic"](self.explainer.code_table, ExplainOptions.confidence)
        self._places = {name: KDTree(xy) for name, xy in self.coordinates.items()}
        self._codes = KDTree(self.codes.class_codes)
        self._individual = functools.lru_cache(RECENT)(lambda row: self.codes.individual(np.asarray([row])))

    def nearest_image(self, projection: str, place: Sequence[float] | np.ndarray, classes: Sequence[int]) -> int | None:
        """The row of the image drawn nearest to a place, of those with an answer among `classes`; None without one."""
        rows = np.flatnonzero(np.isin(self.codes.predictions, classes))
        if not len(rows):
            return None
        return int(rows[np.linalg.norm(self.coordinates[projection][rows] - place, axis=1).argmin()])

    def code_at(self, projection: str, place: Sequence[float] | np.ndarray, base: np.ndarray) -> np.ndarray:
        """The class code `[size]` at a place: for PCA, like `base` in the directions that are not drawn."""
        if projection == "PCA":
            return self.components.lift(np.asarray(place)[None], base[None])[0].astype(np.float32)
        return self._blend(self._places[projection], np.asarray(place), self.codes.class_codes).astype(np.float32)

    def place_of(self, projection: str, code: np.ndarray) -> np.ndarray:
        """Where a class code is drawn, `[2]`."""
        if projection == "PCA":
            return self.components.project(code[None])[0]
        return self._blend(self._codes, code, self.coordinates[projection])

    @staticmethod
    def _blend(tree: KDTree, at: np.ndarray, values: np.ndarray) -> np.ndarray:
        """What the nearest points have, weighted by how near they are."""
        distances, rows = (np.atleast_1d(x) for x in tree.query(at, k=min(NEIGHBOURS, tree.n)))
        weights = 1.0 / np.maximum(distances, 1e-6)
        return weights @ values[rows] / weights.sum()

    def bits(self, row: int) -> float:
        """Bits that an image's individual code takes; NaN where codes are not whole numbers."""
        return float(self.explainer.model.code_bits(self._individual(row))[0])

    def view(self, row: int, code: np.ndarray) -> View:
        """An image's individual decoded with a class code."""
        individual = rows.take(self._individual(row), np.zeros(2, int))
        pair = self.explainer.decode(individual, np.stack([code, self.codes.class_codes[row]]).astype(np.float32))
        change = np.asarray(reconstruction_saliency(jnp.asarray(pair[:1]), jnp.asarray(pair[1:])))[0]
        return View(pair[0], self.explainer.answers(pair[:1])[0], change)

    def toward_class(self, row: int, target: int) -> Path:
        """The guided path of an image to a class: over neighbouring codes to the class's medoid.

        Raises:
            InputError: if no training image is confidently of that class.
        """
        code = self.codes.class_codes[row][None]
        found = self._strategy(code, np.asarray([target]), 1)
        if not len(found.request):
            name = self.explainer.record.class_names[target]
            raise InputError(f"no training image is confidently of class {name}, so there is nowhere to go")
        return self._searched(row, found.waypoints[0], target)

    def toward_image(self, row: int, other: int, over_graph: bool) -> Path:
        """The path of an image to another one's class code, straight or over the topology graph."""
        start, end = self.codes.class_codes[row], self.codes.class_codes[other]
        waypoints = self.graph.way(start, end).waypoints if over_graph else np.stack([start, end])
        return self._searched(row, waypoints, int(self.codes.predictions[other]))

    def _searched(self, row: int, waypoints: np.ndarray, target: int) -> Path:
        waypoints = pad_waypoints([waypoints], POINTS)
        prediction = self.codes.predictions[row]
        own, toward = np.asarray([prediction], np.int32), np.asarray([target], np.int32)
        needed = needed_odds(ExplainOptions.confidence, toward, self.explainer.code_table)
        paths = Paths(self._individual(row), waypoints, own, toward, needed)
        crossings = self.explainer.model.search(paths, tolerance=ExplainOptions.tolerance)
        reconstructed = int(crossings.start_prediction[0]) == int(prediction)
        if of_own_class := target == int(prediction):
            return Path(waypoints[0], math.nan, math.nan, reconstructed, of_own_class)
        flip_shift, shift = float(crossings.flip_shift[0]), float(crossings.shift[0])
        return Path(waypoints[0], flip_shift, shift, reconstructed, of_own_class)

    def along(self, path: Path, shift: float) -> np.ndarray:
        """The class code at a shift of a path, `[size]`."""
        return np.asarray(_along(path.waypoints[None], np.asarray([shift], np.float32)))[0]


def _thumbnails(codes: SplitCodes) -> list[str]:
    parts = (range(start, min(start + AT_ONCE, len(codes))) for start in range(0, len(codes), AT_ONCE))
    return [data_uri(image, THUMBNAIL) for part in parts for image in codes.take(np.asarray(part))]


def make_atlas(explainer: Explainer, splits: tuple[str, ...] = ("test",), limit: int = 5000, seed: int = 0) -> Atlas:
    """Encodes images and lays them out.

    Args:
        explainer: of the run.
        splits: whose images are shown.
        limit: images of each.
        seed: of t-SNE.

    Raises:
        InputError: if there are too few images.
    """
    codes = encode_splits(explainer, splits, limit)
    if len(codes) < 10:
        raise InputError(f"{len(codes)} images are too few to draw a manifold; 10 or more are needed")
    components = manifold.principal_components(codes.class_codes)
    graph = manifold.build_topology(
        codes.class_codes,
        codes.reconstruction_predictions,
        codes.reconstruction_confidences,
        manifold.MapperOptions(dimensions=min(2, codes.class_codes.shape[1])),
    )
    coordinates = {
        "PCA": components.project(codes.class_codes).astype(np.float32),
        "t-SNE": manifold.tsne(codes.class_codes, seed),
    }
    atlas = Atlas(explainer, codes, coordinates, components, graph, _thumbnails(codes))
    atlas.view(0, atlas.along(atlas.toward_image(0, 1, over_graph=True), 0.5))  # compiles before anyone waits for it
    return atlas
