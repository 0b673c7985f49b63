"""Loads what an `Explainer` is made of from a folder: the best checkpoint of a run and its classifier, or a package.

A few packages come with this one, in `cae_jax/shipped/`, and are found by name; others are fetched from a model hub.

A package may come from a stranger, so whatever its files say, reading it runs no code of theirs. Its classifier is
included, or is an ONNX file, which is data. Any other classifier (a function, or a PyTorch file, which contains a
pickle) must be passed by whoever loads the package.
"""

import difflib
import json
import logging
import pathlib
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from flax.traverse_util import flatten_dict, unflatten_dict

from cae_jax import classifiers
from cae_jax.classifiers import Identity, read_identity
from cae_jax.config.presets import official
from cae_jax.config.reading import Config, ConfigError, flatten
from cae_jax.explaining import hub
from cae_jax.explaining.package import (
    CARD,
    CLASSIFIER,
    CODE_TABLE,
    LISTING,
    MANIFEST,
    MODEL,
    VERSION,
    Parts,
    is_package,
    load_code_table,
)
from cae_jax.types import HostClassifier
from cae_jax.workdir.checkpoints import CheckpointError, CheckpointStore, file_digest
from cae_jax.workdir.classifier_store import (
    HANDED_IN,
    LoadedClassifier,
    classifier_of,
    handed_in,
    kept_identity,
    load_named,
    other_classifier,
)
from cae_jax.workdir.generator import generator_of, load_generator, padded_shape, parameter_shapes
from cae_jax.workdir.record import FILE as RECORD
from cae_jax.workdir.record import RunRecord, read_record
from cae_jax.workdir.verdict import read_verdict

SHIPPED = pathlib.Path(__file__).parents[1] / "shipped"
ANOTHER = "the classifier that was handed in is not known to be the one that %s was made for"
log = logging.getLogger(__name__)


def shipped_explainers() -> dict[str, pathlib.Path]:
    """The folders of the explainers that come with the package, by name."""
    return {folder.name: folder for folder in sorted(SHIPPED.iterdir()) if is_package(folder)}


def find_explainer(name: str | pathlib.Path) -> pathlib.Path:
    """Finds the folder of an explainer by path or, if nothing is there, among the shipped ones by name.

    A package on the Hugging Face Hub, `hf://OWNER/NAME`, is brought here.

    Raises:
        ConfigError: if there is none.
        HubError: if it cannot be brought from the hub.
    """
    if hub.is_address(name):
        return hub.download(str(name))
    path, shipped = pathlib.Path(name), shipped_explainers()
    named = shipped.get(str(path))
    if path.exists():
        if named and not is_package(path) and not (path / RECORD).exists():
            log.warning("%s is taken for a path here; the explainer of that name that comes along is %s", path, named)
        return path
    if named is None:
        near = difflib.get_close_matches(str(path), shipped, 1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        raise ConfigError(
            f"{path} holds no run: there is no such folder; train one with cae train --config CONFIG --workdir {path}, "
            f"or name an explainer that comes along: {', '.join(shipped)}{meant}"
        )
    return named


def results_folder(workdir: str | pathlib.Path, kind: str) -> pathlib.Path:
    """Where results go by default: into the workdir or package; if it is shipped or on a hub, into the current folder.

    Args:
        workdir: path, name or address of the explainer, as `find_explainer` takes it.
        kind: name of the folder for results of this kind, such as 'explained'.
    """
    if hub.is_address(workdir):
        return pathlib.Path(kind, *hub.read_address(str(workdir))[:2])
    folder = find_explainer(workdir)
    return pathlib.Path(kind, folder.name) if folder.parent == SHIPPED else folder / kind


def load_parts(workdir: pathlib.Path, host_classifier: HostClassifier | None = None) -> Parts:
    """Reads a workdir or a package.

    Args:
        workdir: folder of a run, or of a package.
        host_classifier: function to explain instead of the classifier that the run was trained for, which is then not
            opened.

    Raises:
        ConfigError: if the folder holds no run, or a damaged record of one.
        CheckpointError: if there is no complete checkpoint yet, or the classifier is damaged or not the one that the
            run was trained for.
    """
    if is_package(workdir):
        return read_package(workdir, host_classifier)
    record = read_record(workdir)
    store = CheckpointStore(workdir / "checkpoints")
    step = store.best()
    if step is None:
        raise CheckpointError(
            f"{workdir} has no whole checkpoint yet; train it first: cae train --config CONFIG --workdir {workdir}"
        )
    facts = store.facts(step)
    if "score" not in facts:
        log.warning(
            "%s: the checkpoint of step %d was saved when training was interrupted and was never validated; the same "
            "train.py command goes on from there",
            workdir,
            step,
        )
    if host_classifier is None:
        classifier = _own_classifier(workdir, record)
    else:
        classifier = _handed_in(host_classifier, record, kept_identity(workdir, "classifier"))
        if not classifier.facts and record.config.classifier.path == HANDED_IN:
            log.warning(ANOTHER, workdir)
    return Parts(
        record,
        step,
        load_generator(record, store, step),
        classifier,
        f"{store.seal(step)[:16]}-{classifier.fingerprint[:16]}",
        read_verdict(workdir, record.config, facts, store.newest() or step),
    )


def _handed_in(function: HostClassifier, record: RunRecord, known: Identity | None) -> LoadedClassifier:
    """A classifier that was handed in; where it answers as the known one does, under the identity and name of that."""
    classifier = handed_in(function, record.image_shape)
    if known is None or not known.answers or not classifiers.same_answers(known, classifier.identity):
        return classifier
    return classifier._replace(identity=known, facts={"path": record.config.classifier.path})


def _own_classifier(workdir: pathlib.Path, record: RunRecord) -> LoadedClassifier:
    """Loads the classifier that a run was trained for.

    Raises:
        CheckpointError: if the classifier is another one by now.
    """
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


def _read_tensors(path: pathlib.Path, like: Any) -> Any:
    """Reads parameters from a safetensors file, as float32; names and shapes must be those of `like`.

    Raises:
        CheckpointError: if the file cannot be read or does not fit.
    """
    try:
        flat = safetensors.numpy.load_file(path)
    except (OSError, ValueError, MemoryError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    wanted = {name: leaf.shape for name, leaf in flatten_dict(like, sep="/").items()}
    found = {name: array.shape for name, array in flat.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name) or flat[name].dtype not in (np.float32, np.float16):
            is_there, should = found.get(name, "missing"), wanted.get(name, "there")
            raise CheckpointError(f"{path} does not fit its {RECORD}: {name} is {is_there}, and should be {should}")
    return jax.tree.map(lambda array: jnp.asarray(array, jnp.float32), unflatten_dict(flat, sep="/"))


def _manifest(folder: pathlib.Path) -> dict[str, Any]:
    """Reads a package's manifest, checks every file against it, and returns it.

    Raises:
        CheckpointError: if the manifest or a file is damaged, or the package's version is unknown.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text())
        version = manifest["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: {error!r}") from error
    if version not in range(1, VERSION + 1):
        raise CheckpointError(
            f"{folder} is a package of version {version}; this cae_jax reads versions 1 to {VERSION}: take a newer one"
        )
    kinds = {"step": int, "fingerprint": str, "classifier": dict, "files": dict}
    wrong = [name for name, kind in kinds.items() if not isinstance(manifest.get(name), kind)]
    wrong += ["verdict"] * (not isinstance(manifest.get("verdict", ""), str))
    if wrong or not isinstance(manifest["classifier"].get("facts"), dict):
        raise CheckpointError(f"{path} is damaged: what it has as {', '.join(wrong or ['classifier'])} is none")
    _check_files(folder, manifest["files"])
    return manifest


def _check_files(folder: pathlib.Path, files: dict[str, Any]) -> None:
    for name in (RECORD, MODEL, CODE_TABLE):
        if name not in files:
            raise CheckpointError(f"{folder / MANIFEST} is damaged: it lists no {name}")
    for name in (CLASSIFIER, LISTING):
        if name not in files and (folder / name).exists():
            raise CheckpointError(f"{folder} has a {name} that was not packaged with it; take it away")
    for name, digest in files.items():
        if name == CARD:  # listed by earlier packages
            continue
        if pathlib.PurePath(name).name != name or "\\" in name or name == "..":
            raise CheckpointError(f"{folder / MANIFEST} is damaged: {name!r} is no file of the package")
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} is damaged: {name} is missing")
        if file_digest(folder / name) != digest:
            raise CheckpointError(f"{folder} is damaged: the contents of {name} are not those that were packaged")


def _record(folder: pathlib.Path) -> RunRecord:
    """Reads a package's record and checks the types of its values.

    Raises:
        ConfigError: if a value has a wrong type.
    """
    record, known = read_record(folder), flatten(official())
    given = flatten(record.config)
    for key, value in given.items():
        if key in known and not _alike(value, known[key]):
            raise ConfigError(f"{folder / RECORD} is damaged: config.{key} is {value!r}")
    facts = {
        "data": isinstance(record.data, str),
        "note": isinstance(record.note, str),
        "class_names": len(record.class_names) > 1 and all(isinstance(name, str) for name in record.class_names),
        "image_shape": len(record.image_shape) == 3 and all(type(n) is int and n > 0 for n in record.image_shape),
    }
    for name, right in facts.items():
        if not right:
            raise ConfigError(f"{folder / RECORD} is damaged: {name} is {getattr(record, name)!r}")
    return record


def _alike(value: Any, example: Any) -> bool:
    """Whether a config's value has the type of an example; an int is accepted for a float."""
    if isinstance(example, tuple):
        return isinstance(value, tuple) and all(isinstance(part, (int, float, str)) for part in value)
    return type(value) is type(example) or (isinstance(example, float) and type(value) is int)


def _packed_classifier(folder: pathlib.Path, record: RunRecord, facts: dict[str, Any]) -> LoadedClassifier:
    """Loads the classifier that is included in a package."""
    try:
        network = classifiers.make_classifier(facts["architecture"], len(record.class_names))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / MANIFEST} is damaged: there is no such classifier ({error!r})") from error
    images = jnp.zeros((1, *record.image_shape))
    like = jax.eval_shape(network.init, jax.random.key(0), images)["params"]
    facts = facts | {"num_classes": len(record.class_names)}
    return classifier_of(_read_tensors(folder / CLASSIFIER, like), facts)


def _say_hand_in(folder: pathlib.Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"{why}. Hand it in, if you have it and trust it: Explainer.load({str(folder)!r}, host_classifier=...), a "
        f"function of images in [0, 1], [N, height, width, channels], to probabilities [N, K]"
    )


def _onnx_settings(folder: pathlib.Path, settings: Config, files: Iterable[str]) -> Config:
    """Returns the config's classifier settings with the actual path of its ONNX file; code and pickles are refused.

    Raises:
        CheckpointError: if the classifier is not an ONNX file, or the file is missing.
    """
    named = pathlib.Path(settings.path)
    if named.suffix != ".onnx" or settings.kind not in ("auto", "onnx") or settings.weights:
        raise _say_hand_in(
            folder,
            f"{folder} was made for the classifier {settings.path}, which is code or may hold some, and a package is "
            f"never a reason to run any",
        )
    beside = folder / named.name
    if not beside.is_file() and not named.is_file():
        raise CheckpointError(
            f"{folder} was made for the classifier {settings.path}, which is neither there nor in the package's "
            f"folder: put {', '.join(sorted(files)) or named.name} into {folder}"
        )
    found = settings.copy_and_resolve_references()
    found.update(path=str(beside if beside.is_file() else named), kind="onnx", unpickle_runs_code=False)
    return found


def _named_classifier(folder: pathlib.Path, record: RunRecord, identity: Identity | None) -> LoadedClassifier:
    """Loads the classifier that a package names, if it is an ONNX file and still the one the package was made for.

    Raises:
        CheckpointError: if it is not.
    """
    if identity is None:
        path = record.config.classifier.path
        raise _say_hand_in(folder, f"{folder} is of an earlier cae_jax, which did not note what {path} consists of")
    settings = _onnx_settings(folder, record.config.classifier, identity.files)
    present = {n: file_digest(f) for n, f in classifiers.classifier_files(settings.path, "").items()}
    changed = [n for n, digest in identity.files.items() if n in present and present[n] != digest]
    missing = sorted(identity.files.keys() - present.keys())
    if missing and not changed:
        where = pathlib.Path(settings.path).parent
        raise CheckpointError(f"the classifier {settings.path} needs {', '.join(missing)}: put it into {where}")
    problem = [f"{name} has other contents" for name in changed]
    if not problem:  # files are opened only after their contents were compared
        loaded = load_named(settings, folder, "classifier", record.image_shape)
        problem = classifiers.differences(identity, loaded.identity)
        if not problem:
            return loaded._replace(identity=identity)
    raise CheckpointError(
        f"the classifier {settings.path} is not the one that {folder} was made for: {'; '.join(problem)}. Put that one "
        f"into {folder}, or hand another one in on purpose: Explainer.load({str(folder)!r}, host_classifier=...)"
    )


def read_package(folder: pathlib.Path, host_classifier: HostClassifier | None = None) -> Parts:
    """Reads a folder that `write_package` wrote.

    Args:
        folder: path of the package.
        host_classifier: function to explain instead of the classifier that the package includes or names. If it gives
            the same answers to a few fixed images, it counts as the same classifier; otherwise a warning is logged.

    Raises:
        CheckpointError: if a file is missing or changed, or the classifier must be passed; it names the file or the
            classifier.
        ConfigError: if the record is damaged.
    """
    manifest = _manifest(folder)
    record = _record(folder)
    try:
        model = generator_of(record)
        like = parameter_shapes(model, padded_shape(model, record.image_shape))
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise ConfigError(f"{folder / RECORD} is damaged: there is no such model ({error})") from error
    params, entry = _read_tensors(folder / MODEL, like), manifest["classifier"]
    try:
        identity = read_identity(entry["identity"]) if manifest["version"] > 1 else None
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{folder / MANIFEST} is damaged: {error}") from error
    fingerprint = manifest["fingerprint"]
    if host_classifier is not None:
        classifier = _handed_in(host_classifier, record, identity)
        if not classifier.facts:
            log.warning(ANOTHER, folder)
            fingerprint += f"-{classifier.fingerprint[:16]}"
    elif CLASSIFIER in manifest["files"]:
        classifier = _packed_classifier(folder, record, entry["facts"])
    else:
        classifier = _named_classifier(folder, record, identity)
    if load_code_table(folder, manifest["fingerprint"]) is None:
        raise CheckpointError(f"{folder / CODE_TABLE} is damaged: it holds no class codes of this model")
    return Parts(record, manifest["step"], params, classifier, fingerprint, manifest.get("verdict", ""))
