"""From a folder to what an `Explainer` is made of: the best checkpoint of a run and its classifier, or a package."""

import logging
import pathlib

from cae_jax.explaining.package import Parts, is_package, read_package
from cae_jax.training.build import load_generator
from cae_jax.training.checkpoints import CheckpointError, CheckpointStore
from cae_jax.training.classifier_store import load_named
from cae_jax.training.run_record import read_record

log = logging.getLogger(__name__)


def load_parts(workdir: pathlib.Path) -> Parts:
    """Reads a workdir or a package.

    Raises:
        ConfigError: if the folder holds no run, or a damaged record of one.
        CheckpointError: if it has no whole checkpoint yet, or a damaged classifier.
    """
    if is_package(workdir):
        return read_package(workdir)
    record = read_record(workdir)
    store = CheckpointStore(workdir / "checkpoints")
    step = store.best()
    if step is None:
        raise CheckpointError(f"{workdir} has no whole checkpoint yet; train it first")
    if "score" not in store.facts(step):
        log.warning(
            "%s: the checkpoint of step %d was saved when training was interrupted and was never validated; the same "
            "train.py command goes on from there",
            workdir,
            step,
        )
    classifier = load_named(record.config.classifier, workdir / "classifier", "classifier")
    return Parts(
        record,
        step,
        load_generator(record.config, record.image_shape, store, step),
        classifier,
        f"{store.seal(step)[:16]}-{classifier.fingerprint[:16]}",
    )
