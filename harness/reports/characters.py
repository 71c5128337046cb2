"""Characters that a terminal or a browser obeys instead of showing them, as signs that stand for them."""

import json
import re

# Controls, separators of lines, marks and overrides of direction, halves of pairs, and what is no
# character at all: the last two no encoding or no page may hold. Line ends and tabs are kept.
_OBEYED = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef"
    + "".join(
        f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
    )
    + "]"
)
_PICTURES, _REPLACEMENT = 0x2400, "\ufffd"


def make_visible(text: str) -> str:
    """The text as it may be shown: of the same length, an escape as its picture, others as U+FFFD."""
    return _OBEYED.sub(_sign, text)


def escape_json(text: str) -> str:
    """JSON with the same characters written as escapes: what is read from it stays as it was."""
    return _OBEYED.sub(lambda one: json.dumps(one[0])[1:-1], text)


def _sign(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(_PICTURES + code)
    return "\u2421" if code == 0x7F else _REPLACEMENT
