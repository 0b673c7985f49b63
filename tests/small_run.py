"""The shipped config, shrunk, on a few real digits. Fixtures of it are in `conftest.py`."""

import pathlib

import numpy as np
from filelock import FileLock
from rich.console import Console

from cae_jax.config.reading import apply_overrides, find_config, load_config
from cae_jax.data import SPLITS, open_dataset
from cae_jax.training import loop
from cae_jax.workdir.files import write_npz

DIGITS = pathlib.Path(__file__).parents[1] / ".pytest_cache" / "digits_400_60_60.npz"
SMALL = {
    "data.name": str(DIGITS),
    "classifier.steps": "60",
    "oracle.steps": "4",
    "oracle.architecture": "small_cnn",
    "model.width": "4",
    "model.class_downsamplings": "2",
    "model.stem_kernel": "3",
    "model.upsample_kernel": "3",
    "model.class_width": "4",
    "model.residual_blocks": "1",
    "model.mlp_width": "16",
    "model.class_head_width": "16",
    "discriminator.width": "4",
    "discriminator.downsamplings": "2",
    "discriminator.hidden": "16",
    "train.steps": "6",
    "train.warmup_steps": "0",
    "train.batch_size": "4",
    "train.checkpoint_every": "2",
    "train.log_every": "1",
    "evaluation.swaps": "64",
}


def write_digits() -> None:
    """Writes a few hundred real digits to `DIGITS`, unless that is done."""
    DIGITS.parent.mkdir(exist_ok=True)
    with FileLock(f"{DIGITS}.lock"):
        if DIGITS.exists():
            return
        full = open_dataset("mnist_5k", str(DIGITS.parent / "data"))
        arrays = {}
        for split, count in zip(SPLITS, (400, 60, 60), strict=True):
            source = full.split(split)
            rows = np.random.default_rng(0).permutation(len(source))[:count]
            arrays |= {f"{split}_images": source.take(rows), f"{split}_labels": source.labels[rows]}
        write_npz(DIGITS, **arrays)


def small_config(**changes: str):
    """The shipped config, shrunk."""
    return apply_overrides(load_config(find_config("mnist")), SMALL | changes)


def new_beside(workdir) -> dict[str, str]:
    """What a new run changes that takes its classifiers from the short run at a workdir, and is validated once.

    All that is compiled into its step is as it is there, and so is compiled already.
    """
    return {f"{name}.path": f"{workdir}/{name}" for name in ("classifier", "oracle")} | {"train.checkpoint_every": "6"}


def train_small(workdir):
    """A short run: its metrics and what it printed."""
    console = Console(record=True, width=200)
    result = loop.train(small_config(), workdir, console)
    return result, console.export_text()
