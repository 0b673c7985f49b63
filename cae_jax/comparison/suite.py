"""Runs every method on the same images, scores it and saves its result, so that an interrupted comparison continues."""

import dataclasses
import hashlib
import json
import pathlib
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from rich.console import Console

from cae_jax.comparison.methods import KINDS, Role
from cae_jax.comparison.scores import AttributionScores, CounterfactualScores, Score
from cae_jax.comparison.task import Setting, Task
from cae_jax.config.reading import ConfigError
from cae_jax.file_names import safe_name
from cae_jax.progress import working
from cae_jax.workdir.files import write_npz
from cae_jax.workdir.kept import read_kept

VERSION = 11  # version of the saved results; raise it when a method or a score changes


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """The result of running and scoring one method.

    Attributes:
        kind: 'attributions' or 'counterfactuals'.
        name: name of the method.
        role: role of the method in the comparison.
        scores: scores by name; empty if the method failed.
        pictures: first P results, as saliency maps `[P, height, width]` or images `[P, height, width, channels]`.
        seconds: seconds per image, compilation included.
        error: the error that the method failed with, or ''.
        student: whether it looked into a black box's student instead of the classifier.
    """

    kind: str
    name: str
    role: Role
    scores: dict[str, Score]
    pictures: np.ndarray
    seconds: float
    error: str = ""
    student: bool = False

    @property
    def label(self) -> str:
        """The method's name as tables show it."""
        return f"{self.name} (by the student)" if self.student else self.name


def chosen(names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Returns kind and name of each method that is named; of all methods, if `names` is empty.

    Raises:
        ConfigError: for a name that does not exist.
    """
    everything = [(kind, name) for kind, methods in KINDS.items() for name in methods]
    unknown = set(names) - {name for _, name in everything}
    if unknown:
        known = ", ".join(dict.fromkeys(name for _, name in everything))
        raise ConfigError(f"no such method: {', '.join(sorted(unknown))}; there are {known}")
    return [(kind, name) for kind, name in everything if not names or name in names]


class _Kept:
    """Results saved on disk, one file for each method; those of other inputs or of another version are not used."""

    def __init__(self, folder: pathlib.Path, setting: Setting):
        self._folder, task = folder, setting.task
        options = [vars(setting.judge.protocol), task.cae, task.attribution]
        asked = [VERSION, *options, task.explainer.fingerprint, *setting.inputs]
        self._asked = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]

    def _path(self, kind: str, name: str) -> pathlib.Path:
        return self._folder / f"{kind}_{safe_name(name)}.npz"

    def read(self, kind: str, name: str) -> Result | None:
        def made(arrays: Mapping[str, np.ndarray]) -> Result:
            lower = arrays["lower"].tolist()
            scores = {
                key.removeprefix("score "): Score(values, key in lower)
                for key, values in arrays.items()
                if key.startswith("score ")
            }
            return Result(kind, name, KINDS[kind][name].role, scores, arrays["pictures"], float(arrays["seconds"]))

        return read_kept(self._path(kind, name), made, asked=self._asked)

    def write(self, result: Result) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        write_npz(
            self._path(result.kind, result.name),
            asked=self._asked,
            pictures=result.pictures,
            seconds=result.seconds,
            lower=np.asarray([f"score {n}" for n, score in result.scores.items() if score.lower_is_better], str),
            **{f"score {name}": score.values for name, score in result.scores.items()},
        )


class _Scorers:
    """The scorer of each kind of methods, made when it is first needed."""

    def __init__(self, setting: Setting):
        self._setting, self._made = setting, {}

    def __getitem__(self, kind: str) -> Callable[[Any], dict[str, Score]]:
        if kind not in self._made:
            make = {"attributions": AttributionScores, "counterfactuals": CounterfactualScores}[kind]
            self._made[kind] = make(self._setting.task, self._setting.judge)
        return self._made[kind]


def _answer(task: Task, kind: str, name: str) -> tuple[Any, np.ndarray, float]:
    """Runs a method; returns its result, the maps or images in it, and the seconds per image."""
    began = time.perf_counter()
    found = KINDS[kind][name].answer(task)
    if kind == "attributions":
        found = np.asarray(found, np.float32)
    shown = found if kind == "attributions" else found.images
    return found, shown, (time.perf_counter() - began) / len(shown)


def _failed(folder: pathlib.Path, kind: str, name: str, error: Exception) -> Result:
    """The result of a method that failed; the full traceback is added to a log in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{kind}_failed.log").open("a") as file:
        file.write(f"{name}\n{traceback.format_exc()}\n")
    text = f"{type(error).__name__}: {error}"
    return Result(kind, name, KINDS[kind][name].role, {}, np.zeros((0,)), float("nan"), text)


def run(setting: Setting, folder: pathlib.Path, names: tuple[str, ...], console: Console) -> Iterator[Result]:
    """Runs and scores methods one after the other, and yields their results; each is saved as soon as it is done.

    Saved results are reused. A method that fails yields a result with its error, and is tried again next time.

    Args:
        setting: task of the methods, and what they are scored by.
        folder: folder of the saved results.
        names: names of the methods to run; empty for all.
        console: console for messages.

    Raises:
        ConfigError: for a name that does not exist.
    """
    kept, score = _Kept(folder, setting), _Scorers(setting)
    methods = chosen(names)
    for number, (kind, name) in enumerate(methods, 1):
        result = kept.read(kind, name)
        if result is None:
            try:
                with working(f"method {number} of {len(methods)}, {kind}: {name}", console):
                    found, shown, seconds = _answer(setting.task, kind, name)
                    pictures, role = shown[: setting.judge.protocol.pictures], KINDS[kind][name].role
                    result = Result(kind, name, role, score[kind](found), pictures, seconds)
            except Exception as error:  # any error of a method is shown in its row of the tables
                result = _failed(folder, kind, name, error)
                console.print(f"{kind}: {name} failed: {result.error}", style="bold red", markup=False)
            else:
                kept.write(result)
                console.print(f"{kind}: {name}: {result.seconds:.4f} s an image", highlight=False)
        yield dataclasses.replace(result, student=setting.task.student and KINDS[kind][name].inside)
