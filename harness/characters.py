"""What a terminal, a browser, a log's reader or Markdown obeys instead of showing it, as plain text.

Commands of services that run checks: GitHub's runner takes `::error::` at the beginning of a line,
spaces aside, and `##[error]` anywhere in it; Azure takes `##vso[`, TeamCity `##teamcity[`.
"""

import json
import re

LONGEST = 10_000  # characters of a value that people are shown: programs are given all of it
_PILED = 12  # marks on one letter: no language has as many

# Controls, separators of lines, marks and overrides of direction, signs without width (joiners
# aside, which words and emoji need), tags, halves of pairs, and what is no character at all: no
# encoding holds the halves, and no page the last. Line ends and tabs are kept.
_SIGNS = (
    "[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff"
    "\ufdd0-\ufdef\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
    + "".join(
        f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
    )
    + "]"
)
# Signs without width that stay, and marks that are drawn over what is before them.
_UNSEEN = (
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u200c\u200d\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef"
)
_MARKS = (
    f"[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f{_UNSEEN}]"
)
_OBEYED = re.compile(f"{_SIGNS}|(?<={_MARKS}{{{_PILED}}}){_MARKS}")
_JSON_COMMAND = re.compile(rf"(#[{_UNSEEN}]*#[\w{_UNSEEN}]*)\[")
# .NET, in which runners are written, compares texts as if signs without width were not there.
_COMMAND = re.compile(
    rf"^(?:[^\S\n]|[{_UNSEEN}])*(?=:[{_UNSEEN}]*:)|#[{_UNSEEN}]*#[\w{_UNSEEN}]*(?=\[)", re.MULTILINE
)
_MENTION = re.compile(r"(?<![\w`])@(?=\w)")


def make_visible(text: str) -> str:
    """The text as it may be shown: an escape sequence as `\\x1b`, an override as `\\u202e`."""
    return _OBEYED.sub(lambda one: ascii(one[0])[1:-1], text)


def one_line(text: str) -> str:
    """The same in one line, its ends of lines as `\\n`; what is very long is cut."""
    shown = make_visible(text[: LONGEST + 1]).replace("\n", "\\n").replace("\t", " ")
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…"


def disarm(text: str) -> str:
    """Lines of which none is a command to a service that reads its log: `\\::error::`, `##\\[error]`."""
    return _COMMAND.sub(lambda one: one[0] + "\\", text)


def escape_json(text: str) -> str:
    """JSON with all of these as its own escapes: what is read from it is what was there."""
    shown = _OBEYED.sub(lambda one: json.dumps(one[0])[1:-1], text)
    return _JSON_COMMAND.sub(r"\1\\u005b", shown)


def escape_markdown(text: str) -> str:
    """One line that Markdown shows as it is: no link, no picture, no tag, and nobody is notified."""
    shown = re.sub(r"[\\`*{}\[\]<>#|~]|(?<!\w)_|_(?!\w)", r"\\\g<0>", make_visible(text))
    return _MENTION.sub("@&#8203;", " ".join(shown.split()))
