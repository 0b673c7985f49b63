"""The explorer in a real browser: click, drag, slide, play."""

import functools

import pytest
from browser import WHERE, changed, chromium, picture, serving, watch

STAR = ["map", "star", 0]


@pytest.fixture(scope="module")
def address(atlas):
    from cae_jax.explorer import serve

    with serving(functools.partial(serve, atlas)) as url:
        yield url


def opened(browser, address):
    page, requests, errors = watch(browser)
    page.goto(address)
    page.wait_for_selector("figure img", timeout=60_000)
    before = page.get_by_label("second image").is_disabled()
    page.get_by_text("straight to an image").click()  # the small run has no confident class to go to
    changed(page, before, lambda page: page.get_by_label("second image").is_disabled())
    page.wait_for_timeout(500)
    return page, requests, errors


def clicked(page, place, read=picture):
    """Clicks until something is not what it was: on a busy machine the page may take a click for a long press."""
    before, clicks = read(page), 0
    while read(page) == before:
        assert clicks < 6, "no click changed anything on the page"
        page.mouse.click(*place)
        page.wait_for_timeout(2000)
        clicks += 1
    return read(page)


def test_a_click_moves_the_code_and_a_click_chooses_an_image(address):
    with chromium() as browser:
        page, requests, errors = opened(browser, address)
        page.get_by_text("a click moves the code").click()
        clicked(page, (520, 120))
        page.get_by_text("a click chooses the image").click()
        number = lambda page: page.get_by_label("image", exact=True).input_value()  # noqa: E731
        assert number(page) == "0"
        clicked(page, page.evaluate(WHERE, ["map", "points", 7]), number)
    assert not errors
    assert {url.split("/")[2] for url in requests if "://" in url} == {address.split("/")[2]}


def test_the_star_can_be_dragged(address):
    with chromium() as browser:
        page, _, errors = opened(browser, address)
        before, (x, y) = picture(page), page.evaluate(WHERE, STAR)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 90, y + 60, steps=8)
        page.mouse.up()
        changed(page, before)
        moved = page.evaluate(WHERE, STAR)
        assert moved == pytest.approx([x + 90, y + 60], abs=3)
    assert not errors


def test_the_slider_and_the_play_button_walk_the_path(address):
    with chromium() as browser:
        page, _, errors = opened(browser, address)
        before = picture(page)
        page.locator(".noUi-handle").focus()
        for _ in range(3):
            page.keyboard.press("PageUp")
        changed(page, before)
        shift = lambda page: float(page.locator(".noUi-handle").get_attribute("aria-valuenow"))  # noqa: E731
        there = shift(page)
        assert there > 0.0
        page.get_by_text("over the graph").click()
        changed(page, there, shift)
        assert shift(page) == 0.0
        page.get_by_role("button", name="play").click()
        page.wait_for_function("() => Bokeh.documents[0].get_model_by_name('shift').value === 1", timeout=30_000)
        page.get_by_role("button", name="play").wait_for()
    assert not errors


def test_two_browsers_do_not_disturb_each_other(address):
    with chromium() as browser:
        one, _, _ = opened(browser, address)
        two, _, _ = opened(browser, address)
        still = picture(two)
        one.get_by_text("a click moves the code").click()
        clicked(one, (520, 120))
        assert picture(two) == still
