"""What the programs say when something outside them is wrong."""

import errno
import pathlib

import jax
import pytest

from cae_jax.cli.console import run
from cae_jax.workdir.files import write_whole


@pytest.fixture(autouse=True)
def same_cache():
    """The programs choose a folder of their own for what is compiled."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: jax.config.values[name] for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_a_full_disk_is_a_sentence(capsys):
    assert run(lambda console: pathlib.Path("/dev/full").write_text("x")) == 1
    assert "error: No space left on device. What was saved before is kept" in capsys.readouterr().out


def test_a_disk_that_is_read_only_is_a_sentence_with_the_file(capsys):
    def program(console):
        raise OSError(errno.EROFS, "Read-only file system", "metrics.json")

    assert run(program) == 1
    assert "error: Read-only file system: metrics.json." in capsys.readouterr().out


def test_errors_of_other_kinds_keep_their_traceback(tmp_path):
    with pytest.raises(FileNotFoundError):
        run(lambda console: (tmp_path / "absent").read_text())


def test_a_file_that_could_not_be_written_leaves_the_old_one_and_no_draft(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    write_whole(path, "old")

    def full(draft, contents):
        draft.open("wb").close()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
