"""Classifiers that were not trained here, behind the one signature that everything else uses."""

import pathlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np

from cae_jax.classifiers.callables import import_function, importable, named_function
from cae_jax.classifiers.contract import PLAIN, Classifier, Contract
from cae_jax.classifiers.fingerprint import Identity, ask, classifier_files, file_digest
from cae_jax.classifiers.onnx_models import load_onnx
from cae_jax.classifiers.preparation import AS_IT_IS, Preparation
from cae_jax.classifiers.torch_models import load_torch

KINDS = ("auto", "jax", "python", "torch", "onnx")
HOST_BATCH = 256  # images a call of a file's model that takes any number
BY_SUFFIX = {".pt2": "torch", ".onnx": "onnx"}
USUAL = (32, 32, 3)  # shape of the fixed images where nobody says what shape is explained


@dataclass(frozen=True)
class Reference:
    """Where a classifier is, and how it wants to be asked.

    Attributes:
        path: a file (`torch.export`'s .pt2, .onnx), or `module:function` or `path/to/file.py:function`: for the kinds
            'jax' and 'python' a function from prepared images to outputs, for 'torch' one that builds the module.
        kind: 'jax' (traced, differentiated), 'python' (called with numpy arrays), 'torch', 'onnx', or 'auto', by the
            file's ending.
        weights: a state dict for what a torch function builds; '' for none.
        preparation: preparation of the images that it is asked about.
        contract: how outputs are read.
        device: device that torch or onnxruntime computes on.
        unpickle: whether files of weights may run code, see `read_tensors`.
    """

    path: str
    kind: str = "auto"
    weights: str = ""
    preparation: Preparation = AS_IT_IS
    contract: Contract = PLAIN
    device: str = "cpu"
    unpickle: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")


class Foreign(NamedTuple):
    """A classifier of another kind.

    Attributes:
        predict: function from images `[batch, height, width, channels]` in [0, 1] to probabilities `[batch, K]`; rows
            are not finite where it has no answer.
        traceable: whether JAX can trace and differentiate it; else it takes and returns numpy arrays.
        identity: fingerprints that it is known again by.
        check: function that asks about images `[N, height, width, channels]` in [0, 1], given the class names, see
            `Classifier.check`.
    """

    predict: Callable[[Any], Any]
    traceable: bool
    identity: Identity
    check: Callable[[np.ndarray, Sequence[str]], bool]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its files, of how it is asked, and of its answers to a few fixed images."""
        return self.identity.fingerprint


def _kind(reference: Reference) -> str:
    suffix = pathlib.Path(reference.path).suffix
    if suffix == ".py":
        raise ValueError(f"{reference.path} is a Python file; name a function of it, as in {reference.path}:function")
    if reference.kind != "auto":
        return reference.kind
    if named_function(reference.path) is not None:
        raise ValueError(f"{reference.path} may be anything; say with kind = 'jax', 'python' or 'torch' what it is")
    if suffix in BY_SUFFIX:
        return BY_SUFFIX[suffix]
    raise ValueError(
        f"{reference.path} is neither a folder of ours nor a file ending in {' or '.join(BY_SUFFIX)}. Of PyTorch, name "
        f"a file of torch.export.save, or module:function that builds the model (torch.jit.load in it reads "
        f"TorchScript) and, if need be, its weights"
    )


def reference_settings(reference: Reference) -> dict[str, str]:
    """How a classifier is asked and read, as its identity keeps it."""
    named, contract = named_function(reference.path), reference.contract
    given = {f"input.{key}": value for key, value in asdict(reference.preparation).items()}
    given |= {key: getattr(contract, key) for key in ("output", "columns", "head", "finding")}
    given |= {"function": named.function if named else ""}
    return {key: str(value) for key, value in given.items()}


def _identity(reference: Reference, classifier: Classifier, shape: tuple[int, int, int] | None) -> Identity:
    """What a classifier is known again by."""
    height, width = reference.preparation.size or USUAL[:2]
    usual = (height, width, reference.preparation.channels or USUAL[2])
    predict = jax.jit(classifier.predict) if classifier.traceable else classifier.predict
    answers = ask(predict, shape or usual)  # first: what it imports is then there
    files = {name: file_digest(file) for name, file in classifier_files(reference.path, reference.weights).items()}
    return Identity(files, reference_settings(reference), answers)


def _loaded(reference: Reference, kind: str) -> tuple[Callable[[Any], Any], int, int]:
    """The function from prepared images to outputs, its batch size if it has one, and the most images of a call."""
    if kind in ("jax", "python"):
        return import_function(reference.path), 0, 0
    if kind == "torch":
        function, fixed = load_torch(
            reference.path, weights=reference.weights, device=reference.device, unpickle=reference.unpickle
        )
    else:
        function, fixed = load_onnx(pathlib.Path(reference.path), reference.device, reference.preparation.is_levels)
    return function, fixed, HOST_BATCH


def load_foreign(reference: Reference, image_shape: tuple[int, int, int] | None = None) -> Foreign:
    """Opens a classifier that was not trained here.

    Args:
        reference: place of the classifier, and how it wants to be asked.
        image_shape: height, width, channels of the images that it will be asked about; None where nobody knows yet.

    Raises:
        ValueError: naming the file or function that is not what it should be, and what to do.
    """
    kind, named, contract = _kind(reference), named_function(reference.path), reference.contract
    for name in (reference.weights, "" if named else reference.path):
        if name and not pathlib.Path(name).is_file():
            raise ValueError(f"{name} does not exist (looked for it from {pathlib.Path.cwd()})")
    if named is None and kind in ("jax", "python"):
        raise ValueError(f"{reference.path} is no function; name module:function or path/to/file.py:function")
    folders = named.folders if named else (str(pathlib.Path.cwd()),)
    with importable(folders):
        function, fixed, most = _loaded(reference, kind)
    if fixed and contract.batch_size not in (0, fixed):
        raise ValueError(f"{reference.path} takes batches of {fixed}, so batch_size cannot be {contract.batch_size}")
    classifier = Classifier(
        function,
        reference.preparation,
        replace(contract, batch_size=contract.batch_size or fixed),
        traceable=kind == "jax",
        most=most,
        folders=folders,
    )
    return Foreign(
        classifier.predict, classifier.traceable, _identity(reference, classifier, image_shape), classifier.check
    )


def wrap_function(function: Callable[[Any], Any]) -> Classifier:
    """A classifier handed in as a function: images `[batch, height, width, channels]` in [0, 1] to probabilities."""
    return Classifier(function, contract=Contract(head="probabilities", part=""))
