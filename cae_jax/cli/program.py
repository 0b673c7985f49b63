"""What every program is made of: a description, its arguments, and what it does. All else that they share is here."""

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from cae_jax.cli.termination import ends_on_sigterm, leave
from cae_jax.config.reading import ConfigError, split_overrides
from cae_jax.errors import UserError


def _nothing(options: argparse.Namespace) -> bool:
    return False


@dataclasses.dataclass(frozen=True)
class Program:
    """A program of the command line.

    Attributes:
        name: subcommand of `cae`.
        description: sentences on what it does. The first sentence stands in the list of subcommands.
        examples: text below the options in `--help`; `{prog}` stands for how the program was called.
        arguments: function that adds the options to a parser.
        body: function that does it, of the options and a `rich.console.Console`.
        change: help of `--config.KEY`, for programs that take changes of a config; they are in `options.changes`,
            texts by dotted key.
        first: function that comes before JAX is loaded; says whether that was all.
        trains: whether it trains, so that SIGTERM ends it with code 0: it goes on next time.
    """

    name: str
    description: str
    examples: str
    arguments: Callable[[argparse.ArgumentParser], Any]
    body: Callable[[argparse.Namespace, Any], Any]
    change: str = ""
    first: Callable[[argparse.Namespace], bool] = _nothing
    trains: bool = False

    def epilog(self, prog: str = "") -> str:
        """The examples, as they are under a name such as 'cae train' (the default) or 'train.py'."""
        prog = prog or f"cae {self.name}"
        return self.examples.replace("{prog}", f"python {prog}" if prog.endswith(".py") else prog)

    def parse(self, arguments: Sequence[str], prog: str = "") -> argparse.Namespace:
        """Reads arguments; ends the process where they are wrong, or ask for help."""
        parser = argparse.ArgumentParser(
            prog=prog or f"cae {self.name}",
            description=self.description,
            epilog=self.epilog(prog),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.arguments(parser)
        changes: dict[str, str] = {}
        if self.change:
            parser.add_argument("--config.KEY", dest="_", metavar="VALUE", help=self.change)
            try:
                arguments, changes = split_overrides(arguments)
            except ConfigError as error:
                parser.error(str(error))
        return parser.parse_args(arguments, argparse.Namespace(changes=changes))

    def __call__(self, arguments: Sequence[str], prog: str = "") -> int:
        """Runs the program with arguments; returns its exit code."""
        options = self.parse(arguments, prog)
        try:
            if self.first(options):
                return 0
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1

        from cae_jax.cli.console import run  # loads JAX, which a look at the help need not wait for

        with ends_on_sigterm() if self.trains else contextlib.nullcontext():
            return run(lambda console: self.body(options, console), getattr(options, "distributed", "off"))

    def start(self, arguments: Sequence[str], prog: str = "") -> NoReturn:
        """Runs the program as this process, which ends with it."""
        leave(self(arguments, prog))
