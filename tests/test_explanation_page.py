"""The page of explanations in a real browser, from a file: filter, sort, lay over each other, blink, keys."""

import numpy as np
import pytest
from browser import chromium, watch
from test_report import NAMES, make_explanation

from cae_jax.report import ExplanationPage
from cae_jax.types import Box, Ending, Picture


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser, tmp_path):
    explanation = make_explanation()
    report = ExplanationPage(NAMES, {"model": "toy"})
    report.add(explanation, np.random.default_rng(1).random((len(Ending), 8, 8, 1)), [f"image {i}" for i in range(7)])
    (tmp_path / "index.html").write_text(report.render())
    page, requests, errors = watch(browser)
    page.goto((tmp_path / "index.html").as_uri())
    yield page
    assert all(request.startswith(("file:", "data:")) for request in requests)
    assert errors == []


def names(page):
    return page.locator(".card h2 > bdi:first-child").all_text_contents()  # of cards that are not rendered, too


def test_rows_are_filtered_by_ending_and_by_class_together_and_counted(page):
    assert page.locator("#shown").inner_text() == "7 shown"
    options = page.get_by_label("target").locator("option").all_inner_texts()
    assert options == ["all", *sorted(set(page.locator(".card").evaluate_all("all => all.map(c => c.dataset.target)")))]
    page.get_by_label("target").select_option(options[1])
    of_target = page.locator(".card:visible").count()
    assert 0 < of_target < 7
    page.locator("#filters button", has_text="FLIPPED 1").first.click()
    flipped = page.locator(".card:visible")
    assert {card.get_attribute("data-ending") for card in flipped.all()} <= {"FLIPPED"}
    assert page.locator("#shown").inner_text() == f"{flipped.count()} shown"


def test_rows_are_sorted_by_shift_with_those_without_one_last_and_back(page):
    before = names(page)
    page.get_by_label("in the order of").select_option("shift")
    shifts = page.locator(".card").evaluate_all("all => all.map(c => c.dataset.shift)")
    numbers = [float(shift) for shift in shifts if shift]
    assert numbers == sorted(numbers)
    assert not any(shifts[len(numbers) :])
    page.get_by_label("in the order of").select_option("the images")
    assert names(page) == before


def test_an_image_and_its_counterfactual_are_laid_over_each_other_by_a_slider_and_blink(page):
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    assert "image 0" in dialog.inner_text()
    after, box = page.locator("#after"), page.locator(".stage").bounding_box()
    assert box["width"] == pytest.approx(box["height"], abs=1)
    assert page.locator("#before").evaluate("e => e.style.backgroundSize") == "700% 100%"  # seven tiles
    assert after.evaluate("e => parseFloat(e.style.backgroundPosition)") == pytest.approx(100 * 5 / 6, abs=0.1)
    assert after.evaluate("e => e.style.clipPath") == "inset(0px 0px 0px 50%)"
    page.get_by_label("share of the counterfactual").fill("100")
    assert after.evaluate("e => e.style.clipPath") == "inset(0px 0px 0px 0%)"
    page.get_by_label("strength of the map").fill("40")
    assert page.locator("#map").evaluate("e => e.style.opacity") == "0.4"
    page.keyboard.press("b")
    page.wait_for_function("document.getElementById('after').style.clipPath.includes('100%')")
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert page.locator("#blink").get_attribute("aria-pressed") == "false"
    page.locator(".card img").nth(3).click()
    assert "image 3" in dialog.inner_text()


def test_the_map_is_laid_on_the_whole_picture_where_the_image_lies_on_it(browser, tmp_path):
    wide = Picture(np.full((300, 600, 3), 90, np.uint8), Box(0, 150, 300, 300))  # its middle
    tall = Picture(np.full((80, 40, 1), 90, np.uint8), Box(0, -20, 80, 80))  # padded at both sides
    report = ExplanationPage(NAMES, {"model": "toy"}, whole={"image 0": wide, "image 1": tall}.get)
    report.add(
        make_explanation(), np.random.default_rng(1).random((len(Ending), 8, 8, 1)), [f"image {i}" for i in range(7)]
    )
    (tmp_path / "index.html").write_text(report.render())
    page, requests, errors = watch(browser)
    page.goto((tmp_path / "index.html").as_uri())
    box = lambda of: page.locator(of).bounding_box()  # noqa: E731
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    assert box(".stage")["width"] == pytest.approx(box(".stage")["height"], abs=1)
    page.get_by_role("button", name="whole picture").click()
    stage, image = box(".stage"), box("#map")
    assert stage["width"] == pytest.approx(2 * stage["height"], abs=1)
    assert box("#before") == stage
    assert image["x"] - stage["x"] == pytest.approx(stage["width"] / 4, abs=1)
    assert [image["width"], image["height"]] == pytest.approx([stage["height"]] * 2, abs=1)
    assert page.locator("#map").evaluate("e => e.style.opacity") == "0.7"
    assert "image/png" in page.locator("#map").evaluate("e => e.style.backgroundImage")
    page.keyboard.press("w")
    assert box("#map") == box(".stage")
    page.keyboard.press("w")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")  # the second image
    stage, image = box(".stage"), box("#after")
    assert stage["height"] == pytest.approx(2 * stage["width"], abs=1)
    assert image["x"] == pytest.approx(stage["x"] - stage["width"] / 2, abs=1)
    assert image["width"] == pytest.approx(2 * stage["width"], abs=1)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")  # the third, of no file
    assert not page.locator("#whole").is_visible()
    assert box("#map") == box(".stage")
    assert all(request.startswith(("file:", "data:")) for request in requests)
    assert errors == []


def test_the_page_says_what_endings_and_the_colours_of_its_kind_of_map_mean(page, browser, tmp_path):
    assert page.locator("tr", has_text="WEAK").locator("td.why").inner_text().startswith("On the way the classifier")
    assert "blue: became darker" in page.locator(".legend").nth(1).inner_text()
    report = ExplanationPage(NAMES, {}, saliency="input")
    (tmp_path / "input.html").write_text(report.render())
    other, _, _ = watch(browser)
    other.goto((tmp_path / "input.html").as_uri())
    assert "blue" not in other.locator(".legend").nth(1).inner_text()


def test_a_dark_page_is_dark_and_a_printed_one_has_no_buttons(page):
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 22, 22)"
    page.emulate_media(media="print", color_scheme="light")
    assert not page.locator("#filters").is_visible()
    assert page.locator(".card").first.is_visible()
