"""Several processes on one machine: the same run as one process, the same files, and what happens when one dies."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from cae_jax import Explainer
from cae_jax.explaining import SplitInputs, encode_splits, explain_to_folder
from cae_jax.parallel import processes
from cae_jax.parallel.batching import map_batches

HERE = pathlib.Path(__file__).parent
ROUNDING = {"rtol": 1e-5, "atol": 1e-5}  # two devices of a process share rows, one does not
# Gradients of biases that a normalisation takes away are rounding alone, and Adam's first update is as long for those
# as for any other: 64 of the 27,000 numbers of the decoder that move.
SIGNS_OF_NOISE = {"update_norm/decoder": 64 / 27_000 / 2}


def start_two(workdir):
    """Starts both processes; each has two devices."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    two_devices = "--xla_force_host_platform_device_count=2"
    environment = os.environ | {"PYTHONPATH": f"{HERE}:{HERE.parent}", "XLA_FLAGS": two_devices}
    environment["JAX_USE_SIMPLIFIED_JAXPR_CONSTANTS"] = "0"  # else weights would have to be on both devices
    return [
        subprocess.Popen(
            [sys.executable, HERE / "process_run.py", f"localhost:{port},2,{index}", workdir],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        for index in range(2)
    ]


def log_of(workdir):
    path = workdir / "log.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return {(line["step"], line["kind"]): line for line in map(json.loads, lines)}


def test_two_processes_train_explain_and_encode_as_one_and_outlive_the_death_of_one(trained, tmp_path):
    workdir = tmp_path / "two"
    both = start_two(workdir)
    while not (workdir / "checkpoints" / "00000002" / "manifest.json").exists():
        assert [process.poll() for process in both] == [None, None], [process.communicate()[0] for process in both]
        time.sleep(0.1)
    both[1].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    both[0].communicate(timeout=60)
    assert both[0].returncode != 0
    both[1].communicate()
    assert time.monotonic() - killed < 60

    for process in start_two(workdir):
        text, _ = process.communicate(timeout=600)
        assert process.returncode == 0, text
    theirs, ours = log_of(workdir), log_of(trained[0])
    assert theirs.keys() == ours.keys()
    for name in ours[1, "train"].keys() - {"kind"}:
        close = pytest.approx(ours[1, "train"][name], rel=SIGNS_OF_NOISE.get(name, 1e-5), abs=1e-6)
        assert theirs[1, "train"][name] == close, name

    explainer = Explainer.load(workdir)
    inputs = SplitInputs(explainer.dataset.train, "train", list(range(70)))
    rows = explain_to_folder(explainer, inputs, "any", tmp_path / "one")
    assert json.loads((workdir / "explained" / "explanations.json").read_text())["explanations"] == rows
    with np.load(workdir / "explained" / "explanations.npz") as two, np.load(tmp_path / "one/explanations.npz") as one:
        assert set(two) == set(one)
        for name in one:
            if one[name].dtype.kind == "f":
                np.testing.assert_allclose(two[name], one[name], err_msg=name, **ROUNDING)
            else:
                np.testing.assert_array_equal(two[name], one[name], err_msg=name)
    expected = encode_splits(explainer, ["validation"]).class_codes
    for index in range(2):
        with np.load(f"{workdir}.{index}.npz") as found:
            assert found["rows"] == len(rows)
            np.testing.assert_allclose(found["class_codes"], expected, **ROUNDING)


@pytest.mark.parametrize(
    "spec", ["", "on", "localhost", "localhost,2,0", "localhost:1,2", "localhost:1,2,2", "a:1,b,0"]
)
def test_a_place_that_is_none_is_named(spec):
    with pytest.raises(processes.DistributedError, match="must be auto, off or HOST:PORT,N,I"):
        processes.start(spec)


def test_a_machine_alone_is_told_so():
    with pytest.raises(processes.DistributedError, match="name them as HOST:PORT,N,I"):
        processes.start("auto")


@pytest.mark.parametrize("count", [1, 5, 8, 9, 24, 25])
def test_processes_share_batches_and_each_gets_all_rows(count, monkeypatch):
    rows = np.arange(count) * 10
    shares = {}

    def run(index, gather):
        monkeypatch.setattr("jax.process_count", lambda: 3)
        monkeypatch.setattr("jax.process_index", lambda: index)
        monkeypatch.setattr("cae_jax.parallel.batching.gather", gather)
        return map_batches(lambda batch: {"ten": batch + 1}, rows, batch_size=4, spread=True)

    def hand_in(index):
        def keep(tree):
            shares[index] = tree["ten"]
            return {"ten": tree["ten"][None]}

        return keep

    for index in range(3):
        run(index, hand_in(index))
    assert len({len(share) for share in shares.values()}) == 1  # or gathering would wait for ever
    found = run(0, lambda tree: {"ten": np.stack([shares[index] for index in range(3)])})
    np.testing.assert_array_equal(found["ten"], rows + 1)
