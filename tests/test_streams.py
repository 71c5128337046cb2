"""Whoever prints, and however: nothing of it is obeyed by a terminal or by a service that reads the log."""

import io
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.characters import disarm, make_visible, one_line
from harness.streams import shown
from tests.helpers.specs import BEHAVIOUR_SPEC

COMMAND = re.compile(r"^\s*::|##\w*\[", re.MULTILINE)
CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
PAYLOAD = "a\x1b]52;c;aGk=\x07\x9b31m\u202e\r\n::error::x\n \t ::set-env name=A::b\n##[error]y\n##vso[task]z"


def written(*parts):
    stream = io.StringIO()
    out = shown(stream)
    for part in parts:
        out.write(part)
    return stream.getvalue()


def test_what_is_written_is_shown():
    text = written(PAYLOAD)
    assert not CONTROL.search(text)
    assert not COMMAND.search(text)
    assert "\\x1b]52;c;aGk=\\x07" in text
    assert "\\::error::x" in text


@given(st.lists(st.text(":# \n\t[a\x1b", max_size=6), max_size=6))
def test_no_line_is_a_command_however_it_is_written(parts):
    text = written(*parts)
    assert not re.search(r"^\s*::", text.replace("\t", " "), re.MULTILINE)
    assert not CONTROL.search(text)


@given(st.text())
def test_plain_text_is_what_it_was(text):
    plain = "".join(letter for letter in text if letter.isalnum() or letter in " .,-\n")
    if plain == make_visible(plain):
        assert written(plain) == disarm(plain) == plain


def test_a_field_of_one_line_is_one_line():
    assert "\n" not in one_line(PAYLOAD)
    assert len(one_line("x" * 10**6)) < 20_000


@pytest.mark.parametrize("command", ["check", "plan"])
def test_a_spec_of_a_stranger_says_nothing_to_a_terminal_or_a_ci(tmp_path, command):
    """In a process of its own: its streams, its warnings and its logs are the real ones."""
    hostile = PAYLOAD.encode("unicode_escape").decode().replace('"', "")
    spec = BEHAVIOUR_SPEC.replace("Is it so?", f'"{hostile}"').replace(
        "prompts.jsonl", f'"{hostile}.jsonl"'
    )
    (tmp_path / "demo.yaml").write_text(spec)
    call = [
        sys.executable,
        "-m",
        "harness",
        command,
        "demo.yaml",
        "no\x1b[2Jfile\n::error::z.yaml"[: 26 if command == "check" else 0] or "--json",
    ]
    done = subprocess.run(call, capture_output=True, cwd=tmp_path, timeout=60)
    text = (done.stdout + done.stderr).decode()
    assert done.returncode == 2, text
    assert not CONTROL.search(text)
    assert not COMMAND.search(text)
