"""Phantoms: anatomy-like images of four classes with a known finding, 64×64, on a CPU.

    python train.py --config configs/phantom.py

The images are drawn on the spot; no download. `data.name` chooses the variant, for instance `phantom/2_64_mark` for two
classes and a planted shortcut (see `cae_jax/data/phantom_builder.py`).

On 2 cores a step takes 0.3 s or more, and the warm-up five minutes; before it, classifier and oracle are trained, four
minutes. Of 10,000 random swaps on the test split 0.983 flip the classifier and 0.984 convince the oracle, at the best
checkpoint, of step 4,800 (run 23 of docs/experiments.md, with an earlier warm-up).
"""

from cae_jax import presets
from cae_jax.config import Config


def get_config() -> Config:
    config = presets.default()
    config.data.name = "phantom/4_64"
    config.augment.max_rotation = 0.0  # individuals are upright
    config.oracle.update(steps=900, batch_size=32)
    # findings are a small part of the image; reasons in docs/experiments.md
    config.model.update(
        keep_residual=True,
        class_head_width=0,
        width=16,
        individual_downsamplings=2,
        individual_code_channels=32,
        individual_code_rounded=False,
        individual_answers=False,
        upsample_kernel=5,
    )
    config.discriminator.update(conditional=True, pooled=False, width=32, downsamplings=4, kernel_init="he")
    config.loss.update(
        individual_code=1.0,
        proximity=20.0,
        consistency=0.2,
        fidelity=0.3,
        leakage=0.0,
        bits=0.0,
        gradient_penalty=0.0,
    )
    config.optimizer.update(generator_rate=1e-3, discriminator_rate=5e-4, clip=1.0)
    config.train.update(steps=9600, batch_size=4, warmup_steps=600, swap_noise=0.02, checkpoint_every=800)
    return config
