"""Names that people gave to classes and files: as names of our own files, and as text that can be shown."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

MOST_BYTES = 100  # two of them, joined and with a suffix, are below the 255 of usual file systems
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)  # by Windows
DIRECTIONS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # that turn the text after them round
TAGGED = re.compile(r".*-[0-9a-f]{8}", re.DOTALL)


def _tag(text: str) -> str:
    return "-" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _cut(text: str, most: int) -> str:
    return text.encode()[:most].decode(errors="ignore")


def _tagged(text: str, safe: str) -> str:
    tag = _tag(text)
    return _cut(safe, MOST_BYTES - len(tag)) + tag


def safe_name(text: str) -> str:
    """Makes any text part of a file's name.

    Letters, marks and digits of any script stay, and so do `_`, `-` and `.` within. Whatever else there is becomes `_`,
    and long names are cut; a name that was changed in any way ends in a hash of the whole text, so that no two texts
    share a name. Names that differ in their case alone are told apart by `safe_names` only.

    Returns:
        At most 100 bytes of UTF-8; never empty, hidden, or a name that a file system reserves.
    """
    composed = unicodedata.normalize("NFC", text)
    kept = "".join(c if unicodedata.category(c)[0] in "LMN" or c in "_-." else "_" for c in composed)
    safe = re.sub(r"^\.+|\.+$", "_", kept) or "_"
    if RESERVED.fullmatch(safe):
        safe = "_" + safe
    if safe == text and len(text.encode()) <= MOST_BYTES and not TAGGED.fullmatch(text):
        return text
    return _tagged(text, safe)


def safe_names(texts: Sequence[str], joint: str = "") -> list[str]:
    """`safe_name` of different texts, told apart also where a file system sees no difference of case.

    Args:
        texts: texts to name files by, all different.
        joint: text that names are going to be joined by; no name has it within or makes one with it, so that no two
            joined names are the same.
    """
    names = [safe_name(text) for text in texts]
    counts = Counter(name.casefold() for name in names)

    def apart(text: str, name: str) -> str:
        shared = counts[name.casefold()] > 1 or (joint and joint in f"{joint}{name}{joint}"[1:-1])
        tagged = _tagged(text, name) if shared and not TAGGED.fullmatch(name) else name
        return tagged.replace(joint, joint.replace("_", "-")) if joint else tagged

    return list(map(apart, texts, names))


def printable(text: str) -> str:
    """Text that a page, a picture or a terminal can show: what is no character there stands as its escape."""
    escape = lambda c: c.encode("unicode_escape", "surrogatepass").decode()  # noqa: E731
    hidden = lambda c: unicodedata.category(c) in ("Cc", "Cs", "Co", "Cn") or c in DIRECTIONS  # noqa: E731
    return "".join(escape(c) if hidden(c) else c for c in text)
