"""A stored run as files for other programs, and back: every line, every row, every refusal."""

import hashlib
import json
import math
import shutil
from datetime import datetime
from pathlib import Path

import duckdb
import pandas
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner
from huggingface_hub import parse_eval_result_entries
from jsonschema import Draft202012Validator

from harness.cli import main
from harness.errors import InputError
from harness.runner.context import How
from harness.runner.run import run_eval
from harness.specs.spec_file import load
from harness.store import migrations as schema
from harness.store.database import Store
from harness.store.export.formats import FORMATS
from harness.store.export.hub_results import write_results
from harness.store.export.parquet_runs import import_parquet, read_export
from harness.store.find_run import find_run
from harness.store.migrations import VERSION
from harness.store.tables import TABLES
from harness.store.tables.results import Verdicts

QUIET = lambda stage, done, total: None  # noqa: E731
NAMES = [kind.table for kind in TABLES]
ABLATIONS = """\
ablations:
  - {name: top, select: {top: 2, by: contrast}, kind: zero, doses: [0, 2], controls: 2}
  - {name: one, select: {by: list, features: {3: [0]}}, kind: scale, value: 3, controls: 2}
"""
CLAIMS = """\
claims:
  - {name: moved, behaviour: logit_difference, contrast: true, direction: greater, than: 0}
  - {name: any, features: significant, at_least: 1}
  - {name: matters, ablation: top, beyond: controls, direction: toward-correct}
"""


def a_spec(folder, root, more=ABLATIONS, claims=CLAIMS, layers="[1, 3]", name="few"):
    """Some pairs of six families of `voices`."""
    lines = [json.loads(line) for line in (root / "data" / "voices.jsonl").read_text().splitlines()]
    families = sorted({line["family"] for line in lines})[:6]
    some = [line for line in lines if line["family"] in families and line["pair_id"].endswith("-1")]
    (folder / "few.jsonl").write_text("\n".join(map(json.dumps, some)))
    path = folder / f"{name}.yaml"
    path.write_text(
        f"name: {name}\nquestion: Does it run?\ntargets: {{organism: {{layers: {layers}}}}}\n"
        f"prompts: few.jsonl\nnew_tokens: 2\ncontrast: {{alpha: 0.3}}\n{more}{claims}"
    )
    return path


def a_run(path, db, progress=QUIET, **how):
    how = How(device="cpu", **how)
    return run_eval(load(path), "organism", db=db, how=how, progress=progress).run_id


def call(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


def exported(tmp_path, db, *arguments):
    """The folder that an export made, and what it said."""
    found = call("export", *arguments, "--output_dir", tmp_path / "runs", "--db", db)
    assert found.exit_code == 0, found.output
    return Path(found.stdout.strip()), found.stderr


def rows_of(db, run_id=None):
    """Every table's rows."""
    where = "" if run_id is None else f"WHERE run_id = '{run_id}'"
    with Store.open_to_read(db) as store:
        return {name: store.query(f"FROM {name} {where} ORDER BY ALL")[1] for name in NAMES}


def query(db, sql, **values):
    with Store.open_to_read(db) as store:
        return store.query(sql, values)[1]


@pytest.fixture(scope="module")
def stored(tmp_path_factory, root):
    """A results file with a finished run and an unfinished one, and the first one's id."""
    folder = tmp_path_factory.mktemp("export")
    db = folder / "r.duckdb"
    run_id = a_run(a_spec(folder, root), db)

    def stop(stage, done, total):
        if stage.startswith("survey"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        a_run(a_spec(folder, root, name="broken"), db, stop)
    return db, run_id


@pytest.fixture(scope="module")
def poc(stored, tmp_path_factory):
    folder, said = exported(
        tmp_path_factory.mktemp("poc"), stored[0], "few", "--format", "poc", "--topk_features", 5
    )
    assert said == ""
    return folder


@pytest.fixture(scope="module")
def parquet(stored, tmp_path_factory):
    return exported(tmp_path_factory.mktemp("parquet"), stored[0], "few")[0]


def read_json(path):
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else [
        json.loads(text)
    ]  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_every_line_is_of_the_schema_that_is_printed(poc, name):
    validator = Draft202012Validator(json.loads(call("schema", name).output))
    validator.check_schema(validator.schema)
    lines = read_json(next(poc.glob(f"{name}.json*")))
    assert lines
    for line in lines:
        assert not list(validator.iter_errors(line))
        assert list(validator.iter_errors(line | {"more": 1}))
        assert list(validator.iter_errors(line | {"origin": "guess"}))
        for key in set(line) - {"others", "ablation", "role", "kind", "active"}:
            assert list(validator.iter_errors({k: v for k, v in line.items() if k != key})), key


def test_results_hold_the_fifty_best_logits_of_each_step(poc, stored):
    db, run_id = stored
    lines = read_json(poc / "results.jsonl")
    said = query(
        db,
        "SELECT prompt_id, pair_id, label, prompt, token_ids, decoded_answer, g.origin "
        "FROM prompts JOIN generations g USING (run_id, prompt_id) WHERE run_id = $r ORDER BY line",
        r=run_id,
    )
    names = ("id", "pair_id", "label", "prompt", "tokens", "decoded_answer", "origin")
    assert [tuple(line[name] for name in names) for line in lines] == said
    logits = query(
        db,
        "SELECT prompt_id, step, token_id, token, logit, logprob FROM topk_logits "
        "WHERE run_id = $r ORDER BY prompt_id, step, logit DESC, rank",
        r=run_id,
    )
    told = [
        (line["id"], step, one["token_id"], one["token"], one["logit"], one["logprob"])
        for line in sorted(lines, key=lambda line: line["id"])
        for step, best in enumerate(line["logits_topk"])
        for one in best
    ]
    assert told == logits
    for line in lines:
        assert [len(best) for best in line["logits_topk"]] == [50] * len(line["tokens"])
        assert [best[0]["token_id"] for best in line["logits_topk"]] == line["tokens"]


def values_of(db, run_id):
    """Each prompt's active features at each layer, by brute force."""
    found = {}
    for prompt, pair, label, _ in query(
        db, "SELECT prompt_id, pair_id, label, line FROM prompts WHERE run_id = $r ORDER BY line", r=run_id
    ):  # fmt: skip
        for layer in (1, 3):
            found[prompt, pair, label, layer] = {}
    keys = {(key[0], key[3]): key for key in found}
    for prompt, layer, feature, value in query(
        db, "SELECT prompt_id, layer, feature, value FROM activations WHERE run_id = $r", r=run_id
    ):
        found[keys[prompt, layer]][feature] = value
    return found


def test_features_are_each_prompts_strongest_and_say_how_many_there_were(poc, stored):
    lines = read_json(poc / "features.jsonl")
    known = values_of(*stored)
    names = ("id", "pair_id", "label", "layer")
    assert [tuple(line[name] for name in names) for line in lines] == list(known)
    for line, values in zip(lines, known.values(), strict=True):
        best = sorted(values.items(), key=lambda item: (-item[1], item[0]))[:5]
        assert list(zip(line["topk_feature_ids"], line["topk_feature_activations"], strict=True)) == best  # fmt: skip
        assert line["active"] == len(values) > 5
    assert {line["origin"] for line in lines} == {"stand-in"}


def test_differences_are_those_of_all_features_of_each_pair(poc, stored):
    """Not of the five listed ones: nothing is cut off before the sides are compared."""
    (report,) = read_json(poc / "diff_report.json")
    known = values_of(*stored)
    sides = {(pair, label, layer): values for (_, pair, label, layer), values in known.items()}
    sums = {1: {}, 3: {}}
    expected = {}
    for pair, layer in dict.fromkeys((pair, layer) for pair, _, layer in sides):
        a, b = (sides[pair, label, layer] for label in ("correct", "misconception"))
        sizes = {one: abs(a.get(one, 0) - b.get(one, 0)) for one in a.keys() | b.keys()}
        for one, size in sizes.items():
            sums[layer].setdefault(one, []).append((size, a.get(one, 0), b.get(one, 0)))
        best = sorted(sizes, key=lambda one: (-sizes[one], one))[:5]
        expected[pair, layer] = [(one, sizes[one], a.get(one, 0), b.get(one, 0)) for one in best]
    columns = ("top_diff_features", "diff_magnitudes", "activations_a", "activations_b")
    told = {
        (one["pair_id"], one["layer"]): list(zip(*(one[name] for name in columns), strict=True))
        for one in report["all_diffs"]
    }
    assert told == expected
    pairs = len(expected) / 2
    for layer, of_layer in sums.items():
        one = report["diffs_by_layer"][str(layer)]
        assert one["n_diffs"] == pairs
        means = {key: [sum(column) / pairs for column in zip(*v, strict=True)] for key, v in of_layer.items()}  # fmt: skip
        best = sorted((mean[0] for mean in means.values()), reverse=True)[:5]
        assert one["diff_magnitudes"] == pytest.approx(best)
        for key, *values in zip(*(one[name] for name in columns), strict=True):
            assert values == pytest.approx(means[key])
    assert (report["topk_features"], report["origin"]) == (5, "stand-in")


def test_the_same_report_is_written_of_a_stored_run_by_diff(poc, stored, tmp_path):
    path = tmp_path / "d.json"
    found = call("diff", "--run_dir_a", "few", "--topk_features", 5, "--output_path", path, "--db", stored[0])  # fmt: skip
    assert found.exit_code == 0, found.output
    names = {"a", "b"}
    (mine,), (theirs,) = read_json(path), read_json(poc / "diff_report.json")
    assert {k: v for k, v in mine.items() if k not in names} == {
        k: v for k, v in theirs.items() if k not in names
    }


def test_the_ablation_report_holds_each_feature_and_set_with_its_counts(poc, stored):
    db, run_id = stored
    (report,) = read_json(poc / "ablation_report.json")
    told = [report, *report["others"]]
    assert [(one["ablation"], one["role"], one["kind"]) for one in told] == [
        ("one", "target", "scale"), ("top", "single", "zero"), ("top", "single", "zero"),
        ("top", "target", "zero"),
    ]  # fmt: skip
    assert (report["layer"], report["feature_id"]) == (3, 0)
    assert told[-1]["feature_id"] is None
    for one in told:
        known = query(
            db,
            "WITH i AS (SELECT run_id, intervention_id, list([layer, feature] ORDER BY rank) AS f "
            "FROM interventions WHERE run_id = $r AND role = $role AND ablation = $a GROUP BY ALL) "
            "SELECT prompt_id, pair_id, label, correct, baseline, edited, edited - baseline "
            "FROM impacts JOIN i USING (run_id, intervention_id) "
            "JOIN prompts USING (run_id, prompt_id) "
            "WHERE metric = 'log_p_correct' AND f = $features ORDER BY line",
            r=run_id,
            role=one["role"],
            a=one["ablation"],
            features=one["features"],
        )
        names = ("id", "pair_id", "label", "answer", "baseline_logprob", "ablated_logprob")
        results = one["results"]
        assert [tuple(result[name] for name in names) for result in results] == [
            row[:6] for row in known
        ]
        deltas = [row[6] for row in known]
        assert [result["delta"] for result in results] == pytest.approx(deltas, abs=1e-9)
        assert one["summary"] == {
            "mean_delta": pytest.approx(sum(deltas) / len(deltas), abs=1e-9),
            "decreased": sum(delta < -1e-6 for delta in deltas),
            "increased": sum(delta > 1e-6 for delta in deltas),
            "unchanged": sum(abs(delta) <= 1e-6 for delta in deltas),
        }
    assert any(one["summary"]["decreased"] for one in told)
    assert any(one["summary"]["increased"] for one in told)


def test_what_a_run_has_nothing_for_is_said_and_left_out(tmp_path, root):
    spec = a_spec(tmp_path, root, more="", claims=CLAIMS.split("  - {name: any")[0], layers="none")
    spec.write_text(spec.read_text().replace("new_tokens: 2\n", "new_tokens: 0\n"))
    a_run(spec, tmp_path / "r.duckdb")
    folder, said = exported(tmp_path, tmp_path / "r.duckdb", "--format", "poc")
    assert said.splitlines() == [
        "results.jsonl is empty: the spec asks for no new_tokens",
        "features.jsonl is empty and diff_report.json left out: the run reads no layer",
        "ablation_report.json is left out: the run ablates nothing",
    ]
    assert sorted(path.name for path in folder.iterdir()) == ["features.jsonl", "results.jsonl"]


def simple(value):
    """A value of any reader in one form."""
    if value is None or value is pandas.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "tolist") and not isinstance(value, str):
        value = value.tolist()
    if isinstance(value, list):
        return tuple(map(simple, value))
    return value if isinstance(value, bool | str) else float(value)


def simple_rows(rows):
    return sorted((tuple(map(simple, row)) for row in rows), key=repr)


def by_polars(path):
    return polars.read_parquet(path).rows()


def by_pandas(path):
    frame = pandas.read_parquet(path)
    return list(zip(*(frame[name].tolist() for name in frame), strict=True))


def by_duckdb(path):
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.sql(f"FROM '{path}'").to_arrow_table().to_pandas().to_numpy().tolist()


@pytest.mark.parametrize("reader", [by_polars, by_pandas, by_duckdb])
def test_any_reader_of_parquet_finds_the_stores_rows(parquet, stored, reader):
    for name, rows in rows_of(*stored).items():
        assert simple_rows(reader(parquet / f"{name}.parquet")) == simple_rows(rows), name


def test_a_run_comes_back_as_it_was(parquet, stored, tmp_path):
    db, run_id = stored
    copy = tmp_path / "db" / "copy.duckdb"
    found = call("import", parquet, "--db", copy)
    assert (found.exit_code, found.stdout) == (0, f"{run_id}\n"), found.output
    assert rows_of(copy) == rows_of(db, run_id)
    for sql in ("FROM fingerprints($r)", "FROM claims WHERE run_id = $r", "FROM latest_verdicts WHERE run_id = $r"):  # fmt: skip
        there = query(copy, sql, r=run_id)
        assert there
        assert there == query(db, sql, r=run_id)
    before = rows_of(copy)
    again = call("import", parquet, "--db", copy)
    assert again.exit_code == 2
    assert again.stderr == f"error: run {run_id}: {copy} has it already; there is nothing to import\n"  # fmt: skip
    assert rows_of(copy) == before


def rewritten(folder, name, change):
    """As if it had been exported so: with the sum of the file in the manifest."""
    path = folder / f"{name}.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    summed(folder, name)


def summed(folder, name):
    listed = json.loads((folder / "manifest.json").read_text())
    data = (folder / f"{name}.parquet").read_bytes()
    listed["sha256"][name] = hashlib.sha256(data).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(listed))


def replaced(table, column, values):
    at = table.column_names.index(column)
    return table.set_column(at, column, pa.array(values, table.schema.field(column).type))


def renamed(folder, run_id):
    for name in NAMES:
        rewritten(folder, name, lambda t: replaced(t, "run_id", [run_id] * len(t)))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"run_id": run_id}))
    return folder


@pytest.fixture(scope="module")
def inhabited(parquet, tmp_path_factory):
    """A store that has another run already."""
    folder = tmp_path_factory.mktemp("inhabited")
    other = renamed(Path(shutil.copytree(parquet, folder / "other")), "other")
    with Store.open(folder / "db.duckdb") as store:
        assert import_parquet(store, read_export(other)) == "other"
    return folder / "db.duckdb", rows_of(folder / "db.duckdb")


def manifest(**changed):
    def write(folder):
        path = folder / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changed))

    return write


def written(text):
    return lambda folder: (folder / "manifest.json").write_text(text)


def cut(folder):
    path = folder / "impacts.parquet"
    path.write_bytes(path.read_bytes()[:-40])


def with_foreign_rows(folder):
    rewritten(folder, "impacts", lambda t: replaced(t, "run_id", ["r2", *t["run_id"].to_pylist()[1:]]))  # fmt: skip


def doubled(name):
    return lambda folder: rewritten(folder, name, lambda t: pa.concat_tables([t, t.slice(0, 1)]))


def unsummed(name, change):
    def write(folder):
        path = folder / f"{name}.parquet"
        pq.write_table(change(pq.read_table(path)), path)

    return write


def unfinished(folder):
    rewritten(folder, "runs", lambda t: replaced(t, "status", ["unfinished"]))


def emptied(column):
    return lambda folder: rewritten(folder, "impacts", lambda t: replaced(t, column, [None] * len(t)))  # fmt: skip


def foreign(more=None):
    def write(folder):
        columns = {"a": [1]}
        if more:
            columns["run_id"] = pq.read_table(folder / "runs.parquet")["run_id"]
        pq.write_table(pa.table(columns), folder / "prompts.parquet")
        summed(folder, "prompts")

    return write


def without(name, column):
    return lambda folder: rewritten(folder, name, lambda t: t.drop_columns([column]))


def worded(folder):
    rewritten(
        folder,
        "impacts",
        lambda t: t.drop_columns(["impact"]).append_column("impact", pa.array(["much"] * len(t))),
    )


@pytest.mark.parametrize(
    "damage, said",
    [
        (lambda folder: (folder / "impacts.parquet").unlink(), "impacts.parquet: it is missing"),
        (cut, "impacts.parquet: cannot be read as Parquet"),
        (lambda folder: (folder / "runs.parquet").write_text("x"), "cannot be read as Parquet"),
        (
            unsummed("answers", lambda t: pa.concat_tables([t, t])),
            "answers.parquet: it is not the file",
        ),
        (unsummed("impacts", lambda t: t.slice(0, 10)), "impacts.parquet: it is not the file"),
        (unfinished, "is not finished"),
        (foreign(), "prompts.parquet holds other rows"),
        (foreign("the run's id"), "no tables of a results file"),
        (worded, "no tables of a results file"),
        (with_foreign_rows, "impacts.parquet holds other rows than those of run"),
        (doubled("runs"), "runs.parquet holds other rows than those of run"),
        (doubled("units"), "no tables of a results file"),
        (emptied("impact"), "no tables of a results file"),
        (without("impacts", "impact"), "no tables of a results file"),
        (without("impacts", "source_id"), "no tables of a results file"),
        (manifest(run_id="r2"), "holds other rows than those of run r2"),
        (manifest(schema=99), "it is of a newer harness (schema 99"),
        (manifest(schema="five"), "manifest.json: cannot be read"),
        (manifest(schema=None), "manifest.json: cannot be read"),
        (manifest(schema=1), "manifest.json: cannot be read"),
        (manifest(schema=-3), "manifest.json: cannot be read"),
        (
            written("[]"),
            "manifest.json: cannot be read: it names no schema and run of this harness",
        ),
        (written('["schema", "run_id"]'), "manifest.json: cannot be read"),
        (written("5"), "manifest.json: cannot be read"),
        (written("{"), "manifest.json: cannot be read"),
        (
            lambda folder: (folder / "manifest.json").unlink(),
            "manifest.json: cannot be read: no such file",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_export_is_refused_in_a_sentence(parquet, inhabited, tmp_path, damage, said):
    folder = Path(shutil.copytree(parquet, tmp_path / "x"))
    damage(folder)
    first, before = inhabited
    db = Path(shutil.copy(first, tmp_path / "db.duckdb"))
    found = call("import", folder, "--db", db)
    assert isinstance(found.exception, SystemExit), found.exception or found.output
    assert said in found.stderr
    assert found.stderr.startswith("error: ")
    assert found.stderr.count("\n") == 1
    assert found.exit_code == 2
    assert rows_of(db) == before


def test_what_cannot_be_imported_at_all_is_named(tmp_path):
    db = tmp_path / "r.duckdb"
    with Store.open(db):
        pass
    for source, said in (
        (tmp_path / "none", "there is no such file"),
        (tmp_path, "manifest.json: cannot be read"),
    ):
        found = call("import", source, "--db", db)
        assert said in found.stderr
        assert found.exit_code == 2
    found = call("import", db, "--db", db)
    assert "it is the results file itself" in found.stderr


def test_an_export_of_an_older_schema_is_brought_up_to_date(parquet, stored, tmp_path, monkeypatch):
    known = rows_of(*stored)["impacts"]
    plain = schema._sql
    more = (
        "ALTER TABLE impacts ADD COLUMN doubled DOUBLE;\nUPDATE impacts SET doubled = 2 * impact;\n"
        "CREATE TABLE notes (run_id VARCHAR NOT NULL, note VARCHAR);\n"
        "INSERT INTO notes SELECT run_id, question FROM runs;\n"
    )

    def sql(*path):
        if path[-1] == f"{VERSION + 1:04}.sql":
            return more
        return plain(*path) + (more if path == ("schema.sql",) else "")

    monkeypatch.setattr(schema, "_sql", sql)
    monkeypatch.setattr(schema, "VERSION", VERSION + 1)
    monkeypatch.setattr("harness.store.export.parquet_runs.VERSION", VERSION + 1)
    with Store.open(tmp_path / "new.duckdb") as store:
        assert import_parquet(store, read_export(parquet)) == stored[1]
        _, impacts = store.query("FROM impacts ORDER BY ALL")
        assert store.query("SELECT run_id, note FROM notes")[1] == [(stored[1], "Does it run?")]
    at = next(kind for kind in TABLES if kind.table == "impacts").names().index("impact")
    assert [row[:-1] for row in impacts] == known
    assert [row[-1] for row in impacts] == [2 * row[at] for row in known]


def test_an_export_of_schema_5_comes_without_tokens(parquet, stored, tmp_path):
    folder = Path(shutil.copytree(parquet, tmp_path / "old"))
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in ("prompt_tokens", "token_activations"):
        assert rows_of(*stored)[name]
        (folder / f"{name}.parquet").unlink()
        del manifest["sha256"][name]
    (folder / "manifest.json").write_text(json.dumps(manifest | {"schema": 5}))
    assert call("import", folder, "--db", tmp_path / "new.duckdb").exit_code == 0
    left = {"prompt_tokens": [], "token_activations": []}
    assert rows_of(tmp_path / "new.duckdb") == rows_of(*stored) | left


def test_an_older_schema_whose_tables_are_wrong_is_refused(parquet, tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "VERSION", VERSION + 1)
    monkeypatch.setattr("harness.store.export.parquet_runs.VERSION", VERSION + 1)
    plain = schema._sql
    monkeypatch.setattr(
        schema,
        "_sql",
        lambda *path: "ALTER TABLE nowhere ADD COLUMN x INT;" if "migrations" in path else plain(*path),
    )  # fmt: skip
    with Store.open(tmp_path / "new.duckdb") as store:
        with pytest.raises(InputError, match=f"no tables of schema {VERSION}: .*nowhere"):
            import_parquet(store, read_export(parquet))
        assert store.query("SELECT count(*) FROM runs")[1] == [(0,)]


def test_another_results_file_gives_its_finished_runs(stored, tmp_path):
    db, run_id = stored
    ((broken,),) = query(db, "SELECT run_id FROM runs WHERE status = 'unfinished'")
    bytes_before = db.read_bytes()
    copy = tmp_path / "all.duckdb"
    found = call("import", db, "--db", copy)
    assert (found.exit_code, found.stdout) == (0, f"{run_id}\n")
    assert found.stderr == f"{broken} is not finished: left out\n"
    assert rows_of(copy) == rows_of(db, run_id)
    again = call("import", db, "--db", copy)
    assert (again.exit_code, again.stdout) == (0, "")
    assert f"{run_id} is here already: left out" in again.stderr
    assert rows_of(copy) == rows_of(db, run_id)
    assert db.read_bytes() == bytes_before


def test_an_unfinished_run_is_not_exported(stored, tmp_path):
    ((broken,),) = query(stored[0], "SELECT run_id FROM runs WHERE status = 'unfinished'")
    found = call("export", broken, "--db", stored[0], "--output_dir", tmp_path / "runs")
    assert found.exit_code == 2
    assert f"run {broken}: it is not finished" in found.stderr
    assert not (tmp_path / "runs").exists()


def test_verdicts_are_evaluation_results_that_the_hub_reads(stored, tmp_path):
    db, run_id = stored
    call_ = ("few", "--format", "hub", "--dataset", "someone/physics")
    folder, _ = exported(tmp_path, db, *call_)
    text = (folder / ".eval_results" / "few.yaml").read_text(encoding="utf-8")
    entries = parse_eval_result_entries(yaml.safe_load(text))
    known = query(
        db,
        "SELECT 'few/' || claim, estimate, verdict, unit FROM verdicts "
        "WHERE run_id = $r AND estimate IS NOT NULL ORDER BY claim",
        r=run_id,
    )
    assert len(known) == 3
    told = sorted(entries, key=lambda one: one.task_id)
    assert [(one.task_id, one.value) for one in told] == [row[:2] for row in known]
    ((finished,),) = query(db, "SELECT finished_at FROM runs WHERE run_id = $r", r=run_id)
    for one, (_, _, verdict, unit) in zip(told, known, strict=True):
        assert one.dataset_id == "someone/physics"
        assert one.date == f"{finished:%Y-%m-%dT%H:%M:%SZ}"
        assert one.notes.startswith(unit)
        assert f"; {verdict}: " in one.notes
        assert "stand-in, not evidence of another model; float32; run " + run_id in one.notes


@pytest.mark.parametrize(
    "changed, estimate, said",
    [({"origin": "mock"}, 1.0, "random SAEs"), ({}, None, "none of its claims has an estimate")],
)
def test_the_hub_is_told_nothing_of_a_mock_nor_of_nothing(
    stored, tmp_path, changed, estimate, said
):
    with Store.open_to_read(stored[0]) as store:
        run = find_run(store, "few")
        rows = [row | {"estimate": estimate} for row in store.read(Verdicts, run["run_id"]).rows()]
    with pytest.raises(InputError, match=said):
        write_results(run | changed, Verdicts.of(rows), tmp_path, "someone/physics")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dataset", ["", "physics", "a/b/c"])
def test_the_hubs_format_needs_a_dataset(stored, tmp_path, dataset):
    arguments = ("--format", "hub", "--dataset", dataset, "--output_dir", tmp_path / "runs")
    found = call("export", *arguments, "--db", stored[0])
    assert found.exit_code == 2
    assert "give --dataset ORGANISATION/NAME" in found.stderr
    assert not (tmp_path / "runs").exists()


def test_what_is_refused_leaves_no_trace(parquet, tmp_path):
    """Neither an empty results file nor a half-filled folder."""
    (tmp_path / "notes.yaml").write_text("name: x")
    (tmp_path / "text.duckdb").write_text("no database" * 999)
    damaged = Path(shutil.copytree(parquet, tmp_path / "x"))
    cut(damaged)
    db = tmp_path / "new.duckdb"
    for source in (tmp_path / "notes.yaml", tmp_path / "text.duckdb", damaged, tmp_path / "none"):
        found = call("import", parquet, source, "--db", db)
        assert found.exit_code == 2, found.output
        assert found.stderr.startswith(f"error: {source}")
        assert "--db" not in found.stderr
        assert not db.exists()


def test_a_refused_export_leaves_no_folder(stored, tmp_path):
    db = Path(shutil.copy(stored[0], tmp_path / "r.duckdb"))
    with duckdb.connect(str(db)) as connection:
        connection.execute("UPDATE runs SET origin = 'mock'")
    options = ["--format", "hub", "--dataset", "a/b", "--output_dir", tmp_path / "runs"]
    assert call("export", stored[1], *options, "--db", db).exit_code == 2
    assert not list((tmp_path / "runs").iterdir())
