"""Says what a model's scores mean: whether it may be trusted, and which of two checkpoints is better."""

from collections.abc import Mapping, Sequence

FLIPS = 0.8  # least share of swaps that should take their donor's class
KEPT = 0.9  # least share of reconstructions that should keep their class
FOOLED = 0.1  # how much less of the swaps the oracle may see than can be expected from its agreement on images
RISING = 0.01  # share of the score by which a rise counts as one
RISING_AT = 0.8  # share of the steps from which on a rise says that more help; rates that end near 0 level the scores


def validation_score(scores: Mapping[str, float]) -> float:
    """Score by which the best checkpoint is chosen; higher is better. The oracle does not enter it.

    It is the mean probability of the donors' classes in swaps, times the mean probability of the images' own classes in
    reconstructions, times the structural similarity of the reconstructions, over the square root of (1 + change of the
    swaps).

    Probabilities are used since rates differ between checkpoints by one or two images only. Without the similarity, a
    blurred early checkpoint can win by as little; without the last factor, a checkpoint whose swaps change more of the
    individual than the class needs. The root keeps that factor from outweighing the others: over (1 + change) itself,
    brain scans had an early checkpoint chosen whose swaps changed less and convinced fewer (oracle 0.820 rather than
    0.877), and a factor (1 - change) chose one on X-rays that fools the classifier.

    Args:
        scores: what `Evaluator.validate` returns; in logs of earlier versions, which did not tell the similarity, it
            is (1 - L1 of the reconstructions).
    """
    faithful = scores["swap_probability"] * scores["reconstruction_probability"]
    alike = scores.get("reconstruction_ssim", 1.0 - scores["reconstruction_l1"])
    return faithful * max(alike, 0.0) / (1.0 + scores["swap_change"]) ** 0.5


def collapse_reason(scores: Mapping[str, float], chance: float) -> str:
    """Says why a model counts as collapsed (its class codes carry no information on the class); '' if it does not.

    It counts as collapsed if a rate plus its standard error is less than a tenth of the way from chance to 1. The
    standard error is added since a class with a single validation image proves nothing.

    Args:
        scores: numbers by name, with `swap_flip_rate` and `class_code_knn_accuracy`. Where there is a rate with the
            suffix `_balanced` and its `_error`, they are used instead, as a plain rate is dominated by frequent
            classes.
        chance: rate of an answer that is the same for all images.
    """

    def is_chance(name: str) -> float | None:
        rate = scores.get(f"{name}_balanced", scores[name])
        few = rate + scores.get(f"{name}_error", 0.0) < chance + 0.1 * (1.0 - chance)
        return rate if few else None

    if (rate := is_chance("class_code_knn_accuracy")) is not None:
        return f"the class code tells the class no better than chance: {rate:.2f}, by chance {chance:.2f}"
    if (rate := is_chance("swap_flip_rate")) is not None:
        return f"swaps take their donor's class no more often than by chance: {rate:.2f}, by chance {chance:.2f}"
    return ""


def find_fault(scores: Mapping[str, float], chance: float) -> str:
    """Says why a model is not to be relied on, beginning with the kind of fault; '' where there is none.

    - 'collapsed': class codes carry no information on the class, see `collapse_reason`.
    - 'fools the classifier': swaps convince the classifier but not the oracle. Less is expected of an oracle that
      agrees with the classifier on fewer images, so a poor oracle accuses nobody.
    - 'weak': few swaps take their donor's class, or few reconstructions keep their own.

    Args:
        scores: what `Evaluator.validate` returns. Where `oracle_agreement` is missing, no oracle is heard.
        chance: rate of an answer that is the same for all images.
    """
    if reason := collapse_reason(scores, chance):
        return f"collapsed ({reason})"
    flips, agreement = scores["swap_flip_rate"], scores.get("oracle_agreement", 0.0)
    seen = scores.get("swap_oracle_rate", 1.0)
    if seen < flips * agreement - FOOLED:
        return (
            f"fools the classifier (it gives {flips:.3f} of the swaps their donor's class; the oracle, a classifier "
            f"that training never saw, only {seen:.3f}, though the two agree on {agreement:.3f} of the images)"
        )
    kept = scores["reconstruction_keep_rate"]
    weak = [f"swaps take their donor's class in {flips:.3f} only, {FLIPS} is the least"] * (flips < FLIPS)
    weak += [f"reconstructions keep their class in {kept:.3f} only, {KEPT} is the least"] * (kept < KEPT)
    return f"weak ({'; '.join(weak)})" if weak else ""


def say_progress(history: Sequence[tuple[int, float]], step: int, steps: int) -> str:
    """Says what more training would do, in a sentence.

    Args:
        history: step and `validation_score` of each validation so far, in the order of the steps.
        step: step that training has reached.
        steps: step that it was to reach.
    """
    if step < steps:
        return f"Training stopped at step {step:,} of {steps:,}; the same train.py command goes on."
    if len(history) < 2:
        return f"Training ended at step {step:,}; more steps (train.steps) may help."
    best = max(score for _, score in history)
    reached = next(at for at, score in history if (1.0 + RISING) * score >= best)
    if reached >= RISING_AT * steps:
        return f"Scores were still rising at step {reached:,} of {steps:,}: give it more steps (train.steps)."
    return f"Scores have not risen since step {reached:,} of {steps:,}: more steps alone will not help."
