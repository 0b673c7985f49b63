"""One map an image: why the classifier gives it a class. Also in the shape that other tools call."""

from collections.abc import Callable
from typing import Any

import numpy as np

from cae_jax.explaining.explainer import Explainer

MAP_OPTIONS: dict[str, Any] = {
    "saliency": "relevance",
    "residual": True,
    "strategy": "medoid",
    "confidence": 0.5,  # just beyond the flip, where least has changed; docs/experiments.md
}
"""How `attribute` explains where nothing else is said: chosen for maps, not for pictures."""


def attribute(
    explainer: Explainer, images: np.ndarray, classes: np.ndarray | None = None, **options: Any
) -> np.ndarray:
    """Maps of what speaks for a class.

    For the classifier's own answer: the mean of the maps toward every other class. For another class: what stands in
    its way, the negative of the map toward it.

    Args:
        explainer: a trained one.
        images: `[N, height, width, channels]`, see `Explainer`.
        classes: `[N]`; None for the classifier's answers.
        **options: see `ExplainOptions`; what is not given is taken from `MAP_OPTIONS`.

    Returns:
        `[N, height, width]`. Of the saliency 'relevance', here the default, in nats and signed; of others the
        size of the change.
    """
    options = MAP_OPTIONS | options
    asked = None if classes is None else np.asarray(classes)
    is_answer = np.full(len(images), True) if asked is None else asked == explainer.predict(images).argmax(-1)
    maps = np.zeros((len(images), *explainer.record.image_shape[:2]), np.float32)
    own = np.flatnonzero(is_answer)
    other = np.flatnonzero(~is_answer)
    if len(own):
        found = explainer.explain(images[own], "all", **options)
        seen = found.saliency if options["saliency"] == "relevance" else np.abs(found.saliency)
        counts = np.bincount(found.image_index)
        np.add.at(maps, own[found.image_index], seen / counts[found.image_index][:, None, None])
    if asked is not None and len(other):
        found = explainer.explain(images[other], asked[other], **options)
        maps[other] = -found.saliency if options["saliency"] == "relevance" else np.abs(found.saliency)
    return maps


def _array(values: Any) -> np.ndarray:
    """Numbers of numpy or of a PyTorch tensor on any device."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


class Attribution:
    """Captum's way of asking: `Attribution(explainer).attribute(inputs, target)`.

    Inputs are `[N, channels, height, width]` in [0, 1], of numpy or PyTorch; what comes back is of their kind and
    shape, the same map in every channel.
    """

    def __init__(self, explainer: Explainer, **options: Any):
        self._explainer, self._options = explainer, options

    def attribute(self, inputs: Any, target: Any = None) -> Any:
        """Attributes one class a row (`target`: a class, one for each, or None for the answers)."""
        images = _array(inputs).transpose(0, 2, 3, 1)
        classes = None if target is None else np.broadcast_to(_array(target), len(images))
        maps = attribute(self._explainer, images, classes, **self._options)[:, None]
        maps = np.broadcast_to(maps, (len(images), images.shape[-1], *images.shape[1:3])).copy()
        return inputs.new_tensor(maps) if hasattr(inputs, "new_tensor") else maps


def quantus_explain_func(explainer: Explainer, **options: Any) -> Callable[..., np.ndarray]:
    """Makes the `explain_func` that Quantus's metrics take.

    Quantus calls it with its own model, which should be the explainer's classifier, and with inputs
    `[N, channels, height, width]` in [0, 1] and targets `[N]`.

    Args:
        explainer: a trained one.
        **options: see `ExplainOptions`.

    Returns:
        A function that returns maps `[N, 1, height, width]`.
    """

    def explain(model: Any, inputs: np.ndarray, targets: np.ndarray, **ignored: Any) -> np.ndarray:
        images = np.asarray(inputs).transpose(0, 2, 3, 1)
        return attribute(explainer, images, np.asarray(targets), **options)[:, None]

    return explain
