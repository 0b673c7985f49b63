"""`cae import`: a workdir from weights of the published code."""

import argparse
import pathlib
import re
import shutil

from cae_jax.cli.options import folder
from cae_jax.cli.program import Program
from cae_jax.config import Config, ConfigError, apply_overrides, presets

NOTE = "imported from "  # how the note of an import's record begins

EXAMPLES = """\
examples:
  {prog} gen_00104000.pt --dis dis_00104000.pt --out runs/oct
      the networks only; data and classifier are named later, by importing again
  {prog} gen_00104000.pt --dis dis_00104000.pt --out runs/oct \\
      --config.data.name=data/OCT --config.classifier.path=my_model:build --config.classifier.kind=torch \\
      --config.classifier.weights=my_model.pt --config.classifier.input.layout=NCHW
  cae explain --workdir runs/oct

Sizes are read from the tensors. The data set is the one whose class codes references are looked for in, the classifier
the one that is explained. .pt needs PyTorch; .npz with the same names does not. Nothing in the files is run.
"""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("generator", type=pathlib.Path, metavar="GEN", help="file of its weights: gen_....pt, or .npz")
    parser.add_argument(
        "--dis", type=pathlib.Path, metavar="DIS", help="file of the discriminator's weights: how many classes"
    )
    parser.add_argument("--out", type=folder, required=True, metavar="DIR", help="the workdir to make")
    parser.add_argument("--size", type=int, default=256, help="sides of the images in pixels (256)")


def _config(options: argparse.Namespace, channels: int) -> Config:
    config = presets.official()
    config.data.update(name="", size=(options.size, options.size), channels=channels, fit="crop")
    return apply_overrides(config, options.changes)


def _check_free(out: pathlib.Path) -> None:
    """Raises `ConfigError` unless a folder is new, empty, or holds an earlier import and nothing of a run."""
    from cae_jax.workdir.checkpoints import CheckpointStore
    from cae_jax.workdir.record import FILE, read_record

    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / FILE).is_file():
        raise ConfigError(f"{out} holds other files; name another --out, or an empty folder")
    store = CheckpointStore(out / "checkpoints")
    whole = store.whole()
    trained = not read_record(out).note.startswith(NOTE) or (out / "log.jsonl").exists()
    if trained or any(not facts.get("imported") for facts in whole.values()):
        raise ConfigError(f"{out} holds a run that was trained here; name another --out")
    if not whole or len(whole) < len(store.steps()):
        raise ConfigError(f"{out} holds an import that is not whole; delete it, or name another --out")


def import_weights(options: argparse.Namespace, console) -> None:
    """Reads the weights and writes the workdir."""
    from cae_jax import interop
    from cae_jax.config.settings import file_settings
    from cae_jax.data import LISTING, listing_bytes, open_dataset
    from cae_jax.drafts import DRAFT
    from cae_jax.models import Discriminator
    from cae_jax.workdir.checkpoints import CheckpointStore
    from cae_jax.workdir.files import write_whole
    from cae_jax.workdir.generator import build_model, padded_shape, parameter_shapes
    from cae_jax.workdir.record import RunRecord, write_record

    _check_free(options.out)
    folder = options.out / "checkpoints"
    try:
        tensors = interop.read_tensor_file(options.generator)
        sizes = interop.generator_sizes(tensors)
        config = _config(options, sizes["channels"])
        config.model.update({name: size for name, size in sizes.items() if name != "channels"})
        shape, classes = (*config.data.size, sizes["channels"]), 0
        model = build_model(config, shape, classes)
        names = interop.generator_names(
            model.class_downsamplings, model.individual_downsamplings, model.residual_blocks
        )
        padded = padded_shape(model, shape)
        trees = {"ema": interop.from_official(tensors, names, parameter_shapes(model, padded))}
        if options.dis:
            critic = interop.read_tensor_file(options.dis)
            own = interop.discriminator_sizes(critic)
            classes = own.pop("num_classes")
            config.discriminator.update(own)
            names = interop.discriminator_names(own["downsamplings"], own["residual_blocks"])
            module = Discriminator(classes, **config.discriminator.to_dict())
            trees["discriminator"] = interop.from_official(critic, names, parameter_shapes(module, padded))
    except ValueError as error:
        raise ConfigError(str(error)) from error

    class_names, note = tuple(str(number) for number in range(classes)), f"{NOTE}{options.generator.name}"
    listing = None
    if config.data.name:
        dataset = open_dataset(config.data.name, config.data.dir, "", file_settings(config.data))
        if dataset.image_shape != shape:
            raise ConfigError(f"{dataset.name} has images {dataset.image_shape}, but the model is asked for {shape}")
        if classes not in (0, dataset.num_classes):
            raise ConfigError(f"{options.dis} knows {classes} classes, but {dataset.name} has {dataset.num_classes}")
        class_names, listing = dataset.class_names, dataset.listing
    if not class_names:
        raise ConfigError("nothing tells the classes: name the discriminator, --dis, or data, --config.data.name=...")
    digits = re.findall(r"\d+", options.generator.stem)
    step, facts = int(digits[-1]) if digits else 0, {"score": 0.0, "imported": options.generator.name}
    options.out.mkdir(parents=True, exist_ok=True)
    draft = options.out / f"{folder.name}{DRAFT}"
    shutil.rmtree(draft, ignore_errors=True)  # of an import that was killed
    CheckpointStore(draft).save(step, trees, facts)  # an earlier import stays until this one is written
    write_record(options.out, RunRecord(config, config.data.name, class_names, shape, note))
    if listing is not None:
        write_whole(options.out / LISTING, listing_bytes(listing))
    else:
        (options.out / LISTING).unlink(missing_ok=True)  # of other data
    if folder.exists():
        shutil.rmtree(folder)
    draft.rename(folder)
    console.print(
        f"{options.out}: classes {', '.join(class_names)}; " + ", ".join(f"{k} {v}" for k, v in sizes.items())
    )
    if not config.classifier.path:
        console.print("No classifier is named yet: import again with --config.classifier.path=... to explain one.")


PROGRAM = Program(
    "import",
    "Makes a workdir from a generator that the published PyTorch code has trained.",
    EXAMPLES,
    _arguments,
    import_weights,
    change="a key of the config, as --config.data.name=data/OCT",
)
