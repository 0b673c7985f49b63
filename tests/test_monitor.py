"""What becomes of the losses of every step: checked, logged, also of a run that was cut off; how fast a run goes."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from cae_jax.errors import NonFiniteLoss
from cae_jax.training import monitor
from cae_jax.training.monitor import Monitor, check_finite


def make(workdir, steps=9, **settings):
    return Monitor(workdir, Console(quiet=True), steps, **settings)


def lines_of(workdir):
    path = workdir / "log.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def kept(workdir, **settings):
    """Steps and kinds of the lines that a run which goes on leaves in the log."""
    with make(workdir, **settings):
        pass
    return [(line["step"], line["kind"]) for line in lines_of(workdir)]


def test_a_resumed_run_drops_later_lines_and_one_that_was_cut_off(tmp_path):
    with make(tmp_path) as log:
        for step in (1, 2, 3):
            log.write(step, "train", {"image": step / 2})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 4, "ki')
    with make(tmp_path, start=2, validated=True) as log:
        log.write(3, "train", {"image": 9.0})
    assert [(line["step"], line["image"]) for line in lines_of(tmp_path)] == [(1, 0.5), (2, 1.0), (3, 9.0)]


def test_the_validation_of_the_step_that_a_run_goes_on_from_stands_only_if_it_is_done(tmp_path):
    everything = [(1, "train"), (1, "validation"), (2, "train"), (2, "validation"), (3, "train")]
    with make(tmp_path) as log:
        for step, kind in everything:
            log.write(step, kind, {})
    assert kept(tmp_path, start=2, validated=True) == everything[:4]
    assert kept(tmp_path, start=2, validated=False) == everything[:3]


def test_a_warm_up_that_goes_on_drops_what_is_done_again_and_a_run_keeps_all_of_it(tmp_path):
    everything = [(1, "warm-up"), (2, "warm-up"), (3, "warm-up"), (0, "validation"), (1, "train")]
    with make(tmp_path, kind="warm-up") as log:
        for step, kind in everything:
            log.write(step, kind, {})
    assert kept(tmp_path, start=1) == everything
    assert kept(tmp_path) == everything[:3]
    assert kept(tmp_path, kind="warm-up", start=2) == everything[:2]
    assert kept(tmp_path, kind="warm-up") == []


def terms(value):
    """Terms in another order than that of their names."""
    return {"generator_total": jnp.asarray(value), "discriminator_total": jnp.asarray(1.0)}


def test_terms_are_looked_at_while_the_next_step_runs_and_when_all_is_settled(tmp_path):
    with make(tmp_path, log_every=2) as log:
        for step in (1, 2, 3, 4):
            log.step(step, terms(step / 2))
            assert len(lines_of(tmp_path)) == (step - 1) // 2
        log.settle()
        log.settle()
        found = [(line["step"], line["generator_total"], line["discriminator_total"]) for line in lines_of(tmp_path)]
        assert found == [(2, 1.0, 1.0), (4, 2.0, 1.0)]
        log.step(5, terms(np.nan))
        with pytest.raises(NonFiniteLoss, match=r"at step 5 .*generator_total"):
            log.settle()


def test_steps_are_timed_apart_from_what_is_between_them(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(monitor.time, "monotonic", lambda: now[0])
    log = make(tmp_path, images=8)
    for step in range(1, 7):
        log.step(step, terms(1.0))
        if step < 3:
            assert log.images_per_second is None
        now[0] += 2.0
        if step == 3:
            log.settle()
            now[0] += 100.0
    log.settle()
    assert log.images_per_second == pytest.approx(8 / 2.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_is_named_with_its_step(value):
    terms = {"image": jnp.asarray(1.0), "cycle": jnp.asarray(value), "generator_total": jnp.asarray(value)}
    with pytest.raises(NonFiniteLoss, match=r"step 17 .*: cycle\.") as caught:
        check_finite(terms, 17)
    assert "image" not in str(caught.value)
    assert check_finite({"image": jnp.asarray(1.5)}, 17) == {"image": 1.5}


def test_a_total_that_alone_overflows_is_named():
    with pytest.raises(NonFiniteLoss, match="generator_total"):
        check_finite({"image": jnp.asarray(1.0), "generator_total": jnp.asarray(np.inf)}, 1)


def test_a_norm_that_is_not_finite_is_named_where_no_loss_is_to_blame():
    norm = {"gradient_norm/decoder": jnp.asarray(np.nan), "update_norm/decoder": jnp.asarray(1.0)}
    with pytest.raises(NonFiniteLoss, match=r"at step 3 these norms are not finite: gradient_norm/decoder\."):
        check_finite({"image": jnp.asarray(1.0)} | norm, 3)
    with pytest.raises(NonFiniteLoss, match=r"at step 3 these losses are not finite: image\."):
        check_finite({"image": jnp.asarray(np.nan)} | norm, 3)
