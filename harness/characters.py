"""Characters that a terminal or a browser obeys instead of showing them, written as escapes."""

import json
import re

# Controls, separators of lines, marks and overrides of direction, halves of pairs, and what is no
# character at all: no encoding holds the halves, and no page the last. Line ends and tabs are kept.
_OBEYED = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef"
    + "".join(
        f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
    )
    + "]"
)


def make_visible(text: str) -> str:
    """The text as it may be shown: an escape sequence as `\\x1b`, an override as `\\u202e`."""
    return _OBEYED.sub(lambda one: ascii(one[0])[1:-1], text)


def escape_json(text: str) -> str:
    """JSON with the same characters as its own escapes: what is read from it is what was there."""
    return _OBEYED.sub(lambda one: json.dumps(one[0])[1:-1], text)
