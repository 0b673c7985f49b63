"""What endings and the colours of maps mean, in plain sentences for those who are shown a page."""

from typing import NamedTuple

from cae_jax.types import Ending

ENDINGS = {
    Ending.FLIPPED: "On the way the classifier changed its answer and became sure of the new one; the image there is "
    "the counterfactual.",
    Ending.WEAK: "On the way the classifier changed its answer, but never became sure of the new one; there is no map.",
    Ending.NOT_FLIPPED: "The classifier kept its answer all the way. Nothing was found that changes it, which does not "
    "mean that nothing would.",
    Ending.ALREADY_TARGET: "The image has the answer that was aimed at already; there was nothing to change.",
    Ending.NOT_RECONSTRUCTED: "The classifier answers differently once the model has redrawn the image, so the way "
    "says nothing about it.",
    Ending.NO_REFERENCE: "No training image is one that the classifier is sure to be what was aimed at, so there was "
    "no way to try.",
    Ending.NO_ANSWER: "The classifier gave no usable answer to the image, or to one on the way.",
}


class Colours(NamedTuple):
    """What the colours of a kind of map mean; without a blue, the map has only red."""

    red: str
    blue: str = ""


MAPS = {
    "reconstruction": Colours(
        "became brighter from the reconstruction to the counterfactual (added)", "became darker (taken away)"
    ),
    "input": Colours("differs between image and counterfactual, brighter or darker, errors of the redrawing included"),
    "path": Colours(
        "became brighter on the way, where that won the classifier over", "became darker on the way, where that did"
    ),
    "relevance": Colours("spoke for the answer to the image", "spoke against it"),
}
CAUTION = (
    "The strongest colour is the greatest value of that one map, so two maps cannot be compared by their colours. Maps "
    "show what the classifier responds to, which need not be what matters in the patient or the thing itself."
)
