"""The live page of one browser: its widgets, and what happens when they are used."""

import html
import math
from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.layouts import column, row
from bokeh.models import (
    Button,
    ColumnDataSource,
    Div,
    HoverTool,
    PointDrawTool,
    RadioButtonGroup,
    Select,
    Slider,
    Spinner,
    TapTool,
)
from bokeh.plotting import figure

from cae_jax.errors import InputError
from cae_jax.explorer.atlas import Atlas, Path
from cae_jax.report.html import class_colour, data_uri
from cae_jax.report.strips import saliency_tile

FRAME = 80  # milliseconds between two images of a played path
FRAMES = 48
PICTURE = 150  # pixels a picture is drawn large
CLASS, STRAIGHT, GRAPH = range(3)
CHOOSE, MOVE = range(2)


class ExplorerPage:
    """Widgets of one browser, and where it is: an image, a class code, a path."""

    def __init__(self, atlas: Atlas, document: Document):
        self._atlas, self._document = atlas, document
        self._names = atlas.explainer.record.class_names
        self._row, self._code = 0, atlas.codes.class_codes[0]
        self._path: Path | None = None
        self._playing = None
        self._quiet = False  # while widgets are set by us, not by the person
        self._make_widgets()
        self._connect()
        document.title = "Explorer of class codes"
        document.add_root(self._layout())
        self._choose_image(0)

    def _make_widgets(self) -> None:
        atlas, last = self._atlas, len(self._atlas.codes.names) - 1
        self._projection = Select(title="projection", value="PCA", options=list(atlas.coordinates), width=110)
        self._click = RadioButtonGroup(labels=["a click chooses the image", "a click moves the code"], active=CHOOSE)
        self._image = Spinner(title="image", low=0, high=last, value=0, width=90, name="image")
        self._aim = RadioButtonGroup(labels=["to a class", "straight to an image", "over the graph"], active=CLASS)
        self._target = Select(title="class", value=self._names[-1], options=list(self._names), width=110)
        self._other = Spinner(title="second image", low=0, high=last, value=min(1, last), width=110, disabled=True)
        self._shift = Slider(title="shift", start=0.0, end=1.0, step=0.005, value=0.0, width=330, name="shift")
        self._play = Button(label="play", width=90, name="play")
        self._pictures, self._note = Div(name="pictures", width=500), Div(name="note", width=480)
        self._points: Any = ColumnDataSource(self._point_columns())
        self._marker: Any = ColumnDataSource({"x": [0.0], "y": [0.0]})
        self._line: Any = ColumnDataSource({"x": [], "y": []})
        self._bars: Any = ColumnDataSource({"name": list(self._names), "value": [0.0] * len(self._names)})
        self._map = self._make_map()
        ranges: Any = {"x_range": list(self._names), "y_range": (0.0, 1.0)}
        self._bar_plot: Any = figure(**ranges, width=480, height=150, tools="", toolbar_location=None)
        colours = [class_colour(i) for i in range(len(self._names))]
        self._bars.data["colour"] = colours
        self._bar_plot.vbar("name", top="value", width=0.8, color="colour", source=self._bars)
        self._bar_plot.xgrid.visible = False

    def _point_columns(self) -> dict:
        codes, xy = self._atlas.codes, self._atlas.coordinates[self._projection.value]
        return {
            "x": xy[:, 0],
            "y": xy[:, 1],
            "name": codes.names.tolist(),
            "colour": [class_colour(int(c)) for c in codes.predictions],
            "answer": [self._names[c] for c in codes.predictions],
        }

    def _make_map(self) -> Any:
        plot: Any = figure(width=640, height=560, tools="pan,wheel_zoom,reset", active_scroll="wheel_zoom", name="map")
        plot.grid.visible = False
        dots = plot.scatter("x", "y", color="colour", size=5, alpha=0.6, source=self._points, name="points")
        dots.nonselection_glyph = None
        plot.line("x", "y", color="#141414", line_width=2, source=self._line)
        marker = plot.scatter(
            "x", "y", size=16, marker="star", color="#ffd400", line_color="#141414", source=self._marker, name="star"
        )
        marker.nonselection_glyph = None
        plot.add_tools(HoverTool(renderers=[dots], limit=1, tooltips=[("image", "@name"), ("answer", "@answer")]))
        draw = PointDrawTool(renderers=[marker], add=False)
        plot.add_tools(draw, TapTool(renderers=[]))
        plot.toolbar.active_tap = draw  # it is what drags the star
        return plot

    def _layout(self):
        controls = column(
            row(self._projection, self._image),
            self._click,
            self._aim,
            row(self._target, self._other),
            row(self._shift, self._play),
            self._note,
            self._pictures,
            self._bar_plot,
        )
        verdict = self._atlas.explainer.verdict
        whole = row(self._map, controls)
        if not verdict:
            return whole
        notice = f"<b>Not to be relied on:</b> {html.escape(verdict)}"
        style: Any = {"border-left": "4px solid #c82828", "padding": "4px 12px", "background": "#fdf3f3"}
        return column(Div(text=notice, name="verdict", styles=style), whole)

    def _connect(self) -> None:
        self._map.on_event("tap", lambda event: self._clicked((event.x, event.y)))
        self._marker.on_change("data", lambda attr, old, new: self._dragged())
        self._projection.on_change("value", lambda attr, old, new: self._project())
        self._image.on_change("value", lambda attr, old, new: self._choose_image(self._image.value))
        self._aim.on_change("active", lambda attr, old, new: self._find_path())
        self._target.on_change("value", lambda attr, old, new: self._find_path())
        self._other.on_change("value", lambda attr, old, new: self._find_path())
        self._shift.on_change("value", lambda attr, old, new: self._slid())
        self._play.on_click(self._toggle)

    def _clicked(self, place: tuple[float, float]) -> None:
        if self._click.active == CHOOSE:
            self._image.value = self._atlas.nearest_image(self._projection.value, place)
        else:
            self._move_to(place)

    def _dragged(self) -> None:
        if not self._quiet and self._marker.data["x"]:
            self._move_to((self._marker.data["x"][0], self._marker.data["y"][0]))

    def _move_to(self, place: tuple[float, float]) -> None:
        self._stop()
        self._code = self._atlas.code_at(self._projection.value, place, self._code)
        self._show()

    def _project(self) -> None:
        self._points.data = self._point_columns()
        self._draw_path()
        self._show()

    def _choose_image(self, number: float | None) -> None:
        """Takes another image; what is no image number is put right."""
        last = len(self._atlas.codes.names) - 1
        self._row = min(max(round(number or 0), 0), last)
        if self._image.value != self._row:
            self._image.value = self._row
            return
        if self._target.value == self._names[self._atlas.codes.predictions[self._row]]:
            self._quiet = True
            self._target.value = next(name for name in self._names if name != self._target.value)
            self._quiet = False
        self._find_path()

    def _find_path(self) -> None:
        if self._quiet:
            return
        self._stop()
        self._target.disabled, self._other.disabled = self._aim.active != CLASS, self._aim.active == CLASS
        try:
            if self._aim.active == CLASS:
                self._path = self._atlas.toward_class(self._row, self._names.index(self._target.value))
            else:
                other = min(max(round(self._other.value or 0), 0), len(self._atlas.codes.names) - 1)
                self._path = self._atlas.toward_image(self._row, other, self._aim.active == GRAPH)
            self._note.text = self._describe(self._path)
        except InputError as error:
            self._path, self._note.text = None, html.escape(str(error))
        self._draw_path()
        self._code = self._atlas.codes.class_codes[self._row]
        self._set_shift(0.0)
        self._show()

    def _describe(self, path: Path) -> str:
        if not path.reconstructed:
            return "The classifier answers differently for the reconstruction, so this path explains nothing."
        if math.isnan(path.flip_shift):
            return "The answer does not become the class at the path's end."
        typical = "never" if math.isnan(path.shift) else f"at {path.shift:.3f}"
        return f"The answer flips at shift <b>{path.flip_shift:.3f}</b>; it is as sure as of typical images {typical}."

    def _draw_path(self) -> None:
        places = [] if self._path is None else self._path.waypoints
        xy = np.asarray([self._atlas.place_of(self._projection.value, code) for code in places]).reshape(-1, 2)
        self._line.data = {"x": xy[:, 0], "y": xy[:, 1]}

    def _slid(self) -> None:
        if not self._quiet and self._path is not None:
            self._code = self._atlas.along(self._path, self._shift.value)
            self._show()

    def _set_shift(self, value: float) -> None:
        self._quiet, self._shift.value = True, value
        self._quiet = False

    def _toggle(self) -> None:
        if self._playing is not None:
            self._stop()
        elif self._path is not None:
            if self._shift.value >= 1.0:
                self._shift.value = 0.0
            self._playing = self._document.add_periodic_callback(self._advance, FRAME)
            self._play.label = "stop"

    def _advance(self) -> None:
        self._shift.value = min(round(self._shift.value + 1.0 / FRAMES, 4), 1.0)
        if self._shift.value >= 1.0:
            self._stop()

    def _stop(self) -> None:
        if self._playing is not None:
            self._document.remove_periodic_callback(self._playing)
            self._playing = None
            self._play.label = "play"

    def _show(self) -> None:
        """Draws the individual with the code where we are."""
        codes = self._atlas.codes
        view = self._atlas.view(self._row, self._code)
        x, y = (float(v) for v in self._atlas.place_of(self._projection.value, self._code))
        self._quiet, self._marker.data = True, {"x": [x], "y": [y]}
        self._quiet = False
        self._bars.data["value"] = [float(p) for p in view.probabilities]
        answer = self._names[int(view.probabilities.argmax())]
        (own,) = codes.take(np.asarray([self._row]))
        tiles = {
            f"{codes.names[self._row]}: {self._names[codes.predictions[self._row]]}": own,
            f"with this code: {answer}": view.image,
            "red added, blue removed": saliency_tile(view.saliency, view.image),
        }
        self._pictures.text = "".join(
            f'<figure style="display:inline-block;margin:0 8px 0 0;font:12px sans-serif"><img alt="" '
            f'style="width:{PICTURE}px;image-rendering:pixelated;display:block" src="{data_uri(tile)}">'
            f"{html.escape(caption)}</figure>"
            for caption, tile in tiles.items()
        )
