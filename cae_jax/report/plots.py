"""What the plots of all pages share: classes by colour and shape, and a light and a dark form.

Colours alone would leave out whoever cannot tell them apart, so a class has a shape as well, in plots and in legends.
The dark form follows the browser's preference, by style sheets: bokeh takes colours of plots and widgets from CSS
variables. What it does not take from them, such as the colour of a line, must be seen on light and on dark.
"""

import numpy as np

PALETTE = (
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#8866dd", "#ee8866", "#44bb99"
)  # fmt: skip
"""Ten colours that are seen on light and on dark."""

SHAPES = {
    "circle": "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0z",
    "square": "M-5-5h10v10h-10z",
    "triangle": "M0-7l6.5 11h-13z",
    "diamond": "M0-7l5 7l-5 7l-5-7z",
    "plus": "M-2-6h4v4h4v4h-4v4h-4v-4h-4v-4h4z",
    "inverted_triangle": "M0 7l6.5-11h-13z",
    "hex": "M-6 0l3-5.2h6l3 5.2l-3 5.2h-6z",
    "x": "M-5-5l10 10M5-5l-10 10",
    "square_pin": "M-6-6Q0-3 6-6Q3 0 6 6Q0 3-6 6Q-3 0-6-6z",
    "asterisk": "M0-6v12M-6 0h12M-4.2-4.2l8.4 8.4M4.2-4.2l-8.4 8.4",
    "triangle_pin": "M0-7Q1.5-.5 6.5 4Q0 2-6.5 4Q-1.5-.5 0-7z",
}
"""Bokeh's names of eleven shapes, and their outlines as SVG: eleven and ten have no factor in common, so that colour
and shape together repeat after 110 classes."""

OUTLINE = "#808080"  # seen on light and on dark

_DARK = "@media screen and (prefers-color-scheme: dark)"
_PLOTS = f"""{_DARK} {{ :root {{
  --bk-background-fill-color: #161616; --bk-border-fill-color: #161616; --bk-outline-line-color: #555;
  --bk-axis-line-color: #aaa; --bk-major-tick-line-color: #aaa; --bk-minor-tick-line-color: #aaa;
  --bk-axis-label-text-color: #eee; --bk-major-label-text-color: #ddd; --bk-grid-line-color: #444;
  --bokeh-icon-color: #bbb;
}} }}"""
_WIDGETS = f"""{_DARK} {{ :host {{
  --color: #eee; --background-color: #1e1e1e; --hover-color: #333; --border-color: #666; --divider-color: #444;
  --disabled-color: #999; --placeholder-color: #999; --icon-color: #bbb; --inactive-bg: #333; --inactive-fg: #999;
  --active-bg: #234a63; --active-fg: #9fd0ef; --surface-background-color: #333; --disabled-background-color: #2a2a2a;
  --default: #2a2a2a; --default-border: #666; --default-hover: #3a3a3a; --default-hover-border: #888;
  --default-active: #234a63; --default-active-border: #65a2cb;
  --default-disabled: #222; --default-disabled-border: #444;
}}
select.bk-input {{ appearance: auto !important; background-image: none !important; }}
.noUi-target {{ background: #444; border-color: #666; }} }}"""
_LEGENDS = f"""{_DARK} {{ :host {{ background-color: #161616 !important; border-color: #555 !important; }}
.bk-title, .bk-label {{ color: #eee !important; }} }}"""
REPAINT = """matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const page of Bokeh.documents) for (const root of page.roots()) for (const model of root.references())
    if (model.type === "Figure") model.change.emit();
});"""
"""A script for when the preference changes: style sheets follow at once, and plots when they are painted again."""


def class_colour(number: int | np.integer) -> str:
    """The colour of a class, the same in all pages; beyond ten classes, colours repeat."""
    return PALETTE[number % len(PALETTE)]


def class_shape(number: int | np.integer) -> str:
    """Bokeh's name of the shape of a class's points, the same in all pages; beyond eleven classes, shapes repeat."""
    return list(SHAPES)[number % len(SHAPES)]


def class_mark(number: int | np.integer) -> str:
    """A class's point as SVG, for legends in HTML."""
    colour, outline = class_colour(number), SHAPES[class_shape(number)]
    return (
        f'<svg class="mark" viewBox="-8 -8 16 16" aria-hidden="true"><path d="{outline}" fill="{colour}" '
        f'stroke="{colour}" stroke-width="1.6"/></svg>'
    )


def follow_preference(root, page: str = "") -> None:
    """Has a page's plots and widgets be light or dark as the browser prefers.

    Args:
        root: bokeh model that is laid out on the page.
        page: CSS for the page itself.
    """
    from bokeh.models import GlobalInlineStyleSheet, InlineStyleSheet, Legend, UIElement

    for kind, css in ((UIElement, _WIDGETS), (Legend, _LEGENDS)):
        sheet = InlineStyleSheet(css=css)
        for element in root.select({"type": kind}):
            element.stylesheets = [*element.stylesheets, sheet]
    root.stylesheets = [*root.stylesheets, GlobalInlineStyleSheet(css=_PLOTS + page)]
