"""How wide a terminal is, and what does not fit into it."""

import io
import subprocess

from harness.reports.terminal.width import (
    fold,
    fold_command,
    hanging_indent,
    known_columns,
    terminal_columns,
)


def test_columns_are_the_terminals_where_there_is_one(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    assert terminal_columns(io.StringIO()) == 100
    assert known_columns(io.StringIO()) is None
    assert terminal_columns(Terminal()) == 80
    monkeypatch.setenv("COLUMNS", "77")
    for stream in (Terminal(), io.StringIO()):
        assert terminal_columns(stream) == known_columns(stream) == 77
    monkeypatch.setenv("COLUMNS", "wide")
    assert known_columns(io.StringIO()) is None


def test_what_does_not_fit_goes_on_below_its_text_in_whole_words():
    assert hanging_indent("packages  ", "torch 2.13.0, numpy 2.4.6", 24) == (
        "packages  torch 2.13.0,\n          numpy 2.4.6"
    )
    assert hanging_indent("at  ", "a/path/that-is-long", 10) == "at  a/path/that-is-long"
    assert hanging_indent("at  ", "x" * 60, 50) == f"at  {'x' * 46}\n    {'x' * 14}"
    assert hanging_indent("at  ", "one line " * 30, None) == "at  " + ("one line " * 30).strip()


def test_lines_are_folded_at_words_and_paths_are_left_whole():
    path = "/a/" + "long/" * 20
    assert fold("one two three\n  four five six", 11) == "one two\n  three\n  four five\n    six"
    assert fold(f"error: {path}: no", 40) == f"error:\n  {path}:\n  no"
    assert fold("one two three " * 9, None) == "one two three " * 9


def test_a_command_that_is_folded_is_the_same_command(tmp_path):
    """A shell is given both; quotes, and the spaces in them, stay what they are."""
    for line in (
        "  echo sql --db some/path \"FROM rows WHERE a = 'b c d e f' AND run_id = 'x' LIMIT 10\" end",
        "  echo report 'a file with many words in its name and more of them' --db x",
        "  echo report 20261125-155743-538-voices-organism --db some/other/place/results.duckdb",
    ):
        said = []
        for text in (line, fold_command(line, 40)):
            told = subprocess.run(["sh", "-c", text], capture_output=True, text=True, cwd=tmp_path)
            said.append(told.stdout)
        assert said[0] == said[1] != ""
    assert max(map(len, text.splitlines())) <= 45
