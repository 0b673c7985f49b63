"""The traced step on disk: a run that goes on need not trace it again, which takes longer than to load it compiled."""

import hashlib
import json
import logging
import pathlib
from collections.abc import Callable
from typing import Any

import jax
from jax import export
from jax.sharding import Mesh

from cae_jax.training.files import write_whole
from cae_jax.training.run_record import versions
from cae_jax.training.sharding import replicated

PACKAGE = pathlib.Path(__file__).parents[1]
SUFFIX = ".stablehlo"
KEPT = 32  # programs, a few megabytes each
DIGEST = hashlib.sha256().digest_size  # bytes before a kept program: of what follows
log = logging.getLogger(__name__)


def _source_digest() -> str:
    """Of all code of this package: whatever changes may change the step."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(PACKAGE)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _digest_of(constants: Any) -> str:
    digest = hashlib.sha256()
    for name, array in jax.tree.leaves_with_path(jax.device_get(constants)):
        digest.update(f"{jax.tree_util.keystr(name)} {array.dtype} {array.shape}\0".encode() + array.tobytes())
    return digest.hexdigest()


def _read(path: pathlib.Path) -> export.Exported | None:
    try:
        contents = path.read_bytes()
    except FileNotFoundError:
        return None
    if hashlib.sha256(contents[DIGEST:]).digest() != contents[:DIGEST]:
        log.warning("%s is damaged and made anew", path)
        return None
    return export.deserialize(bytearray(contents[DIGEST:]))


def _write(path: pathlib.Path, program: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, hashlib.sha256(program).digest() + program)
        by_age = sorted(path.parent.glob(f"*{SUFFIX}"), key=lambda kept: kept.stat().st_mtime)
        for old in by_age[:-KEPT]:
            old.unlink(missing_ok=True)
    except OSError as error:
        log.warning("the traced step cannot be kept for the next start: %s", error)


class KeptSteps:
    """`Trainer.steps`, from disk where the same code has traced them for the same settings before.

    What is kept is StableHLO (`jax.export`), in the folder of JAX's compilation cache and only where there is one.
    A run goes through it whether it is new or not, so that both compile the same program.
    """

    def __init__(self, steps: Callable[..., Any], mesh: Mesh, facts: dict[str, Any], constants: Any = None):
        """Takes the steps, the mesh of their outputs, and all that they depend on besides code, JAX and arguments.

        `constants` are arrays that the steps contain: found again by their contents, whichever folder they come from.
        """
        self._steps, self._mesh, self._facts, self._constants = steps, mesh, facts, constants
        self._program: Any = None

    def __call__(self, state: Any, batches: dict[str, jax.Array]) -> Any:
        """What `steps(state, batches)` returns; it takes over the state's memory."""
        if self._program is None:
            self._program = self._find(state, batches)
        return self._program(state, batches)

    def lower(self, state: Any, batches: dict[str, jax.Array]) -> Any:
        """As of a function of `jax.jit`, once the steps were called."""
        return self._program.lower(state, batches)

    def _path(self, folder: str, arguments: list[jax.Array]) -> pathlib.Path:
        facts = {
            "facts": self._facts,
            "constants": _digest_of(self._constants),
            "code": _source_digest(),
            "versions": versions(),
            "jax": {name: str(value) for name, value in jax.config.values.items()},
            "devices": [str(device.device_kind) for device in self._mesh.devices.flat],
            "process": jax.process_index(),
            "arguments": [f"{x.dtype} {x.shape} {x.sharding}" for x in arguments],
        }
        name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return pathlib.Path(folder) / f"{name}{SUFFIX}"

    def _find(self, state: Any, batches: dict[str, jax.Array]) -> Any:
        folder: Any = jax.config.values["jax_compilation_cache_dir"]
        if not folder or "://" in str(folder):
            return self._steps
        arguments, structure = jax.tree.flatten((state, batches))

        def flat(*arguments: jax.Array) -> tuple[list[jax.Array], dict[str, jax.Array]]:
            state, terms = self._steps(*jax.tree.unflatten(structure, arguments))
            return jax.tree.leaves(state), terms

        path = self._path(folder, arguments)
        program = _read(path)
        if program is None:
            program = export.export(jax.jit(flat))(*arguments)
            _write(path, bytes(program.serialize()))

        def steps(state: Any, batches: dict[str, jax.Array]) -> Any:
            leaves, terms = program.call(*jax.tree.leaves((state, batches)))
            return jax.tree.unflatten(jax.tree.structure(state), leaves), terms

        return jax.jit(steps, donate_argnums=0, out_shardings=replicated(self._mesh))
