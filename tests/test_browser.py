"""The manifold page and the explorer in a real browser: hover, click, drag, slide, play, compare, download, dark."""

import functools

import numpy as np
import pytest
from browser import WHERE, changed, chromium, is_dark, picture, serving, watch
from PIL import Image

STAR = ["map", "star", 0]


@pytest.fixture(scope="module")
def address(atlas):
    from cae_jax.explorer import serve

    with serving(functools.partial(serve, atlas)) as url:
        yield url


def opened(browser, address):
    page, requests, errors = watch(browser)
    page.goto(address)
    page.wait_for_selector(".pictures img", timeout=60_000)
    before = page.get_by_label("class").is_disabled()
    page.get_by_text("straight to an image").click()  # the small run has no confident class to go to
    changed(page, before, lambda page: page.get_by_label("class").is_disabled())
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
        page.get_by_text("click: move the code").click()
        clicked(page, (520, 120))
        page.get_by_text("click: the image").click()
        number = lambda page: page.get_by_label("image", exact=True).input_value()  # noqa: E731
        assert number(page) == "0"
        clicked(page, page.evaluate(WHERE, ["map", "points", 7]), number)
    assert not errors
    assert {url.split("/")[2] for url in requests if "://" in url} == {address.split("/")[2]}


def test_the_legend_hides_a_class_and_its_points_are_no_longer_hit(address, atlas):
    seen = """() => Bokeh.documents[0].get_model_by_name('map').renderers
      .filter(renderer => renderer.name === 'points').map(renderer => renderer.visible)"""
    row = 7
    hidden = sorted(set(atlas.codes.predictions)).index(atlas.codes.predictions[row])
    with chromium() as browser:
        page, _, errors = opened(browser, address)
        place = page.evaluate(WHERE, ["map", "points", row])
        page.mouse.move(place[0] + 3, place[1])
        page.mouse.move(*place)
        tooltip = page.locator(".bk-Tooltip", has_text=atlas.codes.names[row])
        assert tooltip.locator("img").first.get_attribute("src") == atlas.thumbnails[row]
        page.locator(".bk-Legend .bk-item").nth(hidden).click()
        changed(page, True, lambda page: page.evaluate(seen)[hidden])
        page.wait_for_timeout(500)
        number = lambda page: page.get_by_label("image", exact=True).input_value()  # noqa: E731
        chosen = int(clicked(page, place, number))
        assert atlas.codes.predictions[chosen] != atlas.codes.predictions[row]
    assert not errors


def test_two_images_are_compared_and_what_is_seen_is_saved(address, atlas, tmp_path):
    compared = lambda page: page.locator(".compared figcaption").all_inner_texts()  # noqa: E731
    with chromium() as browser:
        page, requests, errors = opened(browser, address)
        page.get_by_text("click: the second image").click()
        captions = clicked(page, page.evaluate(WHERE, ["map", "points", 7]), compared)
        second = int(page.get_by_label("second image").input_value())
        np.testing.assert_allclose(atlas.coordinates["PCA"][second], atlas.coordinates["PCA"][7], atol=0.05)
        assert [caption.split(":")[0] for caption in captions] == [
            f"1 · {atlas.codes.names[0]}",
            f"2 · {atlas.codes.names[second]}",
            "1 with the class code of 2",
            "2 with the class code of 1",
        ]
        for name, save in (("pictures.png", "download these pictures"), ("class_codes.png", "Save")):
            with page.expect_download() as download:
                page.get_by_role("button", name=save).or_(page.get_by_title(save)).click()
            assert download.value.suggested_filename == name
            download.value.save_as(tmp_path / name)
            with Image.open(tmp_path / name) as picture:
                assert picture.width > 600
    assert not errors
    assert {url.split("/")[2] for url in requests if url.startswith("http")} == {address.split("/")[2]}


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
        two.emulate_media(color_scheme="dark")
        assert (is_dark(one, "map", "projection"), is_dark(two, "map", "projection")) == (False, True)
        one.get_by_text("click: move the code").click()
        clicked(one, (520, 120))
        assert picture(two) == still
