"""When a model is said not to be relied on, what is advised then, and where that is said."""

import json

import pytest

from cae_jax.config import presets
from cae_jax.metrics import find_fault, say_progress
from cae_jax.workdir.verdict import read_verdict

GOOD = {
    "swap_flip_rate": 0.93,
    "swap_oracle_rate": 0.88,
    "oracle_agreement": 0.85,
    "reconstruction_keep_rate": 0.97,
    "class_code_knn_accuracy": 0.95,
}


def test_a_good_model_has_no_fault():
    assert find_fault(GOOD, 0.25) == ""


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"class_code_knn_accuracy": 0.26, "swap_flip_rate": 0.3}, "collapsed (the class code tells the class no bett"),
        ({"swap_flip_rate": 0.28}, "collapsed (swaps take their donor's class no more often than by chance: 0.28"),
        ({"swap_flip_rate": 0.77, "swap_oracle_rate": 0.344}, "fools the classifier (it gives 0.770 of the swaps"),
        ({"swap_flip_rate": 0.375, "swap_oracle_rate": 0.353}, "weak (swaps take their donor's class in 0.375 only"),
        ({"reconstruction_keep_rate": 0.84}, "weak (reconstructions keep their class in 0.840 only, 0.9 is the least)"),
    ],
)
def test_a_fault_is_named_with_its_figures(changes, fault):
    assert find_fault(GOOD | changes, 0.25).startswith(fault)


def test_an_oracle_that_knows_little_or_was_not_asked_accuses_nobody():
    seen = GOOD | {"swap_oracle_rate": 0.35}
    assert find_fault(seen, 0.25).startswith("fools")
    assert find_fault(seen | {"oracle_agreement": 0.45}, 0.25) == ""
    del seen["oracle_agreement"]
    assert find_fault(seen, 0.25) == ""
    del seen["swap_oracle_rate"]
    assert find_fault(seen, 0.25) == ""


@pytest.mark.parametrize(
    ("scores", "step", "said"),
    [
        ([0.1, 0.2], 480, "Training stopped at step 480 of 1,600; the same train.py command goes on."),
        ([0.1, 0.2, 0.3, 0.4], 1600, "Scores were still rising at step 1,600 of 1,600: give it more steps"),
        ([0.1, 0.2, 0.3, 0.3], 1600, "Scores have not risen since step 1,200 of 1,600"),
        ([0.1, 0.2, 0.3, 0.4, 0.4], 2000, "Scores were still rising at step 1,600 of 2,000"),  # the rate ends near 0
        ([0.1, 0.3, 0.3, 0.2], 1600, "Scores have not risen since step 800 of 1,600"),
        ([0.1, 0.2, 0.2005], 1600, "Scores have not risen since step 800 of 1,600"),
        ([0.1], 1600, "Training ended at step 1,600"),
    ],
)
def test_what_more_steps_would_do_follows_from_the_scores_so_far(scores, step, said):
    history = [(400 * number, score) for number, score in enumerate(scores, 1)]
    assert say_progress(history, step, max(step, 1600)).startswith(said)


def validated(step, score):
    """A line of the log whose validation score is `score`."""
    return {"step": step, "kind": "validation", "swap_probability": score, "reconstruction_probability": 1.0} | {
        "reconstruction_l1": 0.0,
        "swap_change": 0.0,
    }


def test_a_verdict_tells_the_fault_how_training_went_and_what_to_do(tmp_path):
    lines = [{"step": 100, "kind": "train"}, validated(400, 0.5), validated(800, 0.4)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = presets.default()
    config.train.steps = 800
    weak = {"fault": "weak (why)"}
    first = "weak (why). Scores have not risen since step 400 of 800: more steps alone will not help. "
    assert read_verdict(tmp_path, config, weak, 800).startswith(
        first + "For photographs and scans start from presets.p"
    )
    config.model.answers = True
    assert read_verdict(tmp_path, config, weak, 800) == first + "Bring more images, or raise model.width."
    swaps = "weak (swaps take their donor's class in 0.700 only, 0.8 is the least)"
    assert "raise loss.consistency (1 here): more flip" in read_verdict(tmp_path, config, {"fault": swaps}, 800)
    both = f"{swaps[:-1]}; reconstructions keep their class in 0.700 only, 0.9 is the least)"
    assert read_verdict(tmp_path, config, {"fault": both}, 800).endswith("or raise model.width.")
    assert "Training stopped at step 400 of 800" in read_verdict(tmp_path, config, weak, 400)
    assert read_verdict(tmp_path, config, {"fault": ""}, 800) == ""


def test_an_earlier_version_noted_collapse_alone(tmp_path):
    facts = {"collapsed": "swaps say nothing"}
    assert read_verdict(tmp_path, presets.default(), facts, 1600).startswith("collapsed (swaps say nothing). Training")
    assert read_verdict(tmp_path, presets.default(), {"collapsed": ""}, 1600) == ""
