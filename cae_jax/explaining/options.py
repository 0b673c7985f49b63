"""How to search and what to draw: the options of an explanation."""

import dataclasses
import difflib
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cae_jax.counterfactual import STRATEGIES
from cae_jax.explaining.inputs import InputError

SALIENCIES = ("reconstruction", "input", "path", "relevance")


@dataclass(frozen=True)
class ExplainOptions:
    """Options of `Explainer.explain`.

    Attributes:
        strategy: where paths lead; a name in `counterfactual.STRATEGIES`.
        references: paths to try for each row: for target 'any', toward the nearest classes; for a class, toward the
            nearest codes of it, where the strategy is 'nearest' (others have one end). The one that is confident first
            wins.
        confidence: the target's probability that a counterfactual must reach, and a reference must have.
        tolerance: of `flip_shift` and `shift`, a share of the path.
        diverse: counterfactuals for each request, as far apart in class code as can be; 1 takes the least shift. For
            more, each strategy tries eight times as many paths: 'nearest' toward as many codes, the others toward
            groups of the class's codes too, 'geodesic' by different ways into the class. Answers that the search's
            tolerance cannot tell apart count as one; where there are fewer than asked for, `find_shortfalls` says why.
        saliency: 'reconstruction' (signed, against the reconstruction), 'input' (as published), 'path' (signed,
            accumulated where the target gains) or 'relevance' (signed: the log odds of the exemplar's class, beyond
            those of the counterfactual, shared out among the pixels that speak for it: by gradients where JAX can
            differentiate the classifier, else by exchanging cells, which asks it at most about 400 times).
        residual: whether the exemplar itself is kept in every image on the way, wherever the class code changed nothing
            (see `models.draw_on`); shift 0 is the exemplar. Models trained with `model.keep_residual` do so anyway.
        smoothing: of saliency maps, the width of a Gaussian in pixels.
    """

    strategy: str = "geodesic"
    references: int = 3
    confidence: float = 0.9
    tolerance: float = 1 / 256
    diverse: int = 1
    saliency: str = "reconstruction"
    residual: bool = False
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise InputError(f"strategy {self.strategy!r} does not exist; there are {', '.join(STRATEGIES)}")
        if self.saliency not in SALIENCIES:
            raise InputError(f"saliency {self.saliency!r} does not exist; there are {', '.join(SALIENCIES)}")
        for name in ("confidence", "tolerance"):
            if not _is_number(value := getattr(self, name)) or not 0.0 < value <= 1.0:
                raise InputError(f"{name} must lie in (0, 1], not {value!r}")
        for name in ("references", "diverse"):
            if not isinstance(value := getattr(self, name), numbers.Integral) or value < 1:
                raise InputError(f"{name} must be a whole number of 1 or more, not {value!r}")
        if not _is_number(self.smoothing) or not 0.0 <= self.smoothing < float("inf"):
            raise InputError(f"smoothing must be 0 or more pixels, not {self.smoothing!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real)


def read_options(options: Mapping[str, Any]) -> ExplainOptions:
    """Options by name, checked.

    Raises:
        InputError: for a name or a value that cannot be.
    """
    names = [field.name for field in dataclasses.fields(ExplainOptions)]
    for name in options:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
            raise InputError(f"there is no option {name!r}; {hint}")
    return ExplainOptions(**options)
