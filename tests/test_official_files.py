"""Checkpoints of the published code, imported, explained and exported again. Their figures: tests/data/README.md."""

import json
import pathlib
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from cae_jax import interop
from cae_jax.cli import codes, explain, export_weights, import_weights
from cae_jax.data import LISTING
from cae_jax.explaining import Explainer
from cae_jax.workdir.checkpoints import CheckpointError, CheckpointStore
from cae_jax.workdir.generator import load_generator
from cae_jax.workdir.record import read_record

DATA = pathlib.Path(__file__).parent / "data"
CLASSIFIER = """
import numpy as np

def brightness(images):
    share = images.mean((1, 2, 3))
    return np.stack([1 - share, share], -1).astype(np.float32)
"""


def program(module, *arguments):
    """Runs a command-line program in this process and returns its exit code."""
    return module.PROGRAM([str(argument) for argument in arguments])


def read(name):
    with np.load(DATA / f"{name}.npz") as file:
        return dict(file)


def nhwc(x):
    return x.transpose(0, 2, 3, 1) * 0.5 + 0.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a few images and a classifier of one's own, as the current one."""
    root = tmp_path_factory.mktemp("official")
    (root / "glow.py").write_text(CLASSIFIER)
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 3)):
        for label in ("dark", "light"):
            (root / "images" / split / label).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 100, (64, 64, 3)) + 155 * (label == "light")
                Image.fromarray(pixels.astype(np.uint8)).save(root / "images" / split / label / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def imported(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert not program(
            import_weights,
            DATA / "gen_small.npz",
            *("--dis", DATA / "dis_small.npz", "--out", "run", "--size", 64),
            "--config.data.name=./images",
            *("--config.classifier.path=glow:brightness", "--config.classifier.kind=python"),
            "--config.classifier.head=probabilities",
        )
    return folder / "run"


def test_an_import_gives_the_published_codes_and_images(imported, folder, monkeypatch):
    monkeypatch.chdir(folder)
    explainer, figures = Explainer.load(imported), read("official_small")
    codes = {side: explainer.encode(nhwc(figures[f"x_{side}"])) for side in "ab"}
    for side, (individual, class_code) in codes.items():
        expected = figures[f"individual_code_{side}"].transpose(0, 2, 3, 1)
        np.testing.assert_allclose(individual.code, expected, atol=1e-4)
        np.testing.assert_allclose(class_code, figures[f"class_code_{side}"], atol=1e-4)
    swap = explainer.decode(codes["a"][0], codes["b"][1])
    np.testing.assert_allclose(swap, nhwc(figures["swap_ab"]).clip(0, 1), atol=1e-4)
    np.testing.assert_array_equal(explainer.decode(codes["a"][0].code, codes["b"][1]), swap)
    assert explainer.record.class_names == ("dark", "light")


def test_an_import_is_explained_and_its_codes_are_extracted_at_once(imported, folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert not program(explain, "--workdir", imported, "--limit", 2, "--saliency", "reconstruction", "--out", "found")
    assert (folder / "found" / "index.html").exists()
    assert not program(codes, "--workdir", imported, "--out", "codes.csv")
    assert len((folder / "codes.csv").read_text().splitlines()) == 7


@pytest.mark.parametrize("suffix", ["npz", "pt"])
def test_an_export_gives_back_every_bit(imported, folder, tmp_path, suffix):
    if suffix == "pt":
        pytest.importorskip("torch")
    paths = {name: tmp_path / f"{name}.{suffix}" for name in ("gen_small", "dis_small")}
    assert not program(export_weights, "--workdir", imported, "--out", paths["gen_small"], "--dis", paths["dis_small"])
    for name, path in paths.items():
        before, after = read(name), interop.read_tensor_file(path)
        dummies = {key for key in after if key.endswith(("running_mean", "running_var"))}
        assert after.keys() - dummies == before.keys() - dummies
        assert len(dummies) == (8 if name == "gen_small" else 0)
        for key, tensor in before.items():
            np.testing.assert_array_equal(after[key], tensor)


def test_the_discriminator_of_a_run_is_exported_whatever_else_its_state_holds(imported, tmp_path):
    workdir = shutil.copytree(imported, tmp_path / "run")
    record, store = read_record(workdir), CheckpointStore(workdir / "checkpoints")
    (step,) = store.steps()
    discriminator = export_weights._discriminator(record, store, step)
    state = {"step": np.int32(step), "discriminator": discriminator, "student": {"kernel": np.ones(3, np.float32)}}
    store.save(step, {"ema": load_generator(record, store, step), "state": state}, {"score": 0.0})
    out = tmp_path / "gen.npz", tmp_path / "dis.npz"
    assert not program(export_weights, "--workdir", workdir, "--out", out[0], "--dis", out[1])
    for key, tensor in read("dis_small").items():
        np.testing.assert_array_equal(interop.read_tensor_file(out[1])[key], tensor)
    store.save(
        step,
        {"ema": load_generator(record, store, step), "state": {"discriminator": {"a": np.ones(2)}}},
        {"score": 0.0},
    )
    with pytest.raises(CheckpointError, match=r"does not fit this model: it has no .*kernel"):
        export_weights._discriminator(record, store, step)


def test_without_pytorch_an_export_says_so_and_writes_nothing(imported, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    arguments = ("--workdir", imported, "--out", tmp_path / "gen.npz", "--dis", tmp_path / "dis.pt")
    assert program(export_weights, *arguments) == 1
    assert "Without PyTorch, name files .npz" in " ".join(capsys.readouterr().out.split())
    assert not list(tmp_path.iterdir())


def test_parameters_and_half_precision_of_pytorch_s_are_read(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"a": torch.full((2,), 1.5, dtype=torch.bfloat16)}, tmp_path / "half.pt")
    torch.save({"a": torch.nn.Parameter(torch.full((2,), 1.5))}, tmp_path / "parameters.pt")
    for name in ("half", "parameters"):
        np.testing.assert_array_equal(interop.read_tensor_file(tmp_path / f"{name}.pt")["a"], np.float32([1.5, 1.5]))


def test_files_of_pytorch_are_read_under_their_key(tmp_path):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.tensor(value) for name, value in read("gen_small").items()}
    torch.save({"ab": tensors}, tmp_path / "gen_00000100.pt")
    found = interop.read_tensor_file(tmp_path / "gen_00000100.pt")
    assert interop.generator_sizes(found) == interop.generator_sizes(read("gen_small"))


def test_sizes_are_read_from_tensors():
    assert interop.generator_sizes(read("gen_small")) == {
        "channels": 3,
        "width": 8,
        "class_width": 8,
        "class_code_size": 8,
        "class_downsamplings": 4,
        "individual_downsamplings": 2,
        "residual_blocks": 2,
        "mlp_width": 16,
        "stem_kernel": 7,
        "upsample_kernel": 5,
        "output_kernel": 7,
    }
    expected = {"width": 8, "downsamplings": 4, "residual_blocks": 2, "hidden": 256, "num_classes": 2}
    assert interop.discriminator_sizes(read("dis_small")) == expected


def changed(name, change, path):
    tensors = read(name)
    change(tensors)
    np.savez(path, **tensors)
    return path


def misshape(tensors):
    tensors["dec.model.2.norm.gamma"] = np.ones(3, np.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("dec.model.2.norm.beta"), "missing: dec.model.2.norm.beta"),
        (lambda tensors: tensors.update({"extra.weight": np.ones(2)}), "unknown: extra.weight"),
        (misshape, "shape: dec.model.2.norm.gamma is (3,) here"),
        (lambda tensors: tensors.pop("mlp.model.0.fc.weight"), "no weights of a published generator: mlp.model.0.fc"),
    ],
)
def test_tensors_that_do_not_fit_are_listed(tmp_path, capsys, change, message):
    path = changed("gen_small", change, tmp_path / "gen.npz")
    assert program(import_weights, path, "--out", tmp_path / "run", "--size", 64) == 1
    assert message in " ".join(capsys.readouterr().out.split())
    assert not (tmp_path / "run" / "run.json").exists()


def test_what_cannot_be_imported_is_named(tmp_path, imported, capsys):
    def error(*arguments):
        assert program(import_weights, *arguments) == 1
        return " ".join(capsys.readouterr().out.split())

    gen, run = DATA / "gen_small.npz", ("--out", tmp_path / "run", "--size", 64)
    assert "does not exist" in error(tmp_path / "none.npz", *run)
    assert "name the discriminator, --dis, or data" in error(gen, *run)
    (tmp_path / "text.npz").write_text("no weights")
    assert "cannot be read as .npz" in error(tmp_path / "text.npz", *run)
    assert "no weights of a published discriminator: fc.3" in error(
        gen, "--dis", changed("dis_small", lambda t: t.pop("fc.3.weight"), tmp_path / "dis.npz"), *run
    )


def test_a_run_is_not_overwritten_and_other_models_are_not_exported(trained, tmp_path, capsys):
    arguments = (DATA / "gen_small.npz", "--dis", DATA / "dis_small.npz", "--out", trained[0])
    assert program(import_weights, *arguments) == 1
    assert "holds a run that was trained here" in " ".join(capsys.readouterr().out.split())
    assert program(export_weights, "--workdir", trained[0], "--out", tmp_path / "gen.npz") == 1
    assert "not in the published network: class_encoder" in " ".join(capsys.readouterr().out.split())


def as_it_is(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def damage(workdir):
    for file in (workdir / "checkpoints").rglob("manifest.json"):
        file.write_bytes(b"damaged")


def before_its_first_checkpoint(workdir):
    shutil.rmtree(workdir / "checkpoints")


@pytest.mark.parametrize("change", [damage, before_its_first_checkpoint])
def test_a_run_without_a_whole_checkpoint_is_a_run_all_the_same(trained, tmp_path, capsys, change):
    run = shutil.copytree(trained[0], tmp_path / "run")
    change(run)
    before = as_it_is(run)
    assert program(import_weights, DATA / "gen_small.npz", "--dis", DATA / "dis_small.npz", "--out", run) == 1
    assert "holds a run that was trained here" in " ".join(capsys.readouterr().out.split())
    assert as_it_is(run) == before


def test_only_an_earlier_import_is_replaced(tmp_path, capsys):
    arguments = (DATA / "gen_small.npz", "--dis", DATA / "dis_small.npz", "--size", 64, "--out")
    others = tmp_path / "others" / "checkpoints" / "00001000"
    others.mkdir(parents=True)
    (others / "weights.pt").write_bytes(b"precious")
    assert program(import_weights, *arguments, tmp_path / "others") == 1
    assert "others holds other files" in " ".join(capsys.readouterr().out.split())
    assert (others / "weights.pt").read_bytes() == b"precious"

    run = tmp_path / "empty"
    run.mkdir()
    assert not program(import_weights, *arguments, run)
    assert not program(import_weights, *arguments, run, "--config.classifier.path=glow:brightness")
    assert read_record(run).config.classifier.path == "glow:brightness"
    (run / LISTING).write_bytes(b"path,label\npatient_0.png,dark\n")  # as an import with data leaves it
    shutil.copytree(run / "checkpoints" / "00000000", run / "checkpoints.draft" / "00000007")  # of one that was killed
    assert not program(import_weights, *arguments, run)
    assert {path.name for path in run.iterdir()} == {"checkpoints", "run.json"}
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["00000000"]
    damage(run)
    assert program(import_weights, *arguments, run) == 1
    assert "holds an import that is not whole; delete it" in " ".join(capsys.readouterr().out.split())


def test_what_the_published_networks_cannot_do_is_not_exported_without_a_word(imported, tmp_path, capsys):
    workdir = shutil.copytree(imported, tmp_path / "run")
    record = json.loads((workdir / "run.json").read_text())
    record["config"]["model"]["keep_residual"] = True
    (workdir / "run.json").write_text(json.dumps(record))
    arguments = ("--workdir", workdir, "--out", tmp_path / "gen.npz", "--dis", tmp_path / "dis.npz")
    assert program(export_weights, *arguments) == 1
    assert "the published networks have no model.keep_residual = True" in " ".join(capsys.readouterr().out.split())
    assert not list(tmp_path.glob("*.npz"))


def test_an_export_replaces_no_file(imported, tmp_path, capsys):
    (tmp_path / "dis.npz").write_bytes(b"precious")
    arguments = ("--workdir", imported, "--out", tmp_path / "gen.npz", "--dis", tmp_path / "dis.npz")
    assert program(export_weights, *arguments) == 1
    assert "dis.npz is there already" in " ".join(capsys.readouterr().out.split())
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("dis.npz", b"precious")]


def test_one_file_for_both_networks_is_refused(imported, tmp_path, capsys):
    both = tmp_path / "both.npz"
    assert program(export_weights, "--workdir", imported, "--out", both, "--dis", both) == 1
    assert "are both" in " ".join(capsys.readouterr().out.split())
    assert not both.exists()
