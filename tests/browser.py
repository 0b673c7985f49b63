"""Chromium for the browser tests, and the explorer served from a thread."""

import contextlib
import os
import shutil
import threading
import time

import pytest
from playwright.sync_api import sync_playwright

WHERE = """([figure, glyphs, index]) => {
  const plot = Bokeh.documents[0].get_model_by_name(figure), view = Bokeh.index.find_one(plot);
  const data = plot.renderers.find(renderer => renderer.name === glyphs).data_source.data;
  const box = view.el.getBoundingClientRect();
  return [box.x + view.frame.x_scale.compute(data.x[index]), box.y + view.frame.y_scale.compute(data.y[index])];
}"""  # where a glyph of a figure is on the screen


@contextlib.contextmanager
def chromium():
    """A headless browser; without one installed the test is skipped, or fails where CAE_REQUIRE_BROWSER says so."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        reason = "no Chromium is installed (Debian: apt-get install chromium)"
        if os.environ.get("CAE_REQUIRE_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextlib.contextmanager
def serving(serve, **options):
    """Runs `serve(ready=..., **options)` in a thread; yields the page's address."""
    import asyncio

    from tornado.ioloop import IOLoop

    up, found, failures = threading.Event(), {}, []

    def ready(url):
        found["url"] = url
        up.set()

    def run():
        asyncio.set_event_loop(asyncio.new_event_loop())
        found["loop"] = IOLoop.current()
        try:
            serve(ready=ready, **options)
        except BaseException as error:
            failures.append(error)
            up.set()
        finally:
            found["loop"].close(all_fds=True)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert up.wait(30)
    if failures:
        raise failures[0]
    try:
        yield found["url"]
    finally:
        found["loop"].add_callback(found["loop"].stop)
        thread.join(10)


def watch(browser):
    """A new page in a context of its own, with lists of what it asks for and of the errors on it."""
    page = browser.new_context(viewport={"width": 1200, "height": 900}).new_page()
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    return page, requests, errors


BEHIND = "element => getComputedStyle(element).backgroundColor"
BEHIND_PLOT = """figure => Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name(figure))
  .visuals.background_fill.get_fill_color()"""


def is_dark(page, figure, label):
    """Whether the page, a figure and the widget of a label are dark; none or all of them are."""
    places = page.locator("body"), page.get_by_label(label).first
    colours = [page.evaluate(BEHIND_PLOT, figure), *(place.evaluate(BEHIND) for place in places)]
    dark = [colour in ("#161616", "rgb(22, 22, 22)", "rgb(30, 30, 30)") for colour in colours]
    assert len(set(dark)) == 1, colours
    return dark[0]


def picture(page):
    return page.locator(".pictures img").nth(1).get_attribute("src")


def changed(page, before, read=picture):
    """Waits until something is not what it was."""
    end = time.monotonic() + 60
    while read(page) == before:
        assert time.monotonic() < end, "nothing changed on the page"
        page.wait_for_timeout(20)
    return read(page)
