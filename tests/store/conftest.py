"""Three stored runs, for what asks a results file."""

import shutil

import duckdb
import pytest

from harness.store.database import Store
from tests.helpers.runs import made_once
from tests.helpers.store import TABLE_NAMES, query


@pytest.fixture(scope="session")
def three_runs(tmp_path_factory, few):
    """A small run, the same one again as `twin`, and a third as `odd` with some rows changed.

    The file, the first run's id, and the families in their order.
    """
    db = made_once(
        tmp_path_factory, "three_runs.duckdb", lambda _, file: copy_and_change(*few, file)
    )
    families = query(db, "SELECT DISTINCT family FROM prompts ORDER BY family")
    return db, few[1], [family for (family,) in families]


def copy_and_change(db, run_id, file):
    shutil.copy(db, file)
    with duckdb.connect(str(file)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for copy in ("twin", "odd"):
            for name in TABLE_NAMES:
                more = ", replace(query, run_id, $copy) AS query" if name == "verdicts" else ""
                values = {"copy": copy, "r": run_id}
                if name == "runs":
                    later = {"twin": 1, "odd": 2}[copy]
                    more = f", created_at + INTERVAL {later} HOUR AS created_at, $copy AS spec_name"
                connection.execute(
                    f"INSERT INTO {name} SELECT * REPLACE ($copy AS run_id{more}) FROM {name} "
                    "WHERE run_id = $r ORDER BY random()",
                    values,
                )
        families = [
            family
            for (family,) in connection.execute(
                "SELECT DISTINCT family FROM prompts ORDER BY family"
            ).fetchall()
        ]
        of = "prompt_id IN (SELECT prompt_id FROM prompts WHERE family = '{}' {})"
        for sql in (
            # One family does not move, another moves the other way.
            f"UPDATE answers SET logprob = -1 WHERE run_id = 'odd' AND {of.format(families[0], '')}",
            f"UPDATE answers SET logprob = -40 WHERE run_id = 'odd' AND candidate = 'correct' "
            f"AND {of.format(families[1], 'AND label = ' + repr('correct'))}",
            "DELETE FROM prompt_tags WHERE run_id = 'odd' AND tag = 'quantity'",
            "UPDATE runs SET exploratory = 'why' WHERE run_id = 'odd'",
        ):
            connection.execute(sql)


@pytest.fixture(scope="session")
def tables(three_runs):
    """Every table's rows as dictionaries, of the base tables alone."""
    with Store.open_to_read(three_runs[0]) as store:
        found = {}
        for name in TABLE_NAMES:
            columns, rows = store.query(f"FROM {name}")
            found[name] = [dict(zip(columns, row, strict=True)) for row in rows]
    return found
