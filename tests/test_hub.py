"""Packages on a model hub: uploaded to and loaded from a server on this machine that speaks as the real one does."""

import json
import re
import shutil
import socket
import sys

import numpy as np
import pytest
import yaml
from hub_server import Repository, hub_server

import cae_jax
from cae_jax import Explainer
from cae_jax.cli import options, package
from cae_jax.errors import InputError
from cae_jax.explaining import hub, loading, results_folder, shipped_explainers
from cae_jax.explaining.hub import HubError

EASY = {"confidence": 0.11, "saliency": "reconstruction"}
OURS = "lab/digits"


def ask(url, monkeypatch):
    """Has huggingface_hub ask another server, as `HF_ENDPOINT` does when it is loaded."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The hub; huggingface_hub asks it, with a token and an empty cache."""
    pytest.importorskip("huggingface_hub.constants")
    with hub_server("secret") as server:
        ask(server.url, monkeypatch)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", "secret")
        yield server


def put(server, folder, name=OURS, **more):
    """Puts a folder's files into a repository, beside others; returns the commit."""
    repository = server.repositories.setdefault(name, Repository("public"))
    return repository.commit({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} | more)


def test_a_package_goes_to_the_hub_and_comes_back_the_same(here, trained_explainer, digits, tmp_path):
    address = trained_explainer.save_package(tmp_path / "out", license="mit", push=OURS)
    assert here.repositories[OURS].visibility == "private"
    assert re.fullmatch(rf"hf://{OURS}@[0-9a-f]{{40}}", address)
    stored = here.repositories[OURS].commits[address.split("@")[1]]
    assert stored.keys() - {".gitattributes"} == {path.name for path in (tmp_path / "out").iterdir()}
    card = stored["README.md"].decode()
    assert f'Explainer.load("hf://{OURS}")' in card
    head = yaml.safe_load(card.split("---\n")[1])
    assert (head["library_name"], head["license"], "explainable-ai" in head["tags"]) == ("cae_jax", "mit", True)
    shutil.rmtree(tmp_path / "out")
    loaded = Explainer.load(address)
    assert loaded.fingerprint == trained_explainer.fingerprint
    images = digits.test.take(np.arange(6))  # as in test_package.py, so that it is compiled already
    ours, theirs = (e.explain(images, "all", **EASY) for e in (trained_explainer, loaded))
    for name in ("status", "shift", "counterfactual", "saliency"):
        np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name))
    assert sorted(here.fetched) == sorted(stored.keys() - {".gitattributes"})  # each once


def test_only_files_of_a_package_are_fetched_and_once_fetched_they_do_without_the_hub(here, monkeypatch):
    brought = {"model.onnx": b"", "weights.bin": b""}
    others = {"evil.py": b"", "weights.pt": b"", "data/model.safetensors": b"", "other.onnx": b""}
    manifest = json.loads((shipped_explainers()["mnist"] / "package.json").read_text())
    manifest["classifier"]["identity"]["files"] = dict.fromkeys([*brought, "evil.py", "weights.pt", "../*", "*"], "0")
    put(here, shipped_explainers()["mnist"], **brought, **others, **{"package.json": json.dumps(manifest).encode()})
    folder = hub.download(f"hf://{OURS}")
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert names == {path.name for path in shipped_explainers()["mnist"].iterdir()} | brought.keys()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    ask(f"http://127.0.0.1:{port}", monkeypatch)
    assert hub.download(f"hf://{OURS}") == folder
    with pytest.raises(HubError, match=r"lab/other: the hub cannot be reached \(.*\); check the network"):
        hub.download("hf://lab/other")


def test_a_revision_is_what_it_was_when_another_one_follows(here):
    mnist = shipped_explainers()["mnist"]
    first = put(here, mnist)
    here.repositories[OURS].commit({"README.md": b"It has moved."})
    assert hub.download(f"hf://{OURS}@{first}").name == first
    with pytest.raises(HubError, match=r"hf://lab/digits holds no package of cae_jax \(it has no package.json\)"):
        Explainer.load(f"hf://{OURS}")
    with pytest.raises(HubError, match="lab/digits has no such revision"):
        Explainer.load(f"hf://{OURS}@{first[::-1]}")


def test_a_workdir_on_the_hub_is_not_loaded(here, trained, tmp_path):
    """Its config would be trusted, and may name code."""
    put(here, shutil.copytree(trained[0], tmp_path / "run", ignore=lambda *_: ["checkpoints", "classifier"]))
    with pytest.raises(HubError, match="holds no package of cae_jax"):
        Explainer.load(f"hf://{OURS}")


def test_what_a_newer_package_lacks_is_deleted_and_the_rest_stays(here, tmp_path):
    package_folder = shutil.copytree(shipped_explainers()["mnist"], tmp_path / "out")
    (package_folder / "README.md").write_text("---\nlibrary_name: cae_jax\n---\n")
    put(here, package_folder, **{"listing.csv": b"path\n", "figure.png": b"", "model.onnx": b""})
    commit = hub.upload(package_folder, OURS).split("@")[1]
    files = here.repositories[OURS].commits[commit]
    assert files.keys() == {path.name for path in package_folder.iterdir()} | {"figure.png", "model.onnx"}
    assert here.repositories[OURS].visibility == "public"  # as it was


def test_a_model_card_may_be_edited_and_no_other_file(here):
    put(here, shipped_explainers()["mnist"], **{"README.md": b"Written anew on the hub."})
    assert loading._manifest(hub.download(f"hf://{OURS}"))["format"] == "cae_jax package"
    put(here, shipped_explainers()["mnist"], **{"metrics.json": b"{}"})
    with pytest.raises(cae_jax.errors.UserError, match=r"the contents of metrics.json are not those"):
        Explainer.load(f"hf://{OURS}")


def test_what_cannot_be_had_is_told_in_a_sentence(here, trained_explainer, tmp_path, monkeypatch):
    with pytest.raises(HubError, match="there is no repository lab/none on the hub, or it is not open to you"):
        Explainer.load("hf://lab/none")
    for wrong in ("hf://digits", "hf://lab/digits/model", "hf://../x", "hf://lab/digits@", "hf://lab/di gits"):
        with pytest.raises(HubError, match=r"is no address on the hub: write hf://OWNER/NAME"):
            Explainer.load(wrong)
    for wrong in ("digits", "hf://lab/digits", "lab/digits--x"):
        with pytest.raises(HubError, match="is no name of a repository"):
            trained_explainer.save_package(tmp_path / "out", push=wrong)
    with pytest.raises(InputError, match="'MIT License' is no identifier of a licence"):
        trained_explainer.save_package(tmp_path / "out", license="MIT License")
    assert not (tmp_path / "out").exists()
    monkeypatch.setenv("HF_TOKEN", "another")
    with pytest.raises(HubError, match=r"you may not do that with lab/digits: log in"):
        trained_explainer.save_package(tmp_path / "out", push=OURS)
    monkeypatch.setattr("huggingface_hub.hf_api.get_token", lambda: None)
    with pytest.raises(HubError, match=r"nobody is logged in to the hub, so lab/digits cannot be written: hf auth"):
        trained_explainer.save_package(tmp_path / "out", push=OURS)
    assert not (tmp_path / "out").exists()  # so that the same command can be given again


def test_without_the_library_it_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(HubError, match=re.escape("pip install 'cae_jax[hub]'")):
        Explainer.load(f"hf://{OURS}")
    assert package.PROGRAM(["--workdir", "mnist", "--out", str(tmp_path / "out"), "--push", OURS]) == 1
    assert "pip install 'cae_jax[hub]'" in re.sub(r"\s+", " ", "".join(capsys.readouterr()))
    assert not (tmp_path / "out").exists()


def test_programs_take_an_address_and_keep_their_results_in_the_current_folder():
    assert options.HUB == hub.SCHEME
    assert package.PROGRAM.parse(["--workdir", f"hf://{OURS}@v1", "--out", "x"]).workdir == f"hf://{OURS}@v1"
    assert results_folder(f"hf://{OURS}@v1", "explained").parts == ("explained", "lab", "digits")
    with pytest.raises(HubError, match="is no address on the hub"):
        results_folder("hf://lab/../..", "explained")
