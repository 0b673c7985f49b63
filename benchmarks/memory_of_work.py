"""Memory that evaluation and explanation take above the model, measured at its peak, each in a process of its own.

    python -m benchmarks.memory_of_work --out runs/memory_of_work
    python -m benchmarks.memory_of_work --images 10000    # takes its time: a probe is asked about every image

Evaluation: codes of the official sizes at 256×256, which stand-ins for networks and classifier return at once.
Explanation: maps of a small CAE of 64×64 images, of a classifier with 1,000 classes, by `attribute`, toward each of the
others. Writes `memory_of_work.csv`.
"""

import argparse
import functools
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
from typing import Any

import jax
import numpy as np
from rich.console import Console

from benchmarks.rows import write_rows
from cae_jax.config import presets
from cae_jax.config.reading import apply_overrides
from cae_jax.counterfactual import CodeTable
from cae_jax.explaining import Explainer, attribute
from cae_jax.explaining.package import Parts
from cae_jax.metrics import probes
from cae_jax.models import Individual
from cae_jax.training.evaluation import Evaluator, Functions
from cae_jax.workdir.classifier_store import LoadedClassifier
from cae_jax.workdir.generator import build_model, parameter_shapes
from cae_jax.workdir.record import RunRecord

SMALL = {"width": "4", "class_width": "4", "residual_blocks": "1", "mlp_width": "16"}
CLASSES = 1000
EXPLAINED = 2


class _Images:
    """Grey images that are made when they are read; every fourth brightness is a class."""

    def __init__(self, count: int, shape: tuple[int, int, int]):
        self.labels, self._shape = np.arange(count, dtype=np.int32) % 4, shape

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> np.ndarray:
        brightness = (40 + 60 * self.labels[indices]).astype(np.uint8)
        return np.broadcast_to(brightness[:, None, None, None], (len(indices), *self._shape)).copy()


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def evaluation(count: int) -> tuple[float, float]:
    """GiB at the peak before and after an evaluation of that many images."""
    shape = (256, 256, 3)
    model = build_model(presets.official(), shape, 4)
    run = lambda params, images: model.apply({"params": params}, images, method="encode")  # noqa: E731
    codes, class_codes = jax.eval_shape(
        run, parameter_shapes(model, shape), jax.ShapeDtypeStruct((1, *shape), np.float32)
    )

    def encode(_: Any, images: np.ndarray) -> tuple[Individual, np.ndarray]:
        means = np.asarray(images)[:, 0, 0, :1] / np.float32(255)
        noise = np.random.default_rng(0).normal(size=codes.shape[-1]).astype(np.float32)
        code = np.broadcast_to(noise + means[:, None, None], (len(images), *codes.shape[1:])).copy()
        return Individual(code), np.repeat(means, class_codes.shape[1], axis=1)

    def draw(_: Any, individual: Individual, code: np.ndarray) -> np.ndarray:
        return np.broadcast_to(code[:, None, None, :1], (len(code), *shape)).astype(np.float32)

    def predict(images: np.ndarray) -> np.ndarray:
        return np.eye(4, dtype=np.float32)[np.rint((np.asarray(images)[:, 0, 0, 0] * 255 - 40) / 60).astype(int)]

    train, test = _Images(count, shape), _Images(count, shape)
    functions = Functions(encode, encode, draw, lambda _, images: np.asarray(images), predict, predict)
    evaluator = Evaluator(functions, train, train.labels, test, test.labels, seed=0)
    for fit in (probes.fit_convolutional_probe, probes.fit_mlp_probe):  # as large, but quick
        setattr(probes, fit.__name__, functools.partial(fit, steps=4))
    before = _peak()
    evaluator.evaluate(None, 2 * count)
    return before, _peak()


def explanation(count: int) -> tuple[float, float]:
    """GiB at the peak before and after `attribute` of that many images of a classifier of 1,000 classes."""
    shape, rng = (64, 64, 3), np.random.default_rng(0)
    config = apply_overrides(presets.official(), {f"model.{name}": value for name, value in SMALL.items()})
    model = build_model(config, shape, CLASSES)
    shapes = parameter_shapes(model, shape)
    params = jax.tree.map(lambda x: rng.normal(0.0, 0.1, x.shape).astype(x.dtype), shapes)

    def classify(images: np.ndarray) -> np.ndarray:
        distance = images.mean((1, 2, 3))[:, None] - np.linspace(0.0, 1.0, CLASSES)
        odds = np.exp(-1e4 * np.square(distance) + 1e4 * np.square(distance).min(-1, keepdims=True))
        return (odds / odds.sum(-1, keepdims=True)).astype(np.float32)

    record = RunRecord(config, "none", tuple(f"class {i}" for i in range(CLASSES)), shape, "")
    classifier = LoadedClassifier(classify, classify, None, {"path": "none"}, False, "")
    with tempfile.TemporaryDirectory() as folder:
        explainer = Explainer(Parts(record, 0, params, classifier, "", ""), pathlib.Path(folder))
        classes = np.arange(2 * CLASSES) % CLASSES
        codes = rng.normal(size=(len(classes), config.model.class_code_size)).astype(np.float32)
        sure = np.full(len(classes), 9.0)
        explainer._table = CodeTable(classes.astype(str), codes, classes, classes, sure, classes, sure)
        images = rng.integers(0, 256, (count, *shape)).astype(np.uint8)
        explainer.predict(explainer.decode(*explainer.encode(images)))
        before = _peak()
        attribute(explainer, images, saliency="reconstruction")
    return before, _peak()


MEASURES = {"evaluation": evaluation, "explanation": explanation}


def measure(name: str, count: int) -> dict[str, Any]:
    """A row, measured in a new process."""
    command = [sys.executable, "-m", "benchmarks.memory_of_work", "--measure", name, "--images", str(count)]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    before, peak = json.loads(found.splitlines()[-1])
    return {"what": name, "images": count, "before, GiB": before, "peak, GiB": peak, "above, GiB": peak - before}


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/memory_of_work"), metavar="DIR")
    parser.add_argument("--images", type=int, default=1000, metavar="N", help="evaluated, at most (1000)")
    parser.add_argument("--measure", choices=MEASURES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(MEASURES[options.measure](options.images)))
        return 0
    rows = [measure("evaluation", max(options.images // 4, 1)), measure("evaluation", options.images)]
    rows.append(measure("explanation", EXPLAINED))
    write_rows(rows, options.out / "memory_of_work.csv", Console())
    return 0


if __name__ == "__main__":
    sys.exit(main())
