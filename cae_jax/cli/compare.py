"""`cae compare`: compares CAE with other explanation methods on the same held-out images."""

import argparse
import pathlib

from cae_jax.cli.options import folder
from cae_jax.cli.program import Program
from cae_jax.config import Config, apply_overrides, find_config, load_config

EXAMPLES = """\
examples:
  {prog} --config configs/bench_mnist.py
      trains the model of the config into runs/bench_mnist/model, runs every method on 512 test images, writes
      benchmark.csv, benchmark.md, summary.md (the main columns) and index.html
  {prog} --config bench_mnist --model runs/mnist --workdir runs/compared
      a model that is already trained
  {prog} --config bench_mnist --config.methods='CAE,occlusion,control: random map'
      some methods only

Run again, it goes on: methods that are done are not run a second time.
"""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, metavar="FILE", help="a bench config, or the name of a shipped one")
    parser.add_argument("--workdir", type=folder, metavar="DIR", help="folder of the results (runs/<config name>)")
    parser.add_argument("--model", type=folder, metavar="DIR", help="folder of a trained run, instead of training one")


def compare(options: argparse.Namespace, console) -> None:
    """Trains where needed, runs the methods, writes tables and page."""
    from rich.markdown import Markdown

    from cae_jax.comparison import suite
    from cae_jax.comparison.folder import write_folder
    from cae_jax.comparison.task import open_setting
    from cae_jax.config import protocol
    from cae_jax.training.loop import train
    from cae_jax.workdir.lock import hold

    path = find_config(options.config)
    config = protocol.check_bench_config(load_config(path))
    config: Config = apply_overrides(config, options.changes)
    protocol.read_protocol(config)
    names = tuple(config.methods)
    suite.chosen(names)
    workdir = options.workdir or pathlib.Path("runs") / path.stem
    model = options.model or workdir / "model"
    if not options.model:
        protocol.check_oracle(config.train)
    elif unused := [f"--config.{key}" for key in options.changes if key.startswith("train.")]:
        console.print(f"{', '.join(unused)}: of no use, as --model names a trained run", style="bold red", markup=False)
    with hold(workdir):
        if not options.model:
            train(config.train, model, console)
        setting = open_setting(config, model, workdir, console)
        results = []
        for result in suite.run(setting, workdir / "methods", names, console):
            results.append(result)
            write_folder(workdir, setting, results, f"Explanations compared: {path.stem}")
    console.print(Markdown((workdir / "summary.md").read_text()))
    console.print(f"these tables: {workdir / 'summary.md'}; all of it: {workdir / 'index.html'}", highlight=False)


PROGRAM = Program(
    "compare",
    "Compares CAE with other explanation methods, counterfactual ones too, and with controls.",
    EXAMPLES,
    _arguments,
    compare,
    change="change a key of the config, e.g. --config.protocol.images=64",
    trains=True,
)
