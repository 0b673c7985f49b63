"""Strictness for our own functions, quick compilation, compiled functions kept between runs.

The compiler's last optimisations are left out: they take much of its time, and tests compile more than they compute.
"""

import functools
import os
import pathlib

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_backend_optimization_level=0"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import pytest

CACHE = pathlib.Path(__file__).parents[1] / ".pytest_cache" / "xla"
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@pytest.fixture
def strict():
    """No implicit promotion of types or ranks: for our own functions; optax and linen rely on it."""
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_probe():
    """Wherever a run is scored, the convolutional probe is fitted in few steps; `test_metrics.py` has it alone."""
    from cae_jax.metrics import probes

    with pytest.MonkeyPatch.context() as patch:
        few = functools.partial(probes.fit_convolutional_probe, steps=10)
        patch.setattr(probes, "fit_convolutional_probe", few)
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


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """A few hundred real digits."""
    from small_run import few_digits

    return few_digits(str(tmp_path_factory.mktemp("data")))


@pytest.fixture
def small_data(monkeypatch, digits):
    """Whatever opens a data set gets the few digits."""
    from small_run import use_digits

    use_digits(monkeypatch, digits)


@pytest.fixture(scope="session")
def trained(tmp_path_factory, digits):
    """A short run's workdir, its metrics and what it printed."""
    from small_run import train_small, use_digits

    with pytest.MonkeyPatch.context() as patch:
        use_digits(patch, digits)
        return train_small(tmp_path_factory.mktemp("runs") / "whole")


@pytest.fixture(scope="session")
def trained_explainer(trained, digits):
    """Of the short run, with its data set opened."""
    from small_run import use_digits

    from cae_jax import Explainer

    with pytest.MonkeyPatch.context() as patch:
        use_digits(patch, digits)
        explainer = Explainer.load(trained[0])
        assert explainer.dataset is digits
    return explainer


@pytest.fixture(scope="session")
def atlas(trained_explainer):
    """The explorer's, of the short run's test images."""
    from cae_jax.explorer import make_atlas

    return make_atlas(trained_explainer)
