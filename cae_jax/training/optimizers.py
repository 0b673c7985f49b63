"""Optimizers and learning-rate schedules by name."""

import optax


def learning_rate_schedule(name: str, peak: float, steps: int) -> optax.Schedule:
    """Builds a schedule over a run.

    Args:
        name: 'halving' halves ten times over the run, as published; 'cosine' warms up over the first 2 %
            and then falls to 2 % of the peak.
        peak: the highest rate.
        steps: of the whole run.

    Raises:
        ValueError: for another name.
    """
    if name == "halving":
        return optax.exponential_decay(peak, max(steps // 10, 1), 0.5, staircase=True)
    if name == "cosine":
        warmup = max(steps // 50, 1)
        return optax.warmup_cosine_decay_schedule(0.1 * peak, peak, warmup, max(steps, warmup + 1), 0.02 * peak)
    raise ValueError(f"optimizer.schedule must be 'halving' or 'cosine', not {name!r}")


def make_optimizer(schedule: optax.Schedule | float, l2: float, clip: float = 0.0) -> optax.GradientTransformation:
    """Adam with betas (0.5, 0.999) and L2 *added to the gradient*, before the moments, as PyTorch's `Adam` does.

    Args:
        schedule: learning rate, or a function of the step.
        l2: weight of the L2 term; this is not AdamW's decoupled decay.
        clip: greatest norm of the whole gradient, which longer ones are scaled to; 0 for no limit.
    """
    limit = optax.clip_by_global_norm(clip) if clip else optax.identity()
    return optax.chain(limit, optax.add_decayed_weights(l2), optax.adam(schedule, b1=0.5, b2=0.999))
