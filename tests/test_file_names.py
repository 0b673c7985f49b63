"""Names that people gave, as names of files and as text: safe, unique, whole."""

import itertools
import string

import numpy as np
import pytest

from cae_jax.file_names import printable, safe_name, safe_names

ODD = [
    "a/b", "a\\b", "a_b", "a b", "a:b", "N/A", "", " ", ".", "..", "...", ".hidden", "end.", "end ", "con", "NUL.txt",
    "com1", "lpt9.png", "[red]", "[/]", "{x}", "%s", "$HOME", "`ls`", "-rf", "*", "?", "\n", "\x00", "\x1b[31m", "~",
    "\udcff", "\udcfe", "😀", "😁", "👩\u200d🔬", "e\u0301", "\u00e9", "\u202eabc", "x" * 101, "x" * 102,
    "猫" * 40, "猫" * 41, "name-0a1b2c3d", "ß", "ss", "İ", "i",
]  # fmt: skip


def test_usual_names_stay_as_they_are():
    usual = ["test_3", "8", "Benign", "scan.001", "a-b_c.d", "größe", "猫", "हिन्दी", "שלום", "x" * 100]
    assert list(map(safe_name, usual)) == usual


@pytest.mark.parametrize("text", ODD)
def test_any_text_gives_a_name_that_every_file_system_takes(tmp_path, text):
    name = safe_name(text)
    assert 0 < len(name.encode()) <= 100
    assert not name.startswith((".", " "))
    assert not name.endswith((".", " "))
    assert not set(name) & set('/\\:*?"<>|\x00')
    assert name.isprintable()
    assert name.split(".")[0].lower() not in {"con", "nul", "com1", "lpt9"}
    (tmp_path / f"{name}_to_{name}~2.png").write_text("")
    assert safe_name(text) == name


def test_no_two_texts_share_a_name():
    rng = np.random.default_rng(0)
    letters = list(string.ascii_letters + "/ _.-:é猫")
    texts = {*ODD, *("".join(rng.choice(letters, rng.integers(1, 5))) for _ in range(3000))}
    texts |= {safe_name(text) for text in texts}
    assert len({safe_name(text) for text in texts}) == len(texts)


def test_names_that_differ_in_case_alone_are_told_apart():
    names = safe_names(["Cat", "cat", "dog", "STRASSE", "straße"])
    assert names[2] == "dog"
    assert len({name.casefold() for name in names}) == 5


def test_joined_names_can_be_told_apart():
    texts = ["a", "b", "a_to_b", "b_to_a", "a to b", "b_to_", "_to_", "to", "a_to", "to_b"]
    names = safe_names(texts, "_to_")
    joined = [f"{one}_to_{other}" for one, other in itertools.product(names, names)]
    assert len(set(joined)) == len(joined)
    assert names[:2] == ["a", "b"]


def test_what_is_no_character_is_shown_as_its_escape():
    assert printable("a\x1b[31m\n\udcff\u202e") == "a\\x1b[31m\\n\\udcff\\u202e"
    assert printable("猫😀 é שלום [red]") == "猫😀 é שלום [red]"
