"""The documentation as a site: built without a warning; links in it and the README hold; nothing is from elsewhere."""

import inspect
import os
import pathlib
import re
import subprocess
import sys
import urllib.parse
from html.parser import HTMLParser

import pytest
from browser import chromium, watch

import cae_jax
from cae_jax.cli.main import PROGRAMS
from cae_jax.config import presets
from cae_jax.models import CAE, Discriminator
from cae_jax.training.objectives import Weights

ROOT = pathlib.Path(__file__).parents[1]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
OBVIOUS = ("learning_rate", "steps", "batch_size")
HEADING = re.compile(r"^#{1,3} (.+)$", re.MULTILINE)


class Page(HTMLParser):
    """What a page links to, and the places in it that can be linked to."""

    def __init__(self, path):
        super().__init__()
        self.links, self.places = [], set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        """Takes what a tag links to and what it is called."""
        for name, value in attrs:
            if name in ("href", "src"):
                self.links.append(value)
            elif name in ("id", "name"):
                self.places.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; the build is the one of `make docs`."""
    folder = tmp_path_factory.mktemp("site")
    words = re.search(r"-m sphinx (.*) build/docs$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert words
    assert "--fail-on-warning" in words[1]
    command = [sys.executable, "-m", "sphinx", *words[1].split(), str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    """Every page of the site, read, by its path."""
    return {path: Page(path) for path in site.rglob("*.html") if "_static" not in path.parts}


def broken(pages):
    """Links within a site that lead nowhere, as page and link."""
    found = []
    for path, page in pages.items():
        for link in page.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            place = urllib.parse.unquote(parts.fragment)
            if not target.exists() or (place and target in pages and place not in pages[target].places):
                found.append((path.name, link))
    return found


def test_every_link_of_the_site_leads_somewhere(pages):
    assert len(pages) > 20
    assert sum(len(page.links) for page in pages.values()) > 1000
    assert not broken(pages)


def test_a_link_to_a_missing_page_or_heading_is_found(tmp_path):
    (tmp_path / "a.html").write_text('<h1 id="top"></h1><a href="#top"></a><a href="#gone"></a><a href="b.html"></a>')
    pages = {tmp_path / "a.html": Page(tmp_path / "a.html")}
    assert broken(pages) == [("a.html", "#gone"), ("a.html", "b.html")]


def test_every_page_of_docs_is_on_the_site(site):
    sources = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    assert not [path for path in sources if not (site / path.with_suffix(".html")).exists()]


def test_the_site_loads_nothing_from_elsewhere(pages):
    with chromium() as browser:
        page, requests, errors = watch(browser)
        for path in pages:
            page.goto(path.as_uri())
        page.wait_for_load_state("networkidle")
    assert not errors
    assert len(requests) > len(pages)
    assert all(url.startswith(("file:", "data:", "blob:")) for url in requests)


def test_the_search_of_the_site_finds_a_page(site):
    with chromium() as browser:
        page, requests, _ = watch(browser)
        page.goto((site / "search.html").as_uri() + "?q=counterfactual")
        page.wait_for_selector("ul.search li a")
        assert all(url.startswith("file:") for url in requests)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_the_links_of_pages_beside_docs_lead_somewhere(name):
    for link in LINK.findall((ROOT / name).read_text()):
        path, _, heading = link.partition("#")
        if "://" in link:
            continue
        assert (ROOT / path).exists(), link
        titles = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings(ROOT / path)]
        assert not heading or heading in titles, link


def headings(path):
    """The titles in a page of Markdown."""
    return HEADING.findall(path.read_text()) if path.suffix == ".md" else []


def test_the_readme_is_a_door():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 180


def test_the_reference_has_every_public_name_every_command_and_every_preset(pages, site):
    places = pages[site / "reference" / "python.html"].places | pages[site / "reference" / "config.html"].places
    homes = [getattr(cae_jax, name) for name in cae_jax.__all__ if name != "presets"]
    homes += [getattr(presets, name) for name in ("official", "default", "pictures", "black_box")]
    named = {place.rpartition(".")[2] for place in places}
    assert not [home.__name__ for home in homes if home.__name__ not in named]
    shown = (site / "reference" / "commands.html").read_text()
    assert all(f"usage: cae {name} " in shown for name in PROGRAMS)


def test_every_config_key_says_what_it_is():
    source = inspect.getsource(presets.official) + inspect.getsource(presets._classifier)
    keys = dict(re.findall(r'^ +"(\w+)": [^\n#]*,(?:  # (.*))?$', source, re.MULTILINE))
    described = "".join(inspect.getdoc(of) or "" for of in (CAE, Discriminator, Weights))
    names = set(re.findall(r"^    (\w+): ", described, re.MULTILINE)) | set(OBVIOUS)
    assert len(keys) > 70
    assert not [key for key, comment in keys.items() if not comment and key not in names]
