"""The explorer without a browser: what it computes, and what its server refuses."""

import asyncio
import functools
import urllib.error
import urllib.request

import numpy as np
import pytest
from browser import serving

from cae_jax.errors import InputError


@pytest.mark.parametrize("projection", ["PCA", "t-SNE"])
def test_the_place_of_an_image_leads_back_to_it(atlas, projection):
    row = 7
    place = atlas.coordinates[projection][row]
    everything = range(len(atlas.explainer.record.class_names))
    assert atlas.nearest_image(projection, place, everything) == row
    others = sorted(set(everything) - {atlas.codes.predictions[row]})
    assert atlas.codes.predictions[atlas.nearest_image(projection, place, others)] in others
    assert atlas.nearest_image(projection, place, []) is None
    code = atlas.codes.class_codes[row]
    np.testing.assert_allclose(atlas.place_of(projection, code), place, atol=1e-2)
    np.testing.assert_allclose(atlas.code_at(projection, place, code), code, atol=1e-2)


def test_a_view_with_the_own_code_is_the_reconstruction_and_changes_nothing(atlas):
    view = atlas.view(3, atlas.codes.class_codes[3])
    own = atlas.explainer.decode(atlas.codes.individual(np.asarray([3])), atlas.codes.class_codes[3:4])[0]
    np.testing.assert_allclose(view.image, own, atol=1e-5)
    np.testing.assert_allclose(view.saliency, 0.0, atol=1e-6)
    assert view.probabilities.sum() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("over_graph", [False, True])
def test_a_path_to_an_image_begins_and_ends_at_the_codes(atlas, over_graph):
    path = atlas.toward_image(2, 9, over_graph)
    np.testing.assert_allclose(atlas.along(path, 0.0), atlas.codes.class_codes[2], atol=1e-6)
    np.testing.assert_allclose(atlas.along(path, 1.0), atlas.codes.class_codes[9], atol=1e-6)


def test_too_few_images_are_refused(atlas):
    from cae_jax.errors import InputError
    from cae_jax.explorer import make_atlas

    with pytest.raises(InputError, match="4 images are too few"):
        make_atlas(atlas.explainer, limit=4)


def test_a_port_in_use_is_named(atlas):
    from cae_jax.errors import InputError
    from cae_jax.explorer import serve

    with serving(functools.partial(serve, atlas)) as url:
        port = int(url.rsplit(":", 1)[1].strip("/"))
        with pytest.raises(InputError, match=rf"127.0.0.1:{port}.*--port"), serving(serve, atlas=atlas, port=port):
            pass


def test_pages_of_other_origins_may_not_connect(atlas):
    from tornado.httpclient import HTTPClientError, HTTPRequest
    from tornado.websocket import websocket_connect

    from cae_jax.explorer import serve

    async def connect(url, origin):
        request = HTTPRequest(url.replace("http", "ws") + "ws", headers={"Origin": origin})
        return await websocket_connect(request, subprotocols=["bokeh", "none"])

    with serving(functools.partial(serve, atlas)) as url, pytest.raises(HTTPClientError, match="403"):
        asyncio.run(connect(url, "http://elsewhere.example"))


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_pages_of_this_machine_and_of_named_origins_may_connect_whatever_the_port(atlas, monkeypatch, address):
    from cae_jax.explorer import serve, server

    asked = {}

    def refuse(_, **how):
        asked.update(how)
        raise ValueError("it is only asked")

    monkeypatch.setattr(server, "Server", refuse)
    with pytest.raises(InputError, match="it is only asked"):
        serve(atlas, address=address, origins=["box.example:80"])
    port = asked["port"]
    assert port > 0
    assert set(asked["allow_websocket_origin"]) == {"box.example:80", f"localhost:{port}", f"127.0.0.1:{port}"}


@pytest.mark.parametrize("port", [99_999, -1])
def test_a_port_that_cannot_be_is_refused_before_anything_is_encoded(port):
    from cae_jax.explorer import free_port

    with pytest.raises(InputError, match=f"cannot listen on 127.0.0.1:{port}"):
        free_port("127.0.0.1", port)


def test_no_file_is_served_but_the_librarys_own(atlas):
    from cae_jax.explorer import serve

    with serving(functools.partial(serve, atlas)) as url:
        assert urllib.request.urlopen(url + "static/js/bokeh.min.js").status == 200
        for path in ("run.json", "static/../../../../etc/passwd", "static/%2e%2e/%2e%2e/__init__.py"):
            with pytest.raises(urllib.error.HTTPError, match=r"40[34]"):
                urllib.request.urlopen(url + path)


def test_the_page_says_that_the_model_is_not_to_be_relied_on(atlas):
    from bokeh.document import Document

    from cae_jax.explorer.page import ExplorerPage

    document = Document()
    ExplorerPage(atlas, document)
    assert document.select_one({"name": "verdict"}).text.startswith("<b>Not to be relied on:</b> collapsed (")


@pytest.fixture
def page(atlas):
    from bokeh.document import Document

    from cae_jax.explorer.page import ExplorerPage

    return ExplorerPage(atlas, Document())


def test_a_path_to_the_image_s_own_class_flips_nothing(atlas, page):
    own = int(atlas.codes.predictions[page._row])
    same = next(row for row in np.flatnonzero(atlas.codes.predictions == own) if row != page._row)
    other = next(row for row in np.flatnonzero(atlas.codes.predictions != own))
    for over_graph in (False, True):
        path = atlas.toward_image(page._row, int(same), over_graph)
        assert path.of_own_class
        assert np.isnan([path.flip_shift, path.shift]).all()
        assert "there is nothing to flip" in page._describe(path._replace(reconstructed=True))
        assert not atlas.toward_image(page._row, int(other), over_graph).of_own_class


def test_a_code_that_was_moved_is_of_no_path_until_it_is_slid_back(page, monkeypatch):
    from cae_jax.explorer import page as module

    page._other.value, page._aim.active = 9, module.STRAIGHT
    titles, entry = [], module._entry
    monkeypatch.setattr(module, "_entry", lambda title, tiles: titles.append(title) or entry(title, tiles))
    page._send_pictures()
    said = page._note.text
    page._move_to((0.0, 0.0))
    page._send_pictures()
    assert page._note.text == module.MOVED
    page._shift.value = 0.5
    page._send_pictures()
    assert page._note.text == said
    assert titles[0].startswith("To ")
    assert titles[2] == module.MOVED
    assert ", shift 0.500. " in titles[4]
