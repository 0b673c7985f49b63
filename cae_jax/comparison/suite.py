"""Runs every method on the same images, keeps what each answered, and scores it; goes on where it broke off."""

import hashlib
import json
import pathlib
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from cae_jax.comparison.answers import Counterfactuals
from cae_jax.comparison.methods import ATTRIBUTIONS, COUNTERFACTUALS
from cae_jax.comparison.scores import AttributionScores, CounterfactualScores
from cae_jax.comparison.setting import Setting
from cae_jax.config.reading import ConfigError
from cae_jax.file_names import safe_name

VERSION = 4  # of what is kept; raise it when a method or a score changes


class Result(NamedTuple):
    """One method, run and scored.

    Attributes:
        kind: 'attributions' or 'counterfactuals'.
        name: of the method.
        scores: by name, `[N]` each, or a single value.
        pictures: `[P, height, width]` maps or `[P, height, width, channels]` images.
        seconds: a image, compilation included.
        error: why it failed, or ''.
    """

    kind: str
    name: str
    scores: dict[str, np.ndarray]
    pictures: np.ndarray
    seconds: float
    error: str = ""


def chosen(names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Kinds and names of the methods asked for; all, if none is named.

    Raises:
        ConfigError: for a name that does not exist.
    """
    everything = [("attributions", name) for name in ATTRIBUTIONS] + [("counterfactuals", n) for n in COUNTERFACTUALS]
    unknown = set(names) - {name for _, name in everything}
    if unknown:
        known = ", ".join(dict.fromkeys(name for _, name in everything))
        raise ConfigError(f"no such method: {', '.join(sorted(unknown))}; there are {known}")
    return [(kind, name) for kind, name in everything if not names or name in names]


class _Kept:
    """Results on disk, one file a method; those of another protocol, model or version are made again."""

    def __init__(self, folder: pathlib.Path, setting: Setting):
        self._folder = folder
        asked = [VERSION, vars(setting.protocol), setting.cae, setting.attribution, setting.explainer.fingerprint]
        self._asked = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]

    def _path(self, kind: str, name: str) -> pathlib.Path:
        return self._folder / f"{kind}_{safe_name(name)}.npz"

    def read(self, kind: str, name: str) -> Result | None:
        path = self._path(kind, name)
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as file:
            if str(file["asked"]) != self._asked:
                return None
            scores = {key.removeprefix("score "): file[key] for key in file.files if key.startswith("score ")}
            return Result(kind, name, scores, file["pictures"], float(file["seconds"]))

    def write(self, result: Result) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(result.kind, result.name)
        draft = path.with_suffix(".draft.npz")
        fields: dict[str, Any] = {f"score {name}": values for name, values in result.scores.items()}
        np.savez(draft, asked=self._asked, pictures=result.pictures, seconds=result.seconds, **fields)
        draft.replace(path)


def _attribution(setting: Setting, name: str, score: Callable[[np.ndarray], dict[str, np.ndarray]]) -> Result:
    began = time.perf_counter()
    maps = np.asarray(ATTRIBUTIONS[name](setting), np.float32)
    seconds = (time.perf_counter() - began) / len(maps)
    return Result("attributions", name, score(maps), maps[: setting.protocol.pictures], seconds)


def _counterfactual(setting: Setting, name: str, score: CounterfactualScores) -> Result:
    began = time.perf_counter()
    found: Counterfactuals = COUNTERFACTUALS[name](setting)
    seconds = (time.perf_counter() - began) / len(found.images)
    scores = score(found) | {"KID": np.asarray(score.kid(found.images))}
    return Result("counterfactuals", name, scores, found.images[: setting.protocol.pictures], seconds)


def run(setting: Setting, folder: pathlib.Path, names: tuple[str, ...], console: Console) -> Iterator[Result]:
    """Runs and scores methods one after the other; each is kept in `folder` as soon as it is done.

    A method that fails is a result with its error, and is tried again next time.

    Args:
        setting: what they are asked about.
        folder: for what is kept.
        names: of methods; empty for all.
        console: for people.
    """
    kept = _Kept(folder, setting)
    score_maps = AttributionScores(setting)
    score_images: CounterfactualScores | None = None
    for kind, name in chosen(names):
        result = kept.read(kind, name)
        if result is None:
            try:
                with console.status(f"{kind}: {name}"):
                    if kind == "attributions":
                        result = _attribution(setting, name, score_maps)
                    else:
                        score_images = score_images or CounterfactualScores(setting)
                        result = _counterfactual(setting, name, score_images)
            except Exception as error:  # whatever a method dies of is its row's text; nothing is hidden
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{kind}_failed.log").open("a").write(f"{name}\n{traceback.format_exc()}\n")
                nothing = np.zeros((0,))
                result = Result(kind, name, {}, nothing, float("nan"), f"{type(error).__name__}: {error}")
                console.print(f"{kind}: {name} failed: {result.error}", style="bold red", markup=False)
            else:
                kept.write(result)
                console.print(f"{kind}: {name}: {result.seconds:.4f} s an image", highlight=False)
        yield result
