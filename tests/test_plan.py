"""Steps chosen from the minutes that a run is given."""

import io
import json

import pytest
from rich.console import Console
from small_run import small_config

from cae_jax.config import presets
from cae_jax.config.reading import ConfigError
from cae_jax.training import loop, plan
from cae_jax.training.plan import Speed, choose_steps


def forty_minutes(**changes):
    config = presets.pictures()
    config.train.update(minutes=40.0, **changes)
    config.evaluation.swaps = 10_000
    return config


def seconds_of(config, speed):
    """What the steps, the validations and the scoring of a planned run take."""
    train = config.train
    validations = train.steps / train.checkpoint_every + config.evaluation.swaps / 1000
    return train.steps * speed.step + train.warmup_steps * speed.warmup_step + validations * speed.validation


@pytest.mark.parametrize("speed", [Speed(0.4, 0.15, 12.0), Speed(0.02, 0.01, 1.0)])
@pytest.mark.parametrize("spent", [0.0, 700.0])
def test_steps_fill_the_time_in_the_config_s_proportions(speed, spent):
    planned = choose_steps(forty_minutes(), spent, speed)
    all_of_it = spent + seconds_of(planned, speed)
    assert 0.94 * 2400 < all_of_it < 0.951 * 2400
    train = planned.train
    assert train.steps == 6 * train.checkpoint_every
    assert train.warmup_steps / train.steps == pytest.approx(1000 / 3000, abs=0.001)
    assert planned.optimizer == forty_minutes().optimizer


def test_a_config_without_a_warm_up_gets_none():
    assert choose_steps(forty_minutes(warmup_steps=0), 0.0, Speed(0.4, 0.0, 1.0)).train.warmup_steps == 0


def test_too_few_minutes_are_refused_with_how_many_it_takes():
    speed = Speed(10.0, 0.0, 60.0)
    with pytest.raises(ConfigError, match=r"train\.minutes is 40, which leaves no time for 100 steps") as caught:
        choose_steps(forty_minutes(), 1200.0, speed)
    enough = forty_minutes()
    enough.train.minutes = float(str(caught.value).split("give it ")[1].split()[0])
    assert choose_steps(enough, 1200.0, speed).train.steps >= 96  # six equal intervals
    enough.train.minutes -= 2
    with pytest.raises(ConfigError):
        choose_steps(enough, 1200.0, speed)


def with_classifiers_of(workdir):
    """The small config, with the classifiers of another run."""
    config = small_config()
    config.classifier.path, config.oracle.path = (str(workdir / name) for name in ("classifier", "oracle"))
    return config


def test_a_run_is_planned_once_and_goes_on_as_planned(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "measure", lambda run: Speed(1.0, 0.5, 0.0))
    monkeypatch.setattr(plan, "LEAST", 2)
    config = with_classifiers_of(trained[0])
    config.train.update(minutes=0.11, steps=20, checkpoint_every=10, warmup_steps=0)
    console = Console(file=io.StringIO(), width=200)
    monkeypatch.setattr(plan.time, "monotonic", lambda: 0.0)
    prepared = loop.prepare(config, tmp_path, console)
    run = plan.plan(prepared, 0.0)
    assert (run.config.train.steps, run.config.train.checkpoint_every) == (6, 3)
    assert run.trainer.step is prepared.trainer.step  # what was measured is not compiled again
    for trainer, steps in ((prepared.trainer, 20), (run.trainer, 6)):
        assert trainer.init().generator_optimizer.hyperparams == {"steps": steps, "warmup_steps": 0}
    assert "0.11 minutes, 0:00 of them spent: 6 steps of 1.000 s; a validation" in console.file.getvalue()
    assert json.loads((tmp_path / "run.json").read_text())["config"]["train"]["steps"] == 6
    monkeypatch.undo()
    result = loop.train(config, tmp_path, console)  # measures nothing
    assert result["steps"] == 6
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["00000003", "00000006"]
    config.train.minutes = 0.2
    with pytest.raises(ConfigError, match=r"train\.minutes: 0\.11 there, 0\.2 here"):
        loop.prepare(config, tmp_path, console)


def test_what_is_measured_is_the_run_s_own_steps(trained, tmp_path):
    config = with_classifiers_of(trained[0])
    config.train.warmup_steps = 2
    run = loop.prepare(config, tmp_path, Console(quiet=True))
    taken = []
    step, warmup = run.trainer.step, run.trainer.warmup_step
    assert warmup is not None
    run.trainer = run.trainer._replace(
        step=lambda *given: (taken.append("step"), step(*given))[1],
        warmup_step=lambda *given: (taken.append("warm-up"), warmup(*given))[1],
    )
    speed = plan.measure(run)
    assert taken == 8 * ["warm-up"] + 8 * ["step"]
    assert all(seconds > 0.0 for seconds in speed)
