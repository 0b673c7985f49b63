"""`python -m cae_jax.cli.compare`: compares CAE with other explanation methods on the same held-out images."""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from cae_jax.cli.options import folder
from cae_jax.cli.termination import ends_on_sigterm
from cae_jax.config.reading import Config, ConfigError, apply_overrides, find_config, load_config, split_overrides

EXAMPLES = """\
examples:
  python -m cae_jax.cli.compare --config configs/bench_mnist.py
      trains the model of the config into runs/bench_mnist/model, runs every method on 512 test images, writes
      benchmark.csv, benchmark.md, summary.md (the main columns) and index.html
  python -m cae_jax.cli.compare --config bench_mnist --model runs/mnist --workdir runs/compared
      a model that is already trained
  python -m cae_jax.cli.compare --config bench_mnist --config.methods='CAE,occlusion,control: random map'
      some methods only

Run again, it goes on: methods that are done are not run a second time.
"""


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, dict[str, str]]:
    """Splits the command line into options and `--config.KEY=VALUE` changes."""
    parser = argparse.ArgumentParser(
        prog="python -m cae_jax.cli.compare",
        description="Compares CAE with other explanation methods, counterfactual ones too, and with controls.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", required=True, metavar="FILE", help="a bench config, or the name of a shipped one")
    parser.add_argument("--workdir", type=folder, metavar="DIR", help="of the results (runs/<config name>)")
    parser.add_argument("--model", type=folder, metavar="DIR", help="a trained run, instead of training one")
    parser.add_argument(
        "--config.KEY", dest="_", metavar="VALUE", help="change a key of the config, e.g. --config.protocol.images=64"
    )
    try:
        own, changes = split_overrides(arguments)
    except ConfigError as error:
        parser.error(str(error))
    return parser.parse_args(own), changes


def benchmark(options: argparse.Namespace, changes: dict[str, str], console) -> None:
    """Trains where needed, runs the methods, writes tables and page."""
    from rich.markdown import Markdown

    from cae_jax.comparison import protocol, suite
    from cae_jax.comparison.folder import write_folder
    from cae_jax.comparison.task import check_classifiers, open_setting
    from cae_jax.training.loop import train

    path = find_config(options.config)
    config = protocol.check_bench_config(load_config(path))
    config: Config = apply_overrides(config, changes)
    protocol.read_protocol(config)
    names = tuple(config.methods)
    suite.chosen(names)
    workdir = options.workdir or pathlib.Path("runs") / path.stem
    model = options.model or workdir / "model"
    if not options.model:
        check_classifiers(config.train)
        train(config.train, model, console)
    with console.status("opening model and images"):
        setting = open_setting(config, model)
    results = []
    for result in suite.run(setting, workdir / "methods", names, console):
        results.append(result)
        write_folder(workdir, setting, results, f"Explanations compared: {path.stem}")
    console.print(Markdown((workdir / "summary.md").read_text()))
    console.print(f"these tables: {workdir / 'summary.md'}; all of it: {workdir / 'index.html'}", highlight=False)


def main() -> int:
    """Entry point; returns the exit code."""
    options, changes = parse(sys.argv[1:])

    from cae_jax.cli.console import run

    with ends_on_sigterm():
        return run(lambda console: benchmark(options, changes, console))


if __name__ == "__main__":
    sys.exit(main())
