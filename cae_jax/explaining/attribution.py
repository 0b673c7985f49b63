"""Attribution: one saliency map an image for one class, also through the interfaces of Captum and Quantus."""

import logging
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from cae_jax.data import resize
from cae_jax.errors import InputError
from cae_jax.explaining.explainer import IMAGES, Explainer
from cae_jax.explaining.inputs import Images, as_array, check_images
from cae_jax.explaining.requests import Aim, Target, check_target
from cae_jax.options import MAP_OPTIONS
from cae_jax.types import Explanation

NOISE = 1.0  # how far beyond [0, 1] noise may take an input
DECIDED = 0.1  # difference of the top two probabilities; below it, rounding may decide which class is predicted
MEANINGLESS = {
    "baselines": "a CAE begins at the counterfactual that it finds, not at a baseline",
    "additional_forward_args": "the explainer's classifier takes images alone",
    "return_convergence_delta": "there is no convergence to measure",
}


def _in_range(images: np.ndarray, clip: bool) -> np.ndarray:
    """Returns float images clipped to [0, 1] if `clip` is set and no value is more than `NOISE` beyond it.

    Integer images are returned as they are.

    Raises:
        InputError: if values stay outside of [0, 1].
    """
    if not np.issubdtype(images.dtype, np.floating) or not images.size:
        return images
    low, high = float(images.min()), float(images.max())
    noise = low >= -NOISE and high <= 1 + NOISE
    if clip and noise:
        return images.clip(0.0, 1.0)
    if low < -1e-3 or high > 1 + 1e-3:
        hint = "clip=True brings back what noise took out of it" if noise else "hand them in as they are before that"
        raise InputError(
            f"the inputs have values from {low:.3g} to {high:.3g}; floats must lie in [0, 1], not normalised; {hint}"
        )
    return images


def _to_size(maps: np.ndarray, size: tuple[int, int], total: bool) -> np.ndarray:
    """Resizes maps `[N, height, width]`; if `total` is set, values are rescaled to keep each map's sum, about."""
    if maps.shape[1:] == size:
        return maps
    share = maps.shape[1] * maps.shape[2] / (size[0] * size[1]) if total else 1.0
    return np.stack([resize(a_map[..., None], size, "stretch")[..., 0] * share for a_map in maps]).astype(np.float32)


def attribute(
    explainer: Explainer, images: Images, classes: Target | None = None, *, clip: bool = False, **options: Any
) -> np.ndarray:
    """Computes a saliency map for each image: where the image speaks for a class.

    For the class that the classifier predicts, it is the mean of the maps toward every other class. For another class,
    it is the map toward that class, with its sign reversed if it is signed: what speaks against the class is negative.
    Where several diverse counterfactuals are found toward a class, their maps are averaged.

    Args:
        explainer: explainer of a trained run.
        images: images `[N, height, width, channels]`, uint8 or float in [0, 1].
        classes: a class for all images, or one for each: names, numbers, `[N, 1]` or one-hot `[N, K]`; None for the
            classes that the classifier predicts.
        clip: whether floats up to 1 outside of [0, 1], as noise makes them, are clipped to [0, 1].
        **options: fields of `ExplainOptions`; those not given are taken from `MAP_OPTIONS`.

    Returns:
        Maps `[N, height, width]`, of the images' own size. With the saliency 'relevance', here the default, they are
        signed and in nats; with others they are absolute changes.

    Raises:
        InputError: for images, classes or options that cannot be used.
    """
    options = MAP_OPTIONS | options
    given = _in_range(as_array(images), clip)
    images = check_images(given, explainer.record.image_shape)
    answers = explainer.predict(images).argmax(-1)
    asked = answers
    if classes is not None:
        asked = check_target(classes, len(images), explainer.record.class_names)
        if isinstance(asked, str):
            raise InputError(f"a map is of one class for each image, not of {str(asked)!r}")
    signed = options["saliency"] == "relevance"
    maps = np.zeros(images.shape[:3], np.float32)
    for own in (True, False):
        chosen = np.flatnonzero((asked == answers) == own)
        for start in range(0, len(chosen), IMAGES):
            rows = chosen[start : start + IMAGES]
            found = explainer.explain_batches(images[rows], Aim.ALL if own else asked[rows], **options)
            maps[rows] = _mean_maps(found, len(rows), signed)
            if signed and not own:
                maps[rows] *= -1
    return _to_size(maps, given.shape[1:3], signed)


def _mean_maps(parts: Iterable[Explanation], images: int, signed: bool) -> np.ndarray:
    """The mean map of each image over the classes it was explained toward, `[images, height, width]`.

    Diverse answers toward a class share the weight of one. Parts are summed up one by one, to save memory.
    """
    total, requests = 0.0, np.zeros(images)
    for part in parts:
        seen = part.saliency if signed else np.abs(part.saliency)
        share = 1.0 / part.answers
        sums = np.zeros((images, *seen.shape[1:]))
        np.add.at(sums, part.image_index, seen * share[:, None, None])
        np.add.at(requests, part.image_index, share)
        total = total + sums
    return total / requests[:, None, None]


def _images_of(inputs: Any) -> np.ndarray:
    """Transposes inputs `[N, channels, height, width]` to images `[N, height, width, channels]`."""
    images = as_array(inputs)
    if images.ndim != 4:
        raise InputError(f"inputs are [N, channels, height, width], not {images.shape}; one image is inputs[None]")
    return images.transpose(0, 2, 3, 1)


class Attribution:
    """An attribution method with Captum's interface: `Attribution(explainer).attribute(inputs, target)`.

    Inputs are numpy arrays or PyTorch tensors `[N, channels, height, width]` in [0, 1]. The result has their type and
    shape, with the same map in every channel.

    Args:
        explainer: explainer of a trained run.
        **options: keyword arguments of the function `attribute`, such as `clip`.
    """

    def __init__(self, explainer: Explainer, **options: Any):
        self._explainer, self._options = explainer, options

    def attribute(self, inputs: Any, target: Any = None, **others: Any) -> Any:
        """Returns the saliency map of each input for one class, repeated in every channel.

        Args:
            inputs: array or tensor `[N, channels, height, width]` in [0, 1], or a tuple of a single one, as Captum's
                metrics pass it.
            target: a class for all inputs, or one for each, `[N, 1]` or one-hot too; None for the classes that the
                classifier predicts.
            **others: further arguments of Captum, which have no meaning here and must be None or False.

        Raises:
            InputError: for inputs or targets that cannot be used, and for other values of further arguments.
        """
        if isinstance(inputs, tuple) and len(inputs) == 1:
            return (self.attribute(inputs[0], target, **others),)
        for name, value in others.items():
            if value is not None and value is not False:
                raise InputError(f"{MEANINGLESS.get(name, 'this method takes no such argument')}; leave {name} out")
        images = _images_of(inputs)
        maps = attribute(self._explainer, images, target, **self._options)[:, None]
        maps = np.broadcast_to(maps, (len(images), images.shape[-1], *images.shape[1:3])).copy()
        if not hasattr(inputs, "new_tensor"):
            return maps
        return (inputs if inputs.is_floating_point() else inputs.float()).new_tensor(maps)


def _answers(model: Any, inputs: np.ndarray) -> np.ndarray:
    """The raw answers of a model of any framework to inputs, as a numpy array."""
    parameter = next(iter(model.parameters()), None) if hasattr(model, "parameters") else None
    answers = (model if callable(model) else model.predict)(
        inputs if parameter is None else parameter.detach().new_tensor(inputs)
    )
    return as_array(answers)


def _check_model(explainer: Explainer, model: Any, inputs: np.ndarray, images: np.ndarray) -> None:
    """Checks that a model passed by a metric predicts the same classes as the explainer's classifier.

    Where the explainer's classifier is undecided, differences are allowed. If the model cannot be called, a warning
    says so.

    Raises:
        InputError: if it is not a model, or predicts other classes.
    """
    if not callable(model) and not hasattr(model, "predict"):
        raise InputError(f"the model is a {type(model).__name__}, which can be asked nothing; hand in None, or a model")
    ours = explainer.predict(images)
    try:
        theirs = _answers(model, inputs)
        if theirs.shape != ours.shape or not np.isfinite(theirs).all():
            raise ValueError(f"it answers {theirs.shape} where {ours.shape} is expected")
    except Exception as error:  # any error of any framework
        logging.getLogger(__name__).info("the model that was passed could not be asked", exc_info=True)
        warnings.warn(
            f"the model that was passed could not be compared with the explainer's classifier, which the maps are of "
            f"({type(error).__name__}: {error})",
            stacklevel=3,
        )
        return
    low, high = np.partition(ours, -2)[:, -2:].T
    differ = np.flatnonzero((ours.argmax(-1) != theirs.argmax(-1)) & (high - low > DECIDED))
    if len(differ):
        names, row = explainer.record.class_names, differ[0]
        raise InputError(
            f"the model that was passed is not the explainer's classifier: it gives input {row} the class "
            f"{names[theirs[row].argmax()]}, not {names[ours[row].argmax()]} ({len(differ)} of {len(ours)} differ). "
            f"A CAE explains the one classifier that it was trained for, so metrics that change or randomise the model "
            f"say nothing of it"
        )


def quantus_explain_func(explainer: Explainer, **options: Any) -> Callable[..., np.ndarray]:
    """Makes the `explain_func` that Quantus's metrics take.

    Quantus calls it with a model, inputs `[N, channels, height, width]` in [0, 1] and targets. A CAE explains the one
    classifier that it was trained for, so the model must be that one: it is called on the inputs, and an InputError is
    raised if it predicts other classes. Metrics that need another model (`ModelParameterRandomisation`,
    `EfficientMPRT`, `SmoothMPRT` and similar ones) are meaningless for such an explainer. Metrics that put noise on
    inputs (`MaxSensitivity`, `AvgSensitivity`, `RelativeInputStability`) need `clip=True`.

    Args:
        explainer: explainer of a trained run.
        **options: keyword arguments of the function `attribute`, such as `clip`.

    Returns:
        A function from model (None to skip the comparison), inputs and targets to maps `[N, 1, height, width]`.
    """

    def explain(model: Any, inputs: Any, targets: Any, **ignored: Any) -> np.ndarray:
        images = _images_of(inputs)
        if model is not None:
            _check_model(explainer, model, as_array(inputs), _in_range(images, bool(options.get("clip"))))
        return attribute(explainer, images, targets, **options)[:, None]

    return explain
