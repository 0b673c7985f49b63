"""Classifiers that were not trained here, behind the one signature that everything else uses."""

import pathlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from cae_jax.classifiers.callables import import_function
from cae_jax.classifiers.fingerprint import Identity, ask, classifier_files, file_digest
from cae_jax.classifiers.onnx_models import load_onnx
from cae_jax.classifiers.preparation import AS_IT_IS, Preparation, make_head
from cae_jax.classifiers.torch_models import load_torch

KINDS = ("auto", "jax", "python", "torch", "onnx")
BY_SUFFIX = {".pt2": "torch", ".onnx": "onnx"}
PLACES = ("path", "kind", "weights", "device", "unpickle", "batch_size")  # of a reference: where, not what
USUAL = (32, 32, 3)  # shape of the fixed images where nobody says what shape is explained


@dataclass(frozen=True)
class Reference:
    """Where a classifier is, and how it wants to be asked.

    Attributes:
        path: a file (`torch.export`'s .pt2, .onnx), or `module:function`: for the kinds 'jax' and 'python' a function
            from prepared images to outputs, for 'torch' one that builds the module.
        kind: 'jax' (traced, differentiated), 'python' (called with numpy arrays), 'torch', 'onnx', or 'auto', by the
            file's ending.
        weights: a state dict for what a torch function builds; '' for none.
        preparation: of images.
        head: of outputs, see `make_head`.
        finding: see `make_head`.
        device: of torch or onnxruntime.
        unpickle: see `read_tensors`.
    """

    path: str
    kind: str = "auto"
    weights: str = ""
    preparation: Preparation = AS_IT_IS
    head: str = "softmax"
    finding: int = 0
    device: str = "cpu"
    unpickle: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {self.kind!r}")


class Foreign(NamedTuple):
    """A classifier of another kind.

    Attributes:
        predict: images `[batch, height, width, channels]` in [0, 1] to probabilities `[batch, K]`.
        traceable: whether JAX can trace and differentiate it; else it takes and returns numpy arrays.
        identity: what it is known again by.
    """

    predict: Callable[[Any], Any]
    traceable: bool
    identity: Identity

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its files, of how it is asked, and of its answers to a few fixed images."""
        return self.identity.fingerprint


def _kind(reference: Reference) -> str:
    if reference.kind != "auto":
        return reference.kind
    suffix = pathlib.Path(reference.path).suffix
    if suffix in BY_SUFFIX:
        return BY_SUFFIX[suffix]
    if ":" in reference.path:
        raise ValueError(f"{reference.path} may be anything; say with kind = 'jax', 'python' or 'torch' what it is")
    raise ValueError(
        f"{reference.path} is neither a folder of ours nor a file ending in {' or '.join(BY_SUFFIX)}. Of PyTorch, name "
        f"a file of torch.export.save, or module:function and weights"
    )


def reference_settings(reference: Reference) -> dict[str, str]:
    """How a classifier is asked and read, as its identity keeps it."""
    settings = {"function": "" if pathlib.Path(reference.path).is_file() else reference.path.rpartition(":")[2]}
    for part, value in asdict(reference).items():
        for key, inner in (value if isinstance(value, dict) else {part: value}).items():
            if key not in PLACES:
                settings[f"input.{key}" if part == "preparation" else key] = str(inner)
    return settings


def _named(reference: Reference, predict: Callable[[Any], Any], traceable: bool, shape: Any) -> Foreign:
    """A classifier with its identity."""
    height, width = reference.preparation.size or USUAL[:2]
    usual = (height, width, reference.preparation.channels or USUAL[2])
    answers = ask(jax.jit(predict) if traceable else predict, shape or usual)  # first: what it imports is then there
    files = {name: file_digest(file) for name, file in classifier_files(reference.path, reference.weights).items()}
    return Foreign(predict, traceable, Identity(files, reference_settings(reference), answers))


def load_foreign(reference: Reference, image_shape: tuple[int, int, int] | None = None) -> Foreign:
    """Opens a classifier that was not trained here.

    Args:
        reference: where it is, and how it wants to be asked.
        image_shape: height, width, channels of the images that it will be asked about; None where nobody knows yet.

    Raises:
        ValueError: naming the file or function that is not what it should be, and what to do.
    """
    kind = _kind(reference)
    for name in (reference.path, reference.weights):
        if name and ":" not in name and not pathlib.Path(name).is_file():
            raise ValueError(f"{name} does not exist (looked for it from {pathlib.Path.cwd()})")
    prepare, head = reference.preparation, make_head(reference.head, reference.finding)
    if kind == "jax":
        function = import_function(reference.path)
        return _named(reference, lambda images: head(function(prepare(images))), True, image_shape)
    if kind == "python":
        outputs = import_function(reference.path)
    elif kind == "torch":
        outputs = load_torch(
            reference.path, weights=reference.weights, device=reference.device, unpickle=reference.unpickle
        )
    else:
        outputs = load_onnx(pathlib.Path(reference.path), reference.device)

    def predict(images: Any) -> np.ndarray:
        return head(np.asarray(outputs(prepare(np.asarray(images, np.float32)))))

    return _named(reference, predict, False, image_shape)
