"""`phantom/...`: the TFDS builder of phantoms, and the true answers to its images."""

import dataclasses
import re
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from cae_jax.data import phantom
from cae_jax.data.pictures import encode_png
from cae_jax.data.splits import SPLITS

RELIABILITY = 0.98  # how often a planted shortcut tells in training whether there is a finding
SYNTAX = "phantom/<classes>_<side>[_rgb][_mark|_brightness[_random]][_n<train images>][_seed<S>]"


@dataclasses.dataclass
class PhantomConfig(tfds.core.BuilderConfig):
    """A variant, see `read_variant`."""

    classes: int = 4
    side: int = 64
    channels: int = 1
    shortcut: str = "none"
    random: bool = False
    train: int = 3000
    seed: int = 0

    def sizes(self) -> dict[str, int]:
        """Images by split: a sixth of the training images more for validation, a third more for test."""
        return {"train": self.train, "validation": self.train // 6, "test": self.train // 3}


def read_variant(name: str) -> PhantomConfig:
    """Reads a variant's name, such as '4_64' or '2_128_rgb_mark_n500'.

    In order: 2 or 4 classes; the side in pixels, 32 to 256; `rgb` for colour; a shortcut, `mark` or `brightness`, that
    goes with the presence of a finding in the training and validation images and with nothing in the test images (nor
    in any, if `random` follows); `n` and the number of training images; `seed` and the seed of all individuals.

    Raises:
        ValueError: if there is no such variant.
    """
    pattern = r"([24])_(\d+)(_rgb)?(?:_(mark|brightness)(_random)?)?(?:_n(\d+))?(?:_seed(\d+))?"
    found = re.fullmatch(pattern, name)
    if found is None or not 32 <= int(found[2]) <= 256 or int(found[6] or 30) < 30:
        raise ValueError(f"phantom has no variant {name!r}; write {SYNTAX}, with 32 to 256 pixels, 30 images or more")
    classes, side, rgb, shortcut, random, train, seed = found.groups()
    return PhantomConfig(
        name=name,
        version=tfds.core.Version("1.0.0"),
        classes=int(classes),
        side=int(side),
        channels=3 if rgb else 1,
        shortcut=shortcut or "none",
        random=bool(random),
        train=int(train or 3000),
        seed=int(seed or 0),
    )


class Case(NamedTuple):
    """What an image shows."""

    individual: phantom.Individual
    finding: int
    grade: int
    planted: bool


def draw_case(variant: PhantomConfig, split: str, row: int) -> Case:
    """Draws what the image of a row shows, the same for the same variant, split and row."""
    number = SPLITS.index(split)
    rng = np.random.default_rng((variant.seed, number, row, 1))
    finding, grade = row % variant.classes, int(rng.integers(len(phantom.GRADES)))
    told = split != "test" and not variant.random
    planted = (finding > 0) == (rng.random() < RELIABILITY) if told else rng.random() < 0.5
    planted = variant.shortcut != "none" and bool(planted)
    return Case(phantom.draw_individual((variant.seed, number, row)), finding, grade, planted)


def draw_answers(variant: PhantomConfig, case: Case, grades: Sequence[int]) -> np.ndarray:
    """The images of a case with each finding in each of some grades, `[K, G, side, side, channels]` uint8."""
    shortcut = variant.shortcut if case.planted else "none"
    body = phantom.draw_body(case.individual, variant.side)
    draw = lambda finding, grade: phantom.render(  # noqa: E731
        case.individual, finding, grade, variant.side, variant.channels, shortcut, body
    )
    return np.stack([[draw(finding, grade) for grade in grades] for finding in range(variant.classes)])


class Truth(NamedTuple):
    """True answers to N images.

    Attributes:
        masks: `[N, height, width]` bool, where the finding is (half of it or more in a pixel); empty for 'normal'.
        counterfactuals: `[N, K, G, height, width, channels]` uint8: the same individual with each class's finding, in
            each grade, since an image does not tell the grade that another finding would have.
        planted: `[N]` bool, whether the image has the planted shortcut.
    """

    masks: np.ndarray
    counterfactuals: np.ndarray
    planted: np.ndarray


def true_answers(name: str, split: str, rows: np.ndarray, class_names: Sequence[str]) -> Truth:
    """Draws the true answers to rows of a split.

    Args:
        name: name of the data set, 'phantom/...'.
        split: 'train', 'validation' or 'test'.
        rows: positions `[N]` of the images in the split.
        class_names: names of its K classes, in the order of the counterfactuals.

    Raises:
        ValueError: if the data set is no phantom.
    """
    if not name.startswith("phantom/"):
        raise ValueError(f"true answers are known for phantom/... only, not for {name}")
    variant = read_variant(name.removeprefix("phantom/"))
    cases = [draw_case(variant, split, int(row)) for row in rows]
    every = range(len(phantom.GRADES))
    order = [phantom.FINDINGS.index(finding) for finding in class_names]
    return Truth(
        np.stack([phantom.draw_finding(case.individual, case.finding, variant.side) > 0.5 for case in cases]),
        np.stack([draw_answers(variant, case, every)[order] for case in cases]),
        np.asarray([case.planted for case in cases]),
    )


class Phantom(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Anatomy-like images with a known finding: its mask, its grade, and the individual with every other finding."""

    name = "phantom"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}

    def _info(self) -> tfds.core.DatasetInfo:
        variant: PhantomConfig = self.builder_config  # type: ignore[assignment]
        names = phantom.FINDINGS[: variant.classes]
        shape = (variant.side, variant.side, variant.channels)
        image = lambda channels: tfds.features.Image(shape=(*shape[:2], channels), encoding_format="png")  # noqa: E731
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": image(variant.channels),
                    "label": tfds.features.ClassLabel(names=list(names)),
                    "grade": np.int64,
                    "planted": np.bool_,
                    "mask": image(1),
                    "counterfactual": {name: image(variant.channels) for name in names},
                }
            ),
            supervised_keys=("image", "label"),
            disable_shuffling=True,  # so that a row number leads to its true answers
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        variant: PhantomConfig = self.builder_config  # type: ignore[assignment]
        return {split: self._generate_examples(split, count) for split, count in variant.sizes().items()}

    def _generate_examples(self, split, count):
        variant: PhantomConfig = self.builder_config  # type: ignore[assignment]
        for row in range(count):
            case = draw_case(variant, split, row)
            answers = draw_answers(variant, case, [case.grade])[:, 0]
            mask = phantom.draw_finding(case.individual, case.finding, variant.side) > 0.5
            yield (
                row,
                {
                    "image": encode_png(answers[case.finding]),
                    "label": case.finding,
                    "grade": case.grade,
                    "planted": case.planted,
                    "mask": encode_png(mask.astype(np.uint8)[..., None] * 255),
                    "counterfactual": {
                        name: encode_png(answer)
                        for name, answer in zip(phantom.FINDINGS[: variant.classes], answers, strict=True)
                    },
                },
            )
