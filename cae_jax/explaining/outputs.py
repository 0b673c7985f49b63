"""A folder of explanations, written batch by batch so that an interrupted job goes on where it was.

request.json        what was asked for
parts/              one .npz a batch, merged at the end
strips/             a picture a row
explanations.npz    all arrays
explanations.json   the numbers, totals on top
index.html          one self-contained page
"""

import dataclasses
import json
import pathlib
import shutil
import zipfile
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cae_jax.explaining.engine import concatenate
from cae_jax.explaining.inputs import InputError
from cae_jax.explaining.sources import Failure
from cae_jax.report import Page, draw_explanation
from cae_jax.training.files import write_npz, write_whole
from cae_jax.training.workdir_lock import FILE as LOCK
from cae_jax.types import Ending, Explanation

OURS = ("request.json", "parts", "strips", "explanations.npz", "explanations.json", "index.html")
FIELDS = tuple(field.name for field in dataclasses.fields(Explanation))


class Part(NamedTuple):
    """What one batch left.

    Attributes:
        explanation: the record, its `image_index` counting `images`; None if no image could be read.
        images: `[n, height, width, channels]` in [0, 1], those that could be read.
        names: of these images.
        failures: the others.
        digests: of all of them, in the order of the inputs, see `Inputs.digests`.
    """

    explanation: Explanation | None
    images: np.ndarray
    names: list[str]
    failures: list[Failure]
    digests: list[str]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _file_stems(names: Sequence[str]) -> dict[str, str]:
    """File names for pictures: without the image's suffix, unless two images differ in nothing else."""
    stems = {name: pathlib.PurePath(name).stem for name in names}
    counts = Counter(stems.values())
    return {name: (stem if counts[stem] == 1 else name).replace("/", "_") for name, stem in stems.items()}


class ResultFolder:
    """Where a job writes.

    Attributes:
        path: the folder.
    """

    def __init__(
        self,
        path: pathlib.Path,
        request: dict[str, Any],
        names: Sequence[str],
        class_names: Sequence[str],
        overwrite: bool = False,
    ):
        """Starts or continues a folder.

        Args:
            path: made if need be.
            request: JSON values that tell this job from others.
            names: of all images.
            class_names: K names.
            overwrite: whether to delete the results of another job first; other files stay.

        Raises:
            InputError: if the folder holds results of another job, or files that are not ours, and `overwrite` is off.
        """
        self.path, self._class_names, self._stems, self._count = path, class_names, _file_stems(names), len(names)
        self._request = json.loads(json.dumps(request | {"names": list(names)}))
        if overwrite:
            for name in OURS:
                shutil.rmtree(path / name) if (path / name).is_dir() else (path / name).unlink(missing_ok=True)
        self._claim(overwrite)

    def _claim(self, overwrite: bool) -> None:
        path = self.path / "request.json"
        if path.exists():
            try:
                earlier = json.loads(path.read_text())
                keys = sorted(k for k in self._request | earlier if self._request.get(k) != earlier.get(k))
            except (ValueError, TypeError) as error:
                raise InputError(f"{path} is damaged ({error}); add --overwrite, or name another --out") from error
            if keys:
                raise InputError(
                    f"{self.path} holds the results of another job (it differs in: {', '.join(keys)}); add "
                    f"--overwrite, or name another --out"
                )
        elif not overwrite and self.path.exists() and any(file.name != LOCK for file in self.path.iterdir()):
            raise InputError(
                f"{self.path} holds files already; add --overwrite to write among them, or name another --out"
            )
        else:
            self.path.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(self._request, indent=1))
        for folder in ("parts", "strips"):
            (self.path / folder).mkdir(exist_ok=True)

    def _part(self, number: int) -> pathlib.Path:
        return self.path / "parts" / f"{number:06d}.npz"

    def read(self, number: int) -> Part | None:
        """A part that was written earlier, or None; a damaged one counts as none."""
        try:
            with np.load(self._part(number), allow_pickle=False) as arrays:
                fields = {name: arrays[name] for name in FIELDS} if len(arrays["names"]) else None
                return Part(
                    explanation=Explanation(**fields) if fields else None,
                    images=arrays["images"],
                    names=arrays["names"].tolist(),
                    failures=[Failure(*row) for row in arrays["failures"].reshape(-1, 2).tolist()],
                    digests=arrays["digests"].tolist(),
                )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def digests(self, number: int) -> list[str] | None:
        """Digests of the images that a part was made of, or None where there is no whole part."""
        try:
            with np.load(self._part(number), allow_pickle=False) as arrays:
                return arrays["digests"].tolist()
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def forget(self, number: int) -> None:
        """Deletes a part and its pictures."""
        part = self.read(number)
        self._part(number).unlink(missing_ok=True)  # first: a part that is there is whole
        if part is not None and part.explanation is not None:
            for row in range(len(part.explanation)):
                (self.path / self._picture(part.explanation, row, part.names)).unlink(missing_ok=True)

    def _picture(self, explanation: Explanation, row: int, names: Sequence[str]) -> str:
        index, target = int(explanation.image_index[row]), int(explanation.target[row])
        same = (explanation.image_index[:row] == index) & (explanation.target[:row] == target)
        again = f"_{int(same.sum()) + 1}" if same.any() else ""
        aim = self._class_names[target] if target >= 0 else "none"
        return f"strips/{self._stems[names[index]]}_to_{aim}{again}.png".replace(" ", "_")

    def write(self, number: int, part: Part) -> None:
        """Writes a part in the place of an earlier one: pictures first, so that a part that is there is whole."""
        self.forget(number)
        explanation, images, names, failures, digests = part
        arrays: dict[str, Any] = {}
        if explanation is not None:
            for row in range(len(explanation)):
                index = int(explanation.image_index[row])
                picture = draw_explanation(explanation, row, images[index], self._class_names, names[index])
                picture.save(self.path / self._picture(explanation, row, names), compress_level=1)
            arrays = {name: getattr(explanation, name) for name in FIELDS}
        text = np.asarray([list(failure) for failure in failures], dtype=str).reshape(-1, 2)
        arrays |= {"names": np.asarray(names, dtype=str), "digests": np.asarray(digests, dtype=str)}
        write_npz(self._part(number), images=images, failures=text, **arrays)

    def _rows(self, explanation: Explanation, names: Sequence[str]) -> list[dict[str, Any]]:
        rows = []
        for row in range(len(explanation)):
            target, ending = int(explanation.target[row]), Ending(int(explanation.status[row]))
            rows.append(
                {
                    "image": names[int(explanation.image_index[row])],
                    "prediction": self._class_names[int(explanation.prediction[row])],
                    "target": self._class_names[target] if target >= 0 else "none",
                    "ending": ending.name,
                    "message": ending.message,
                    "flip_shift": _number(explanation.flip_shift[row]),
                    "shift": _number(explanation.shift[row]),
                    "reference": int(explanation.reference[row]),
                    "picture": self._picture(explanation, row, names),
                }
            )
        return rows

    def rows(self) -> list[dict[str, Any]]:
        """What `finish` has returned to the process that called it."""
        return json.loads((self.path / "explanations.json").read_text())["explanations"]

    def finish(self, parts: int, facts: dict[str, str]) -> list[dict[str, Any]]:
        """Merges the parts there are into the page, the JSON and the `.npz`.

        Args:
            parts: how many there should be.
            facts: shown on the page.

        Returns:
            The rows of the JSON.
        """
        page = Page(self._class_names, facts)
        rows: list[dict[str, Any]] = []
        failures: list[Failure] = []
        records, images, names = [], [], []
        for number in range(parts):
            part = self.read(number)
            if part is None:
                continue
            failures += part.failures
            if part.explanation is not None:
                page.add(part.explanation, part.images, part.names)
                rows += self._rows(part.explanation, part.names)
                offset = part.explanation.image_index + len(names)
                records.append(dataclasses.replace(part.explanation, image_index=offset))
                images.append(part.images)
                names += part.names
        missing = self._count - len(names) - len(failures)
        counts = Counter(row["ending"] for row in rows)
        summary = {
            "totals": {ending.name: counts[ending.name] for ending in Ending},
            "missing": missing,
            "failures": [failure._asdict() for failure in failures],
            "explanations": rows,
        }
        write_whole(self.path / "explanations.json", json.dumps(summary, indent=1))
        write_whole(self.path / "index.html", page.render(failures, missing))
        if records:
            whole = concatenate(records)
            arrays = {name: getattr(whole, name) for name in FIELDS}
            write_npz(
                self.path / "explanations.npz",
                images=np.concatenate(images),
                image_names=np.asarray(names),
                **arrays,
            )
        return rows
