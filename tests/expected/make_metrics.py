"""Makes `metrics.npz`: what other implementations, and loops written from the papers, say of fixed inputs.

    python -m venv expected && expected/bin/pip install quantus==0.6.0 torch torchmetrics==1.9.0 scikit-learn scipy
    expected/bin/python tests/expected/make_metrics.py

Run again only to add to it; `tests/test_expected_metrics.py` compares ours with the file. Where a library measures
something slightly else, it is said here and put right from its raw output.
"""

import json
import pathlib
import platform
from importlib.metadata import version

import numpy as np
import quantus
import scipy.stats
import torch
from quantus.functions.perturb_func import noisy_linear_imputation
from sklearn.metrics import auc, f1_score, jaccard_score, precision_score
from torchmetrics.image.kid import KernelInceptionDistance

HERE = pathlib.Path(__file__).parent
COUNT, SIDE, CLASSES, PATCH, STEP = 6, 8, 3, 2, 4
PACKAGES = ("quantus", "torch", "torchmetrics", "scikit-learn", "scipy", "numpy")


class Network(torch.nn.Module):
    """Softmax of a small network with one hidden layer; the images are NCHW."""

    def __init__(self, weights: dict[str, np.ndarray]):
        super().__init__()
        self.weights = {name: torch.tensor(value) for name, value in weights.items()}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images to probabilities."""
        pixels = images.double().permute(0, 2, 3, 1).flatten(1)
        hidden = torch.tanh(pixels @ self.weights["first"] + self.weights["bias"])
        return torch.softmax(hidden @ self.weights["second"], -1)


def make_inputs(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Images, maps without ties, classes, masks, counterfactuals, features and the network's weights."""
    masks = np.zeros((COUNT, SIDE, SIDE), bool)
    for mask in masks:
        top, left = rng.integers(0, 4, 2)
        mask[top : top + rng.integers(2, 5), left : left + rng.integers(2, 5)] = True
    images = rng.uniform(size=(COUNT, SIDE, SIDE, 1))
    return {
        "images": images,
        "saliency": rng.permuted(np.arange(COUNT * SIDE * SIDE, dtype=float)).reshape(COUNT, SIDE, SIDE) / 100,
        "classes": rng.integers(0, CLASSES, COUNT),
        "masks": masks,
        "counterfactuals": np.clip(images + rng.normal(scale=0.3, size=images.shape), 0, 1),
        "features": rng.normal(size=(40, 5)),
        "real": rng.normal(loc=0.3, size=(50, 5)),
        "values": rng.exponential(size=80),
        "first": rng.normal(size=(SIDE * SIDE, 16)) * 0.5,
        "bias": rng.normal(size=16),
        "second": rng.normal(size=(16, CLASSES)) * 2,
    }


def with_quantus(x: dict[str, np.ndarray], network: Network) -> dict[str, np.ndarray]:
    """What Quantus says; it takes NCHW, and maps with a channel."""
    rows = {
        "model": network,
        "x_batch": x["images"].transpose(0, 3, 1, 2),
        "y_batch": x["classes"],
        "a_batch": x["saliency"][:, None],
        "device": "cpu",
        "channel_first": True,
    }
    # Its baseline "black" is the least value of an image; the number 0 is black.
    plain = {"abs": False, "normalise": False, "disable_warnings": True}
    local = rows | {"s_batch": x["masks"][:, None]}
    found = {
        # Begins after the first step: the untouched image is not in it.
        "pixel_flipping": quantus.PixelFlipping(features_in_step=STEP, perturb_baseline=0.0, **plain)(
            **rows, softmax=False
        ),
        "pointing_game": quantus.PointingGame(**plain)(**local),
        "relevance_rank_accuracy": quantus.RelevanceRankAccuracy(**plain)(**local),
        "relevance_mass_accuracy": quantus.RelevanceMassAccuracy(**plain)(**local),
        # Its intersection is divided by k: the precision of the k top pixels, here of k = 10.
        "top_10_precision": quantus.TopKIntersection(k=10, concept_influence=False, **plain)(**local),
    }
    for order in ("morf", "lerf"):
        # Drops of the probability after 1, 2, ... regions, without the 0 of the untouched image.
        found[f"regions_{order}"] = quantus.RegionPerturbation(
            patch_size=PATCH, regions_evaluation=(SIDE // PATCH) ** 2, order=order, perturb_baseline=0.0, **plain
        )(**rows, softmax=False)
    imputed = []
    for image, mask in zip(x["images"], x["masks"], strict=True):
        imputed.append(noisy_linear_imputation(image.transpose(2, 0, 1), np.flatnonzero(mask), noise=0.0))
    found["imputed"] = np.stack(imputed).transpose(0, 2, 3, 1)
    return {f"quantus {name}": np.asarray(values, float) for name, values in found.items()}


def with_loops(x: dict[str, np.ndarray], network: Network) -> dict[str, np.ndarray]:
    """Curves, and what scikit-learn, SciPy and torchmetrics make of arrays; COUT straight from its paper."""

    def predict(image: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return network(torch.tensor(image.transpose(2, 0, 1)[None])).numpy()[0]

    targets = (x["classes"] + 1) % CLASSES
    insertion, deletion, cout, iou, dice, precision = [], [], [], [], [], []
    for row in range(COUNT):
        order = np.argsort(-x["saliency"][row].ravel())
        curves = {True: [], False: []}
        for shown in range(0, SIDE * SIDE + 1, STEP):
            for insert in curves:
                kept = np.full(SIDE * SIDE, not insert)
                kept[order[:shown]] = insert
                image = np.where(kept.reshape(SIDE, SIDE, 1), x["images"][row], 0.25)
                curves[insert].append(predict(image)[x["classes"][row]])
        shares = np.linspace(0, 1, len(curves[True]))
        insertion.append(auc(shares, curves[True]))
        deletion.append(auc(shares, curves[False]))
        change = np.abs(x["images"][row] - x["counterfactuals"][row]).sum(-1).ravel()
        order, answers = np.argsort(-change), []
        for exchanged in range(0, SIDE * SIDE + 1, STEP):
            mixed = x["images"][row].reshape(-1, 1).copy()
            mixed[order[:exchanged]] = x["counterfactuals"][row].reshape(-1, 1)[order[:exchanged]]
            answers.append(predict(mixed.reshape(SIDE, SIDE, 1)))
        areas = [auc(shares, [answer[c] for answer in answers]) for c in (targets[row], x["classes"][row])]
        cout.append(areas[0] - areas[1])
        mask = x["masks"][row].ravel()
        top = np.zeros_like(mask)
        top[np.argsort(-x["saliency"][row].ravel())[: mask.sum()]] = True
        iou.append(jaccard_score(mask, top))
        dice.append(f1_score(mask, top))
        precision.append(precision_score(mask, top))
    distance = KernelInceptionDistance(torch.nn.Identity(), subsets=1, subset_size=40)
    distance.real_features = [torch.tensor(x["real"][:40])]
    distance.fake_features = [torch.tensor(x["features"])]
    interval = scipy.stats.bootstrap(
        (x["values"],), np.mean, n_resamples=20_000, method="percentile", random_state=np.random.default_rng(1)
    ).confidence_interval
    return {
        "probabilities": np.stack([predict(image) for image in x["images"]]),
        "insertion_auc": np.asarray(insertion),
        "deletion_auc": np.asarray(deletion),
        "cout": np.asarray(cout),
        "iou": np.asarray(iou),
        "dice": np.asarray(dice),
        "precision": np.asarray(precision),
        "kid": np.asarray(distance.compute()[0]),
        "interval": np.asarray(interval),
    }


def main() -> None:
    """Writes `metrics.npz` and `metrics_versions.json` beside this file."""
    inputs = make_inputs(np.random.default_rng(0))
    network = Network({name: inputs[name] for name in ("first", "bias", "second")}).eval()
    expected = with_quantus(inputs, network) | with_loops(inputs, network)
    np.savez_compressed(HERE / "metrics.npz", **inputs, **{f"expected {k}": v for k, v in expected.items()})
    versions = {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
    (HERE / "metrics_versions.json").write_text(json.dumps(versions, indent=1) + "\n")
    for name, values in expected.items():
        print(name, values.shape, values.ravel()[:4].round(4))


if __name__ == "__main__":
    main()
