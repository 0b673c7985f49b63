"""Draws the class-code manifold as one self-contained HTML page.

It has a scatter plot of the codes, the topology graph, measures of the method's claims, images along the principal
directions, and images along paths through the graph.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cae_jax.report.html import data_uri, fill_in
from cae_jax.report.plots import OUTLINE, REPAINT, class_colour, class_mark, class_shape, follow_preference

THUMBNAIL = 56  # largest side of a picture under the mouse
MOST_POINTS = 6000  # points drawn in the scatter plot; a random choice where there are more
MOST_CLASSES = 50  # classes beyond which there is no heat map


class Points(NamedTuple):
    """N images as points of the scatter plot.

    Attributes:
        names: names of the images, `[N]`.
        images: function from row numbers to images `[rows, height, width, channels]`, uint8.
        labels: class numbers by the data set, `[N]`.
        predictions: class numbers by the classifier, `[N]`.
        confidences: probability of each prediction, `[N]` in [0, 1].
        coordinates: name of each projection to the points' coordinates in it, `[N, 2]`.
    """

    names: np.ndarray
    images: Callable[[np.ndarray], np.ndarray]
    labels: np.ndarray
    predictions: np.ndarray
    confidences: np.ndarray
    coordinates: Mapping[str, np.ndarray]


class Strip(NamedTuple):
    """A captioned row of images, with a text under each; for paths through the graph, bridges are marked.

    Attributes:
        caption: caption of the row.
        images: `[P, height, width, channels]` in [0, 1].
        under: P texts, one under each image.
        bridges: P flags, whether the step that leads to the image is a bridge of the topology graph.
    """

    caption: str
    images: np.ndarray
    under: Sequence[str]
    bridges: Sequence[bool]


def _shade(confidence: float) -> str:
    """The colour of a confidence as hex RGB: from yellow at 0.5 or less to blue at 1."""
    low, high = np.array([253, 231, 37]), np.array([68, 96, 190])
    share = float(np.clip((confidence - 0.5) / 0.5, 0.0, 1.0))
    return "#{:02x}{:02x}{:02x}".format(*np.round(low + share * (high - low)).astype(int))


def _scatter(points: Points, class_names: Sequence[str]) -> Any:
    """The scatter plot, with menus for projection and colour, and a thumbnail of the image under the mouse."""
    from bokeh.layouts import column, row
    from bokeh.models import ColumnDataSource, CustomJS, HoverTool, Select
    from bokeh.plotting import figure

    count = len(points.names)
    rows = np.sort(np.random.default_rng(0).permutation(count)[:MOST_POINTS])
    classes = {"prediction": points.predictions[rows], "label": points.labels[rows]}
    looks = {name: ([*map(class_colour, of)], [*map(class_shape, of)]) for name, of in classes.items()}
    looks["confidence"] = [_shade(float(c)) for c in points.confidences[rows]], looks["prediction"][1]
    colours, shapes = ({name: look[part] for name, look in looks.items()} for part in (0, 1))
    projections = {name: xy[rows].astype(np.float32) for name, xy in points.coordinates.items()}
    first = next(iter(projections))
    source = ColumnDataSource(
        {
            "x": projections[first][:, 0],
            "y": projections[first][:, 1],
            "colour": colours["prediction"],
            "shape": shapes["prediction"],
            "name": points.names[rows].tolist(),
            "label": [class_names[int(c)] for c in points.labels[rows]],
            "prediction": [class_names[int(c)] for c in points.predictions[rows]],
            "confidence": points.confidences[rows].astype(np.float32),
            "picture": [data_uri(points.images(rows[i : i + 1])[0], THUMBNAIL) for i in range(len(rows))],
        }
    )
    plot = figure(width=760, height=560, tools="pan,wheel_zoom,box_zoom,reset", active_scroll="wheel_zoom")
    plot.name = "manifold"
    plot.grid.visible = False
    dots = plot.scatter("x", "y", color="colour", marker="shape", size=6, alpha=0.75, source=source, name="points")
    plot.add_tools(
        HoverTool(
            renderers=[dots],
            limit=1,
            tooltips='<div style="max-width:150px"><img src="@picture" style="width:84px;image-rendering:pixelated">'
            "<br><b>@name</b><br>label @label<br>answer @prediction (@confidence{0.000})</div>",
        )
    )
    shown = Select(title="projection", value=first, options=list(projections), width=130)
    coloured = Select(title="colour and shape", value="prediction", options=list(looks), width=130)
    move = "source.data.x = xs[cb_obj.value]; source.data.y = ys[cb_obj.value]; source.change.emit();"
    xs, ys = ({name: xy[:, axis].tolist() for name, xy in projections.items()} for axis in (0, 1))
    shown.js_on_change("value", CustomJS(args={"source": source, "xs": xs, "ys": ys}, code=move))
    paint = """source.data.colour = colours[cb_obj.value]; source.data.shape = shapes[cb_obj.value];
source.change.emit();"""
    arguments = {"source": source, "colours": colours, "shapes": shapes}
    coloured.js_on_change("value", CustomJS(args=arguments, code=paint))
    return column(row(shown, coloured), plot)


def _graph(graph: Mapping[str, Any], positions: np.ndarray, pictures: np.ndarray, class_names: Sequence[str]) -> Any:
    """The plot of the topology graph: a node grows with its number of members, and bridges are dashed."""
    from bokeh.models import ColumnDataSource, HoverTool
    from bokeh.plotting import figure

    plot = figure(width=760, height=560, tools="pan,wheel_zoom,reset", active_scroll="wheel_zoom")
    plot.axis.visible = plot.grid.visible = False
    for bridge, dash in ((False, "solid"), (True, "dashed")):
        ends = [edge["nodes"] for edge in graph["edges"] if edge["bridge"] == bridge]
        plot.multi_line(
            [[positions[a, 0], positions[b, 0]] for a, b in ends],
            [[positions[a, 1], positions[b, 1]] for a, b in ends],
            color="#c82828" if bridge else OUTLINE,
            line_dash=dash,
            line_width=2 if bridge else 1,
        )
    nodes = graph["nodes"]
    source = ColumnDataSource(
        {
            "x": positions[:, 0],
            "y": positions[:, 1],
            "number": list(range(len(nodes))),
            "colour": [class_colour(node["majority"]) for node in nodes],
            "shape": [class_shape(node["majority"]) for node in nodes],
            "size": [6 + 1.6 * len(node["members"]) ** 0.5 for node in nodes],
            "alpha": [0.25 + 0.7 * node["purity"] for node in nodes],
            "majority": [class_names[node["majority"]] for node in nodes],
            "members": [len(node["members"]) for node in nodes],
            "purity": [node["purity"] for node in nodes],
            "confidence": [node["confidence"] for node in nodes],
            "picture": [data_uri(image, THUMBNAIL) for image in pictures],
        }
    )
    dots = plot.scatter("x", "y", size="size", color="colour", marker="shape", alpha="alpha", source=source)
    dots.name = "nodes"
    plot.add_tools(
        HoverTool(
            renderers=[dots],
            tooltips='<div style="max-width:170px"><img src="@picture" style="width:84px;image-rendering:pixelated">'
            "<br><b>node @number: @majority</b><br>@members images, purity @purity{0.00}"
            "<br>mean confidence @confidence{0.000}</div>",
        )
    )
    return plot


def _strip(strip: Strip) -> dict[str, Any]:
    images = [data_uri(image, 2 * THUMBNAIL) for image in strip.images]
    return {"caption": strip.caption, "steps": list(zip(images, strip.under, strip.bridges, strict=True))}


def _cell(value: float) -> dict[str, str]:
    """A cell of the heat map, its text and colours: the closer the value is to 1, the darker; NaN stays empty."""
    if np.isnan(value):
        return {"text": "", "back": "none", "ink": "inherit"}
    back = np.round(np.array([255, 255, 255]) + value**2 * (np.array([34, 94, 168]) - 255)).astype(int)
    return {"text": f"{value:.2f}", "back": "rgb({},{},{})".format(*back), "ink": "#fff" if value > 0.93 else "#000"}


def manifold_page(
    facts: Mapping[str, str],
    class_names: Sequence[str],
    points: Points,
    numbers: Mapping[str, float],
    per_class: Mapping[str, np.ndarray],
    pervasiveness: np.ndarray,
    explained: np.ndarray,
    correlations: tuple[Sequence[str], np.ndarray],
    graph: Mapping[str, Any],
    positions: np.ndarray,
    pictures: np.ndarray,
    directions: Sequence[Strip],
    ways: Sequence[Strip],
    verdict: str = "",
) -> str:
    """Returns the page's HTML.

    Args:
        facts: facts shown under the title, by name.
        class_names: K names of classes.
        points: points of the scatter plot.
        numbers: measures of all codes together, by name.
        per_class: measures of each class, `[K]`, by name.
        pervasiveness: share of swaps that take the donor's class, `[K, K]`, exemplar's class by donor's class; the
            cell of a NaN stays empty.
        explained: share of the variance along each principal direction.
        correlations: P names of image properties, and their correlations with D principal directions, `[D, P]` in
            [-1, 1].
        graph: `nodes` and `edges` as plain data, as `manifold.TopologyGraph.to_dict` returns them.
        positions: coordinates at which the V nodes are drawn, `[V, 2]`.
        pictures: an image for each node, `[V, height, width, channels]` in [0, 1] or uint8.
        directions: rows of images along principal directions.
        ways: rows of images along paths through the graph.
        verdict: why the model is not to be relied on; '' if nothing is known against it.
    """
    from bokeh.embed import components
    from bokeh.resources import Resources

    plots = {"scatter": _scatter(points, class_names), "graph": _graph(graph, positions, pictures, class_names)}
    for plot in plots.values():
        follow_preference(plot)
    script, places = components(plots)
    return fill_in(
        "manifold",
        facts=facts,
        verdict=verdict,
        shown=min(len(points.names), MOST_POINTS),
        count=len(points.names),
        classes=[(name, class_mark(i)) for i, name in enumerate(class_names)],
        numbers=numbers,
        per_class=per_class,
        heat=[[_cell(float(value)) for value in row] for row in pervasiveness if len(class_names) <= MOST_CLASSES],
        explained=explained,
        properties=correlations[0],
        correlations=correlations[1],
        directions=[_strip(strip) for strip in directions],
        ways=[_strip(strip) for strip in ways],
        library=Resources(mode="inline", components=["bokeh", "bokeh-widgets"]).render(),
        script=script,
        repaint=REPAINT,
        places=places,
    )
