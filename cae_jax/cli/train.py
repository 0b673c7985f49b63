"""`train.py` and `cae-train`: trains a CAE for a classifier."""

import argparse
import contextlib
import pathlib
import sys
from collections.abc import Collection, Iterator, Sequence
from typing import NoReturn

from cae_jax.cli.options import add_distributed, folder
from cae_jax.cli.termination import ends_on_sigterm, leave
from cae_jax.config.presets import official
from cae_jax.config.reading import (
    ConfigError,
    apply_overrides,
    conform,
    find_config,
    flatten,
    load_config,
    shipped_configs,
    split_overrides,
)

EXAMPLES = """\
examples:
  python train.py --config configs/mnist.py
      trains on MNIST (or, without a network, on the 5,000 digits that come along) into runs/mnist
  python train.py --config mnist_5k --workdir runs/mnist_5k_seed1 --config.seed=1
      a shipped config by name, another seed
  python train.py --config mnist --list
      shows every key of a config and its value

Run again with the same --workdir, it goes on from the last checkpoint. Ctrl-C and SIGTERM save one first.
"""


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, dict[str, str]]:
    """Splits the command line into options and `--config.KEY=VALUE` changes."""
    parser = argparse.ArgumentParser(
        prog="train.py",
        description="Trains a class association embedding (CAE) that explains an image classifier.",
        epilog=EXAMPLES + f"\nshipped configs: {', '.join(shipped_configs())}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
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
    parser.add_argument(
        "--config.KEY", dest="_", metavar="VALUE", help="change a key of the config, e.g. --config.train.steps=500"
    )
    try:
        own, changes = split_overrides(arguments)
    except ConfigError as error:
        parser.error(str(error))
    return parser.parse_args(own), changes


def main() -> int:
    """Entry point; returns the exit code."""
    options, changes = parse(sys.argv[1:])
    try:
        path = find_config(options.config)
        with _named(path):
            config = conform(load_config(path), official(), "training config")
        config = apply_overrides(config, changes)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.list:
        print("\n".join(f"{key} = {value!r}" for key, value in flatten(config).items()))
        return 0

    from cae_jax.cli.console import run  # loads JAX, which a look at the help need not wait for
    from cae_jax.config.check import check_settings
    from cae_jax.training.loop import train

    def checked_first(console) -> None:
        with _named(path, changes):
            checked = check_settings(config)
        train(checked, options.workdir or pathlib.Path("runs") / path.stem, console, options.profile)

    with ends_on_sigterm():
        return run(checked_first, options.distributed)


@contextlib.contextmanager
def _named(path: pathlib.Path, changes: Collection[str] = ()) -> Iterator[None]:
    """Names the config file in what is wrong with a config, or the change to it that is."""
    try:
        yield
    except ConfigError as error:
        text = str(error)
        where = "--config." if text.partition(" ")[0] in changes else f"{path}: " if str(path) not in text else ""
        raise ConfigError(where + text) from error


def program() -> NoReturn:
    """`main` as a program by itself."""
    leave(main())
