"""Workdirs on a bucket, of which fsspec's memory stands in for one: what is fetched, sent and deleted, and when."""

import shutil

import pytest

from cae_jax.cli import train
from cae_jax.parallel import bucket as bucket_copies
from cae_jax.parallel.bucket import BucketCopy, BucketError


@pytest.fixture
def two(bucket):
    """Two hosts' copies of one folder."""
    return BucketCopy("memory://run"), BucketCopy("memory://run")


@pytest.fixture(autouse=True)
def none_left(monkeypatch):
    monkeypatch.setattr(bucket_copies, "_copies", [])


def contents(bucket):
    return {path.removeprefix("/run/"): bucket.cat(path).decode() for path in bucket.find("/run")}


def write(folder, name, text):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_what_one_writes_another_finds(bucket, two):
    one, other = two
    write(one.local, "checkpoints/1/state/array", "1")
    write(one.local, "log.jsonl", "a")
    one.push()
    other.pull()
    assert (other.local / "checkpoints/1/state/array").read_text() == "1"
    write(other.local, "log.jsonl", "b")  # of the same size
    write(other.local, "part", "2")
    other.push()
    one.pull()
    assert (one.local / "log.jsonl").read_text() == "b"
    assert contents(bucket) == {"checkpoints/1/state/array": "1", "log.jsonl": "b", "part": "2"}


def test_what_is_gone_on_one_side_goes_on_the_other(bucket, two):
    one, other = two
    write(one.local, "checkpoints/1/array", "1")
    write(one.local, "kept", "1")
    one.push()
    other.pull()
    (one.local / "checkpoints/1/array").unlink()
    one.push()
    assert contents(bucket) == {"kept": "1"}
    other.pull()
    assert not (other.local / "checkpoints").exists()
    other.push()
    assert contents(bucket) == {"kept": "1"}


def test_files_of_another_that_were_not_fetched_stay(bucket, two):
    one, other = two
    write(one.local, "first", "1")
    one.push()
    write(other.local, "second", "2")
    other.push()
    assert contents(bucket) == {"first": "1", "second": "2"}


def test_nothing_is_sent_or_fetched_twice(bucket, monkeypatch):
    one = BucketCopy("memory://run")
    write(one.local, "a", "1")
    one.push()
    moved = []
    for verb in ("put_file", "get_file"):
        monkeypatch.setattr(type(bucket), verb, lambda *paths, **_: moved.append(paths))
    one.push()
    one.pull()
    assert moved == []
    assert (one.local / "a").read_text() == "1"


def test_a_manifest_comes_after_what_it_vouches_for_and_goes_before_it(bucket, monkeypatch):
    order = []
    for verb in ("put_file", "rm_file"):
        whole = getattr(type(bucket), verb)

        def noted(self, *paths, verb=verb, whole=whole, **options):
            order.append((verb, paths[-1].rsplit("/", 1)[-1]))
            return whole(self, *paths, **options)

        monkeypatch.setattr(type(bucket), verb, noted)
    one = BucketCopy("memory://run")
    for name in ("1/manifest.json", "1/state", "1/zebra"):
        write(one.local, name, "")
    one.push()
    assert order == [("put_file", "state"), ("put_file", "zebra"), ("put_file", "manifest.json")]
    order.clear()
    for name in ("manifest.json", "state", "zebra"):
        (one.local / "1" / name).unlink()
    one.push()
    assert order[0] == ("rm_file", "manifest.json")
    assert len(order) == 3


def test_what_is_not_finished_is_not_sent(bucket):
    one = BucketCopy("memory://run")
    for name in ("metrics.json.draft", ".lock", "metrics.json"):
        write(one.local, name, "")
    one.push()
    assert contents(bucket).keys() == {"metrics.json"}


def test_a_path_is_a_path_and_a_url_is_called_by_its_name(bucket, tmp_path):
    assert bucket_copies.folder(str(tmp_path)) == tmp_path
    local = bucket_copies.folder("memory://run/")
    write(local, "a", "1")
    bucket_copies.push_all()
    assert contents(bucket) == {"a": "1"}
    bucket.pipe("/run/b", b"2")
    bucket_copies.pull_all()
    assert (local / "b").read_text() == "2"
    assert bucket_copies.named(f"{local}/b is damaged") == "memory://run/b is damaged"


def test_a_bucket_that_nothing_here_can_open_is_named(capsys):
    with pytest.raises(BucketError, match="nobodys://run cannot be opened"):
        BucketCopy("nobodys://run")
    with pytest.raises(SystemExit):
        train.PROGRAM.parse(["--config", "mnist", "--workdir", "nobodys://run"])
    assert "nobodys://run cannot be opened" in capsys.readouterr().err


def test_a_bucket_that_breaks_is_named_and_the_copy_stays(bucket, monkeypatch):
    def refuse(*_, **__):
        raise OSError("forbidden")

    one = BucketCopy("memory://run")
    write(one.local, "a", "1")
    monkeypatch.setattr(type(bucket), "put_file", refuse)
    with pytest.raises(BucketError, match=r"memory://run cannot be brought .*, which is kept: forbidden"):
        one.push()
    one._delete()
    assert (one.local / "a").read_text() == "1"
    shutil.rmtree(one.local)


@pytest.mark.parametrize(
    "name", ["../../out", "a/../../out", "/etc/out", "a//out", "./out", "a\\..\\out", "C:/out", "C:out", "a\0out"]
)
def test_an_object_whose_name_leaves_the_copy_is_named_and_nothing_is_fetched(bucket, name):
    bucket.pipe("/run/log.jsonl", b"1")
    bucket.store[f"/run/{name}"] = bucket.store["/run/log.jsonl"]
    one = BucketCopy("memory://run")
    with pytest.raises(BucketError) as caught:
        one.pull()
    assert f"the object {name!r} is no file of that folder" in str(caught.value)
    assert list(one.local.iterdir()) == []
    shutil.rmtree(one.local)


def test_a_link_in_the_copy_leads_no_object_out_of_it(bucket, tmp_path):
    one = BucketCopy("memory://run")
    (one.local / "linked").symlink_to(tmp_path)
    bucket.pipe("/run/linked/out", b"1")
    with pytest.raises(BucketError, match="the object 'linked/out'"):
        one.pull()
    assert list(tmp_path.iterdir()) == []
    shutil.rmtree(one.local)


def test_what_stands_for_a_folder_and_others_unfinished_files_are_let_be(bucket):
    bucket.pipe("/run/notes.draft", b"1")
    bucket.pipe("/run/pictures/one.png", b"2")
    bucket.store["/run/pictures/"] = bucket.store["/run/notes.draft"]
    one = BucketCopy("memory://run")
    one.pull()
    assert {path.name for path in one.local.rglob("*")} == {"pictures", "one.png"}
    one.push()
    assert bucket.exists("/run/notes.draft")
