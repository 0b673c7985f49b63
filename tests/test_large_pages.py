"""A program that starts again with large pages: once, with the same arguments."""

import os
import subprocess
import sys

import pytest

from cae_jax.cli.large_pages import LARGE, VARIABLE

PROGRAM = """
import os, sys
from cae_jax.cli.large_pages import use_large_pages
print("start", flush=True)
use_large_pages()
print(os.environ["GLIBC_TUNABLES"], sys.argv[1:])
"""


def run(environment):
    command = [sys.executable, "-c", PROGRAM, "--a b", "c"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.skipif(sys.platform != "linux", reason="a setting of Linux's C library")
def test_a_program_starts_again_once_with_the_same_arguments():
    bare = {name: value for name, value in os.environ.items() if name != VARIABLE}
    assert run(bare) == ["start", "start", f"{LARGE} ['--a b', 'c']"]


def test_a_setting_of_the_users_own_stays():
    assert run(os.environ | {VARIABLE: "glibc.malloc.check=0"}) == ["start", "glibc.malloc.check=0 ['--a b', 'c']"]
