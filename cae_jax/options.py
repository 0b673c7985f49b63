"""The options of an explanation: the one place that says what there is, what it means and what it is by default.

Nothing here needs JAX, so that a program's `--help` can be made from it at once.
"""

import dataclasses
import difflib
import inspect
import numbers
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cae_jax.errors import InputError

TYPICAL = "typical"
Confidence = float | str
"""Probability of the target class that a counterfactual must reach, or `TYPICAL`."""

CHOICES = {
    "strategy": ("closest", "nearest", "medoid", "centroid", "geodesic"),
    "saliency": ("reconstruction", "input", "path", "relevance"),
}
KINDS = {"references": int, "diverse": int, "confidence": float, "tolerance": float, "smoothing": float}


@dataclass(frozen=True)
class ExplainOptions:
    """Options of `Explainer.explain`; the first sentence of each is its help on the command line, too.

    Attributes:
        strategy: where paths lead: straight to that of eight typical codes of the target class whose image is closest
            to the reconstruction, to the nearest code of the class, to its medoid or its centroid; or from code to
            neighbouring code to the medoid. 'closest' leaves out images that are not as sure of the class as
            `confidence` says; where none is, it takes the one that is surest. Names are those of
            `counterfactual.STRATEGIES`.
        references: paths tried for each image. For target 'any' they lead toward the nearest classes; for a class,
            toward the nearest codes of it, where the strategy is 'nearest' (others have one end). The one that is
            confident first wins.
        confidence: how sure of its class a counterfactual must make the classifier: 'typical', as sure as it is of
            real images, or a probability. 'typical' is per class: of a third of the training images of the class (by
            its own word) it is less sure, of the others as sure or surer. A reference must have it, too.
        tolerance: uncertainty of the shifts that are found, as a share of the path. They are `flip_shift` and
            `shift` of an `Explanation`.
        diverse: different counterfactuals for each image and target. They are as far apart in class code as can be; 1
            takes the least shift. For more, each strategy tries eight times as many paths: 'nearest' toward as many
            codes, the others toward groups of the class's codes too, 'geodesic' by different ways into the class;
            'closest' then is 'medoid'. Answers that the search's tolerance cannot tell apart count as one; where there
            are fewer than asked for, `find_shortfalls` says why.
        saliency: change against the reconstruction, against the input, accumulated where the target gains, or how much
            each pixel speaks for the answer. 'reconstruction' and 'path' are signed, 'input' is as published.
            'relevance' is signed: the log odds of the exemplar's class, beyond those of the counterfactual, shared out
            among the pixels that speak for it: by gradients where JAX can differentiate the classifier, else by
            exchanging cells, which asks it at most about 400 times.
        residual: keep the exemplar itself in every image wherever the class code changes nothing; paths begin at it.
            See `models.draw_on`; shift 0 is the exemplar. Models trained with `model.keep_residual` do so anyway.
        smoothing: width of the Gaussian that smooths saliency maps, in pixels.
    """

    strategy: str = "closest"
    references: int = 3
    confidence: Confidence = TYPICAL
    tolerance: float = 1 / 256
    diverse: int = 1
    saliency: str = "reconstruction"
    residual: bool = False
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        for name, names in CHOICES.items():
            if (value := getattr(self, name)) not in names:
                raise InputError(f"{name} {value!r} does not exist; there are {', '.join(names)}")
        for name, or_else in (("confidence", f"be {TYPICAL!r} or "), ("tolerance", "")):
            if or_else and getattr(self, name) == TYPICAL:
                continue
            if not _is_number(value := getattr(self, name)) or not 0.0 < value <= 1.0:
                raise InputError(f"{name} must {or_else}lie in (0, 1], not {value!r}")
        for name in ("references", "diverse"):
            if not isinstance(value := getattr(self, name), numbers.Integral) or value < 1:
                raise InputError(f"{name} must be a whole number of 1 or more, not {value!r}")
        if not _is_number(self.smoothing) or not 0.0 <= self.smoothing < float("inf"):
            raise InputError(f"smoothing must be 0 or more pixels, not {self.smoothing!r}")
        for name, kind in KINDS.items():  # numpy's numbers are taken, but no file could say them
            if not isinstance(value := getattr(self, name), str):
                object.__setattr__(self, name, kind(value))


ARGUMENTS = ("target", "reference", "waypoints", "fixed")  # what `explain` takes besides
OPTIONS = {field.name: field for field in dataclasses.fields(ExplainOptions)}
MAP_OPTIONS: dict[str, Any] = {
    "saliency": "relevance",
    "residual": True,
    "strategy": "medoid",
    "confidence": 0.5,  # just beyond the flip, where least has changed; docs/experiments.md
}
"""How `attribute` explains where nothing else is said: chosen for maps, not for pictures."""


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real)


def option_help() -> dict[str, str]:
    """What each option is, by name: the first sentence that `ExplainOptions` has on it; nothing under `python -OO`."""
    text = inspect.getdoc(ExplainOptions) or ""
    found = re.findall(r"^    (\w+): (.*?)\.(?=\s)", text + "\n", re.MULTILINE | re.DOTALL)
    return {name: " ".join(sentence.split()) for name, sentence in found}


def read_options(options: Mapping[str, Any]) -> ExplainOptions:
    """Options by name, checked.

    Raises:
        InputError: for a name or a value that cannot be.
    """
    for name in options:
        if name not in OPTIONS:
            near = difflib.get_close_matches(name, (*OPTIONS, *ARGUMENTS), 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(OPTIONS)}"
            raise InputError(f"there is no option {name!r}; {hint}")
    return ExplainOptions(**options)
