"""The presets that configs start from: `official`, the published recipe; `default`, `pictures`, `black_box`, ours."""

from typing import Any

from ml_collections import ConfigDict

from cae_jax.config.reading import Config


def _classifier(architecture: str, steps: int) -> dict[str, Any]:
    return {
        # where a classifier is: an earlier run's folder, a .pt2, a .onnx, module:function, path/to/file.py:function
        "path": "",  # empty to train a new one
        "kind": "auto",  # what a function is made with: 'jax', 'python' or 'torch'
        "weights": "",  # state dict for what a torch function builds
        "input": {
            "size": (0, 0),  # height, width; 0 for the images' own
            "channels": 0,  # 1 grey, 3 RGB; 0 for the images' own
            "order": "RGB",  # or 'BGR'
            "range": (0.0, 1.0),  # that brightness is spread over, before mean and std
            "mean": (0.0,),  # subtracted, for each channel or for all
            "std": (1.0,),  # divided by, likewise
            "layout": "NHWC",  # or 'NCHW'
        },
        "output": "",  # name or position of the output that has the scores, where there are several
        "columns": (),  # columns of the data's classes in that output, in their order; empty for all
        "head": "softmax",  # scores: 'softmax', 'logit', 'sigmoid'; else 'probabilities', 'probability', 'findings'
        "finding": 0,  # column that is explained, with the heads 'sigmoid' and 'findings'
        "batch_size": 0,  # images a call, where it takes so many only (0: any), or a step of its training (0: 128)
        "device": "cpu",  # device that torch or onnxruntime computes on
        "unpickle_runs_code": False,  # whether `weights` may be a file that runs code when it is read
        # a new one that is trained:
        "architecture": architecture,  # 'small_cnn' or 'residual'
        "steps": steps,
        "learning_rate": 3e-3,
    }


def official() -> Config:
    """The published recipe to the letter (Xie et al., arXiv 2406.07961): sizes, losses, optimizer, labels."""
    return ConfigDict(
        {
            "seed": 0,  # of weights, pairs and swaps that are drawn; splits do not depend on it
            "labels": "dataset",  # 'classifier': its predictions on the unaugmented training images
            "data": {
                "name": "mnist",  # or a folder of images, a .csv, a .npz, a name of TFDS
                "dir": "",  # folder of prepared data sets; empty for TFDS's default
                "fallback": "",  # data set that is opened when `name` cannot be had; empty makes that an error
                "classes": (),  # the classes' names in the order of the classifier's outputs; empty for the data's own
                "size": (0, 0),  # height, width; 0 for the images' own
                "channels": 0,  # 1 grey, 3 RGB; 0 for the images' own
                "fit": "crop",  # or 'pad', 'stretch'
                # image files only:
                "window": (0.0, 0.0),  # centre, width of values shown of DICOM and deep grey images; 0 for their own
                "background": "",  # beneath transparent images: 'black' or 'white'; empty drops their transparency
                "on_error": "raise",  # or 'skip' files that cannot be used, and list them
                "new_files": "leave",  # files that came after a run's begin; 'take' splits them, and all others stay
                "table": {"path": "path", "label": "label", "split": "", "group": ""},  # columns of a .csv
            },
            "augment": {"max_shift": 0, "max_rotation": 0.0, "mirror": False},  # pixels; degrees
            "classifier": _classifier("small_cnn", 900),  # what is explained
            "oracle": _classifier("residual", 400),  # what only scores; left out with 0 steps
            "model": {
                "width": 64,
                "class_width": 64,
                "class_code_size": 8,
                "class_downsamplings": 4,
                "class_head_width": 0,
                "individual_downsamplings": 2,
                "individual_code_channels": 0,
                "individual_code_rounded": False,  # to whole numbers, whose bits are counted
                "individual_norm": "instance",
                "residual_blocks": 6,
                "mlp_width": 256,
                "keep_residual": False,  # swaps keep of the exemplar what the drawing lacks
                "residual": "exemplar",  # the exemplar itself where nothing changes; or 'detail', added to what changes
                "stem_kernel": 7,
                "upsample_kernel": 5,
                "output_kernel": 7,
                "answers": False,  # the class encoder is told the classifier's answer beside the image
                "individual_answers": False,  # so is the individual encoder: its code is relative to the class
                "block": 1,  # side of the blocks of pixels that networks take as channels
                "dtype": "float32",
            },
            "discriminator": {
                "conditional": False,  # real or fake is told for each class by itself
                "pooled": True,  # features are averaged over all places; else the head tells places apart
                "width": 64,
                "downsamplings": 4,
                "residual_blocks": 2,
                "hidden": 256,
                "dropout": 0.4,
                "kernel_init": "normal",
                "block": 1,
                "dtype": "float32",
            },
            "loss": {
                "image": 10.0,
                "class_code": 1.0,
                "individual_code": 1.0,
                "cycle": 10.0,
                "adversarial": 1.0,
                "swap_class": 1.0,
                "squared": 0.0,
                "structure": 0.0,
                "proximity": 0.0,
                "neighbourhood": 0.0,
                "consistency": 0.0,
                "fidelity": 0.0,
                "leakage": 0.0,
                "bits": 0.0,
                "discriminator_class": 2.0,
                "gradient_penalty": 0.0,
            },
            "optimizer": {
                "generator_rate": 1e-4,  # highest learning rate
                "discriminator_rate": 1e-4,  # likewise
                "warmup_rate": 4e-3,  # the generator's rate while `train.warmup_steps` last
                "schedule": "halving",  # the rate, ten times over the run; or 'cosine': a short rise, then down to 2 %
                "l2": 1e-4,  # weight of parameters' squares, added to the gradient
                "clip": 0.0,  # greatest norm of a network's gradient; 0 for no limit
            },
            "train": {
                "minutes": 0.0,  # for all that a start does; how many steps that are is measured; 0: as many as follow
                "steps": 200_000,  # after those of the warm-up
                "batch_size": 1,  # pairs
                "balanced": False,  # exemplars of rare classes come around as often as those of common ones
                "warmup_steps": 0,  # steps that learn classes and reconstructions only, before the first
                "swap_noise": 0.0,  # standard deviation of noise on swaps, in brightness of [0, 1]
                "ema_decay": 0.0,  # of the generator's average over steps, which explains; 0 for the last step's
                "remat": False,  # less memory, but each pass of the generator is computed once more
                "log_every": 20,  # steps
                "checkpoint_every": 5000,  # steps; each checkpoint is validated and drawn
            },
            "evaluation": {
                "swaps": 10_000,  # random swaps at the end; a validation draws at most 1,000
                "svm_images": 5000,  # training images, at most, that the second judge learns; 0 leaves it out
            },
        },
        type_safe=False,  # `config.conform` looks at types, once for all keys, and in sentences
    )


def default() -> Config:
    """Ours: explains the classifier rather than the labels, trained in minutes. Reasons: `docs/experiments.md`.

    A warm-up, in which networks learn to draw before they learn to swap; and individual codes of whole numbers,
    relative to the class, whose bits cost something, so that they do not tell what need not be told.
    """
    config = official()
    config.labels = "classifier"
    config.augment.update(max_shift=2, max_rotation=10.0)
    config.model.update(
        width=8,
        class_width=16,
        class_downsamplings=3,
        class_head_width=128,
        individual_downsamplings=3,
        individual_code_channels=8,
        individual_code_rounded=True,
        individual_answers=True,
        individual_norm="layer",
        residual_blocks=2,
        mlp_width=128,
        output_kernel=3,
    )
    config.discriminator.update(width=16, downsamplings=3, residual_blocks=1, hidden=128, dropout=0.0)
    config.loss.update(
        individual_code=0.0,
        squared=10.0,
        neighbourhood=1.0,
        consistency=1.0,
        fidelity=1.0,
        leakage=45.0,
        bits=0.01,
        gradient_penalty=0.05,
    )
    config.optimizer.update(generator_rate=2e-3, discriminator_rate=1e-3, schedule="cosine", l2=0.0)
    config.train.update(
        steps=1200,
        batch_size=16,
        warmup_steps=800,
        ema_decay=0.995,
        checkpoint_every=400,
    )
    return config


def pictures() -> Config:
    """`default` for photographs and scans; tried on scans at 64×64. Reasons: `docs/experiments.md`, "Pictures".

    Networks that see blocks of pixels, and draw without chequerboards; a long warm-up, in which they learn to draw
    before they learn to swap; a class code that is told the classifier's answer; swaps that keep the exemplar's detail.
    """
    config = default()
    config.augment.update(max_shift=4, mirror=True)
    config.oracle.update(steps=2500, batch_size=32)
    config.model.update(
        width=24,
        block=2,
        individual_downsamplings=1,
        individual_code_rounded=False,
        individual_answers=False,
        stem_kernel=3,
        upsample_kernel=3,
        answers=True,
        keep_residual=True,
        residual="detail",
    )
    config.discriminator.update(block=2, conditional=True, pooled=False, width=32, kernel_init="he")
    config.loss.update(
        image=60.0,
        cycle=0.0,
        individual_code=0.3,
        adversarial=2.0,
        swap_class=3.0,
        structure=10.0,
        consistency=1.5,
        fidelity=0.3,
        proximity=1.0,
        leakage=0.0,
        bits=0.0,
    )
    config.optimizer.update(generator_rate=1e-3, discriminator_rate=5e-4, clip=1.0, warmup_rate=3e-3)
    config.train.update(
        steps=3000, batch_size=8, warmup_steps=1000, swap_noise=0.02, ema_decay=0.998, checkpoint_every=500
    )
    return config


def black_box() -> Config:
    """`default` for a classifier that is slow to ask: without the losses that ask it, or its student, in training."""
    config = default()
    config.loss.update(consistency=0.0, fidelity=0.0)
    config.model.individual_answers = False
    return config
