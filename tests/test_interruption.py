"""Signals while training, and the lock of a workdir."""

import signal
import subprocess
import sys
import threading

import pytest

from cae_jax.training.config import ConfigError
from cae_jax.training.errors import Terminated
from cae_jax.training.interruption import Interruption
from cae_jax.training.workdir_lock import hold


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_a_signal_is_a_wish_until_it_is_obeyed(number, error):
    before = signal.getsignal(number)
    with Interruption() as interruption:
        interruption.obey()
        assert not interruption.came(1)
        signal.raise_signal(number)
        assert interruption.came(2)
        with pytest.raises(error):
            interruption.obey()
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_acts_at_once():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with Interruption() as interruption:
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert interruption.wish == signal.SIGINT


def test_in_a_thread_nothing_is_taken():
    def inside():
        with Interruption() as interruption:
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
        "import pathlib, sys, time; from cae_jax.training.workdir_lock import hold\n"
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
