"""`cae export`: weights of a workdir in the naming and layout of the published code."""

import argparse
import pathlib
from typing import Any

from cae_jax.cli.options import folder
from cae_jax.cli.program import Program

EXAMPLES = """\
example:
  {prog} --workdir runs/oct --out weights/gen.pt --dis weights/dis.pt

The model must be one that the published code can hold: `presets.official` with any sizes, or an import. .pt needs
PyTorch; .npz with the same names does not.
"""


WITHOUT_WEIGHTS = {
    "model": ("answers", "block", "individual_answers", "individual_norm", "keep_residual"),
    "discriminator": ("block", "conditional", "pooled"),
}


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workdir", type=folder, required=True, metavar="DIR", help="folder of a run or an import")
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        required=True,
        metavar="GEN",
        help="new file for the generator's weights: .pt or .npz",
    )
    parser.add_argument("--dis", type=pathlib.Path, metavar="DIS", help="new file for the discriminator's weights")


def _unpublished(config, with_discriminator: bool) -> list[str]:
    """Settings of what the published networks do not do, though their weights would have the same names."""
    from cae_jax.config.presets import official

    theirs = official()
    return [
        f"{part}.{key} = {config[part][key]!r}"
        for part, keys in WITHOUT_WEIGHTS.items()
        if part == "model" or with_discriminator
        for key in keys
        if config[part][key] != theirs[part][key]
    ]


def _discriminator(record, store, step: int) -> Any:
    """The discriminator's parameters: a tree of its own in an import, a part of the state in a run."""
    from cae_jax.models import Discriminator
    from cae_jax.workdir.checkpoints import CheckpointError
    from cae_jax.workdir.generator import generator_of, padded_shape, parameter_shapes

    module = Discriminator(len(record.class_names), **record.config.discriminator.to_dict())
    params = parameter_shapes(module, padded_shape(generator_of(record), record.image_shape))
    if not store.facts(step).get("imported"):
        return store.load_part(step, "state", {"discriminator": params})["discriminator"]
    try:
        return store.load(step, "discriminator", params)
    except CheckpointError as error:
        raise CheckpointError("the import had no discriminator (--dis), so there is none to export") from error


def export_weights(options: argparse.Namespace, console) -> None:
    """Reads the workdir and writes the weights."""
    from cae_jax import interop
    from cae_jax.errors import InputError
    from cae_jax.workdir.checkpoints import CheckpointError, CheckpointStore
    from cae_jax.workdir.generator import load_generator
    from cae_jax.workdir.record import read_record

    if options.dis == options.out:
        raise InputError(f"--out and --dis are both {options.out}; name a file for each")
    for path in filter(None, (options.out, options.dis)):
        if path.exists():
            raise InputError(f"{path} is there already; name another file")
    record = read_record(options.workdir)
    store = CheckpointStore(options.workdir / "checkpoints")
    step = store.best()
    if step is None:
        raise CheckpointError(f"{options.workdir} has no whole checkpoint")
    model, critic = record.config.model, record.config.discriminator
    parts = {
        options.out: (
            load_generator(record, store, step),
            interop.generator_names(model.class_downsamplings, model.individual_downsamplings, model.residual_blocks),
        )
    }
    if options.dis:
        names = interop.discriminator_names(critic.downsamplings, critic.residual_blocks)
        parts[options.dis] = (_discriminator(record, store, step), names)
    try:
        weights = {path: interop.to_official(params, names) for path, (params, names) in parts.items()}
    except ValueError as error:
        raise InputError(f"{options.workdir} cannot be exported: {error}") from error
    if others := _unpublished(record.config, with_discriminator=bool(options.dis)):
        raise InputError(f"{options.workdir} cannot be exported: the published networks have no {', '.join(others)}")
    for path, tensors in sorted(weights.items(), key=lambda item: item[0].suffix == ".npz"):  # first, what can fail
        try:
            interop.write_tensor_file(path, tensors)
        except ValueError as error:
            raise InputError(f"{path} cannot be written: {error}. Without PyTorch, name files .npz") from error
        console.print(f"{path}: step {step}", highlight=False)


PROGRAM = Program(
    "export",
    "Writes the best checkpoint's weights as the published PyTorch code names them.",
    EXAMPLES,
    _arguments,
    export_weights,
)
