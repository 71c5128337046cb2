"""Words that more than one surface shows: commands that are copied into a shell."""

import shlex
import subprocess

import pytest

from harness.reports.text import sql_command
from harness.store.queries import view_query
from tests.helpers.store import query


@pytest.mark.parametrize(
    "word", ["plain", "it's", "$(touch made)", "`touch made`", 'a"b', "a\\b", "a\nb", "!!"]
)
def test_a_command_that_shows_rows_is_one_query_to_a_shell_and_one_value_to_sql(
    few, tmp_path, word
):
    sql = view_query("runs", word)
    line = sql_command(few[0], sql)
    assert shlex.split(line)[-1] == sql
    done = subprocess.run(["sh", "-c", f"printf %s {shlex.join(shlex.split(line)[:1])}; set -- {line.partition(' ')[2]}; "
                           "for one; do :; done; printf '|%s' \"$one\""], capture_output=True, text=True, cwd=tmp_path,
                          check=True)  # fmt: skip
    assert done.stdout.endswith(f"|{sql}")
    assert not (tmp_path / "made").exists()
    assert query(few[0], f"SELECT count(*) FROM ({sql})") == [(0,)]
