"""Commands that ask the results file."""

import json
import re
import subprocess
import sys

from harness.cli import main
from harness.store.database import Store
from tests.helpers.cli import invoke


def test_every_documented_query_runs(tmp_path, root):
    """Also where times with a zone come back, and whatever brackets a text holds."""
    Store.open(tmp_path / "r.duckdb").__exit__()
    texts = [(root / "README.md").read_text(), (root / "db" / "README.md").read_text(), main.help]
    queries = set(re.findall(r'harness sql "([^"]+)"', "".join(texts)))
    assert len(queries) >= 2
    for query in (*queries, "FROM runs", "FROM units", "SELECT now(), '[red]x[/foo]'"):
        for shape in ("table", "json", "csv"):
            call = ("sql", query, "--db", tmp_path / "r.duckdb", "--format", shape)
            assert invoke(*call).exit_code == 0, (query, invoke(*call).output)
    assert "[red]x[/foo]" in invoke(*call[:4]).output
    whole = invoke("sql", "SELECT sum(x) AS n FROM range(3) t(x)", *call[2:4], "--format", "json")
    assert json.loads(whole.output) == [{"n": 3}]
    assert "no query is given" in invoke("sql", "", *call[2:4]).output


def test_queries_of_a_missing_or_wrong_kind_are_said(tmp_path):
    found = invoke("sql", "FROM runs", "--db", tmp_path / "none.duckdb")
    assert found.exit_code == 3
    assert "there are no results yet" in found.output


def test_what_nobody_reads_any_more_ends_quietly(tmp_path):
    """As `harness sql ... | head -1` does, also where the last lines are still in a buffer."""
    Store.open(tmp_path / "r.duckdb").__exit__()
    for shape in ("csv", "table", "json"):
        call = [sys.executable, "-m", "harness", "sql", "FROM range(3)", "--format", shape]
        running = subprocess.Popen(
            [*call, "--db", tmp_path / "r.duckdb"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait() == 141
        running.stderr.close()
