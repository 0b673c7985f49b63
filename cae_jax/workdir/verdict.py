"""Whether a run's explanations are to be relied on, and if not, what to do about it."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from cae_jax.config.reading import Config
from cae_jax.metrics import say_progress, validation_score

LOG = "log.jsonl"  # a line of JSON for each logged step and each validation


def read_log(workdir: pathlib.Path) -> list[dict[str, Any]]:
    """The lines of a run's log; without a truncated last one, and none where there is no log."""
    path = workdir / LOG
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().rpartition("\n")[0].splitlines()]


def _remedy(fault: str, config: Config) -> str:
    """What to change in the config of a run with a fault."""
    if fault.startswith("collapsed"):
        return "Try another seed, a lower optimizer.discriminator_rate or a higher loss.gradient_penalty."
    if not config.model.answers:
        return "For photographs and scans start from presets.pictures(), as configs/folder.py does."
    if fault.startswith("fools"):
        return "Bring more images, or raise loss.consistency."
    if "reconstructions" not in fault and "swaps" in fault:
        weight = f"{config.loss.consistency:g}"
        return f"Bring more images, or raise loss.consistency ({weight} here): more flip, and drawings get coarser."
    return "Bring more images, or raise model.width."


def read_verdict(workdir: pathlib.Path, config: Config, facts: Mapping[str, Any], newest: int) -> str:
    """Says why a checkpoint's explanations are not to be relied on, and what to do; '' if nothing is known against it.

    Args:
        workdir: folder of the run, whose log says how scores went.
        config: config of the run.
        facts: facts of the checkpoint, with the `fault` that validation found, if it was validated.
        newest: step that training has reached.
    """
    collapsed = facts.get("collapsed")  # all that earlier versions noted
    fault = facts.get("fault", f"collapsed ({collapsed})" if collapsed else "")
    if not fault:
        return ""
    validated = [line for line in read_log(workdir) if line["kind"] == "validation"]
    history = [(line["step"], validation_score(line)) for line in validated]
    return f"{fault}. {say_progress(history, newest, config.train.steps)} {_remedy(fault, config)}"
