"""Texts that look or read the same although they are written with other characters."""

import re
import unicodedata

# What Unicode calls ignorable by default, and control characters: nothing is shown of them.
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SPACE = re.compile(r"[^\S\n]|\u2800")
_TYPOGRAPHY = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b\u02bc\u00b4`", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb", '"')
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
)


class _Raised(dict[int, str]):
    """² as ^2 and ₀ as _0, found when they are met; other letters as they are."""

    def __missing__(self, code: int) -> str:
        kind, _, plain = unicodedata.decomposition(chr(code)).partition(" ")
        mark = {"<super>": "^", "<sub>": "_"}.get(kind, "")
        return self.setdefault(code, mark + chr(int(plain, 16)) if mark else chr(code))


_RAISED = _Raised()


def looks_as(text: str) -> str:
    """The same for texts that nobody can tell apart: é in one character or two, kinds of space."""
    if text.isascii() and text.isprintable():
        return text
    return _SPACE.sub(" ", unicodedata.normalize("NFC", _UNSEEN.sub("", text)))


def reads_as(text: str) -> str:
    """The same for texts that also differ in case, spaces, quotes, dashes or compatible characters.

    Of 10² and 102 it is not the same.
    """
    return named_as(text if text.isascii() else text.translate(_RAISED))


def named_as(text: str) -> str:
    """The same for names that are easily taken for each other: as `reads_as`, and x² for x2."""
    if text.isascii() and text.isprintable():
        plain = " ".join(text.replace("`", "'").lower().split())
        # The same object where nothing differs: a million names are then not there twice.
        return text if plain == text else plain
    folded = unicodedata.normalize("NFKC", looks_as(text)).translate(_TYPOGRAPHY).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def difference(one: str, other: str) -> str:
    """In what two texts differ that look or read the same."""
    if looks_as(one) == looks_as(other):
        return "characters that look the same"
    if one.lower() == other.lower():
        return "case"
    if looks_as(one).split() == looks_as(other).split():
        return "spaces"
    return "how they are written"
