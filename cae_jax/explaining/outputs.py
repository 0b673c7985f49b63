"""The folder of a job's explanations, written part by part so that an interrupted job can continue.

request.json        what identifies the job
parts/              for each part: one .npz with its images, and one for each record of explanations; merged at the end
strips/             a picture of each row
explanations.npz    all arrays
explanations.json   all numbers, totals first
index.html          one self-contained page
sheet/              a contact sheet, where one was asked for: a PDF, and each of its pages as PNG
"""

import dataclasses
import itertools
import json
import pathlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cae_jax.counterfactual import find_shortfalls
from cae_jax.errors import InputError
from cae_jax.explaining.inputs import Failure
from cae_jax.file_names import safe_names
from cae_jax.options import ExplainOptions
from cae_jax.report import ExplanationPage, class_name, draw_explanation
from cae_jax.report.contact_sheet import Entry, explanation_entry, explanation_heads, write_contact_sheet
from cae_jax.types import Ending, Explanation, Picture
from cae_jax.workdir.files import reading_npz, write_npz, write_npz_in_parts, write_whole
from cae_jax.workdir.kept import read_kept
from cae_jax.workdir.lock import FILE as LOCK

REQUEST, SHEET = "request.json", "sheet"
MOST_ON_SHEET = 500  # explanations on a contact sheet
OURS = (REQUEST, "parts", "strips", "explanations.npz", "explanations.json", "index.html", SHEET)
JOINT = "_to_"  # between the image's and the class's name in the file name of a picture
FIELDS = tuple(field.name for field in dataclasses.fields(Explanation))


class Part(NamedTuple):
    """The results of images that were explained together.

    Attributes:
        explanations: records of consecutive rows; their `image_index` refers to `images`.
        images: the images that could be explained, `[n, height, width, channels]` in [0, 1].
        names: names of these n images.
        failures: the other images, and the reasons.
        digests: SHA-256 of the contents of all images of the part, failed ones included, in the order of the inputs.
    """

    explanations: Iterable[Explanation]
    images: np.ndarray
    names: list[str]
    failures: list[Failure]
    digests: list[str]


def _number(value: np.floating) -> float | None:
    return float(value) if np.isfinite(value) else None


def _file_stems(names: Sequence[str]) -> dict[str, str]:
    """Maps the images' names to file names for their pictures, without suffixes unless some differ only in the suffix.

    Raises:
        InputError: if two images have the same name.
    """
    again = [name for name, count in Counter(names).items() if count > 1]
    if again:
        raise InputError(f"{again[0]} is asked for more than once; name each image once")
    stems = [pathlib.PurePath(name).stem for name in names]
    different = len({stem.casefold() for stem in stems}) == len(stems)
    return dict(zip(names, safe_names(stems if different else names, JOINT), strict=True))


def _load(path: pathlib.Path) -> Explanation:
    with reading_npz(path) as arrays:
        return Explanation(**{name: arrays[name] for name in FIELDS})


def _fields(name: str, paths: Iterable[pathlib.Path]) -> Iterator[np.ndarray]:
    for path in paths:
        with reading_npz(path) as arrays:
            yield arrays[name]


class ResultFolder:
    """The folder that a job writes to.

    Attributes:
        path: path of the folder.
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
            path: path of the folder, made if it does not exist.
            request: JSON values that identify the job.
            names: names of all images.
            class_names: K names of classes.
            overwrite: whether to delete the results of an earlier job first; files of other names stay.

        Raises:
            InputError: if `overwrite` is off and the folder holds results of another job or other files; if it is on
                and result files are there without a `request.json`; if two images have the same name.
        """
        self.path, self._class_names, self._count = path, class_names, len(names)
        self._stems, self._aims = _file_stems(names), [*safe_names(class_names, JOINT), "none"]
        self._request = json.loads(json.dumps(request | {"names": list(names)}))
        if overwrite:
            self._clear()
        self._claim(overwrite)

    def _clear(self) -> None:
        """Deletes the results of an earlier job; `request.json` goes last, as it shows that the files are results.

        Raises:
            InputError: if result files are there without it; nothing is deleted then.
        """
        there = [self.path / name for name in OURS if (self.path / name).exists()]
        if there and not (self.path / REQUEST).exists():
            raise InputError(f"{there[0]} is no result of an earlier job ({REQUEST} is missing); name another --out")
        for path in reversed(there):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _claim(self, overwrite: bool) -> None:
        path = self.path / REQUEST
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

    def _records(self, number: int, count: int) -> list[pathlib.Path]:
        return [self.path / "parts" / f"{number:06d}-{record:04d}.npz" for record in range(count)]

    def _read(self, number: int) -> tuple[Part, list[pathlib.Path]] | None:
        def whole(arrays: Mapping[str, np.ndarray]) -> tuple[Part, list[pathlib.Path]]:
            paths = self._records(number, int(arrays["records"]))
            for path in paths:
                _load(path)
            part = Part(
                explanations=map(_load, paths),
                images=arrays["images"],
                names=arrays["names"].tolist(),
                failures=[Failure(*row) for row in arrays["failures"].reshape(-1, 2).tolist()],
                digests=arrays["digests"].tolist(),
            )
            return part, paths

        return read_kept(self._part(number), whole)

    def read(self, number: int) -> Part | None:
        """Reads a part that was written earlier; None if it does not exist or is damaged."""
        found = self._read(number)
        return found and found[0]

    def digests(self, number: int) -> list[str] | None:
        """Digests of the images that a part was made of; None if there is no complete part."""
        return read_kept(self._part(number), lambda arrays: arrays["digests"].tolist())

    def forget(self, number: int) -> None:
        """Deletes a part and its pictures."""
        found = self._read(number)
        if found is None:
            self._part(number).unlink(missing_ok=True)
            return
        part, records = found
        pictures = [
            self.path / self._picture(explanation, row, part.names)
            for explanation in part.explanations
            for row in range(len(explanation))
        ]
        for path in (self._part(number), *records, *pictures):  # in this order: if the first exists, the part is whole
            path.unlink(missing_ok=True)

    def _picture(self, explanation: Explanation, row: int, names: Sequence[str]) -> str:
        stem, aim = self._stems[names[int(explanation.image_index[row])]], self._aims[int(explanation.target[row])]
        again = f"~{int(explanation.answer[row]) + 1}" if explanation.answer[row] else ""
        return f"strips/{stem}{JOINT}{aim}{again}.png"

    def write(self, number: int, part: Part) -> None:
        """Writes a part, and replaces an earlier one.

        Pictures and records are written first, the file with the images last; a part without it does not count, so that
        an interruption leaves no incomplete part.
        """
        self.forget(number)
        explanations, images, names, failures, digests = part
        count = 0
        for count, explanation in enumerate(explanations, 1):
            for row in range(len(explanation)):
                index = int(explanation.image_index[row])
                picture = draw_explanation(explanation, row, images[index], self._class_names, names[index])
                picture.save(self.path / self._picture(explanation, row, names), compress_level=1)
            write_npz(self._records(number, count)[-1], **{name: getattr(explanation, name) for name in FIELDS})
        text = np.asarray([list(failure) for failure in failures], dtype=str).reshape(-1, 2)
        write_npz(
            self._part(number),
            images=images,
            names=np.asarray(names, dtype=str),
            failures=text,
            digests=np.asarray(digests, dtype=str),
            records=np.asarray(count),
        )

    def _rows(self, explanation: Explanation, names: Sequence[str]) -> list[dict[str, Any]]:
        rows = []
        for row in range(len(explanation)):
            target, ending = int(explanation.target[row]), Ending(int(explanation.status[row]))
            rows.append(
                {
                    "image": names[int(explanation.image_index[row])],
                    "prediction": class_name(self._class_names, int(explanation.prediction[row])),
                    "target": self._class_names[target] if target >= 0 else "none",
                    "ending": ending.name,
                    "message": ending.message,
                    "flip_shift": _number(explanation.flip_shift[row]),
                    "shift": _number(explanation.shift[row]),
                    "typicality": _number(explanation.typicality[row]),
                    "individual_bits": _number(explanation.individual_bits[row]),
                    "reference": int(explanation.reference[row]),
                    "picture": self._picture(explanation, row, names),
                }
            )
        return rows

    def _fewer(self, explanation: Explanation, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The requests of a record that have fewer diverse answers than asked for, with the reasons."""
        asked = self._request.get("options", {}).get("diverse", 1)
        return [
            {"image": rows[fewer.row]["image"], "target": rows[fewer.row]["target"], "asked": asked}
            | {"found": fewer.found, "why": fewer.why}
            for fewer in find_shortfalls(explanation, asked)
        ]

    def rows(self) -> list[dict[str, Any]]:
        """The rows of `explanations.json`, once `finish` has written it."""
        return json.loads((self.path / "explanations.json").read_text())["explanations"]

    def finish(
        self,
        parts: int,
        facts: dict[str, str],
        verdict: str = "",
        sheet: bool = False,
        whole: Callable[[str], Picture | None] = lambda name: None,
    ) -> list[dict[str, Any]]:
        """Merges all parts that exist into the page, the JSON file and the `.npz` file.

        Args:
            parts: number of parts of the whole job.
            facts: facts shown on the page, by name.
            verdict: why the model is not to be relied on; '' if nothing is known against it.
            sheet: whether to draw a contact sheet, too, once no part is missing; an older one is drawn again.
            whole: the whole picture of an image by its name, for the page; see `ExplanationPage`.

        Returns:
            The rows of the JSON.
        """
        saliency = self._request.get("options", {}).get("saliency", ExplainOptions.saliency)
        page = ExplanationPage(self._class_names, facts, verdict, saliency, whole)
        rows: list[dict[str, Any]] = []
        fewer: list[dict[str, Any]] = []
        failures: list[Failure] = []
        names: list[str] = []
        read: list[tuple[int, int, list[pathlib.Path]]] = []  # part, number of images before it, its records
        for number in range(parts):
            if (found := self._read(number)) is None:
                continue
            part, paths = found
            for explanation in part.explanations:
                page.add(explanation, part.images, part.names)
                written = self._rows(explanation, part.names)
                fewer += self._fewer(explanation, written)
                rows += written
            read.append((number, len(names), paths))
            failures += part.failures
            names += part.names
        missing = self._count - len(names) - len(failures)
        counts = Counter(row["ending"] for row in rows)
        summary = {
            "verdict": verdict,
            "totals": {ending.name: counts[ending.name] for ending in Ending},
            "missing": missing,
            "failures": [failure._asdict() for failure in failures],
            "fewer_answers": fewer,
            "explanations": rows,
        }
        write_whole(self.path / "explanations.json", json.dumps(summary, indent=1))
        write_whole(self.path / "index.html", page.render(failures, missing, fewer))
        if rows:
            self._write_arrays(len(rows), names, read)
        else:
            (self.path / "explanations.npz").unlink(missing_ok=True)
        folder = self.path / SHEET
        if folder.exists():
            sheet = True
            shutil.rmtree(folder)
        if sheet:
            folder.mkdir()  # empty while images are missing: what was asked for once is drawn when all are there
        if sheet and rows and not missing:
            endings = {ending: counts[ending.name] for ending in Ending}
            heads = explanation_heads(endings, min(len(rows), MOST_ON_SHEET), facts, verdict, saliency, len(failures))
            write_contact_sheet(itertools.islice(self._entries(parts), MOST_ON_SHEET), folder, *heads)
        return rows

    def _entries(self, parts: int) -> Iterator[Entry]:
        """The rows of the contact sheet."""
        for part in filter(None, map(self.read, range(parts))):
            for explanation in part.explanations:
                for row, index in enumerate(explanation.image_index):
                    yield explanation_entry(explanation, row, part.images[index], self._class_names, part.names[index])

    def _write_arrays(self, rows: int, names: list[str], whole: list[tuple[int, int, list[pathlib.Path]]]) -> None:
        """Writes all arrays to one file, with only one record at a time in memory."""
        paths = [path for _, _, records in whole for path in records]
        images = _fields("images", (self._part(number) for number, _, records in whole if records))
        indices = (_load(path).image_index + before for _, before, records in whole for path in records)
        arrays: dict[str, tuple[int, Iterable[np.ndarray]]] = {
            "images": (len(names), images),
            "image_names": (len(names), [np.asarray(names)]),
            **{name: (rows, _fields(name, paths)) for name in FIELDS},
        }
        shifts = next(_fields("path_shifts", paths))
        arrays |= {"path_shifts": (len(shifts), [shifts]), "image_index": (rows, indices)}
        write_npz_in_parts(self.path / "explanations.npz", arrays)
