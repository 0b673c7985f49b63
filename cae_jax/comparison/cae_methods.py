"""CAE's own rows of the comparison, and the controls that are made of its codes."""

import numpy as np

from cae_jax import baselines
from cae_jax.comparison.answers import Counterfactuals
from cae_jax.comparison.published import published_maps
from cae_jax.comparison.setting import Setting
from cae_jax.explaining import Aim, ExplainOptions, attribute

DIVERSE = 3
PUBLISHED = {"strategy": "medoid", "references": 1}  # for a reference that was picked by hand: of the nearest class


def cae(setting: Setting) -> np.ndarray:
    """As the bench config asks, toward every other class."""
    return attribute(setting.explainer, setting.images, setting.classes, **setting.attribution)


def cae_change(setting: Setting) -> np.ndarray:
    """What the decoder changed, |D(c, s') - D(c, s)|, toward the class that is confident first."""
    options = setting.cae | {"confidence": setting.protocol.confidence, "saliency": "reconstruction", "residual": False}
    return np.abs(setting.explainer.explain(setting.images, Aim.ANY, **options).saliency)


def cae_published(setting: Setting) -> np.ndarray:
    """As published: the first image of six on a straight line to one reference whose answer differs, less the input."""
    return published_maps(
        setting.explainer, setting.images, ExplainOptions(confidence=setting.protocol.confidence, **PUBLISHED)
    )


def reconstruction_error(setting: Setting) -> np.ndarray:
    """A control: what the CAE fails to draw, which knows nothing of the classifier."""
    return baselines.reconstruction_error(setting.images, setting.reconstructions)


def _randomly_shifted(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """Images drawn with class codes moved as far as CAE moves them, but in random directions."""
    found = setting.explainer.explain(setting.images, setting.targets, confidence=setting.protocol.confidence)
    codes, class_codes = setting.explainer.encode(setting.images)
    lengths = np.linalg.norm(found.counterfactual_code - class_codes, axis=-1)
    moved = baselines.random_code_direction(class_codes, lengths, setting.protocol.seed)
    return setting.explainer.decode(codes, moved), setting.explainer.decode(codes, class_codes)


def random_direction_maps(setting: Setting) -> np.ndarray:
    """A control: what changes when the class code is moved in a random direction."""
    moved, base = _randomly_shifted(setting)
    return np.abs(moved - base).mean(-1)


def random_direction(setting: Setting) -> Counterfactuals:
    """A control: the class code moved as far as CAE moves it, in a random direction."""
    moved, base = _randomly_shifted(setting)
    return Counterfactuals(moved, base, np.full(len(moved), np.nan))


def _counterfactuals(setting: Setting, residual: bool, diverse: bool) -> Counterfactuals:
    changed = {"confidence": setting.protocol.confidence, "saliency": "reconstruction", "residual": residual}
    asked = setting.cae | changed
    found = setting.explainer.explain(setting.images, setting.targets, **asked)
    several = None
    if diverse:
        several = np.full((len(setting.images), DIVERSE, *setting.images.shape[1:]), np.nan, np.float32)
        for more in setting.explainer.explain_batches(setting.images, setting.targets, diverse=DIVERSE, **asked):
            several[more.image_index, more.answer] = more.counterfactual  # an image may have fewer
    return Counterfactuals(found.counterfactual, found.path_images[:, 0], found.shift, several)


def cae_counterfactuals(setting: Setting) -> Counterfactuals:
    """At the shift where the target is confident; at the path's end where it never is."""
    return _counterfactuals(setting, residual=False, diverse=True)


def cae_residual_counterfactuals(setting: Setting) -> Counterfactuals:
    """The same, with the exemplar itself kept where the class code changed nothing."""
    return _counterfactuals(setting, residual=True, diverse=False)
