"""Packages: a trained explainer as one self-contained folder with weights, config, code table, metrics and model card.

Arrays are stored as safetensors and as `.npz` without pickle. `package.json`, written last, has the SHA-256 of every
file but the model card, which is for people, may be edited, and is not read. A workdir saves its code table under the
same file name as a package. A tensor is stored in half precision where that loses nothing, as after `halved`, and is
read as float32 either way.
"""

import json
import logging
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from flax.traverse_util import flatten_dict

from cae_jax.classifiers import array_digest
from cae_jax.counterfactual import CodeTable, odds_of_probability
from cae_jax.errors import InputError
from cae_jax.file_names import printable
from cae_jax.workdir.checkpoints import file_digest
from cae_jax.workdir.classifier_store import LoadedClassifier, classifier_of
from cae_jax.workdir.files import write_npz, write_whole
from cae_jax.workdir.kept import read_kept
from cae_jax.workdir.record import SCORES as METRICS
from cae_jax.workdir.record import RunRecord, read_scores, write_record

log = logging.getLogger(__name__)
MANIFEST = "package.json"
MODEL, CLASSIFIER, CARD = "model.safetensors", "classifier.safetensors", "README.md"
CODE_TABLE = "code_table.npz"
TAGS = ("class-association-embedding", "counterfactual-explanations", "explainable-ai", "interpretability", "jax")
LISTING = "listing.csv"  # says which image is in which split; only some workdirs have it
# Version 3 had no half precision, 2 no answers to the training images themselves, 1 no identity of other classifiers.
VERSION = 4
SHOWN = (
    ("classifier_accuracy", "the classifier is right"),
    ("oracle_accuracy", "the oracle, a classifier that training never saw, is right"),
    ("svm_accuracy", "the SVM, a second judge, which is no network, is right"),
    ("swap_flip_rate", "the classifier gives a swap its donor's class"),
    ("swap_oracle_rate", "so does the oracle"),
    ("swap_svm_rate", "so does the SVM"),
    ("reconstruction_keep_rate", "reconstructions keep their class"),
    ("reconstruction_l1", "distance of reconstructions from images, in [0, 1]"),
    ("reconstruction_ssim", "structural similarity of reconstructions and images; 1 for equal ones"),
    ("class_code_knn_accuracy", "class codes tell the class"),
    ("individual_code_leakage", "so do individual codes; the less the better"),
    ("individual_code_leakage_chance", "what would be chance for them"),
)


class Parts(NamedTuple):
    """The parts of an `Explainer`.

    Attributes:
        record: record of the run: config, class names, image shape.
        step: training step of the checkpoint.
        params: parameters of the generator.
        classifier: classifier that is explained.
        fingerprint: fingerprint of checkpoint and classifier.
        verdict: why explanations are not to be relied on, and what to do; '' if nothing is known against them.
    """

    record: RunRecord
    step: int
    params: Any
    classifier: LoadedClassifier
    fingerprint: str
    verdict: str


def load_code_table(workdir: pathlib.Path, fingerprint: str, data: str | None = None) -> CodeTable | None:
    """Reads the code table saved in a workdir or package; None if there is none for this model, classifier and data.

    Args:
        workdir: folder of the run or package.
        fingerprint: fingerprint of checkpoint and classifier.
        data: fingerprint of the data set; None if it has not been opened, so that the data are not compared.
    """
    path = workdir / CODE_TABLE

    def table(arrays: Mapping[str, np.ndarray]) -> CodeTable | None:
        if data is not None and "data" in arrays and str(arrays["data"]) != data:
            log.warning("the training images have changed since %s was made; it is made again", path)
            return None
        if "confidences" not in arrays:
            return _whole(CodeTable(**{name: arrays[name] for name in CodeTable._fields}))
        if is_package(workdir):
            log.warning(
                "%s is of an earlier cae_jax: its 'typical' is how sure the classifier is of reconstructions, not of "
                "the images themselves",
                workdir,
            )
            return _of_reconstructions(arrays)
        log.info("%s is of an earlier cae_jax; it is made again", path)
        return None

    return read_kept(path, table, fingerprint=fingerprint)


def _of_reconstructions(arrays: Mapping[str, np.ndarray]) -> CodeTable:
    """An earlier code table, in which the answers to reconstructions, as probabilities, stand for those to images."""
    kept = {name: arrays[name] for name in ("names", "class_codes", "labels", "predictions")}
    odds = np.asarray([odds_of_probability(float(p)) for p in arrays["confidences"]], np.float32)
    return _whole(CodeTable(**kept, odds=odds, image_predictions=kept["predictions"], image_odds=odds))


def _whole(table: CodeTable) -> CodeTable:
    """Returns a code table after checking the types and shapes of its arrays; raises ValueError if they are wrong."""
    rows = len(table.class_codes)
    kinds = {"names": "U", "class_codes": "f", "labels": "iu", "predictions": "iu", "odds": "f"}
    kinds |= {"image_predictions": "iu", "image_odds": "f"}
    for name, array in table._asdict().items():
        if array.dtype.kind not in kinds[name] or array.ndim != 1 + (name == "class_codes") or len(array) != rows:
            raise ValueError(f"{name} is {array.dtype} {array.shape}")
    return table


def _write_code_table(folder: pathlib.Path, table: CodeTable, fingerprint: str, data: str) -> None:
    write_npz(folder / CODE_TABLE, fingerprint=np.asarray(fingerprint), data=np.asarray(data), **table._asdict())


def keep_code_table(workdir: pathlib.Path, table: CodeTable, fingerprint: str, data: str) -> None:
    """Saves a code table in a workdir; if it cannot be written, a warning is logged, and the next start remakes it.

    Args:
        workdir: folder of the run.
        table: code table.
        fingerprint: fingerprint of checkpoint and classifier.
        data: fingerprint of the data set.
    """
    try:
        _write_code_table(workdir, table, fingerprint, data)
    except OSError as error:
        log.warning("the code table could not be kept in %s (%s); the next start makes it again", workdir, error)


def is_package(folder: pathlib.Path) -> bool:
    """Whether a folder is a package."""
    return (folder / MANIFEST).is_file()


def _rounded(params: Any) -> Any:
    """Parameters, as float32, with the digits that half precision has.

    Raises:
        InputError: if one is too large for it.
    """
    with np.errstate(over="ignore"):  # looked for below
        rounded = jax.tree.map(lambda array: np.asarray(array).astype(np.float16).astype(np.float32), params)
    if not all(np.isfinite(array).all() for array in jax.tree.leaves(rounded)):
        most = np.finfo(np.float16).max
        raise InputError(f"a weight is beyond {most:,.0f}, the most that half precision has; make the package without")
    return jax.tree.map(jnp.asarray, rounded)


def halved(parts: Parts) -> Parts:
    """The explainer with its weights rounded to half precision, which is another one: so is its fingerprint.

    A classifier that was not trained here stays as it is.

    Raises:
        InputError: if a weight is too large for half precision.
    """
    params, classifier = _rounded(parts.params), parts.classifier
    if classifier.params is not None:
        classifier = classifier_of(_rounded(classifier.params), classifier.facts)
    fingerprint = f"{array_digest(flatten_dict(params, sep='/'))[:16]}-{classifier.fingerprint[:16]}"
    return parts._replace(params=params, classifier=classifier, fingerprint=fingerprint)


def _as_stored(array: Any) -> np.ndarray:
    """An array in half precision if nothing is lost by it, else as it is."""
    array = np.ascontiguousarray(array)
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    return half if np.array_equal(half, array) else array


def _is_half(params: Any) -> bool:
    return all(_as_stored(array).dtype == np.float16 for array in jax.tree.leaves(jax.device_get(params)))


def _write_tensors(path: pathlib.Path, params: Any) -> None:
    flat = flatten_dict(jax.device_get(params), sep="/")
    write_whole(path, safetensors.numpy.save({name: _as_stored(array) for name, array in flat.items()}))


def check_new(out: pathlib.Path) -> None:
    """Raises `FileExistsError` if there is something in a folder."""
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty; name another folder")


def write_package(
    out: pathlib.Path,
    parts: Parts,
    table: CodeTable,
    workdir: pathlib.Path,
    *,
    note: str = "",
    license: str = "",
    address: str = "THIS_FOLDER",
) -> None:
    """Writes a package, which `Explainer.load` reads.

    A classifier that was trained by the run is included. One of another framework is only named, with the fingerprints
    of its files and answers. Where the package is used, an ONNX file and its external data must be in the package's
    folder or at the path that the config says; any other classifier must be passed to `Explainer.load`.

    Args:
        out: path of a new or empty folder.
        parts: parts of the explainer.
        table: code table of the training images.
        workdir: folder of the run, whose metrics and listing are included.
        note: text for the model card, such as how the model was made.
        license: identifier of the licence, for the model card; may be empty.
        address: what the model card calls the package where it says how to load it.

    Raises:
        FileExistsError: if the folder is not empty.
    """
    check_new(out)
    out.mkdir(parents=True, exist_ok=True)
    scores = read_scores(workdir, parts.step)
    for name, there in ((METRICS, bool(scores)), (LISTING, (workdir / LISTING).exists())):
        if there:
            shutil.copyfile(workdir / name, out / name)
    classifier = parts.classifier
    write_record(out, parts.record)
    _write_tensors(out / MODEL, parts.params)
    if classifier.params is not None:
        _write_tensors(out / CLASSIFIER, classifier.params)
    _write_code_table(out, table, parts.fingerprint, "")
    files = sorted(path.name for path in out.iterdir())
    card = model_card(parts, scores, note=note, license=license, address=address)
    (out / CARD).write_text(card, encoding="utf-8")
    manifest = {
        "format": "cae_jax package",
        "version": VERSION,
        "step": parts.step,
        "fingerprint": parts.fingerprint,
        "verdict": parts.verdict,
        "classifier": {"facts": classifier.facts, "identity": classifier.identity._asdict()},
        "files": {name: file_digest(out / name) for name in files},
    }
    write_whole(out / MANIFEST, json.dumps(manifest, indent=1))


def _not_included(classifier: Mapping[str, Any]) -> str:
    path = classifier["path"]
    how = "put it here" if path.endswith(".onnx") else "hand it in: `Explainer.load(..., host_classifier=...)`"
    return f"{printable(path)} (not included; {how})"


def model_card(
    parts: Parts, scores: Mapping[str, Any], *, note: str = "", license: str = "", address: str = "THIS_FOLDER"
) -> str:
    """Writes a model card in Markdown, headed by what model hubs read: library, licence, tags.

    It names no task of a hub's (`pipeline_tag`): none of them is an explanation, and their tools would call the model
    as a classifier.

    Args:
        parts: parts of the explainer.
        scores: metrics of the run, by name; may be empty.
        note: text on how the model was made; may be empty.
        license: identifier of the licence; may be empty.
        address: what `Explainer.load` is shown to take.
    """
    record, classifier = parts.record, parts.classifier.facts
    height, width, channels = record.image_shape
    named = f"included ({classifier['architecture']})" if "architecture" in classifier else _not_included(classifier)
    half = _is_half(parts.params)
    rows = [f"| `{name}` | {scores[name]:.3f} | {meaning} |" for name, meaning in SHOWN if scores.get(name) is not None]
    table = ["| | test split | |", "|---|---|---|", *rows] if rows else ["No metrics came with the run."]
    return "\n".join(
        [
            "---",
            "library_name: cae_jax",
            *([f"license: {license}"] if license else []),
            "tags:",
            *(f"- {tag}" for tag in TAGS),
            "---",
            "",
            "# An explainer of an image classifier",
            "",
            "A class association embedding (Xie et al., ICDE 2024, [arXiv 2406.07961](https://arxiv.org/abs/2406.07961))",
            "that `cae_jax` trained: it splits an image into a class code and an individual code, and shifts class",
            "codes until the classifier's answer flips.",
            "",
            f"- **Images**: {height}×{width}, {'grey' if channels == 1 else 'RGB'}",
            f"- **Classes**: {', '.join(map(printable, record.class_names))}",
            f"- **Data**: {printable(record.data) or 'not named'}"
            + (f" ({printable(record.note)})" if record.note else ""),
            f"- **Classifier**: {named}",
            f"- **Checkpoint**: step {parts.step}",
            *(["- **Weights**: rounded to half precision after the scores below were measured"] if half else []),
            *([f"- **Not to be relied on**: {parts.verdict}"] if parts.verdict else []),
            "",
            "## Use",
            "",
            "    from cae_jax import Explainer",
            "",
            f'    explainer = Explainer.load("{address}")',
            '    found = explainer.explain(images, target="any")  # [N, height, width, channels], uint8 or in [0, 1]',
            "    found.counterfactual, found.saliency, found.status",
            "",
            f"or `cae explain --workdir {address} --input IMAGES/`.",
            "",
            *(["## How it was made", "", note, ""] if note else []),
            "## What it reached",
            "",
            *table,
            "",
            "## Limits",
            "",
            "It explains this classifier on images like those it was trained on, and nothing else. A counterfactual",
            "shows what would change the classifier's answer; whether that makes the difference in the world is",
            "another question. Endings say where no counterfactual was found: leave them in whatever you count.",
            "",
        ]
    )
