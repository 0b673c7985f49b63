"""One map an image: why the classifier gives it a class. Also in the shape that other tools call."""

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
DECIDED = 0.1  # of two probabilities; answers that are closer may fall either way as numbers are rounded
MEANINGLESS = {
    "baselines": "a CAE begins at the counterfactual that it finds, not at a baseline",
    "additional_forward_args": "the explainer's classifier takes images alone",
    "return_convergence_delta": "there is no convergence to measure",
}


def _in_range(images: np.ndarray, clip: bool) -> np.ndarray:
    """Floats that noise has taken out of [0, 1], brought back if that is asked for."""
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
    """Maps `[N, height, width]` at another size; of an additive one the sum stays as it is, about."""
    if maps.shape[1:] == size:
        return maps
    share = maps.shape[1] * maps.shape[2] / (size[0] * size[1]) if total else 1.0
    return np.stack([resize(a_map[..., None], size, "stretch")[..., 0] * share for a_map in maps]).astype(np.float32)


def attribute(
    explainer: Explainer, images: Images, classes: Target | None = None, *, clip: bool = False, **options: Any
) -> np.ndarray:
    """Maps of what speaks for a class.

    For the classifier's own answer: the mean of the maps toward every other class. For another class: what stands in
    its way, the negative of the map toward it. Of several diverse answers toward a class, the mean.

    Args:
        explainer: a trained one.
        images: `[N, height, width, channels]`, see `Explainer`.
        classes: a class for all images or one for each, by name or number, `[N, 1]` or one-hot too; None for the
            classifier's answers.
        clip: whether to bring floats that noise took out of [0, 1] back into it; more than 1 beyond it is no noise.
        **options: see `ExplainOptions`; what is not given is taken from `MAP_OPTIONS`.

    Returns:
        `[N, height, width]`, of the images' own size. Of the saliency 'relevance', here the default, in nats and
        signed; of others the size of the change.

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
    """The mean over what each image was asked toward, `[images, height, width]`, of parts that need not be kept."""
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
    """Images `[N, height, width, channels]` of inputs `[N, channels, height, width]`."""
    images = as_array(inputs)
    if images.ndim != 4:
        raise InputError(f"inputs are [N, channels, height, width], not {images.shape}; one image is inputs[None]")
    return images.transpose(0, 2, 3, 1)


class Attribution:
    """Captum's way of asking: `Attribution(explainer).attribute(inputs, target)`.

    Inputs are `[N, channels, height, width]` in [0, 1], of numpy or PyTorch; what comes back is of their kind and
    shape, the same map in every channel.

    Args:
        explainer: a trained one.
        **options: see `attribute`, `clip` among them.
    """

    def __init__(self, explainer: Explainer, **options: Any):
        self._explainer, self._options = explainer, options

    def attribute(self, inputs: Any, target: Any = None, **others: Any) -> Any:
        """Attributes one class a row.

        Args:
            inputs: a tensor, or a tuple of one, as captum's metrics hand it in.
            target: a class, one for each, `[N, 1]` or one-hot; None for the answers.
            **others: captum's further arguments, of which none has a meaning here: they must be None or False.

        Raises:
            InputError: for inputs or targets that cannot be used, and for arguments that mean nothing here.
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
    """What a model of any framework answers to inputs, as it is."""
    parameter = next(iter(model.parameters()), None) if hasattr(model, "parameters") else None
    answers = (model if callable(model) else model.predict)(
        inputs if parameter is None else parameter.detach().new_tensor(inputs)
    )
    return as_array(answers)


def _check_model(explainer: Explainer, model: Any, inputs: np.ndarray, images: np.ndarray) -> None:
    """Compares the model that a metric passed with the explainer's classifier, by their answers.

    Raises:
        InputError: if it is no model, or another one.
    """
    if not callable(model) and not hasattr(model, "predict"):
        raise InputError(f"the model is a {type(model).__name__}, which can be asked nothing; hand in None, or a model")
    ours = explainer.predict(images)
    try:
        theirs = _answers(model, inputs)
        if theirs.shape != ours.shape or not np.isfinite(theirs).all():
            raise ValueError(f"it answers {theirs.shape} where {ours.shape} is expected")
    except Exception as error:  # of whatever framework it is
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

    Quantus calls it with its own model, and with inputs `[N, channels, height, width]` in [0, 1] and targets. A CAE
    explains the one classifier that it was trained for, so the model must be that one: it is asked about the inputs,
    and refused where its answers are of other classes. Metrics that need another model (`ModelParameterRandomisation`,
    `EfficientMPRT`, `SmoothMPRT` and their like) say nothing of such an explainer. Metrics that put noise on inputs
    (`MaxSensitivity`, `AvgSensitivity`, `RelativeInputStability`) need `clip=True`.

    Args:
        explainer: a trained one.
        **options: see `attribute`, `clip` among them.

    Returns:
        A function of model (None is not asked), inputs and targets that returns maps `[N, 1, height, width]`.
    """

    def explain(model: Any, inputs: Any, targets: Any, **ignored: Any) -> np.ndarray:
        images = _images_of(inputs)
        if model is not None:
            _check_model(explainer, model, as_array(inputs), _in_range(images, bool(options.get("clip"))))
        return attribute(explainer, images, targets, **options)[:, None]

    return explain
