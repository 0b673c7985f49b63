"""Strictness for our own functions, quick compilation, compiled functions kept between runs.

Tests compile more than they compute, so the compiler is told to be quick: with emitters that take less than half of the
time for the same program, in one thread, since tests run side by side, and without optimisations. Weights that programs
close over are no part of what is compiled, so that models of the same sizes share it. JAX reads that setting when it is
imported, and versions without it do not mind it.
"""

import contextlib
import functools
import gc
import json
import os
import pathlib
import shutil

from jaxlib.version import __version_info__ as jaxlib_version

QUICK = "--xla_cpu_parallel_codegen_split_count=1"
if jaxlib_version < (0, 11):  # since 0.11.2 there are no other emitters, and an unknown flag ends the process
    QUICK += " --xla_cpu_use_fusion_emitters=false"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK}"
CACHES = pathlib.Path(__file__).parents[1] / ".pytest_cache"
os.environ["XDG_CACHE_HOME"] = str(CACHES)  # where programs keep what they compile: beside what tests do
os.environ["TFDS_DATA_DIR"] = str(CACHES / "data")  # and where they prepare data sets
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("JAX_USE_SIMPLIFIED_JAXPR_CONSTANTS", "1")  # weights are arguments of programs, no part of them
os.environ["NUMBA_DISABLE_JIT"] = "1"  # of shap: for a few small images, it compiles a hundred times as long as it runs
os.environ["OMP_NUM_THREADS"] = "1"  # of scikit-learn: on cores that other tests use, threads spin for each other

gc.set_threshold(20_000)  # tracing makes many objects that stay: to go through them more often took a tenth of it

import jax
import pytest
from filelock import FileLock

jax.config.update("jax_disable_most_optimizations", True)
jax.config.update("jax_compilation_cache_dir", str(CACHES / "cae_jax" / "xla"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@pytest.fixture(scope="session")
def optimised():
    """A context in which the compiler optimises: for what computes longer than it compiles."""

    @contextlib.contextmanager
    def context():
        jax.config.update("jax_disable_most_optimizations", False)
        try:
            yield
        finally:
            jax.config.update("jax_disable_most_optimizations", True)

    return context


@pytest.fixture
def compiled_well(optimised):
    """The test computes for longer than it compiles: the compiler optimises."""
    with optimised():
        yield


@pytest.fixture
def strict():
    """No implicit promotion of types or ranks: for our own functions; optax and linen rely on it."""
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture
def bucket():
    """An empty bucket, `memory://`: fsspec's memory, which belongs to the whole process, folders included."""
    import fsspec

    memory = fsspec.filesystem("memory")

    def empty():
        memory.store.clear()
        memory.pseudo_dirs[:] = [""]

    empty()
    yield memory
    empty()


# What follows imports the package when it is used, after the run-time type checks of pyproject.toml are in place.


@pytest.fixture(scope="session", autouse=True)
def small_data():
    """What the small config names is there."""
    from small_run import write_digits

    write_digits()


@pytest.fixture(scope="session")
def digits(small_data):
    """A few hundred real digits, those of the small config."""
    from small_run import DIGITS

    from cae_jax.data import open_dataset

    return open_dataset(str(DIGITS))


@pytest.fixture(scope="session")
def trained(tmp_path_factory, small_data):
    """A short run's workdir, its metrics and what it printed.

    Of several processes that share out the tests, the first one trains and the others copy.
    """
    from small_run import train_small

    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with FileLock(folder / "trained.lock"):
        if not (folder / "trained.json").exists():
            (folder / "trained.json").write_text(json.dumps(train_small(folder / "trained")))
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    shutil.copytree(folder / "trained", workdir)
    return workdir, *json.loads((folder / "trained.json").read_text())


@pytest.fixture(scope="session")
def trained_explainer(trained):
    """Of the short run."""
    from cae_jax import Explainer

    return Explainer.load(trained[0])


@pytest.fixture(scope="module")
def loaded_once():
    """The explainer of a folder is loaded and compiled once, however many programs of a test file open it."""
    from cae_jax import Explainer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Explainer, "load", functools.cache(Explainer.load))
        yield


@pytest.fixture(scope="session")
def atlas(trained_explainer):
    """The explorer's, of the short run's test images."""
    from cae_jax.explorer import make_atlas

    return make_atlas(trained_explainer)
