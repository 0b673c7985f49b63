"""The log of a run that was cut off."""

import json

from cae_jax.training.monitor import Journal


def test_a_resumed_run_drops_later_lines_and_one_that_was_cut_off(tmp_path):
    journal = Journal(tmp_path, 0, False)
    for step in (1, 2, 3):
        journal.write(step, "train", {"image": step / 2})
    journal.close()
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 4, "ki')
    journal = Journal(tmp_path, 2, True)
    journal.write(3, "train", {"image": 9.0})
    journal.close()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line["image"]) for line in lines] == [(1, 0.5), (2, 1.0), (3, 9.0)]


def test_the_validation_of_the_step_that_a_run_goes_on_from_stands_only_if_it_is_done(tmp_path):
    def lines_after(validated):
        Journal(tmp_path, 2, validated).close()
        lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
        return [(line["step"], line["kind"]) for line in lines]

    journal = Journal(tmp_path, 0, False)
    everything = [(1, "train"), (1, "validation"), (2, "train"), (2, "validation"), (3, "train")]
    for step, kind in everything:
        journal.write(step, kind, {})
    journal.close()
    assert lines_after(True) == everything[:4]
    assert lines_after(False) == everything[:3]
