"""Progress: on a terminal of any width, in a log, with and without colours."""

import os
import pty
import re
import select
import subprocess
import sys

import pytest

from harness.reports.terminal.progress import PlainProgress
from tests.helpers import ROOT

STAGES = [sys.executable, "-m", "tests.helpers.stages"]
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
MOVES = re.compile(r"\x1b\[[0-9;?]*[A-Zhl]")


def environment(**wanted):
    without = ("NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS", "LINES")
    kept = {key: value for key, value in os.environ.items() if key not in without}
    return kept | {"TERM": "xterm-256color", **wanted}


def on_terminal(width, **wanted):
    """What a terminal of this width receives."""
    own, theirs = pty.openpty()
    running = subprocess.Popen(
        STAGES,
        stdin=theirs, stdout=theirs, stderr=theirs,
        cwd=ROOT,
        env=environment(COLUMNS=str(width), **wanted),
    )  # fmt: skip
    os.close(theirs)
    text = b""
    while select.select([own], [], [], 30)[0]:
        try:
            part = os.read(own, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        text += part
    os.close(own)
    assert running.wait() == 0, text
    return text.decode()


def in_log(**wanted):
    found = subprocess.run(
        STAGES, capture_output=True, text=True, cwd=ROOT, env=environment(**wanted)
    )
    assert (found.returncode, found.stderr) == (0, "")
    return found.stdout


@pytest.mark.parametrize("width", [60, 80])
def test_a_terminal_gets_bars_with_a_rate_and_colours(width):
    text = on_terminal(width)
    assert MOVES.search(text)
    assert COLOUR.search(text)
    plain = MOVES.sub("", COLOUR.sub("", text))
    assert re.search(r"observe +━+ 5/5 \d+(\.\d)?/s 0:00:0\d", plain), plain
    for line in re.split("[\r\n]+", plain):
        assert len(line) <= width


def test_no_color_and_a_dumb_terminal_are_honoured():
    plain = on_terminal(80, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", plain)
    assert "observe" in plain
    dumb = on_terminal(80, TERM="dumb")
    assert "\x1b" not in dumb
    assert "observe: 5 of 5" in dumb


def test_a_log_gets_lines_and_colours_only_where_they_are_asked_for():
    text = in_log()
    assert "\x1b" not in text
    assert re.search(r"\n?  observe: 5 of 5 \(0\.\d s, \d+/s\)\n", text)
    forced = in_log(FORCE_COLOR="1")
    assert COLOUR.search(forced)
    assert not MOVES.search(forced), "a log is no terminal, whatever its colours"
    assert COLOUR.sub("", forced).count("observe") == text.count("observe")
    assert "aaaaaaaaaaaa   aaaaaaaaaaaa" in text
    assert "row 1" in in_log(COLUMNS="60")


def test_a_long_stage_says_how_fast_it_is_and_what_is_left(monkeypatch):
    now = iter([100.0, 105.0, 112.0, 160.0, 400.0])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    said = []
    progress = PlainProgress(said.append)
    for done in (10, 12, 16, 40, 50):  # the first ten are of an earlier run
        progress("ablate", done, 50)
    assert said == [
        "  ablate: 10 of 50 (0.0 s)",
        "  ablate: 16 of 50 (12.0 s, 30.0/min, about 68 s left)",
        "  ablate: 40 of 50 (60.0 s, 30.0/min, about 20 s left)",
        "  ablate: 50 of 50 (300.0 s, 8.0/min)",
    ]
