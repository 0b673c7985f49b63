"""Signals while training, and the lock of a workdir."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from cae_jax.config.reading import ConfigError
from cae_jax.errors import Terminated
from cae_jax.training.interruption import Interruption
from cae_jax.workdir.lock import hold

BOTH = pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])


@pytest.fixture(autouse=True)
def handlers():
    """What signals do before: a shell's background jobs ignore Ctrl-C, and SIGTERM would end the tests."""

    def terminate(number, frame):
        raise SystemExit(99)

    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGTERM: signal.signal(signal.SIGTERM, terminate),
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@BOTH
def test_a_signal_is_a_wish_until_what_there_is_to_lose_is_saved(number, error):
    before = signal.getsignal(number)
    with Interruption() as interruption:
        interruption.obey()
        interruption.take()
        assert not interruption.came(1)
        signal.raise_signal(number)
        assert interruption.came(2)
        assert interruption.wish == number
        with pytest.raises(error):
            interruption.obey()
        assert signal.getsignal(number) is before
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_where_nothing_is_lost_a_signal_does_what_it_always_does(number, error):
    with Interruption() as interruption:
        with pytest.raises(error):
            signal.raise_signal(number)
        interruption.take()
        interruption.obey()
        with pytest.raises(error):
            signal.raise_signal(number)
        assert interruption.wish is None


def raise_inside(*numbers, error=None):
    """Raises signals, then perhaps an error, while there is something to lose."""
    with Interruption() as interruption:
        interruption.take()
        for number in numbers:
            signal.raise_signal(number)
        if error:
            raise error
        interruption.obey()
        pytest.fail("no signal was obeyed")


@BOTH
def test_a_wish_that_came_last_is_obeyed_at_the_end_of_the_block(number, error):
    def come_late():
        with Interruption() as interruption:
            interruption.take()
            signal.raise_signal(number)

    with pytest.raises(error):
        come_late()


def test_an_error_is_not_covered_by_a_wish():
    with pytest.raises(ValueError, match="mine"):
        raise_inside(signal.SIGTERM, error=ValueError("mine"))


def test_a_second_ctrl_c_acts_at_once():
    with pytest.raises(KeyboardInterrupt):
        raise_inside(signal.SIGINT, signal.SIGINT, error=AssertionError("it did not act"))


def test_a_second_sigterm_changes_nothing():
    with pytest.raises(Terminated):
        raise_inside(signal.SIGTERM, signal.SIGTERM, signal.SIGINT)


def program(work):
    """Starts a program that does some work where SIGTERM ends it."""
    lines = ["import hashlib, os, signal, time", "from cae_jax.cli.termination import ends_on_sigterm"]
    lines += ["with ends_on_sigterm():", "    print('begun', flush=True)", *(f"    {line}" for line in work)]
    command = [sys.executable, "-c", "\n".join(lines)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_sigterm_ends_a_program_that_does_not_come_back_to_python_for_long():
    minutes = "hashlib.pbkdf2_hmac('sha256', b'', b'', 400_000_000)"  # lets other threads run, as a compiler does
    with program([minutes]) as busy:
        assert busy.stdout.readline() == "begun\n"
        time.sleep(0.5)
        began = time.monotonic()
        busy.send_signal(signal.SIGTERM)
        assert "the same command goes on from there" in busy.stdout.read()
        assert busy.wait(30) == 0
        assert time.monotonic() - began < 20


def test_sigterm_is_left_to_whoever_has_something_to_save():
    work = """
from cae_jax.training.interruption import Interruption
from cae_jax.errors import Terminated
try:
    with Interruption() as interruption:
        interruption.take()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)
        print("saved", flush=True)
        interruption.obey()
except Terminated:
    print("obeyed", flush=True)
"""
    with program(work.splitlines()) as saving:
        assert saving.communicate(timeout=60)[0].split() == ["begun", "saved", "obeyed"]
        assert saving.returncode == 0


def test_in_a_thread_nothing_is_taken():
    def inside():
        with Interruption() as interruption:
            interruption.take()
            found.append(interruption.came(1))

    found, before = [], signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [False]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_run_on_a_workdir_is_refused_until_the_first_one_ends_however_it_does(tmp_path):
    workdir = tmp_path / "runs" / "mine"
    program = (
        "import pathlib, sys, time; from cae_jax.workdir.lock import hold\n"
        "with hold(pathlib.Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, workdir], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ConfigError, match=r"another run is at work in .*mine"), hold(workdir):
            pass
        other.kill()
    with hold(workdir):
        pass
    with hold(workdir):
        pass


def test_a_workdir_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"nothing can be written to .*file.run"), hold(tmp_path / "file" / "run"):
        pass
