"""The plot of one browser: a point an image, classes by colour and shape, thumbnails, the code's star and its path."""

from typing import Any

import numpy as np
from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, HoverTool, Legend, LegendItem, PointDrawTool, SaveTool, TapTool
from bokeh.models.filters import IndexFilter
from bokeh.models.sources import CDSView
from bokeh.plotting import figure

from cae_jax.explorer.atlas import Atlas
from cae_jax.report.plots import OUTLINE, class_colour, class_shape

LEGEND = 30  # classes that the legend has room for
INK, LIGHT = "#141414", "white"  # with a light rim, what is drawn in ink is seen on dark, too
THUMBNAIL = (
    '<div style="max-width:150px"><img src="@picture" alt="" style="width:84px;image-rendering:pixelated">'
    "<br><b>@name</b><br>answer @answer</div>"
)


class ManifoldPlot:
    """The plot, and what moves on it.

    Attributes:
        figure: what is laid out on the page.
        star: source of the code's place, `x` and `y`; a drag changes it.
    """

    def __init__(self, atlas: Atlas, projection: str):
        self._atlas, self._names = atlas, atlas.explainer.record.class_names
        codes = atlas.codes
        self._points: Any = ColumnDataSource(
            {
                "x": np.zeros(len(codes)),
                "y": np.zeros(len(codes)),
                "name": codes.names.tolist(),
                "answer": [self._names[c] for c in codes.predictions],
                "picture": list(atlas.thumbnails),
            }
        )
        self.star: Any = ColumnDataSource({"x": [0.0], "y": [0.0]})
        self._line: Any = ColumnDataSource({"x": [], "y": []})
        self._pair: Any = ColumnDataSource({"x": [], "y": [], "number": []})
        self.figure: Any = figure(
            width=720,
            height=560,
            tools="pan,wheel_zoom,box_zoom,zoom_in,zoom_out,reset",
            active_scroll="wheel_zoom",
            name="map",
        )
        self.figure.grid.visible = False
        self._dots = {int(c): self._draw_class(int(c)) for c in np.unique(codes.predictions)}
        self._add_legend()
        self._draw_what_moves()
        self.project(projection)

    def _draw_class(self, number: int) -> Any:
        rows = np.flatnonzero(self._atlas.codes.predictions == number).tolist()
        dots = self.figure.scatter(
            "x",
            "y",
            color=class_colour(number),
            marker=class_shape(number),
            size=7,
            alpha=0.65,
            source=self._points,
            view=CDSView(filter=IndexFilter(indices=rows)),
            name="points",
        )
        dots.nonselection_glyph = None
        return dots

    def _add_legend(self) -> None:
        """A click on a class hides its points; of too many classes, those with the most points are named."""
        predictions, numbers = self._atlas.codes.predictions, list(self._dots)
        named = sorted(sorted(numbers, key=lambda c: -(predictions == c).sum())[:LEGEND])
        items = [LegendItem(label=value(self._names[c]), renderers=[self._dots[c]]) for c in named]
        fewer = f", {len(named)} of {len(numbers)}" if len(named) < len(numbers) else ""
        hidden: Any = {"inactive_fill_color": OUTLINE, "inactive_fill_alpha": 0.6}
        legend = Legend(title=f"answer{fewer}", click_policy="hide", spacing=0, **hidden)
        legend.items = items
        self.figure.add_layout(legend, "right")

    def _draw_what_moves(self) -> None:
        plot = self.figure
        for colour, width in ((LIGHT, 5), (INK, 2)):
            plot.line("x", "y", color=colour, line_width=width, source=self._line)
            plot.scatter("x", "y", size=16, fill_color=None, line_color=colour, line_width=width, source=self._pair)
        colours: Any = {"text_color": INK, "text_outline_color": LIGHT}
        texts: Any = {"text_font_style": "bold", "text_font_size": "16px", "x_offset": 9, "y_offset": -7}
        plot.text("x", "y", "number", source=self._pair, **texts, **colours)
        marker = plot.scatter(
            "x", "y", size=16, marker="star", color="#ffd400", line_color=INK, source=self.star, name="star"
        )
        marker.nonselection_glyph = None
        draw = PointDrawTool(renderers=[marker], add=False)
        dots = list(self._dots.values())
        hover = HoverTool(renderers=dots, limit=1, tooltips=THUMBNAIL)
        plot.add_tools(SaveTool(filename="class_codes"), hover, draw, TapTool(renderers=[]))
        plot.toolbar.active_tap = draw  # it is what drags the star

    def project(self, projection: str) -> None:
        """Moves the points to where a projection has them."""
        xy = self._atlas.coordinates[projection]
        self._points.data.update(x=xy[:, 0], y=xy[:, 1])

    def visible_classes(self) -> list[int]:
        """Numbers of the classes that the legend has not hidden."""
        return [number for number, dots in self._dots.items() if dots.visible]

    def draw_path(self, places: np.ndarray) -> None:
        """Draws a line through places, `[P, 2]`."""
        self._line.data = {"x": places[:, 0], "y": places[:, 1]}

    def draw_pair(self, places: np.ndarray) -> None:
        """Rings and numbers the places of the image and the second one, `[2, 2]`."""
        self._pair.data = {"x": places[:, 0], "y": places[:, 1], "number": ["1", "2"]}
