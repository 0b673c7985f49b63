"""Writes explanations: a picture a row, all arrays as `.npz`, the numbers as JSON."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from cae_jax.report import draw_explanation
from cae_jax.types import Ending, Explanation


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def write_explanation(
    folder: pathlib.Path,
    explanation: Explanation,
    images: np.ndarray,
    names: Sequence[str],
    class_names: Sequence[str],
    report: Callable[[int], object] = lambda row: None,
) -> None:
    """Writes `explanations.npz`, `explanations.json` and `<image>_to_<class>.png` for every row.

    Args:
        folder: made if need be.
        explanation: the record.
        images: `[N, height, width, channels]` in [0, 1], as they were explained.
        names: of the N images.
        class_names: K names.
        report: called with each row once its picture is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        folder / "explanations.npz",
        images=images,
        image_names=np.asarray(names),
        **{field.name: getattr(explanation, field.name) for field in dataclasses.fields(explanation)},
    )
    rows = []
    for row in range(len(explanation)):
        index, target = int(explanation.image_index[row]), int(explanation.target[row])
        ending = Ending(int(explanation.status[row]))
        aim = class_names[target] if target >= 0 else "none"
        picture = f"{pathlib.Path(names[index]).stem}_to_{aim}.png".replace("/", "_")
        rows.append(
            {
                "image": names[index],
                "prediction": class_names[int(explanation.prediction[row])],
                "target": aim,
                "ending": ending.name,
                "message": ending.message,
                "flip_shift": _number(explanation.flip_shift[row]),
                "shift": _number(explanation.shift[row]),
                "picture": picture,
            }
        )
        figure = draw_explanation(explanation, row, images[index], class_names, names[index])
        figure.savefig(folder / picture, dpi=110)
        report(row)
    (folder / "explanations.json").write_text(json.dumps(rows, indent=1))
