"""The usual names of splits."""

import re
from collections.abc import Iterable

USUAL = re.compile(
    r"(?P<train>train(ing)?)|(?P<validation>val(id(at(e|ion))?)?|dev(el(opment)?)?)|(?P<test>test(ing)?|holdout)"
    r"|(?P<eval>eval(uation)?)"
)
WORDS = re.compile(r"[ _-]?(set|split|data|images|imgs)$")


def split_of(name: str) -> str:
    """The split that a name means: 'train', 'validation', 'test', 'eval' (either of the last two), or '' for none."""
    found = USUAL.fullmatch(WORDS.sub("", name.strip().lower()))
    return found.lastgroup or "" if found else ""


def splits_of(names: Iterable[str]) -> dict[str, str]:
    """The splits that names mean, by name, without those that mean none.

    'eval' is the test split, or the validation split where another name means the test split.
    """
    meant = {name: split for name in names if (split := split_of(name))}
    evaluated = "validation" if "test" in meant.values() else "test"
    return {name: evaluated if split == "eval" else split for name, split in meant.items()}
