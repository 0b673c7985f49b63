"""What a workdir says of its run: config, data, versions."""

import importlib.metadata
import json
import logging
import pathlib
import platform
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from cae_jax.config.presets import official
from cae_jax.config.reading import Config, ConfigError, check_resumable, conform, flatten, other_settings
from cae_jax.data import LISTING, Dataset
from cae_jax.parallel.processes import is_first
from cae_jax.workdir.files import write_whole

FILE = "run.json"
SCORES = "metrics.json"
PLANNED = ("steps", "warmup_steps", "checkpoint_every")  # what `train.minutes` decides
FREE_OF_PLAN = ("train.log_every", "data.new_files")  # they change no step, and take no time
CHECKPOINTS = "checkpoints"
LEARNED = (CHECKPOINTS, "classifier", "oracle", "student", "unfinished")  # folders of a workdir that a run trained
GONE = {"train.steps_per_call"}  # keys of earlier versions, whose values changed no result
log = logging.getLogger(__name__)
PACKAGES = ("cae_jax", "jax", "flax", "optax", "orbax-checkpoint", "grain", "tensorflow-datasets", "numpy")


class RunRecord(NamedTuple):
    """The contents of `run.json`.

    Attributes:
        config: settings of the run, overrides included.
        data: name of the data set really used.
        class_names: names of the K classes.
        image_shape: height, width, channels of the user's images.
        note: reason why another data set than the config's was used, or ''.
        planned: whether the config's steps follow from its `train.minutes`.
        asked: what was asked for in place of the steps that were planned, by key of `PLANNED`; None if nothing was
            planned, and in older records.
        fingerprint: that of the data set; '' where a listing says what it is of, and in older records.
    """

    config: Config
    data: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    note: str
    planned: bool = False
    asked: dict[str, int] | None = None
    fingerprint: str = ""


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _with_tuples(value: Any) -> Any:
    """Undoes what JSON does to tuples; configs have no lists."""
    if isinstance(value, dict):
        return {key: _with_tuples(inner) for key, inner in value.items()}
    return tuple(_with_tuples(inner) for inner in value) if isinstance(value, list) else value


def _completed(config: ConfigDict, path: pathlib.Path) -> ConfigDict:
    """A config with the keys that came after it was written, which stand for what was done before they came.

    Keys of `GONE` are dropped.

    Raises:
        ConfigError: if it has keys that we do not know, or values of other types.
    """
    known, given = official(), {key: value for key, value in flatten(config).items() if key not in GONE}
    if unknown := sorted(given.keys() - flatten(known).keys()):
        raise ConfigError(
            f"{path} has settings that this version of cae_jax does not know ({', '.join(unknown)}); it was written by "
            f"another one, which its 'versions' name: install that"
        )
    known.update_from_flattened_dict(given)
    completed = ConfigDict(known.to_dict())
    try:
        conform(completed, official(), "run")
    except ConfigError as error:
        raise ConfigError(f"{path} is damaged: {error}; start again in another --workdir") from error
    return completed


def _with_contracts(config: dict[str, Any]) -> dict[str, Any]:
    """Gives classifiers of runs that came before these keys what they were asked by then.

    Their `batch_size` was of training alone, where the 128 of today's 0 was the default.
    """
    for name in ("classifier", "oracle"):
        settings = config[name]
        if "output" not in settings:
            free = settings["path"] or settings["batch_size"] == 128
            config[name] = settings | {"output": "", "columns": (), "batch_size": 0 if free else settings["batch_size"]}
    return config


def read_record(workdir: pathlib.Path) -> RunRecord:
    """Reads a workdir's record.

    Raises:
        ConfigError: if the folder holds no run, or its record is damaged or of a version with other keys.
    """
    path = workdir / FILE
    try:
        fields: dict[str, Any] = json.loads(path.read_text())
        return RunRecord(
            _completed(ConfigDict(_with_contracts(_with_tuples(fields["config"]))), path),
            fields["data"],
            tuple(fields["class_names"]),
            tuple(fields["image_shape"]),
            fields["note"],
            fields.get("planned", False),
            fields.get("asked"),
            fields.get("fingerprint", ""),
        )
    except FileNotFoundError as error:
        raise ConfigError(
            f"{workdir} holds no run (no {FILE}; packages and explainers that come along have none); train one with "
            f"cae train --config CONFIG --workdir {workdir}"
        ) from error
    except ConfigError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is damaged ({error}); start again in another --workdir") from error


def read_scores(folder: pathlib.Path, step: int) -> dict[str, Any]:
    """The contents of a run's or package's `metrics.json`; nothing if there is none, or it is of another checkpoint.

    Args:
        folder: folder of the run or package.
        step: step of the checkpoint that is scored.
    """
    path = folder / SCORES
    scores = json.loads(path.read_text()) if path.exists() else {}
    if (best := scores.get("best_step", step)) != step:
        log.warning("%s is of the checkpoint of step %d, not of that of step %d, and left out", path, best, step)
        return {}
    return scores


def _as_planned(config: Config, record: RunRecord, begun: bool) -> tuple[Config, bool]:
    """The config with the steps that an earlier start planned, and whether that plan still holds.

    It does not where there is no checkpoint yet and anything else is asked for than then. Later, a step or spacing that
    is asked for now stays as it is.
    """
    if not record.planned:
        return config, False
    asked = record.asked or {key: config.train[key] for key in PLANNED}
    before, now = flatten(record.config) | {f"train.{key}": value for key, value in asked.items()}, flatten(config)
    if not begun and any(now[key] != before.get(key) for key in now if key not in FREE_OF_PLAN):
        return config, False
    config = config.copy_and_resolve_references()
    config.train.update({key: record.config.train[key] for key in PLANNED if config.train[key] == asked[key]})
    return config, True


def forget_untrained(workdir: pathlib.Path, config: Config) -> None:
    """Removes what an earlier start left that has trained nothing, if another config is asked for now.

    So whoever has misspelt a path, or named a classifier's head wrongly, mends it and starts the same command again.
    """
    if not (workdir / FILE).exists() or any(any((workdir / name).glob("*")) for name in LEARNED):
        return
    if other_settings(read_record(workdir).config, config, begun=False):
        log.info("nothing has been trained in %s yet: it starts again with other settings", workdir)
        for name in (LISTING, FILE):
            (workdir / name).unlink(missing_ok=True)


def claim_workdir(workdir: pathlib.Path, config: Config, dataset: Dataset) -> Config:
    """Writes the record of a new run, or checks that the present one may go on.

    Returns:
        The config, with the steps that an earlier start planned for the same `train.minutes`.

    Raises:
        ConfigError: if the workdir holds a run of other settings, data or classes, or what no run of ours left there.
    """
    begun = any((workdir / CHECKPOINTS).glob("*"))
    fingerprint = "" if dataset.listing is not None else dataset.fingerprint
    if (workdir / FILE).exists():
        record = read_record(workdir)
        config, planned = _as_planned(config, record, begun)
        check_resumable(record.config, config, workdir, begun)
        if record.data != dataset.name:
            raise ConfigError(f"{workdir} holds a run on {record.data}, but this one would use {dataset.name}")
        if (record.class_names, record.image_shape) != (dataset.class_names, dataset.image_shape):
            raise ConfigError(
                f"{workdir} holds a run of images {record.image_shape} and the classes "
                f"{', '.join(record.class_names)}, but {dataset.name} has {dataset.image_shape} and "
                f"{', '.join(dataset.class_names)} now; put the data back, or name another --workdir"
            )
        if record.fingerprint and record.fingerprint != fingerprint:
            raise ConfigError(
                f"{workdir} holds a run on {dataset.name}, whose images, labels or splits have changed since; put them "
                f"back, or name another --workdir"
            )
        if not begun and flatten(record.config) != flatten(config) and is_first():
            write_record(workdir, record._replace(config=config, planned=planned))
        return config
    if left := [name for name in LEARNED if any((workdir / name).glob("*"))]:
        raise ConfigError(
            f"{', '.join(str(workdir / name) for name in left)} is of no run of ours ({FILE} is missing); name another "
            f"--workdir"
        )
    record = RunRecord(config, dataset.name, dataset.class_names, dataset.image_shape, dataset.note)
    write_record(workdir, record._replace(fingerprint=fingerprint))
    return config


def write_record(workdir: pathlib.Path, record: RunRecord) -> None:
    """Writes a workdir's record."""
    fields = record._asdict() | {"config": record.config.to_dict(), "versions": versions()}
    write_whole(workdir / FILE, json.dumps(fields, indent=1))
