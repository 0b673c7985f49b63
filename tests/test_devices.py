"""Eight fake devices: runs what is marked `many_devices`, in a process that has them, and shows how work is shared."""

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cae_jax.parallel.sharding import each_device_by_itself, split_over_devices

EIGHT = "--xla_force_host_platform_device_count=8"


def test_what_needs_many_devices_passes_on_eight():
    marked = [path for path in pathlib.Path(__file__).parent.glob("test_*.py") if "many_devices" in path.read_text()]
    command = [sys.executable, "-m", "pytest", "-m", "many_devices", "-p", "no:cacheprovider", *marked]
    done = subprocess.run(
        command, env=os.environ | {"XLA_FLAGS": EIGHT}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.many_devices
@pytest.mark.parametrize(("count", "devices"), [(16, 8), (12, 1)])
def test_rows_are_split_where_they_can_be_shared_evenly(count, devices):
    assert len(jnp.asarray(split_over_devices(np.arange(count))).devices()) == devices


@pytest.mark.many_devices
def test_each_device_ends_its_loop_when_its_own_rows_are_done():
    def halvings(x, limit):
        """How often every row was halved until all were below the limit."""

        def body(carry):
            x, turns = carry
            return x / 2, turns + 1

        _, turns = jax.lax.while_loop(lambda carry: (carry[0] >= limit).any(), body, (x, jnp.zeros(x.shape, int)))
        return turns

    found = each_device_by_itself(halvings)(2.0 ** np.arange(16), 1.0)
    assert len(found.devices()) == 8
    np.testing.assert_array_equal(found, np.arange(2, 17, 2).repeat(2))
