"""How wide a terminal is, and what does not fit into it."""

import io

from harness.reports.terminal.width import hanging_indent, terminal_columns


def test_columns_are_the_terminals_where_there_is_one(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("COLUMNS", "77")
    assert terminal_columns(Terminal()) == 77
    assert terminal_columns(io.StringIO()) == 100


def test_what_does_not_fit_goes_on_below_its_text_in_whole_words():
    assert hanging_indent("packages  ", "torch 2.13.0, numpy 2.4.6", 24) == (
        "packages  torch 2.13.0,\n          numpy 2.4.6"
    )
    assert hanging_indent("at  ", "a/path/that-is-long", 10) == "at  a/path/that-is-long"
