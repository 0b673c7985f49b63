"""Jobs: explain many images part by part into a folder, so that an interrupted job can continue.

A job is identified by its model, classifier, target, reference, options and the names of its images. If any of them
differs, it is another job, and a folder that holds results of the first one is refused. If an image with the same name
has changed contents, its part (the images explained together with it) is made again; so is a part with failures, once
one of them no longer fails.
"""

import contextlib
import dataclasses
import functools
import logging
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from cae_jax.classifiers import array_digest
from cae_jax.errors import InputError
from cae_jax.explaining.explainer import IMAGES, Explainer, check_reference
from cae_jax.explaining.inputs import Failure, FromFiles, Inputs
from cae_jax.explaining.outputs import Part, ResultFolder
from cae_jax.explaining.requests import check_target, find_target
from cae_jax.images import to_unit
from cae_jax.options import read_options
from cae_jax.parallel.processes import first_one_first, is_first, wait_for_all
from cae_jax.types import Ending, Picture
from cae_jax.workdir.lock import hold
from cae_jax.workdir.record import versions

UNANSWERED = "the classifier has no finite answer to it"
log = logging.getLogger(__name__)


def _parts(count: int) -> list[list[int]]:
    """The rows of images in each part of a job of `count` images."""
    return [list(range(start, min(start + IMAGES, count))) for start in range(0, count, IMAGES)]


def _forget_changed(folder: ResultFolder, inputs: Inputs) -> None:
    """Deletes parts of which any image has changed its contents, so that they are made again."""
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
    """Makes a part, unless it exists already and its failed images, if any, still fail."""
    part = folder.read(number)
    if part is None:
        folder.write(number, make(rows))
        return
    failed = {failure.name for failure in part.failures}
    again = [row for row in rows if names[row] in failed]
    if again and make(again).names:
        folder.write(number, make(rows))


def _whole_pictures(inputs: Inputs) -> Callable[[str], Picture | None]:
    """The whole picture that an image was made of, by the image's name; None of inputs that are no files."""
    if not isinstance(inputs, FromFiles):
        return lambda name: None
    rows = {name: row for row, name in enumerate(inputs.names)}
    return lambda name: inputs.picture(rows[name])


def explain_to_folder(
    explainer: Explainer,
    inputs: Inputs,
    target: str | int,
    path: pathlib.Path,
    *,
    reference: np.ndarray | None = None,
    reference_name: str = "",
    overwrite: bool = False,
    sheet: bool = False,
    report: Callable[[int], object] = lambda images: None,
    **options: Any,
) -> list[dict[str, Any]]:
    """Explains images into a folder, and continues a job that was interrupted there.

    An interrupted job leaves a page of what is done so far. Several processes share the images; the first one merges
    the results into the same files that a single process would write.

    Args:
        explainer: explainer of a trained run.
        inputs: images to explain.
        target: target class, by name or number, or 'any' or 'all' (see `Explainer.explain`).
        path: path of the folder; the module `outputs` lists its files.
        reference: image `[height, width, channels]` that all paths lead to, or None.
        reference_name: name of the reference.
        overwrite: whether to replace the results of another job.
        sheet: whether to draw a contact sheet, too: a PDF and PNG files of its pages, in the folder `sheet`.
        report: function called after each part with its number of images.
        **options: fields of `ExplainOptions`.

    Returns:
        The rows of `explanations.json`.

    Raises:
        InputError: if none of the images can be read or used, or the folder holds results of another job.
        ConfigError: if another job is running in the folder.
        ClassifierError: if the classifier's answers are not probabilities.
    """
    names = explainer.record.class_names
    target = find_target(target, names) if isinstance(target, str) else int(check_target(target, 1, names)[0])
    settings = dataclasses.asdict(read_options(options))
    if reference is not None:
        explainer.toward_reference(reference, check_target(target, 1, names), 1)  # refused before anything is written
    request = {
        "checkpoint and classifier": explainer.fingerprint,
        "target": target,
        "reference": "" if reference is None else array_digest({"reference": reference}),
        "options": settings,
        "class_names": explainer.record.class_names,
        "cae_jax": versions()["cae_jax"],
    }
    facts = {
        "model": f"{explainer.record.data}, step {explainer.step}",
        "target": str(target) if isinstance(target, str) else names[target],
        **({"reference": reference_name} if reference_name else {}),
        **{
            name: f"{settings[name]:.9g}" if isinstance(settings[name], float) else str(settings[name])
            for name in options
        },
    }

    def make(rows: Sequence[int]) -> Part:
        digests = inputs.digests(rows)  # before reading: if a file changes in between, the next start notices
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
        whole = _whole_pictures(inputs)
        finish = functools.partial(folder.finish, facts=facts, verdict=explainer.verdict, sheet=sheet, whole=whole)
        written = _fill(folder, inputs.names, make, finish, report)
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
    finish: Callable[[int], list[dict[str, Any]]],
    report: Callable[[int], object],
) -> list[dict[str, Any]]:
    """Makes this process's parts and merges the parts of all processes; if interrupted, it merges those that exist."""
    parts = _parts(len(names))
    try:
        for number in range(jax.process_index(), len(parts), jax.process_count()):
            _renew(folder, number, parts[number], names, make)
            report(len(parts[number]))
    except BaseException:
        if is_first():
            finish(len(parts))
        raise
    wait_for_all("explain: parts")
    with first_one_first("explain: end"):
        return finish(len(parts)) if is_first() else folder.rows()
