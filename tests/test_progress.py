"""What is shown of long work: bars on a terminal, plain lines elsewhere."""

import io
import time

import pytest
from rich.console import Console

from cae_jax import progress as module
from cae_jax.progress import WorkProgress, in_words, working


@pytest.fixture
def log(monkeypatch):
    monkeypatch.setattr(module, "EVERY", 0.02)
    return Console(file=io.StringIO(), width=60, force_terminal=False)


def lines(console):
    return console.file.getvalue().splitlines()


def until(console, count):
    """Waits for so many lines."""
    for _ in range(500):
        if len(lines(console)) >= count:
            return
        time.sleep(0.01)
    raise AssertionError(f"only {lines(console)}")


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0:00"), (123, "2:03"), (3723.4, "1:02:03")])
def test_durations_are_read_as_on_a_clock(seconds, words):
    assert in_words(seconds) == words


def test_a_log_has_lines_from_time_to_time_and_one_at_the_end(log):
    with WorkProgress(log) as progress:
        task = progress.add_task("training the oracle", total=900)
        until(log, 1)
        progress.update(task, completed=450, note="loss 0.5", seconds_left=75.0)
        until(log, 2)
        progress.update(task, completed=900)
    first, *_, halfway, last = lines(log)
    assert first == "training the oracle: 0 of 900"
    assert halfway == "training the oracle: 450 of 900, loss 0.5, 1:15 left"
    assert last == "training the oracle: 900 of 900, loss 0.5"


def test_a_line_is_not_said_twice(log):
    with WorkProgress(log) as progress:
        progress.add_task("waiting", total=10)
        until(log, 1)
        time.sleep(0.1)
    assert lines(log) == ["waiting: 0 of 10"]


def test_work_without_a_known_end_says_for_how_long_it_runs(log):
    with working("scoring", log):
        until(log, 1)
    assert lines(log)[0] == "scoring: 0:00"


def test_work_that_is_done_at_once_says_nothing(monkeypatch, log):
    monkeypatch.setattr(module, "EVERY", 60.0)
    with working("scoring", log):
        pass
    assert lines(log) == []


def test_a_terminal_shows_a_bar_with_count_note_and_time():
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with WorkProgress(console) as progress:
        progress.add_task("training", total=10, completed=4, note="generator 1.5", seconds_left=61.0)
    text = console.file.getvalue()
    assert all(part in text for part in ("training", "4 of 10", "generator 1.5", "1:01 left", "━"))
