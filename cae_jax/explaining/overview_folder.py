"""A folder with the global explanation: the page, the numbers and graph as JSON, the codes as a table."""

import json
import pathlib
from collections.abc import Callable, Iterator

import networkx as nx
import numpy as np

from cae_jax.data import SPLITS
from cae_jax.explaining.codes import CodePart, SplitCodes, code_parts, codes_file, gather_codes
from cae_jax.explaining.explainer import Explainer
from cae_jax.explaining.inputs import InputError
from cae_jax.explaining.overview import STAGES, Overview, describe, to_json
from cae_jax.images import to_uint8
from cae_jax.manifold import PROPERTIES, MapperOptions
from cae_jax.report.manifold_page import Points, Strip, manifold_page
from cae_jax.workdir.files import write_whole

MARK = "manifold.json"  # of a folder of ours


def _positions(overview: Overview, seed: int) -> np.ndarray:
    """Where nodes are drawn: near the middle of their members in t-SNE, pulled together by edges."""
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
    classes_of = lambda images: [names[c] for c in explainer.predict(images).argmax(-1)]  # noqa: E731
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
            Strip(f"direction {caption}", images, classes_of(images), [False] * len(images))
            for caption, images in overview.directions.items()
        ],
        [
            Strip(way.caption, way.images, [names[c] for c in way.predictions], [False, *way.bridges])
            for way in overview.ways
        ],
    )


def _claim(path: pathlib.Path) -> None:
    """Raises `InputError` unless a folder is new, empty, or of an earlier description, and can be written to."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        strange = any(path.iterdir()) and not (path / MARK).exists()
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
        explainer: of the run.
        path: of the folder; files of these names in it are replaced.
        options: of the topology graph.
        seed: see `describe`.
        limit: images of each split.
        report: called with a stage's name, how much of all is done, and all.

    Raises:
        InputError: see `describe`; or if the folder cannot be written to.
    """
    options = options or MapperOptions()
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
