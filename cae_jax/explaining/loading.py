"""From a folder to what an `Explainer` is made of: the best checkpoint of a run and its classifier, or a package."""

import logging
import pathlib

from cae_jax.explaining.compiled_model import HostClassifier
from cae_jax.explaining.package import Parts, is_package
from cae_jax.explaining.unpacking import read_package
from cae_jax.workdir.checkpoints import CheckpointError, CheckpointStore
from cae_jax.workdir.classifier_store import (
    LoadedClassifier,
    handed_in,
    kept_identity,
    load_named,
    other_classifier,
)
from cae_jax.workdir.generator import load_generator
from cae_jax.workdir.record import RunRecord, read_record

log = logging.getLogger(__name__)


def load_parts(workdir: pathlib.Path, host_classifier: HostClassifier | None = None) -> Parts:
    """Reads a workdir or a package.

    Args:
        workdir: of a run, or a package.
        host_classifier: explained instead of the one that the run was trained for, which is then not opened.

    Raises:
        ConfigError: if the folder holds no run, or a damaged record of one.
        CheckpointError: if it has no whole checkpoint yet, a damaged classifier, or another one than the run was
            trained for.
    """
    if is_package(workdir):
        return read_package(workdir, host_classifier)
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
    if host_classifier is None:
        classifier = _own_classifier(workdir, record)
    else:
        classifier = handed_in(host_classifier, record.image_shape)
    return Parts(
        record,
        step,
        load_generator(record.config, record.image_shape, store, step),
        classifier,
        f"{store.seal(step)[:16]}-{classifier.fingerprint[:16]}",
    )


def _own_classifier(workdir: pathlib.Path, record: RunRecord) -> LoadedClassifier:
    """The classifier that a run was trained for."""
    settings = record.config.classifier
    classifier = load_named(settings, workdir / "classifier", "classifier", record.image_shape)
    kept = kept_identity(workdir, "classifier")
    if kept is None:
        return classifier
    path = settings.path or str(workdir / "classifier")
    if problem := other_classifier(kept, classifier.identity, "classifier", path, workdir):
        raise CheckpointError(
            f"{problem}; or train for this one in another --workdir; or, to explain another one on purpose, hand it "
            f"in: Explainer.load({str(workdir)!r}, host_classifier=...)"
        )
    return classifier._replace(identity=kept)
