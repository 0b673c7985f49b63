"""The published sizes at 256×256: does an imported model compute what plain PyTorch does?

    python -m benchmarks.full_size

Draws random weights of the published sizes, writes them by their published names, imports them with
`cae import`, and compares codes, reconstructions, swaps and the discriminator's logits with
`benchmarks/torch_recipe.py`. Needs PyTorch.
"""

import argparse
import pathlib
import sys
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import torch_recipe
from cae_jax import Explainer, interop, presets
from cae_jax.cli import import_weights
from cae_jax.models import Discriminator, apply
from cae_jax.workdir.generator import build_model

SIDE, CHANNELS, CLASSES = 256, 3, 2
OFFICIAL = presets.official()
CLASSIFIER = """
import numpy as np


def predict(images):
    bright = images.mean((1, 2, 3))
    return np.stack([bright, 1.0 - bright], axis=-1)
"""


def draw_weights(folder: pathlib.Path, seed: int) -> None:
    """Writes `gen.npz` and `dis.npz`, every tensor of them random."""
    rng = np.random.default_rng(seed)
    one = jnp.zeros((1, SIDE, SIDE, CHANNELS))
    parts = (
        ("gen", build_model(OFFICIAL, (SIDE, SIDE, CHANNELS), 2), interop.generator_names(4, 2, 6)),
        ("dis", Discriminator(CLASSES, **OFFICIAL.discriminator.to_dict()), interop.discriminator_names(4, 2)),
    )
    for name, module, names in parts:
        params = jax.jit(module.init)(jax.random.key(seed), one)["params"]
        moved = jax.tree.map(lambda x: np.asarray(x) + rng.normal(0.0, 0.02, x.shape).astype(np.float32), params)
        np.savez(folder / f"{name}.npz", **interop.to_official(moved, names))


def differences(workdir: pathlib.Path, critic: pathlib.Path, images: np.ndarray) -> dict[str, tuple[float, float]]:
    """By name of an output: the largest difference between ours and PyTorch's, and the largest value."""
    explainer = Explainer.load(workdir)
    device = torch_recipe.beside_jax()
    weights = {part: torch_recipe.to_torch(explainer.params[part], device) for part in explainer.params}
    names = interop.discriminator_names(4, 2)
    module = Discriminator(CLASSES, **OFFICIAL.discriminator.to_dict())
    shapes = jax.eval_shape(module.init, jax.random.key(0), images[:1])["params"]
    judge = interop.from_official(interop.read_tensor_file(critic), names, shapes)
    individual, class_codes = explainer.encode(images)
    nchw = lambda x: torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.asarray(x), -1, 1))).to(device)  # noqa: E731
    nhwc = lambda x: np.moveaxis(x.cpu().numpy(), 1, -1)  # noqa: E731
    x = nchw(images) * 2.0 - 1.0
    with torch.no_grad():
        their_codes = torch_recipe.encode_individual(weights["individual_encoder"], x)
        their_class_codes = torch_recipe.encode_class(weights["class_encoder"], x)
        draw = lambda c, s: nhwc(torch_recipe.decode(weights["decoder"], c, s)) * 0.5 + 0.5  # noqa: E731
        logits = torch_recipe.discriminate(torch_recipe.to_torch(judge, device), x).cpu().numpy()
        pairs = {
            "individual codes": (individual.code, nhwc(their_codes)),
            "class codes": (class_codes, their_class_codes.cpu().numpy()),
            "reconstructions": (explainer.decode(individual, class_codes), draw(their_codes, their_class_codes)),
            "swaps": (explainer.decode(individual, class_codes[::-1]), draw(their_codes, their_class_codes.flip(0))),
        }
    ours = jax.jit(lambda x: jnp.concatenate(apply(module, judge, x), axis=-1))(images * 2.0 - 1.0)
    pairs["discriminator's logits"] = (np.asarray(ours), logits)
    return {name: (float(np.abs(a - b).max()), float(np.abs(b).max())) for name, (a, b) in pairs.items()}


def main() -> int:
    """Entry point; returns the exit code: 1 if anything is further apart than the bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=2, help="images (2)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and images (0)")
    parser.add_argument("--bound", type=float, default=1e-4, help="of differences (0.0001)")
    options = parser.parse_args()
    console = Console()
    images = np.random.default_rng(options.seed).random((options.num, SIDE, SIDE, CHANNELS), np.float32)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        draw_weights(folder, options.seed)
        (folder / "bright.py").write_text(CLASSIFIER)
        sys.path.insert(0, name)
        arguments = [str(folder / "gen.npz"), "--dis", str(folder / "dis.npz"), "--out", str(folder / "run")]
        arguments += ["--config.classifier.path=bright:predict", "--config.classifier.kind=python"]
        import_weights.import_weights(import_weights.PROGRAM.parse(arguments), console)
        found = differences(folder / "run", folder / "dis.npz", images)
    table = Table("output", "largest difference", "largest value")
    for what, (apart, size) in found.items():
        table.add_row(what, f"{apart:.2g}", f"{size:.3g}")
    console.print(table)
    return int(max(apart for apart, _ in found.values()) > options.bound)


if __name__ == "__main__":
    sys.exit(main())
