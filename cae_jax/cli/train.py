"""`cae train` and `train.py`: trains a CAE for a classifier."""

import argparse
import contextlib
import pathlib
from collections.abc import Collection, Iterator

from cae_jax.cli.options import add_distributed, folder
from cae_jax.cli.program import Program
from cae_jax.config import (
    ConfigError,
    apply_overrides,
    conform,
    find_config,
    flatten,
    load_config,
    presets,
    shipped_configs,
)

EXAMPLES = """\
examples:
  {prog} --config configs/mnist.py
      trains on MNIST (or, without a network, on the 5,000 digits that come along) into runs/mnist
  {prog} --config mnist_5k --workdir runs/mnist_5k_seed1 --config.seed=1
      a shipped config by name, another seed
  {prog} --config mnist --list
      shows every key of a config and its value

Run again with the same --workdir, it goes on from the last checkpoint. Ctrl-C and SIGTERM save one first.
"""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, metavar="FILE", help="a config file, or the name of a shipped one")
    parser.add_argument(
        "--workdir",
        type=folder,
        metavar="DIR",
        help="where everything is written: a folder, or gs://... (runs/<config name>)",
    )
    parser.add_argument("--list", action="store_true", help="show the config's keys and values, and stop")
    parser.add_argument("--profile", type=int, default=0, metavar="N", help="trace N steps into WORKDIR/profile")
    add_distributed(parser)


@contextlib.contextmanager
def _named(path: pathlib.Path, changes: Collection[str] = ()) -> Iterator[None]:
    """Names the config file in what is wrong with a config, or the change to it that is."""
    try:
        yield
    except ConfigError as error:
        text = str(error)
        where = "--config." if text.partition(" ")[0] in changes else f"{path}: " if str(path) not in text else ""
        raise ConfigError(where + text) from error


def _read(options: argparse.Namespace) -> bool:
    """Reads the config and its changes, and shows them if that is all that is asked for."""
    options.file = find_config(options.config)
    with _named(options.file):
        config = conform(load_config(options.file), presets.official(), "training config")
    options.read = apply_overrides(config, options.changes)
    if options.list:
        print("\n".join(f"{key} = {value!r}" for key, value in flatten(options.read).items()))
    return options.list


def train(options: argparse.Namespace, console) -> None:
    """Checks the config and trains."""
    from cae_jax.config.check import check_settings
    from cae_jax.training import loop

    with _named(options.file, options.changes):
        config = check_settings(options.read)
    loop.train(config, options.workdir or pathlib.Path("runs") / options.file.stem, console, options.profile)


PROGRAM = Program(
    "train",
    "Trains a class association embedding (CAE) that explains an image classifier.",
    f"{EXAMPLES}\nshipped configs: {', '.join(shipped_configs())}\n",
    _arguments,
    train,
    change="change a key of the config, e.g. --config.train.steps=500",
    first=_read,
    trains=True,
)
