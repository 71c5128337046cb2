"""Rows in terminals of any width."""

import io

from harness.reports.terminal.progress import console
from harness.reports.terminal.tables import print_rows


def test_rows_are_a_table_or_a_list_by_the_room_there_is():
    names, rows = (
        ["run_id", "verdict", "question"],
        [["x" * 16, "supported", "word " * 30], [1, 2, None]],
    )
    for width, listed in ((200, False), (90, False), (50, True)):
        out = io.StringIO()
        print_rows(console(out, width=width), names, rows)
        text = out.getvalue()
        assert ("row 2" in text) == listed
        assert max(map(len, text.splitlines())) <= width
        assert "x" * 16 in text
    out = io.StringIO()
    print_rows(console(out, width=20), names, [])
    assert "row" not in out.getvalue().replace("run_id", "")
