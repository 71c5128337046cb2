"""Labels of features: asked for once, kept, and shown where the features are."""

import json
import shutil
from datetime import UTC, datetime
from functools import partial

import duckdb
import pytest

from harness.errors import InputError
from harness.reports.labels import label_features, shown_features
from harness.reports.neuronpedia import Neuronpedia
from harness.store.database import Store
from harness.store.find_run import find_run
from harness.store.tables.results import FeatureLabels
from tests.helpers.cli import invoke
from tests.helpers.neuronpedia import SOURCES, body

SILENT = lambda line: None  # noqa: E731


@pytest.fixture
def db(few, tmp_path):
    """A run of the organism, as if Neuronpedia had its SAEs; a test may write to it."""
    copy = shutil.copy(few[0], tmp_path / "r.duckdb")
    with duckdb.connect(str(copy)) as connection:
        connection.execute("UPDATE runs SET neuronpedia = ?", [list(SOURCES.values())])
    return copy


@pytest.fixture
def quick(monkeypatch):
    """The command waits for nothing."""
    monkeypatch.setattr("harness.reports.neuronpedia.Neuronpedia", partial(Neuronpedia, pause=0.0))


def stored(db):
    with Store.open_to_read(db) as store:
        rows = store.read(FeatureLabels).rows()
        return {(row["source"], row["feature"]): (row["label"], row["explainer"]) for row in rows}


def shown(db, run="latest"):
    with Store.open_to_read(db) as store:
        return shown_features(store, find_run(store, run))


def test_the_features_of_a_report_are_the_edited_and_the_strongest(db):
    found = shown(db)
    with Store.open_to_read(db) as store:
        edited = "SELECT DISTINCT layer, feature FROM interventions WHERE role = 'target'"
        edited = set(store.query(edited)[1])
        top = "SELECT layer, feature FROM top_features ORDER BY rank, layer, feature LIMIT 20"
        top = set(store.query(top)[1])
    assert len(found) == len(set(found))
    assert set(found) == edited | top
    assert set(found[: len(edited)]) == edited


def test_a_label_is_asked_for_once(server, db, quick):
    wanted = {(SOURCES[layer], feature) for layer, feature in shown(db)}
    first = invoke("label", "latest", "--db", db)
    assert first.exit_code == 0, first.output
    assert len(server.asked) == len(wanted) > 20
    assert stored(db) == {(s, f): (f"about {f}", "gpt-4o-mini") for s, f in wanted}
    for _, feature in shown(db):
        assert f"about {feature}" in first.stdout
    again = invoke("label", "few", "--db", db)
    assert again.stdout == first.stdout
    assert len(server.asked) == len(wanted)


def test_what_has_no_label_is_not_asked_for_again_but_where_it_is_asked(server, db, quick):
    count = len(shown(db))
    server.answers = [(404, b"")] * count
    assert invoke("label", "--db", db).exit_code == 0
    assert set(stored(db).values()) == {(None, None)}
    assert invoke("label", "--db", db).exit_code == 0
    assert len(server.asked) == count
    assert invoke("label", "--again", "--db", db).exit_code == 0
    assert len(server.asked) == 2 * count
    assert len(stored(db)) == count
    assert (None, None) not in stored(db).values()


def test_the_date_of_a_label_is_kept(server, db, quick):
    before = datetime.now(UTC)
    invoke("label", "--limit", 1, "--db", db)
    with Store.open_to_read(db) as store:
        ((at,),) = store.query("SELECT fetched_at FROM feature_labels")[1]
    assert before <= at <= datetime.now(UTC)


def test_a_limit_takes_the_first_and_the_same_command_goes_on(server, db, quick):
    features = shown(db)
    some = invoke("label", "--limit", 3, "--db", db)
    assert some.exit_code == 0
    assert f"{len(features) - 3} more were not asked for: run it again" in some.stderr
    assert set(stored(db)) == {(SOURCES[layer], feature) for layer, feature in features[:3]}
    rest = invoke("label", "--limit", 100, "--db", db)
    assert "more were not asked for" not in rest.stderr
    assert len(stored(db)) == len(server.asked) == len(features)


def test_what_was_fetched_before_a_failure_is_kept(server, db, quick):
    features = shown(db)
    server.answers = [(200, body("one")), (200, body("two")), (500, b"")]
    found = invoke("label", "--db", db)
    assert found.exit_code == 3
    assert "status 500; try again later; the 2 that came before are kept" in found.stderr
    assert len(stored(db)) == 2
    assert invoke("label", "--db", db).exit_code == 0
    assert len(server.asked) == 3 + len(features) - 2


def test_a_script_is_text_in_the_store_and_on_the_terminal(server, db, quick):
    script = "<script>alert(1)</script> [bold]'; DROP TABLE runs; --"
    server.answers = [(200, body(script))]
    found = invoke("label", "--limit", 1, "--db", db)
    assert script in found.stdout
    assert [label for label, _ in stored(db).values()] == [script]


def test_top_features_have_their_label(server, db, quick):
    """A label is of one SAE: another layer's feature of the same number has none of it."""
    invoke("label", "--db", db)
    labelled = set(shown(db))
    with Store.open_to_read(db) as store:
        names, rows = store.query("FROM top_features ORDER BY rank, layer, feature")
    assert "label" in names
    told = [dict(zip(names, row, strict=True)) for row in rows]
    for row in told:
        known = (row["layer"], row["feature"]) in labelled
        assert row["label"] == (f"about {row['feature']}" if known else None)
    numbers = [feature for _, feature in labelled]
    assert any(row["label"] is None and row["feature"] in numbers for row in told)
    found = invoke("sql", "top_features", "--run", "latest", "--format", "json", "--db", db)
    rows = json.loads(found.stdout)
    assert list(rows[0])[-1] == "label"
    assert rows[0]["label"] == f"about {rows[0]['feature']}"


def test_a_run_whose_features_have_no_pages_is_refused_and_nothing_is_asked(server, db):
    for nothing in ([None, None], None):
        with duckdb.connect(str(db)) as connection:
            connection.execute("UPDATE runs SET neuronpedia = ?", [nothing])
        found = invoke("label", "--db", db)
        assert found.exit_code == 2
        assert "Neuronpedia has no pages of its SAEs" in found.stderr
        assert "Traceback" not in found.output
    assert not server.asked


def test_layers_without_pages_are_left_out(server, db, quick):
    with duckdb.connect(str(db)) as connection:
        connection.execute("UPDATE runs SET neuronpedia = ?", [[None, SOURCES[3]]])
    features = shown(db)
    found = invoke("label", "--db", db)
    assert found.exit_code == 0, found.output
    missing = sum(layer == 1 for layer, _ in features)
    assert missing
    assert f"{missing} features are of SAEs that Neuronpedia has no pages of" in found.stderr
    assert {source for source, _ in stored(db)} == {SOURCES[3]}


def test_a_run_without_features_is_refused(db, asked):
    with duckdb.connect(str(db)) as connection:
        connection.execute("DELETE FROM feature_tests; DELETE FROM interventions")
    with Store.open(db) as store, pytest.raises(InputError, match="it shows no feature"):
        label_features(store, find_run(store, "latest"), asked, limit=1, again=False, say=SILENT)


def test_a_file_and_a_run_that_are_not_there_are_refused(tmp_path, db):
    assert invoke("label", "--db", tmp_path / "none.duckdb").exit_code == 3
    assert not (tmp_path / "none.duckdb").exists()
    assert invoke("label", "nothing", "--db", db).exit_code == 2


def test_labels_come_along_with_the_runs_of_another_file(server, db, quick, tmp_path):
    invoke("label", "--db", db)
    there = stored(db)
    here = tmp_path / "here.duckdb"
    key = next(iter(there))
    with Store.open(here) as store:
        mine = dict(zip(("source", "feature"), key, strict=True))
        mine |= {"label": "mine", "explainer": None, "fetched_at": datetime.now(UTC)}
        store.put_labels(FeatureLabels.of([mine]))
    found = invoke("import", db, "--db", here)
    assert found.exit_code == 0, found.output
    assert stored(here) == there | {key: ("mine", None)}
