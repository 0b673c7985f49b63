"""The global explanation: what the class codes of a whole data set show about the classifier.

It is computed in memory, or written to a folder with a page, the numbers and the topology graph as JSON, and the codes
as a table.
"""

import json
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import networkx as nx
import numpy as np

from cae_jax import manifold, metrics
from cae_jax.classifiers import classes_of
from cae_jax.data import SPLITS
from cae_jax.drafts import DRAFT
from cae_jax.errors import InputError
from cae_jax.explaining.codes import CodePart, SplitCodes, code_parts, codes_file, gather_codes
from cae_jax.explaining.explainer import Explainer
from cae_jax.images import to_uint8, to_unit
from cae_jax.manifold import PROPERTIES, MapperOptions
from cae_jax.parallel.rows import take
from cae_jax.report.manifold_page import Points, Strip, manifold_page
from cae_jax.report.strips import class_name
from cae_jax.workdir.files import write_whole

DIRECTIONS = 4  # principal directions along which images are drawn
STEPS = 9  # images along each direction
REACH = 2.5  # how far images go to either side, in standard deviations
EXEMPLARS = 3  # exemplars drawn along each direction
ROWS = 64  # images whose properties are measured at once
DECODED = 20  # images decoded for one of the claims, at most, for each swap of `evaluation.swaps` and each test image
WAYS = 6  # paths through the graph that are drawn
WAY_CHECKS = 300  # paths whose waypoints are decoded and classified
STAGES = ("probes", "pervasiveness, coherency, smoothness", "topology graph", "ways through it", "projections")
MARK = "manifold.json"  # its presence shows that a folder is the result of an earlier run


class DrawnWay(NamedTuple):
    """A path through the topology graph, drawn as images.

    Attributes:
        caption: caption that names the path's first and last image and their classes.
        images: individual of the first image decoded at each waypoint, `[P, height, width, channels]` in [0, 1]: from
            its reconstruction to its swap with the last image.
        predictions: classifier's class of each image, `[P]`.
        bridges: whether each step between neighbouring images is a bridge of the graph, `[P - 1]`; the first and the
            last step never are.
    """

    caption: str
    images: np.ndarray
    predictions: np.ndarray
    bridges: np.ndarray


class Overview(NamedTuple):
    """Results of the analysis of N images' class codes.

    Attributes:
        numbers: measures of all codes together, by name.
        per_class: measures of each class, `[K]`, by name.
        pervasiveness: share of swaps that take the donor's class, `[K, K]`, exemplar's class by donor's class.
        components: principal components of the class codes.
        coordinates: name of each projection to the codes' coordinates in it, `[N, 2]`.
        graph: topology graph of the class codes.
        correlations: rank correlations of D principal directions with the P `manifold.PROPERTIES`, `[D, P]` in [-1, 1].
        directions: caption to images along a principal direction, `[STEPS, height, width, channels]` in [0, 1].
        ways: a few paths through the graph, drawn.
    """

    numbers: dict[str, float]
    per_class: dict[str, np.ndarray]
    pervasiveness: np.ndarray
    components: manifold.PrincipalComponents
    coordinates: dict[str, np.ndarray]
    graph: manifold.TopologyGraph
    correlations: np.ndarray
    directions: dict[str, np.ndarray]
    ways: list[DrawnWay]


def _probes(codes: SplitCodes, seed: int) -> dict[str, float]:
    """Accuracies of probes that predict the class from codes, fitted to the training and scored on the test split."""
    train, test = codes.of("train"), codes.of("test")
    class_codes = (train.class_codes, train.predictions, test.class_codes, test.predictions)
    encode = lambda images: codes.explainer.encode(images)[0].code  # noqa: E731
    leakage = metrics.individual_code_leakage(encode, train, train.predictions, test, test.predictions, seed)
    return {
        "class_code_knn_accuracy": metrics.knn_accuracy(*class_codes),
        "class_code_linear_accuracy": metrics.linear_probe_accuracy(*class_codes),
        "class_code_mlp_accuracy": metrics.mlp_probe_accuracy(*class_codes, seed=seed),
        **leakage,
    }


def _claims(
    answer: manifold.Answer, test: SplitCodes, classes: int, seed: int, most: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Measures the method's claims on held-out images: numbers of each class, `[K]`, and the pervasiveness `[K, K]`.

    Each claim is measured on `most` decoded images at most.
    """
    space = manifold.CodeSpace(answer, test.class_codes, test.predictions, classes)
    table = manifold.pervasiveness(space, seed, most=most)
    share, spread = manifold.coherency(space, seed, most=most)
    others = np.where(np.eye(classes, dtype=bool), np.nan, table)
    present = ~np.isnan(others).all(0)
    toward = np.full(classes, np.nan)
    toward[present] = np.nanmean(others[:, present], axis=0)
    per_class = {
        "pervasiveness": toward,
        "coherency": share,
        "spread of probability": spread,
        "smoothness": manifold.smoothness(space, seed, most=most),
        "changes per unit of length": manifold.path_roughness(space, seed, most=most),
    }
    return per_class, table


def _draw_directions(
    explainer: Explainer, test: SplitCodes, components: manifold.PrincipalComponents
) -> dict[str, np.ndarray]:
    """Draws images along each principal direction, for the first test images of different classes, by caption."""
    _, exemplars = np.unique(test.predictions, return_index=True)
    shifts = np.linspace(-REACH, REACH, STEPS, dtype=np.float32)
    drawn = {}
    for direction in range(min(DIRECTIONS, len(components.axes))):
        change = shifts[:, None] * components.deviations[direction] * components.axes[direction]
        for row in exemplars[:EXEMPLARS]:
            codes = (test.class_codes[row] + change).astype(np.float32)
            individual = take(test.individual(np.asarray([row])), np.zeros(STEPS, int))
            drawn[f"{direction + 1}: {test.names[row]}"] = explainer.decode(individual, codes)
    return drawn


def _ways(
    explainer: Explainer, graph: manifold.TopologyGraph, test: SplitCodes, seed: int
) -> tuple[list[DrawnWay], dict[str, float]]:
    """Finds paths through the graph between random test images of different classes; draws some, and checks all.

    A waypoint counts as correct if the path's first individual code, decoded with it, is given the majority class of
    the waypoint's node. Returned are the drawn paths, the share of correct waypoints, and that of paths with a bridge.
    """
    names = explainer.record.class_names
    pairs = np.stack(metrics.draw_swaps(test.predictions, WAY_CHECKS, seed), axis=1)
    found = [graph.way(test.class_codes[a], test.class_codes[b]) for a, b in pairs]
    first = np.repeat(pairs[:, 0], [len(way.waypoints) for way in found])
    waypoints = np.concatenate([way.waypoints for way in found]).astype(np.float32)
    predictions = test.drawn(first, waypoints, lambda images: classes_of(explainer.answers(images)))
    stops = np.cumsum([len(way.waypoints) for way in found])[:-1]
    right, drawn = [], []
    for way, (a, b), points, seen in zip(
        found, pairs, np.split(waypoints, stops), np.split(predictions, stops), strict=True
    ):
        right.append(seen[1:-1] == graph.majority[way.nodes])
        if len(drawn) < WAYS:
            caption = f"{test.names[a]} ({names[test.predictions[a]]}) → {test.names[b]} ({names[test.predictions[b]]})"
            pictures = test.drawn(np.full(len(points), a), points, lambda images: images)
            drawn.append(DrawnWay(caption, pictures, seen, np.asarray([False, *way.bridges, False])))
    bridged = np.mean([any(way.bridges) for way in found])
    return drawn, {"waypoints_of_majority": float(np.concatenate(right).mean()), "ways_with_a_bridge": float(bridged)}


def describe(
    explainer: Explainer,
    codes: SplitCodes,
    options: manifold.MapperOptions | None = None,
    seed: int = 0,
    report: Callable[[str], object] = lambda stage: None,
) -> Overview:
    """Analyses the class codes of a data set.

    The config's `evaluation.swaps` and the number of test images bound how many images are decoded for each of the
    method's claims.

    Args:
        explainer: explainer that encoded them.
        codes: encoded images, with rows of the splits 'train' and 'test'.
        options: options of the topology graph.
        seed: seed of probes, random draws and t-SNE.
        report: function called with each of `STAGES` before it begins.

    Raises:
        InputError: if a split is missing or has only one predicted class, or the graph would be empty.
    """
    train, test = codes.of("train"), codes.of("test")
    for name, part in (("train", train), ("test", test)):
        if len(np.unique(part.predictions)) < 2:
            raise InputError(
                f"the {name} split has {len(part)} images, and the classifier gives them fewer than two classes; "
                "there is no decision to describe"
            )
    classes = len(explainer.record.class_names)

    def answer(rows: np.ndarray, class_codes: np.ndarray) -> np.ndarray:
        return test.drawn(rows, class_codes, explainer.answers)

    size = codes.class_codes.shape[1]
    options = options or manifold.MapperOptions(dimensions=min(2, size))
    if options.lens == "pca" and options.dimensions > size:
        raise InputError(f"a class code has {size} numbers, so the lens has no {options.dimensions} dimensions")
    report(STAGES[0])
    numbers = _probes(codes, seed)
    report(STAGES[1])
    few = max(DECODED * len(test), classes**2)  # one for each pair of classes, however few images there are
    most = min(DECODED * explainer.record.config.evaluation.swaps, few)
    per_class, table = _claims(answer, test, classes, seed, most)
    report(STAGES[2])
    graph = manifold.build_topology(
        codes.class_codes, codes.reconstruction_predictions, codes.reconstruction_confidences, options
    )
    report(STAGES[3])
    ways, checks = _ways(explainer, graph, test, seed)
    report(STAGES[4])
    components = manifold.principal_components(codes.class_codes)
    coordinates = {"PCA": components.project(codes.class_codes), "t-SNE": manifold.tsne(codes.class_codes, seed)}
    parts = np.split(np.arange(len(codes)), range(ROWS, len(codes), ROWS))
    properties = np.concatenate([manifold.measure_properties(np.asarray(to_unit(codes.take(p)))) for p in parts])
    along = components.project(codes.class_codes, min(DIRECTIONS, len(components.axes)))
    mean = lambda values: float(np.nanmean(values))  # noqa: E731
    return Overview(
        numbers=numbers
        | {name.replace(" ", "_"): mean(values) for name, values in per_class.items()}
        | {"intrinsic_dimension": manifold.intrinsic_dimension(codes.class_codes), "nodes": float(len(graph))}
        | {"bridges": float(sum(edge["bridge"] for *_, edge in graph.graph.edges(data=True)))}
        | {"node_purity": float(graph.purity.mean())}
        | checks,
        per_class=per_class,
        pervasiveness=table,
        components=components,
        coordinates=coordinates,
        graph=graph,
        correlations=manifold.rank_correlations(along, properties),
        directions=_draw_directions(explainer, test, components),
        ways=ways,
    )


def to_json(overview: Overview, codes: SplitCodes, class_names: tuple[str, ...]) -> dict[str, Any]:
    """Numbers and graph as plain values for JSON, with None for NaN; nodes also list their members' image names."""
    plain = lambda values: [None if np.isnan(value) else float(value) for value in values]  # noqa: E731
    graph = overview.graph.to_dict()
    for node in graph["nodes"]:
        node["names"] = codes.names[node["members"]].tolist()
    return {
        "classes": list(class_names),
        "numbers": dict(zip(overview.numbers, plain(overview.numbers.values()), strict=True)),
        "per_class": {name: plain(values) for name, values in overview.per_class.items()},
        "pervasiveness": [plain(row) for row in overview.pervasiveness],
        "explained_variance": plain(overview.components.explained),
        "properties": list(manifold.PROPERTIES),
        "correlations": [plain(row) for row in overview.correlations],
        "graph": graph,
    }


def _positions(overview: Overview, seed: int) -> np.ndarray:
    """Coordinates `[V, 2]` of the graph's nodes in the plot: a spring layout, started from their members in t-SNE."""
    picture = overview.coordinates["t-SNE"]
    picture = (picture - picture.mean(0)) / picture.std()
    start = {node: picture[rows].mean(0) for node, rows in enumerate(overview.graph.members)}
    placed = nx.spring_layout(overview.graph.graph, pos=start, weight=None, iterations=30, seed=seed)
    return np.stack([placed[node] for node in range(len(overview.graph))])


def _page(explainer: Explainer, codes: SplitCodes, overview: Overview, options: MapperOptions, seed: int) -> str:
    names = explainer.record.class_names
    graph = overview.graph
    first = np.zeros(len(graph), np.int64)
    pictures = codes.of("test").drawn(first, graph.centres.astype(np.float32), to_uint8)
    said = lambda classes: [class_name(names, int(c)) for c in classes]  # noqa: E731
    return manifold_page(
        {
            "model": f"{explainer.record.data}, step {explainer.step}",
            "images": str(len(codes.names)),
            "lens": f"{options.lens}, {options.dimensions} dimensions, {options.intervals} intervals",
            "overlap": f"{options.overlap:g}",
            "reach": f"{options.reach:g}",
            "seed": str(seed),
        },
        names,
        Points(
            codes.names,
            codes.take,
            codes.labels,
            codes.predictions,
            codes.confidences,
            overview.coordinates,
        ),
        overview.numbers,
        overview.per_class,
        overview.pervasiveness,
        overview.components.explained,
        (PROPERTIES, overview.correlations),
        graph.to_dict(),
        _positions(overview, seed),
        pictures,
        [
            Strip(f"direction {caption}", images, said(classes_of(explainer.answers(images))), [False] * len(images))
            for caption, images in overview.directions.items()
        ],
        [Strip(way.caption, way.images, said(way.predictions), [False, *way.bridges]) for way in overview.ways],
        explainer.verdict,
    )


def _claim(path: pathlib.Path) -> None:
    """Makes the folder of the results.

    Raises:
        InputError: if it cannot be made, or holds other files than those of an earlier run.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        strange = any(file.suffix != DRAFT for file in path.iterdir()) and not (path / MARK).exists()
    except OSError as error:
        raise InputError(f"{path} cannot be made: {error}") from error
    if strange:
        raise InputError(f"{path} holds other files; name another --out, or an empty folder")


def describe_to_folder(
    explainer: Explainer,
    path: pathlib.Path,
    options: MapperOptions | None = None,
    seed: int = 0,
    limit: int | None = None,
    report: Callable[[str, int, int], object] = lambda stage, done, total: None,
) -> Overview:
    """Analyses the class codes of a run's data set and writes index.html, manifold.json and codes.parquet.

    Args:
        explainer: explainer of the run.
        path: path of the folder; files of these names in it are replaced.
        options: options of the topology graph.
        seed: seed of probes, random draws and t-SNE.
        limit: number of images of each split; None for all.
        report: function called with a stage's name, the number of stages done, and the number of all stages.

    Raises:
        InputError: if the train or test split is empty or has only one predicted class, the graph would be empty, or
            the folder holds other files or cannot be written to.
    """
    options = options or MapperOptions(dimensions=min(2, explainer.record.config.model.class_code_size))
    _claim(path)
    total = len(SPLITS) + len(STAGES) + 1
    done = 0

    def advance(stage: str) -> None:
        nonlocal done
        report(stage, done, total)
        done += 1

    names = explainer.record.class_names
    with codes_file(path / "codes.parquet", names) as write:

        def written() -> Iterator[CodePart]:
            for split in SPLITS:
                advance(f"encoding {split}")
                for part in code_parts(explainer, [split], limit):
                    write(part)
                    yield part

        codes = gather_codes(explainer, written())
        overview = describe(explainer, codes, options, seed, advance)
        advance("page")
        page = _page(explainer, codes, overview, options, seed)
        write_whole(path / MARK, json.dumps(to_json(overview, codes, names), indent=1))
        write_whole(path / "index.html", page)
    report("done", total, total)
    return overview
