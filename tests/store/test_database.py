"""The results file: whole transactions, nulls for what does not exist, and its dictionary."""

import re
import signal
from datetime import UTC, datetime

import duckdb
import numpy as np
import pytest

from harness.errors import CannotRun, InputError
from harness.runner import stop_signals
from harness.runner.stop_signals import stop_status
from harness.store.agreement import compare_tables
from harness.store.database import Store
from harness.store.errors import query_errors
from harness.store.tables import TABLES
from harness.store.tables.interventions import Impacts
from harness.store.tables.observations import Activations
from harness.store.tables.results import FeatureLabels, FeatureTests
from harness.store.tables.runs import Registrations, Runs, Units


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "db" / "results.duckdb") as opened:
        yield opened


def activations(count, run_id="r"):
    return Activations(
        run_id=[run_id] * count,
        prompt_id=np.array([f"p{i % 7}" for i in range(count)]),
        layer=np.arange(count) % 3,
        readout=["answer:mean"] * count,
        feature=np.arange(count),
        value=np.linspace(0.1, 9, count),
        origin=["mock"] * count,
    )


def unit(name):
    return Units.of(
        [
            {
                "run_id": "r",
                "unit_id": name,
                "stage": "observe",
                "family": "f",
                "ablation": "",
                "finished_at": datetime.now(UTC),
                "seconds": 0.1,
            }
        ]
    )


@pytest.mark.parametrize(
    "kind", [*TABLES, FeatureLabels, Registrations], ids=lambda kind: kind.table
)
def test_records_name_the_tables_columns(store, kind):
    _, columns = store.query(f"DESCRIBE {kind.table}")
    assert tuple(column[0] for column in columns) == kind.names()


def test_rows_come_back_as_they_went_in(store):
    store.commit(activations(100))
    found = store.read(Activations, "r")
    assert sorted(found.feature.tolist()) == list(range(100))
    assert len(store.read(Activations, "r", layer=1)) == 33
    assert len(store.read(Activations, "other")) == 0


def test_a_commit_is_all_or_nothing(store):
    store.commit(activations(3), unit("a"))
    with pytest.raises(CannotRun, match="could not be written: Constraint"):
        store.commit(activations(5), unit("b"), unit("a"))  # unit a is there already
    assert store.finished("r") == {"a"}
    assert len(store.read(Activations, "r")) == 3


def test_what_has_no_value_is_null_and_not_a_number(store):
    row = dict.fromkeys(FeatureTests.names(), 0.5) | {
        "run_id": "r", "split": "confirmation", "layer": 1, "feature": 2, "n_pairs": 3,
        "n_units": 4, "flag": "constant", "origin": "mock", "d_z": float("nan"),
    }  # fmt: skip
    store.commit(FeatureTests.of([row]))
    assert store.query("SELECT d_z, g_av FROM feature_tests")[1] == [(None, 0.5)]
    array = FeatureTests(**{name: np.array([value]) for name, value in row.items()})
    store.commit(array)
    assert store.query("SELECT count(*), count(d_z) FROM feature_tests")[1] == [(2, 0)]


def test_replacing_touches_one_run_and_its_tables_only(store):
    store.commit(activations(4, "r"), activations(6, "s"), unit("a"))
    store.replace("r", activations(2, "r"))
    assert len(store.read(Activations, "r")) == 2
    assert len(store.read(Activations, "s")) == 6
    assert store.finished("r") == {"a"}


def test_an_unknown_column_is_refused_at_once():
    with pytest.raises(KeyError, match="impakt"):
        Impacts.of([{"impakt": 1}])


def test_reading_can_neither_write_nor_look_around(store, tmp_path):
    store.commit(activations(3))
    store.__exit__()
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with Store.open_to_read(store.path) as reader:
        assert reader.query("SELECT count(*) FROM activations")[1] == [(3,)]
        for sql in (
            "DELETE FROM activations",
            f"FROM read_csv('{tmp_path / 'secret.csv'}')",
            f"COPY activations TO '{tmp_path / 'out.csv'}'",
            f"ATTACH '{tmp_path / 'other.duckdb'}'",
            "INSTALL httpfs",
            "SET enable_external_access = true",
        ):
            with pytest.raises(InputError):
                reader.query(sql)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("name", ["prompts.jsonl", "table.csv", "results.json", "plain.txt"])
def test_a_file_of_text_is_not_taken_for_a_database_in_memory(tmp_path, name):
    """DuckDB opens some of them so; what is written there would be lost."""
    file = tmp_path / name
    file.write_text('{"id": 1}\n{"id": 2}\n' if "json" in name else "a,b\n1,2\n")
    before = file.read_bytes()
    for opened in (Store.open, Store.open_to_read, Store.open_snapshot, Store.probe):
        with pytest.raises(CannotRun, match="it is no DuckDB file"):
            opened(file)
    assert file.read_bytes() == before


def test_files_that_cannot_be_opened_are_said_in_one_line(tmp_path):
    (tmp_path / "text.duckdb").write_text("not a database, but long enough to be read as one" * 99)
    with pytest.raises(CannotRun, match="it is no DuckDB file"):
        Store.open(tmp_path / "text.duckdb")
    with pytest.raises(CannotRun, match="there are no results yet"):
        Store.open_to_read(tmp_path / "none.duckdb")
    newer = tmp_path / "newer.duckdb"
    with Store.open(newer):
        pass
    with duckdb.connect(str(newer)) as connection:
        connection.execute("INSERT INTO schema_version VALUES (99, NULL)")
    with pytest.raises(CannotRun, match="written by a newer harness"):
        Store.open(newer)


def test_the_data_dictionary_names_every_table_view_macro_and_column(store, root):
    text = (root / "db" / "README.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### `(\w+)`.*?\n(.*?)(?=^##|\Z)", text, re.M | re.S))
    documented = {
        name: re.findall(r"^\| `(\w+)` \|", body, re.M) for name, body in sections.items()
    }
    for kind in (*TABLES, FeatureLabels, Registrations):
        assert documented.get(kind.table) == list(kind.names()), kind.table
    made = {
        name: name
        for (name,) in store.query("SELECT view_name FROM duckdb_views() WHERE NOT internal")[1]
    }
    macros = "SELECT function_name, len(parameters) FROM duckdb_functions() WHERE NOT internal "
    macros += "AND function_type = 'table_macro'"
    for name, arguments in store.query(macros)[1]:
        made[name] = f"{name}({', '.join(['NULL'] * arguments)})"
    for name, call in made.items():
        _, columns = store.query(f"DESCRIBE FROM {call}")
        assert documented.get(name) == [column[0] for column in columns], name
    assert set(documented) == {
        kind.table for kind in (*TABLES, FeatureLabels, Registrations)
    } | set(made)


def feature_test(feature, p_adjusted, statistic, run_id="r"):
    row = dict.fromkeys(FeatureTests.names(), 0.5)
    return row | {
        "run_id": run_id, "split": "confirmation", "layer": 1, "feature": feature, "n_pairs": 3,
        "n_units": 4, "flag": "", "origin": "mock", "p_adjusted": p_adjusted, "statistic": statistic,
        "fdr_by_layer": None,
    }  # fmt: skip


def test_a_feature_has_one_rank_in_its_run_and_in_its_history(store):
    """By adjusted p, ties by strength, and what was not tested last."""
    run = dict.fromkeys(Runs.names(), "1") | {
        "run_id": "r", "created_at": datetime.now(UTC), "finished_at": None, "layers": [1],
        "sae_files": [], "sae_hashes": [], "neuronpedia": [None], "git_dirty": False,
        "exploratory": None,
    }  # fmt: skip
    tests = [
        (7, 0.01, -3.0),
        (8, 0.01, 2.0),
        (9, 0.01, 2.0),
        (5, 0.2, 9.0),
        (6, None, 5.0),
        (4, None, 4.0),
    ]
    rows = FeatureTests.of([feature_test(*one) for one in tests])
    store.commit(Runs.of([run]), rows)
    ranks = dict(store.query("SELECT feature, rank FROM top_features")[1])
    assert ranks == {7: 1, 8: 2, 9: 2, 5: 4, 6: 5, 4: 6}
    for feature, rank in ranks.items():
        _, found = store.query("SELECT rank FROM feature_history(1, $f)", {"f": feature})
        assert found == [(rank,)], feature


def test_rows_that_only_the_other_run_has_are_no_agreement(store):
    store.commit(activations(4, "a"), activations(4, "b"))
    (same,) = compare_tables(store, "a", "b")
    assert same.agrees
    more = activations(5, "b")
    store.commit(type(more)(**{name: list(getattr(more, name))[4:] for name in more.names()}))
    for first, second, only in (("a", "b", (0, 1)), ("b", "a", (1, 0))):
        (one,) = compare_tables(store, first, second)
        assert not one.agrees
        assert (one.only_a, one.only_b) == only


def test_older_command_lines_can_read_a_new_file(tmp_path):
    with Store.open(tmp_path / "r.duckdb"):
        pass
    header = (tmp_path / "r.duckdb").read_bytes()[:20]
    assert header[8:12] == b"DUCK"
    assert int.from_bytes(header[12:20], "little") <= 67  # DuckDB 1.4's storage


def test_what_duckdb_makes_of_a_signal_is_an_interrupt_again(tmp_path, monkeypatch):
    """DuckDB raises `RuntimeError` where a handler raised anything while it worked."""
    with Store.open(tmp_path / "r.duckdb") as store:
        with pytest.raises(KeyboardInterrupt) as stop, store._transaction():
            raise RuntimeError("Query interrupted")
        assert stop_status(stop.value) == 130
        # Of a signal whose own error DuckDB has swallowed the status is that signal's; of Ctrl-C its own.
        monkeypatch.setattr(stop_signals, "_received", [signal.SIGTERM])
        assert (stop_status(stop.value), stop_status(KeyboardInterrupt())) == (143, 130)
        with pytest.raises(KeyboardInterrupt), query_errors(store.path):
            raise RuntimeError("Query interrupted")
        with pytest.raises(RuntimeError, match="another"), query_errors(store.path):
            raise RuntimeError("another")
        assert store.query("SELECT count(*) FROM runs")[1] == [(0,)]
