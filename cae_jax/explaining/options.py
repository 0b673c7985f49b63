"""How to search and what to draw: the options of an explanation."""

from dataclasses import dataclass

from cae_jax.counterfactual import STRATEGIES
from cae_jax.explaining.inputs import InputError

SALIENCIES = ("reconstruction", "input", "path", "relevance")


@dataclass(frozen=True)
class ExplainOptions:
    """Options of `Explainer.explain`.

    Attributes:
        strategy: where paths lead; a name in `counterfactual.STRATEGIES`.
        references: paths to try for each row: for target 'any', toward the nearest classes; for a class, toward the
            nearest codes of it, where the strategy is 'nearest'. The one that is confident first wins.
        confidence: the target's probability that a counterfactual must reach, and a reference must have.
        tolerance: of `flip_shift` and `shift`, a share of the path.
        diverse: counterfactuals for each row, as far apart in class code as can be; 1 takes the least shift.
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
            if not 0.0 < (value := getattr(self, name)) <= 1.0:
                raise InputError(f"{name} must lie in (0, 1], not {value}")
        for name in ("references", "diverse"):
            if (value := getattr(self, name)) < 1:
                raise InputError(f"{name} must be 1 or more, not {value}")
        if not 0.0 <= self.smoothing < float("inf"):
            raise InputError(f"smoothing must be 0 or more pixels, not {self.smoothing}")
