"""One explanation as a picture: exemplar, guided path with probabilities, counterfactual, saliency map."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from cae_jax.types import Ending, Explanation

matplotlib.use("Agg", force=False)


def _show(axes, image: np.ndarray, title: str) -> None:
    axes.imshow(image.squeeze(), cmap="gray", vmin=0.0, vmax=1.0)
    axes.set_title(title, fontsize=8)
    axes.axis("off")


def draw_explanation(
    explanation: Explanation, row: int, image: np.ndarray, class_names: Sequence[str], name: str
) -> Figure:
    """Draws one row of an explanation.

    Args:
        explanation: the record.
        row: which of its rows.
        image: the exemplar, `[height, width, channels]` in [0, 1].
        class_names: K names.
        name: of the image.
    """
    prediction, target = int(explanation.prediction[row]), int(explanation.target[row])
    ending = Ending(int(explanation.status[row]))
    shifts, path = explanation.path_shifts, explanation.path_images[row]
    probabilities = explanation.path_probabilities[row]
    shift, flip = explanation.shift[row], explanation.flip_shift[row]
    aim = class_names[target] if target >= 0 else "none"

    figure = Figure(figsize=(1.15 * (len(path) + 3), 3.0), layout="constrained")
    grid = figure.add_gridspec(2, len(path) + 3, height_ratios=[1.0, 0.8])
    _show(figure.add_subplot(grid[0, 0]), image, f"exemplar\n{class_names[prediction]}")
    for i, step in enumerate(path):
        answer = class_names[int(probabilities[i].argmax())]
        _show(figure.add_subplot(grid[0, 1 + i]), step, f"shift {shifts[i]:.2f}\n{answer}")
    caption = f"counterfactual\nshift {shift:.3f}" if np.isfinite(shift) else "path's end\nno counterfactual"
    _show(figure.add_subplot(grid[0, -2]), explanation.counterfactual[row], caption)

    saliency = explanation.saliency[row]
    axes = figure.add_subplot(grid[0, -1])
    axes.imshow(image.mean(-1), cmap="gray", vmin=0.0, vmax=1.0, alpha=0.35)
    limit = max(float(np.abs(saliency).max()), 1e-6)
    axes.imshow(saliency, cmap="RdBu_r", vmin=-limit, vmax=limit, alpha=0.75)
    axes.set_title("saliency\nadded / removed", fontsize=8)
    axes.axis("off")

    axes = figure.add_subplot(grid[1, 1 : 1 + len(path)])
    width = 0.35 * (shifts[1] - shifts[0])
    axes.bar(shifts - width / 2, probabilities[:, prediction], width, color="tab:gray", label=class_names[prediction])
    if target >= 0 and target != prediction:
        axes.bar(shifts + width / 2, probabilities[:, target], width, color="tab:red", label=aim)
    if np.isfinite(flip):
        axes.axvline(flip, color="black", linestyle=":", label=f"flip at {flip:.3f}")
    axes.set_xlim(-0.5 / (len(path) - 1), 1 + 0.5 / (len(path) - 1))
    axes.set_ylim(0, 1.02)
    axes.set_xticks([])
    axes.set_ylabel("probability", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    figure.suptitle(
        f"{name}: {class_names[prediction]} → {aim}.  {ending.name}: {ending.message}",
        fontsize=9,
    )
    return figure
