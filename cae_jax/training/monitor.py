"""What a run writes down: a JSON-lines log and TensorBoard events."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from tensorboardX import SummaryWriter

from cae_jax.parallel.processes import is_first
from cae_jax.workdir.files import write_whole


class Journal:
    """Appends scalars to `log.jsonl` and to TensorBoard's event files in a workdir.

    Of several processes, the first one does. A resumed run drops what an earlier one logged of what is done again, and
    a last line that was cut off.
    """

    def __init__(self, workdir: pathlib.Path, start: int, validated: bool):
        """Takes the workdir, the step that the run goes on from, and whether the validation of that is done."""
        self._writer: SummaryWriter | None = None
        if not is_first():
            return

        def stands(line: Mapping[str, Any]) -> bool:
            return line["step"] <= start and (line["step"] < start or validated or line["kind"] != "validation")

        self._path = workdir / "log.jsonl"
        if self._path.exists():
            whole = self._path.read_text().rpartition("\n")[0].splitlines()
            write_whole(self._path, "".join(line + "\n" for line in whole if stands(json.loads(line))))
        self._writer = SummaryWriter(str(workdir / "tensorboard"), purge_step=start + 1)

    def write(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """Logs scalars of one kind ('train', 'validation') at a step."""
        if self._writer is None:
            return
        with self._path.open("a") as file:
            file.write(json.dumps({"step": step, "kind": kind, **values}) + "\n")
        for name, value in values.items():
            self._writer.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Flushes the event files."""
        if self._writer is not None:
            self._writer.close()
