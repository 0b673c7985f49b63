"""The live page of one browser: its widgets, and what happens when they are used."""

import html
import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from bokeh.document import Document
from bokeh.layouts import column, row
from bokeh.models import (
    Button,
    ColumnDataSource,
    CustomJS,
    Div,
    RadioButtonGroup,
    Select,
    Slider,
    Spinner,
)
from bokeh.plotting import figure
from PIL import Image, ImageOps

from cae_jax.errors import InputError
from cae_jax.explorer.atlas import Atlas, Path, View
from cae_jax.explorer.plot import ManifoldPlot
from cae_jax.images import to_uint8
from cae_jax.report.contact_sheet import DPI, Entry, sheet_pages
from cae_jax.report.html import data_uri
from cae_jax.report.plots import REPAINT, class_colour, follow_preference
from cae_jax.report.strips import answer_name, saliency_tile

FRAME = 80  # milliseconds between two images of a played path
FRAMES = 48
PICTURE = 150  # pixels a picture is drawn large
CLASS, STRAIGHT, GRAPH = range(3)
CHOOSE, CHOOSE_OTHER, MOVE = range(3)
MOVED = "The class code was moved by hand, off the path."
PAGE = """
:root { color-scheme: light dark; }
body { background: light-dark(#fff, #161616); color: light-dark(#141414, #eee); }
"""
DOWNLOAD = """
const link = document.createElement("a");
Object.assign(link, { href: cb_obj.tags[0], download: "pictures.png" }).click();
"""


class ExplorerPage:
    """Widgets of one browser, and where it is: an image, a class code, a path."""

    def __init__(self, atlas: Atlas, document: Document):
        self._atlas, self._document = atlas, document
        self._names = atlas.explainer.record.class_names
        self._row, self._code = 0, atlas.codes.class_codes[0]
        self._path: Path | None = None
        self._said, self._on_path = "", True  # of the path; whether the code that is shown is on it
        self._playing = None
        self._quiet = False  # while widgets are set by us, not by the person
        self._shown: Mapping[str, np.ndarray] = {}  # pictures by their captions
        self._pair: Mapping[str, np.ndarray] = {}
        self._make_widgets()
        self._connect()
        document.title = "Explorer of class codes"
        layout = self._layout()
        follow_preference(layout, PAGE)
        document.add_root(layout)
        document.js_on_event("document_ready", CustomJS(code=REPAINT))
        self._choose_image(0)

    def _make_widgets(self) -> None:
        atlas, last = self._atlas, len(self._atlas.codes.names) - 1
        self._projection = Select(title="projection", value="PCA", options=list(atlas.coordinates), width=110)
        clicks = ["click: the image", "click: the second image", "click: move the code"]
        self._click = RadioButtonGroup(labels=clicks, active=CHOOSE)
        self._image = Spinner(title="image", low=0, high=last, value=0, width=90, name="image")
        self._aim = RadioButtonGroup(labels=["to a class", "straight to an image", "over the graph"], active=CLASS)
        self._target = Select(title="class", value=self._names[-1], options=list(self._names), width=110)
        self._other = Spinner(title="second image", low=0, high=last, value=min(1, last), width=110)
        self._shift = Slider(title="shift", start=0.0, end=1.0, step=0.005, value=0.0, width=330, name="shift")
        self._play = Button(label="play", width=90, name="play")
        self._download = Button(label="download these pictures", width=200, name="download")
        self._pictures, self._note = Div(css_classes=["pictures"], width=500), Div(name="note", width=480)
        self._compared = Div(css_classes=["compared"], width=720)
        self._plot = ManifoldPlot(atlas, self._projection.value)
        self._bars: Any = ColumnDataSource({"name": list(self._names), "value": [0.0] * len(self._names)})
        ranges: Any = {"x_range": list(self._names), "y_range": (0.0, 1.0)}
        self._bar_plot: Any = figure(**ranges, width=480, height=150, tools="", toolbar_location=None)
        colours = [class_colour(i) for i in range(len(self._names))]
        self._bars.data["colour"] = colours
        self._bar_plot.vbar("name", top="value", width=0.8, color="colour", source=self._bars)
        self._bar_plot.xgrid.visible = False

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
            self._download,
        )
        verdict = self._atlas.explainer.verdict
        whole = row(column(self._plot.figure, self._compared), controls)
        if not verdict:
            return whole
        notice = f"<b>Not to be relied on:</b> {html.escape(verdict)}"
        back = "light-dark(#fdf3f3, #3a1f1f)"
        style: Any = {"border-left": "4px solid #c82828", "padding": "4px 12px", "background": back}
        return column(Div(text=notice, name="verdict", styles=style), whole)

    def _connect(self) -> None:
        self._plot.figure.on_event("tap", lambda event: self._clicked((event.x, event.y)))
        self._plot.star.on_change("data", lambda attr, old, new: self._dragged())
        self._projection.on_change("value", lambda attr, old, new: self._project())
        self._image.on_change("value", lambda attr, old, new: self._choose_image(self._image.value))
        self._aim.on_change("active", lambda attr, old, new: self._find_path())
        self._target.on_change("value", lambda attr, old, new: self._find_path())
        self._other.on_change("value", lambda attr, old, new: self._choose_other())
        self._shift.on_change("value", lambda attr, old, new: self._slid())
        self._play.on_click(self._toggle)
        self._download.on_click(self._send_pictures)
        self._download.js_on_change("tags", CustomJS(code=DOWNLOAD))

    def _clicked(self, place: tuple[float, float]) -> None:
        if self._click.active == MOVE:
            self._move_to(place)
            return
        chosen = self._image if self._click.active == CHOOSE else self._other
        image = self._atlas.nearest_image(self._projection.value, place, self._plot.visible_classes())
        if image is not None:
            chosen.value = image

    def _dragged(self) -> None:
        star = self._plot.star.data
        if not self._quiet and star["x"]:
            self._move_to((star["x"][0], star["y"][0]))

    def _move_to(self, place: tuple[float, float]) -> None:
        self._stop()
        self._code = self._atlas.code_at(self._projection.value, place, self._code)
        self._be_on_path(False)
        self._show()

    def _be_on_path(self, on_path: bool) -> None:
        """Says of the path what is to be said, or that the code is not on it."""
        self._on_path = on_path
        self._note.text = html.escape(self._said if on_path else MOVED)

    def _project(self) -> None:
        self._plot.project(self._projection.value)
        self._draw_path()
        self._draw_pair()
        self._show()

    def _choose_image(self, number: float | None) -> None:
        """Takes another image; what is no image number is put right."""
        self._row = self._nearest_number(number)
        if self._image.value != self._row:
            self._image.value = self._row
            return
        if self._target.value == self._names[self._atlas.codes.predictions[self._row]]:
            self._quiet = True
            self._target.value = next(name for name in self._names if name != self._target.value)
            self._quiet = False
        self._compare()
        self._find_path()

    def _nearest_number(self, number: float | None) -> int:
        return min(max(round(number or 0), 0), len(self._atlas.codes.names) - 1)

    def _choose_other(self) -> None:
        """Takes another second image; what is no image number is put right."""
        row = self._nearest_number(self._other.value)
        if self._other.value != row:
            self._other.value = row
            return
        self._compare()
        if self._aim.active != CLASS:
            self._find_path()

    def _find_path(self) -> None:
        if self._quiet:
            return
        self._stop()
        self._target.disabled = self._aim.active != CLASS
        try:
            if self._aim.active == CLASS:
                self._path = self._atlas.toward_class(self._row, self._names.index(self._target.value))
            else:
                other = self._nearest_number(self._other.value)
                self._path = self._atlas.toward_image(self._row, other, self._aim.active == GRAPH)
            self._said = self._describe(self._path)
        except InputError as error:
            self._path, self._said = None, str(error)
        self._be_on_path(True)
        self._draw_path()
        self._code = self._atlas.codes.class_codes[self._row]
        self._set_shift(0.0)
        self._show()

    def _describe(self, path: Path) -> str:
        if not path.reconstructed:
            return "The classifier answers differently for the reconstruction, so this path explains nothing."
        if path.of_own_class:
            return "The image is of the class that this path leads to already: there is nothing to flip."
        if math.isnan(path.flip_shift):
            return "The answer does not become the class at the path's end."
        typical = "never" if math.isnan(path.shift) else f"at {path.shift:.3f}"
        return f"The answer flips at shift {path.flip_shift:.3f}; it is as sure as of typical images {typical}."

    def _draw_path(self) -> None:
        codes = [] if self._path is None else self._path.waypoints
        places = [self._atlas.place_of(self._projection.value, code) for code in codes]
        self._plot.draw_path(np.asarray(places).reshape(-1, 2))

    def _draw_pair(self) -> None:
        rows = [self._row, self._nearest_number(self._other.value)]
        self._plot.draw_pair(self._atlas.coordinates[self._projection.value][rows])

    def _slid(self) -> None:
        if not self._quiet and self._path is not None:
            self._code = self._atlas.along(self._path, self._shift.value)
            self._be_on_path(True)
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
        self._quiet, self._plot.star.data = True, {"x": [x], "y": [y]}
        self._quiet = False
        self._bars.data["value"] = np.nan_to_num(view.probabilities).tolist()
        (own,) = codes.take(np.asarray([self._row]))
        told = "" if math.isnan(bits := self._atlas.bits(self._row)) else f"; individual code: {bits:.0f} bits"
        self._shown = {
            f"{codes.names[self._row]}: {self._names[codes.predictions[self._row]]}{told}": own,
            f"with this code: {self._answer(view)}": view.image,
            "red added, blue removed": saliency_tile(view.saliency, view.image),
        }
        self._pictures.text = _figures(self._shown)

    def _answer(self, view: View) -> str:
        if np.isnan(highest := view.probabilities.max()):
            return answer_name(self._names, view.probabilities)
        return f"{answer_name(self._names, view.probabilities)} ({highest:.3f})"

    def _compare(self) -> None:
        """Draws the image and the second one, and each with the other's class code."""
        codes, one, two = self._atlas.codes, self._row, self._nearest_number(self._other.value)
        images = codes.take(np.asarray([one, two]))
        swaps = [self._atlas.view(a, codes.class_codes[b]) for a, b in ((one, two), (two, one))]
        answers = [f"{codes.names[row]}: {self._names[codes.predictions[row]]}" for row in (one, two)]
        self._pair = {
            f"1 · {answers[0]}": images[0],
            f"2 · {answers[1]}": images[1],
            f"1 with the class code of 2: {self._answer(swaps[0])}": swaps[0].image,
            f"2 with the class code of 1: {self._answer(swaps[1])}": swaps[1].image,
        }
        self._compared.text = _figures(self._pair)
        self._draw_pair()

    def _send_pictures(self) -> None:
        """Has the browser save the pictures that it shows, as one."""
        aim = self._target.value if self._aim.active == CLASS else f"image {self._other.value}"
        title = f"To {aim}, shift {self._shift.value:.3f}. {self._said}" if self._on_path else MOVED
        entries = [_entry(title, self._shown), _entry("Class codes exchanged", self._pair)]
        buffer = io.BytesIO()
        verdict = self._atlas.explainer.verdict
        (page,) = sheet_pages(entries, [f"Not to be relied on: {verdict}"] if verdict else [], [], columns=1)
        page.savefig(buffer, dpi=DPI)
        picture = Image.open(buffer).convert("RGB")
        picture = ImageOps.expand(picture.crop(ImageOps.invert(picture).getbbox()), DPI // 6, "white")
        self._download.tags = [data_uri(np.asarray(picture)), self._download.tags[1] + 1 if self._download.tags else 0]


def _figures(tiles: Mapping[str, np.ndarray]) -> str:
    """HTML of pictures side by side, by their captions."""
    return "".join(
        f'<figure style="display:inline-block;vertical-align:top;width:{PICTURE}px;margin:0 8px 0 0;'
        f'font:12px sans-serif;overflow-wrap:anywhere"><img alt="" style="width:{PICTURE}px;image-rendering:pixelated;'
        f'display:block" src="{data_uri(tile)}"><figcaption>{html.escape(caption)}</figcaption></figure>'
        for caption, tile in tiles.items()
    )


def _entry(title: str, tiles: Mapping[str, np.ndarray]) -> Entry:
    pixels = [tile if tile.dtype == np.uint8 else to_uint8(tile) for tile in tiles.values()]
    rgb = [np.broadcast_to(tile, (*tile.shape[:2], 3)) for tile in pixels]
    return Entry(title, rgb, list(tiles))
