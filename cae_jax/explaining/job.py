"""A job: many images, explained batch by batch into a folder.

A job is what it was made of. Another model, classifier, target, reference or option, or images of other names, are
another job, which a folder with results refuses. An image of the same name and other contents is explained again, with
the part that it is in; so is what failed, as soon as it fails no more.
"""

import contextlib
import logging
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from cae_jax.classifiers import array_digest
from cae_jax.errors import InputError
from cae_jax.explaining.explainer import IMAGES, Explainer, check_reference
from cae_jax.explaining.inputs import Failure, Inputs
from cae_jax.explaining.outputs import Part, ResultFolder
from cae_jax.explaining.requests import check_target, find_target
from cae_jax.images import to_unit
from cae_jax.parallel.processes import first_one_first, is_first, wait_for_all
from cae_jax.types import Ending
from cae_jax.workdir.lock import hold
from cae_jax.workdir.record import versions

UNANSWERED = "the classifier has no finite answer to it"
log = logging.getLogger(__name__)


def _parts(count: int) -> list[list[int]]:
    """Rows of the images of each part."""
    return [list(range(start, min(start + IMAGES, count))) for start in range(0, count, IMAGES)]


def _forget_changed(folder: ResultFolder, inputs: Inputs) -> None:
    """Deletes the parts that were made of other contents, before any of them can be taken for an answer."""
    changed = []
    for number, rows in enumerate(_parts(len(inputs.names))):
        kept = folder.digests(number)
        if kept is not None and kept != (now := inputs.digests(rows)):
            changed += [inputs.names[row] for row, old, new in zip(rows, kept, now, strict=False) if old != new]
            folder.forget(number)
    if changed:
        shown = ", ".join(changed[:5]) + (", ..." if len(changed) > 5 else "")
        log.warning(
            "%d images have other contents than when %s was written (%s); these, and those that were explained "
            "together with them, are explained again",
            len(changed),
            folder.path,
            shown,
        )


def _renew(
    folder: ResultFolder, number: int, rows: Sequence[int], names: Sequence[str], make: Callable[[Sequence[int]], Part]
) -> None:
    """Makes a part, unless it is there and what failed then fails still."""
    part = folder.read(number)
    if part is None:
        folder.write(number, make(rows))
        return
    failed = {failure.name for failure in part.failures}
    again = [row for row in rows if names[row] in failed]
    if again and make(again).names:
        folder.write(number, make(rows))


def explain_to_folder(
    explainer: Explainer,
    inputs: Inputs,
    target: str | int,
    path: pathlib.Path,
    *,
    reference: np.ndarray | None = None,
    reference_name: str = "",
    overwrite: bool = False,
    report: Callable[[int], object] = lambda images: None,
    **options: Any,
) -> list[dict[str, Any]]:
    """Explains images into a folder; started again on it, it goes on. Interrupted, it leaves a page of what is done.

    Several processes share the images; the first one merges what they wrote into the same files that one would write.

    Args:
        explainer: of a trained run.
        inputs: the images.
        target: see `Explainer.explain`; a class, 'any' or 'all'.
        path: of the folder, see `outputs`.
        reference: an image that all paths lead to, or None.
        reference_name: of that image.
        overwrite: whether to replace the results of another job.
        report: called with the number of images each time some are done.
        **options: see `ExplainOptions`.

    Returns:
        The rows of `explanations.json`.

    Raises:
        InputError: if no image at all can be read or used, or the folder holds other results.
        ConfigError: if another job is at work in the folder.
        ClassifierError: if the classifier's answers are no probabilities.
    """
    names = explainer.record.class_names
    target = find_target(target, names) if isinstance(target, str) else int(check_target(target, 1, names)[0])
    request = {
        "checkpoint and classifier": explainer.fingerprint,
        "target": target,
        "reference": "" if reference is None else array_digest({"reference": reference}),
        "options": options,
        "class_names": explainer.record.class_names,
        "cae_jax": versions()["cae_jax"],
    }
    facts = {
        "model": f"{explainer.record.data}, step {explainer.step}",
        "target": str(target) if isinstance(target, str) else names[target],
        **({"reference": reference_name} if reference_name else {}),
        **{name: f"{value:.4g}" if isinstance(value, float) else str(value) for name, value in options.items()},
    }

    def make(rows: Sequence[int]) -> Part:
        digests = inputs.digests(rows)  # first: of a file that changes meanwhile, the next start notices
        images, good, failures = inputs.read(rows)
        answered = explainer.answered(images) if good else np.zeros(0, bool)
        failures += [
            Failure(inputs.names[row], UNANSWERED) for row, fine in zip(good, answered, strict=True) if not fine
        ]
        images, read = images[answered], [inputs.names[row] for row, fine in zip(good, answered, strict=True) if fine]
        found = explainer.explain_batches(images, target, reference=reference, **options) if read else ()
        return Part(found, np.asarray(to_unit(images)), read, failures, digests)

    with hold(path, "--out") if is_first() else contextlib.nullcontext():
        with first_one_first("explain: begin"):
            folder = ResultFolder(path, request, inputs.names, explainer.record.class_names, overwrite and is_first())
            if is_first():
                _forget_changed(folder, inputs)
        written = _fill(folder, inputs.names, make, facts, report)
    if not written:
        first = folder.read(0)
        reason = first and first.failures[0].reason
        raise InputError(f"none of the {len(inputs.names)} images could be explained; the first: {reason}")
    if reference is not None:
        check_reference([Ending[row["ending"]] for row in written], written[0]["target"])
    return written


def _fill(
    folder: ResultFolder,
    names: Sequence[str],
    make: Callable[[Sequence[int]], Part],
    facts: dict[str, str],
    report: Callable[[int], object],
) -> list[dict[str, Any]]:
    """Makes this process's parts and merges all of them; interrupted, it merges those that are there."""
    parts = _parts(len(names))
    try:
        for number in range(jax.process_index(), len(parts), jax.process_count()):
            _renew(folder, number, parts[number], names, make)
            report(len(parts[number]))
    except BaseException:
        if is_first():
            folder.finish(len(parts), facts)
        raise
    wait_for_all("explain: parts")
    with first_one_first("explain: end"):
        return folder.finish(len(parts), facts) if is_first() else folder.rows()
