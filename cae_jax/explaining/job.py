"""A job: many images, explained batch by batch into a folder."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from cae_jax.explaining.explainer import IMAGES, Explainer
from cae_jax.explaining.inputs import InputError
from cae_jax.explaining.outputs import Part, ResultFolder
from cae_jax.explaining.requests import check_target, find_target
from cae_jax.explaining.sources import Failure, Inputs
from cae_jax.images import to_unit
from cae_jax.processes import first_one_first, is_first, wait_for_all


def _without_unanswered(part: Part) -> Part:
    """Makes failures of the images that the classifier has no finite answer to."""
    found = part.explanation
    if found is None or (found.prediction >= 0).all():
        return part
    unanswered = np.unique(found.image_index[found.prediction < 0])
    failures = [Failure(part.names[row], "the classifier has no finite answer to it") for row in unanswered.tolist()]
    kept = np.setdiff1d(np.arange(len(part.names)), unanswered)
    rows = np.flatnonzero(found.prediction >= 0)
    fields = {f.name: getattr(found, f.name) for f in dataclasses.fields(found) if f.name != "path_shifts"}
    left = dataclasses.replace(found, **{name: field[rows] for name, field in fields.items()})
    left = dataclasses.replace(left, image_index=np.searchsorted(kept, left.image_index))
    return Part(
        left if len(rows) else None, part.images[kept], [part.names[row] for row in kept], part.failures + failures
    )


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
        ClassifierError: if the classifier's answers are no probabilities.
    """
    names = explainer.record.class_names
    target = find_target(target, names) if isinstance(target, str) else int(check_target(target, 1, names)[0])
    request = {
        "model": explainer.fingerprint,
        "target": target,
        "reference": reference_name,
        "options": options,
    }
    facts = {
        "model": f"{explainer.record.data}, step {explainer.step}",
        "target": str(target) if isinstance(target, str) else names[target],
        **({"reference": reference_name} if reference_name else {}),
        **{name: f"{value:.4g}" if isinstance(value, float) else str(value) for name, value in options.items()},
    }
    with first_one_first("explain: begin"):
        folder = ResultFolder(path, request, inputs.names, explainer.record.class_names, overwrite and is_first())
    count = len(inputs.names)
    parts = -(-count // IMAGES)
    try:
        for number in range(jax.process_index(), parts, jax.process_count()):
            rows = list(range(number * IMAGES, min((number + 1) * IMAGES, count)))
            if folder.read(number) is None:
                images, good, failures = inputs.read(rows)
                found = explainer.explain_batches(images, target, reference=reference, **options) if good else ()
                read = [inputs.names[row] for row in good]
                folder.write(number, Part(found, np.asarray(to_unit(images)), read, failures))
            report(len(rows))
    except BaseException:
        if is_first():
            folder.finish(parts, facts)
        raise
    wait_for_all("explain: parts")
    with first_one_first("explain: end"):
        written = folder.finish(parts, facts) if is_first() else folder.rows()
    if not written:
        first = folder.read(0)
        reason = first and first.failures[0].reason
        raise InputError(f"none of the {count} images could be explained; the first: {reason}")
    if reference is not None and all(row["ending"] == "ALREADY_TARGET" for row in written):
        raise InputError(
            f"the reference image is of the exemplar's own class, {written[0]['target']}; take one of another class"
        )
    return written
