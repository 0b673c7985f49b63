"""The shipped config, shrunk, on a few real digits. Fixtures of it are in `conftest.py`."""

import numpy as np
from rich.console import Console

from cae_jax.config.reading import apply_overrides, find_config, load_config
from cae_jax.data import ArraySource, Dataset, open_dataset
from cae_jax.explaining import explainer
from cae_jax.training import loop
from cae_jax.training import run as assembly

SMALL = {
    "data.name": "mnist_5k",
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
    "train.batch_size": "4",
    "train.checkpoint_every": "2",
    "train.log_every": "1",
    "evaluation.swaps": "64",
}


def few_digits(folder: str) -> Dataset:
    """A few hundred real digits."""
    full = open_dataset("mnist_5k", folder)

    def few(source, count: int) -> ArraySource:
        rows = np.random.default_rng(0).permutation(len(source))[:count]
        return ArraySource(source.take(rows), source.labels[rows])

    return Dataset(full.name, full.class_names, few(full.train, 400), few(full.validation, 60), few(full.test, 60))


def use_digits(monkeypatch, digits: Dataset) -> None:
    """Whatever opens a data set gets these."""
    for module in (assembly, explainer):
        monkeypatch.setattr(module, "open_dataset", lambda *_: digits)


def small_config(**changes: str):
    """The shipped config, shrunk."""
    return apply_overrides(load_config(find_config("mnist")), SMALL | changes)


def train_small(workdir):
    """A short run: its workdir, its metrics and what it printed."""
    console = Console(record=True, width=200)
    result = loop.train(small_config(), workdir, console)
    return workdir, result, console.export_text()
