"""The tutorials in docs/ and the notebook, run as a reader would, on a few images and for a few steps."""

import functools
import json
import pathlib
import re
import runpy
import shlex
import sys
import warnings

import numpy as np
import pytest
from onnx_files import mean_model
from PIL import Image
from small_run import SMALL, new_beside

from cae_jax.cli.main import PROGRAMS

ROOT = pathlib.Path(__file__).parents[1]
DATA = pathlib.Path(__file__).parent / "data"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FAST = {key: value for key, value in SMALL.items() if key != "data.name"} | {
    "train.steps": "2",
    "oracle.steps": "0",
    "model.individual_downsamplings": "3",
    "model.class_downsamplings": "1",
    "discriminator.downsamplings": "1",
    "discriminator.residual_blocks": "0",
    "loss.gradient_penalty": "0",
}


def write_images(folder):
    """Two classes in folders of splits, and a table of the same files."""
    rng = np.random.default_rng(0)
    lines = ["path,label,patient"]
    for split, count in (("train", 40), ("test", 6)):
        for label in ("dark", "light"):
            (folder / "images" / split / label).mkdir(parents=True)
            for number in range(count):
                pixels = (rng.integers(0, 100, (40, 48, 3)) + 150 * (label == "light")).astype(np.uint8)
                path = f"images/{split}/{label}/{number}.png"
                Image.fromarray(pixels).save(folder / path)
                lines.append(f"{path},{label},{split}{label}{number // 2}")
    (folder / "images.csv").write_text("\n".join(lines) + "\n")


def write_model(folder):
    """The weights that the tutorials' classifiers read, and the same as ONNX."""
    import onnx

    kernel = np.asarray([[-4.0, 4.0]] * 3, np.float32)
    np.savez(folder / "weights.npz", kernel=kernel, bias=np.zeros(2, np.float32))
    onnx.save(mean_model(kernel, (3, 32, 32)), str(folder / "model.onnx"))


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """The folder in which somebody follows the tutorials."""
    folder = tmp_path_factory.mktemp("reader")
    write_images(folder)
    write_model(folder)
    (folder / "configs").symlink_to(ROOT / "configs")
    for short in ("gen", "dis"):
        (folder / f"{short}_00104000.npz").write_bytes((DATA / f"{short}_small.npz").read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def run(line, *changes):
    """Runs a command of a tutorial in this process, a training with few steps and perhaps other changes."""
    start, name, *words = shlex.split(line)
    assert start in ("python", "cae")
    program = PROGRAMS.get(name if start == "cae" else name.removesuffix(".py"))
    if name == "train.py":
        words += [f"--config.{key}={value}" for key, value in FAST.items()]
    if "configs/folder.py" in line:
        words += ["--config.data.size=32,32", "--config.train.warmup_steps=2"]
        words += ["--config.model.individual_downsamplings=2"]  # codes of 4×4: 2×2 take ten times as long
        words += ["--config.classifier.batch_size=16", "--config.oracle.steps=4"]
        words += changes
    if name == "explain.py":
        words += ["--confidence", "0.2", "--limit", "2"]
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "images/.* is resized to the trained")
        patch.setattr(sys, "argv", [name, *words])
        if program:
            assert program(words) == 0, line
        else:
            runpy.run_path(name, run_name="__main__")


def blocks_of(document, heading=""):
    """Fenced blocks, language and text, of a document or of what stands below one of its headings."""
    text = (ROOT / "docs" / document).read_text()
    if heading:
        text = re.split(r"^## ", text.split(f"\n## {heading}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]
    found = BLOCK.findall(text)
    assert found
    return found


def follow(blocks, *changes):
    """Writes the files that blocks begin with the names of, and runs the commands, trainings with changes."""
    for language, text in blocks:
        if language == "python":
            name = re.match(r"# (\w+\.py)\n", text)
            assert name
            pathlib.Path(name[1]).write_text(text)
        else:
            assert language == "sh"
            for line in text.splitlines():
                run(line, *changes)


@functools.cache
def explained(route):
    """Follows a route of the tutorial on classifiers, once; returns the workdir."""
    blocks = blocks_of("own_classifier.md", route)
    follow(blocks)
    name = re.search(r"--workdir runs/(\w+)", blocks[-1][1])
    assert name
    return pathlib.Path("runs", name[1]).absolute()


@pytest.mark.parametrize("route", ["JAX", "PyTorch", "ONNX", "Any function"])
def test_a_classifier_of_one_s_own_is_explained_as_the_tutorial_says(reader, route):
    if route == "PyTorch":
        pytest.importorskip("torch")
    workdir = explained(route)
    assert json.loads((workdir / "metrics.json").read_text())["classifier_accuracy"] == 1.0
    assert list(workdir.glob("explained/*/index.html"))


def test_data_of_one_s_own_are_read_as_the_tutorial_says(reader):
    first, second, third = blocks_of("own_data.md")
    follow([first])
    (reader / "runs" / "folder").rename(reader / "runs" / "of_folders")
    follow([second], *(f"--config.{name}.path=runs/of_folders/{name}" for name in ("classifier", "oracle")))
    record = json.loads((reader / "runs" / "folder" / "run.json").read_text())
    assert record["class_names"] == ["dark", "light"]
    follow([blocks_of("own_classifier.md", "JAX")[0]])
    follow([third])
    assert (reader / "codes.csv").exists()


def test_an_explainer_is_shared_as_the_tutorial_says(reader):
    explained("ONNX")
    follow(blocks_of("sharing.md"))
    assert (reader / "explainer" / "README.md").exists()


def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch, trained):
    notebook = json.loads((ROOT / "docs" / "tour.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert sum("changes = {}" in cell for cell in cells) == 1
    assert not any(cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code")
    monkeypatch.chdir(tmp_path)
    changes = SMALL | new_beside(trained[0])
    scope: dict = {}
    for number, cell in enumerate(cells):
        exec(compile(cell.replace("changes = {}", f"changes = {changes}"), f"cell {number}", "exec"), scope)
    assert len(scope["found"])
