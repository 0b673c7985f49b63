"""A trained explainer as one folder that can be given away: weights, config, code table, metrics, a model card.

Arrays are safetensors and `.npz` without pickle; `package.json`, written last, has the SHA-256 of every file. A workdir
keeps its code table in the same file as a package.
"""

import json
import logging
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import safetensors.numpy
from flax.traverse_util import flatten_dict

from cae_jax.counterfactual import CodeTable
from cae_jax.workdir.checkpoints import file_digest
from cae_jax.workdir.classifier_store import LoadedClassifier
from cae_jax.workdir.files import write_npz, write_whole
from cae_jax.workdir.kept import read_kept
from cae_jax.workdir.record import RunRecord, write_record

log = logging.getLogger(__name__)
MANIFEST = "package.json"
MODEL, CLASSIFIER, METRICS, CARD = "model.safetensors", "classifier.safetensors", "metrics.json", "README.md"
CODE_TABLE = "code_table.npz"
LISTING = "listing.csv"  # which image is in which split, where the workdir says so
VERSION = 2  # 1 did not say what a classifier of another framework is known again by
SHOWN = (
    ("classifier_accuracy", "the classifier is right"),
    ("oracle_accuracy", "the oracle, a classifier that training never saw, is right"),
    ("swap_flip_rate", "the classifier gives a swap its donor's class"),
    ("swap_oracle_rate", "so does the oracle"),
    ("reconstruction_keep_rate", "reconstructions keep their class"),
    ("reconstruction_l1", "distance of reconstructions from images, in [0, 1]"),
    ("class_code_knn_accuracy", "class codes tell the class"),
    ("individual_code_leakage", "so do individual codes; the less the better"),
    ("individual_code_leakage_chance", "what would be chance for them"),
)


class Parts(NamedTuple):
    """What an `Explainer` is made of.

    Attributes:
        record: of the run.
        step: of the checkpoint.
        params: of the generator.
        classifier: that is explained.
        fingerprint: of checkpoint and classifier.
    """

    record: RunRecord
    step: int
    params: Any
    classifier: LoadedClassifier
    fingerprint: str


def load_code_table(workdir: pathlib.Path, fingerprint: str, data: str | None = None) -> CodeTable | None:
    """Reads the table kept in a workdir, or None where there is none of this model, classifier and data.

    Args:
        workdir: of the run.
        fingerprint: of checkpoint and classifier.
        data: fingerprint of the data set; None where it has not been opened: the table is then what is known of it.
    """
    path = workdir / CODE_TABLE

    def table(arrays: Mapping[str, np.ndarray]) -> CodeTable | None:
        if data is not None and "data" in arrays and str(arrays["data"]) != data:
            log.warning("the training images have changed since %s was made; it is made again", path)
            return None
        return _whole(CodeTable(**{name: arrays[name] for name in CodeTable._fields}))

    return read_kept(path, table, fingerprint=fingerprint)


def _whole(table: CodeTable) -> CodeTable:
    """The same table; a ValueError if it is none."""
    rows = len(table.class_codes)
    kinds = {"names": "U", "class_codes": "f", "labels": "iu", "predictions": "iu", "confidences": "f"}
    for name, array in table._asdict().items():
        if array.dtype.kind not in kinds[name] or array.ndim != 1 + (name == "class_codes") or len(array) != rows:
            raise ValueError(f"{name} is {array.dtype} {array.shape}")
    return table


def keep_code_table(workdir: pathlib.Path, table: CodeTable, fingerprint: str, data: str) -> None:
    """Writes a table into a workdir; one that cannot be written to costs time at the next start, and says so."""
    try:
        write_npz(workdir / CODE_TABLE, fingerprint=np.asarray(fingerprint), data=np.asarray(data), **table._asdict())
    except OSError as error:
        log.warning("the code table could not be kept in %s (%s); the next start makes it again", workdir, error)


def is_package(folder: pathlib.Path) -> bool:
    """Whether a folder is a package."""
    return (folder / MANIFEST).is_file()


def _write_tensors(path: pathlib.Path, params: Any) -> None:
    flat = flatten_dict(jax.device_get(params), sep="/")
    safetensors.numpy.save_file({name: np.ascontiguousarray(array) for name, array in flat.items()}, path)


def write_package(out: pathlib.Path, parts: Parts, table: CodeTable, workdir: pathlib.Path) -> None:
    """Writes a package; see `Explainer.load` for the way back.

    A classifier that was trained here goes along. One of another framework is named, with what it is known again by. A
    file of ONNX, and what it keeps beside it, must be in the package's folder or where the config says, wherever the
    package is used; anything else must be handed in.

    Args:
        out: a new or empty folder.
        parts: of the explainer.
        table: class codes of the training images.
        workdir: of the run, whose metrics and listing go along.

    Raises:
        FileExistsError: if the folder has something in it.
    """
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty; name another folder")
    out.mkdir(parents=True, exist_ok=True)
    for name in (METRICS, LISTING):
        if (workdir / name).exists():
            shutil.copyfile(workdir / name, out / name)
    scores = json.loads((out / METRICS).read_text()) if (out / METRICS).exists() else {}
    classifier = parts.classifier
    write_record(out, parts.record)
    _write_tensors(out / MODEL, parts.params)
    if classifier.params is not None:
        _write_tensors(out / CLASSIFIER, classifier.params)
    keep_code_table(out, table, parts.fingerprint, "")
    (out / CARD).write_text(model_card(parts.record, parts.step, classifier.facts, scores))
    files = sorted(path.name for path in out.iterdir())
    manifest = {
        "format": "cae_jax package",
        "version": VERSION,
        "step": parts.step,
        "fingerprint": parts.fingerprint,
        "classifier": {"facts": classifier.facts, "identity": classifier.identity._asdict()},
        "files": {name: file_digest(out / name) for name in files},
    }
    write_whole(out / MANIFEST, json.dumps(manifest, indent=1))


def _not_included(classifier: Mapping[str, Any]) -> str:
    path = classifier["path"]
    how = "put it here" if path.endswith(".onnx") else "hand it in: `Explainer.load(..., host_classifier=...)`"
    return f"{path} (not included; {how})"


def model_card(record: RunRecord, step: int, classifier: Mapping[str, Any], scores: Mapping[str, Any]) -> str:
    """Writes a model card in Markdown.

    Args:
        record: of the run.
        step: of the checkpoint.
        classifier: its facts.
        scores: the run's metrics; may be empty.
    """
    height, width, channels = record.image_shape
    named = f"included ({classifier['architecture']})" if "architecture" in classifier else _not_included(classifier)
    rows = [f"| `{name}` | {scores[name]:.3f} | {meaning} |" for name, meaning in SHOWN if name in scores]
    table = ["| | test split | |", "|---|---|---|", *rows] if rows else ["No metrics came with the run."]
    return "\n".join(
        [
            "# An explainer of an image classifier",
            "",
            "A class association embedding (Xie et al., ICDE 2024, arXiv 2406.07961) that `cae_jax` trained: it splits",
            "an image into a class code and an individual code, and shifts class codes until the classifier's answer",
            "flips.",
            "",
            f"- **Images**: {height}×{width}, {'grey' if channels == 1 else 'RGB'}",
            f"- **Classes**: {', '.join(record.class_names)}",
            f"- **Data**: {record.data or 'not named'}" + (f" ({record.note})" if record.note else ""),
            f"- **Classifier**: {named}",
            f"- **Checkpoint**: step {step}",
            "",
            "## Use",
            "",
            "    from cae_jax import Explainer",
            "",
            '    explainer = Explainer.load("THIS_FOLDER")',
            '    found = explainer.explain(images, target="any")  # [N, height, width, channels], uint8 or in [0, 1]',
            "    found.counterfactual, found.saliency, found.status",
            "",
            "or `cae explain --workdir THIS_FOLDER --input IMAGES/`.",
            "",
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
