"""A folder of parts: what is asked opens no more than it must, what is wrong in it is said, nothing is written."""

import json
import shutil

import duckdb
import pytest

from harness.errors import CannotRun
from harness.store.database import Store
from harness.store.migrations import VERSION
from harness.store.parts.layout import INDEX, MANIFEST, PartName
from harness.store.parts.run_parts import RunParts, read_run
from tests.helpers.cli import invoke
from tests.helpers.parts import all_in_parts
from tests.helpers.store import query

LAYER = "SELECT count(*), sum(value) FROM activations WHERE run_id = $r AND layer = 3"
SUM = "SELECT sum(value) FROM activations"


def asked(index, sql=SUM, *more):
    found = invoke("sql", sql, *more, "--db", index)
    assert isinstance(found.exception, SystemExit | None), found.exception
    return found


def check_refused(index, said, sql=SUM):
    """One sentence, and status 3."""
    found = asked(index, sql)
    assert found.exit_code == 3, found.output
    assert found.stderr.startswith("error: ")
    assert found.stderr.count("\n") == 1
    assert said in found.stderr
    assert found.stdout == ""


def zero(path):
    """Another file of the same length: nothing of it can be read."""
    path.write_bytes(bytes(path.stat().st_size))


def test_what_is_asked_of_one_layer_of_one_run_reads_no_other_part(copies, own):
    db = copies[0]
    wanted = own.parent / "run_id=odd" / "activations" / "layer=3"
    # The first part of all is where DuckDB looks for the columns.
    first = min(own.parent.glob("run_id=*/activations/layer=*/*.parquet"))
    others = [
        path
        for path in own.parent.glob("run_id=*/activations/layer=*/*.parquet")
        if path.parent != wanted and path != first
    ]
    assert len(others) == 3 * 2 - 2
    for path in others:
        zero(path)
    (answer,) = query(own, LAYER, r="odd")
    (known,) = query(db, LAYER, r="odd")
    assert answer[0] == known[0] > 0
    assert answer[1] == pytest.approx(known[1])
    with pytest.raises(CannotRun, match="damaged"):
        query(own, SUM)


def test_a_plan_says_so(own):
    with Store.open_to_read(own) as store:
        for sql, files in (
            (LAYER, 1),
            (LAYER.replace(" AND layer = 3", ""), 2),
            ("SELECT * FROM impacts WHERE run_id = $r", 1),
            ("FROM pairs_of_feature($r, 3, 5)", 1),
        ):
            _, ((_, plan),) = store.query(f"EXPLAIN ANALYZE {sql}", {"r": "odd"})
            assert f"Scanning Files: {files}/" in plan, plan


def test_rows_lie_by_feature_so_that_groups_of_them_are_left_out(copies, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.store.export.parts.GROUP_ROWS", 512)
    index = all_in_parts(copies[0], tmp_path / "small")
    with Store.open_to_read(index) as store:
        sql = "FROM token_activations WHERE run_id = 'odd' AND layer = 3"
        features = [row[0] for row in store.query(f"SELECT feature {sql}")[1]]
        assert features == sorted(features)
        assert len(features) > 4 * 512
        last = f"SELECT sum(value) {sql} AND feature = {features[-1]}"
        plan = store.query(f"EXPLAIN ANALYZE {last}")[1][0][1]
    scanned, groups = plan.split("Row Groups Scanned: ")[1].split("\n")[0].rstrip(" │").split(" / ")
    assert int(scanned) < int(groups)


def manifest_of(home, **changes):
    path = home / MANIFEST
    said = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in said.items() if value is not None}))


def rename_part(home, name):
    """The manifest with one more part, of this name."""
    said = json.loads((home / MANIFEST).read_text())
    some = said["parts"]["impacts/part-0.parquet"]
    manifest_of(home, parts={**said["parts"], name: some})


def link(path):
    """Where a path was, a link to it."""
    away = path.with_name(f".{path.name}")
    path.rename(away)
    path.symlink_to(away)


FAULTS = {
    "a part is missing": (
        lambda home: (home / "impacts" / "part-0.parquet").unlink(),
        "impacts/part-0.parquet: it is missing; take the run's folder away, and export the run again",
    ),
    "a table is missing": (lambda home: shutil.rmtree(home / "verdicts"), "verdicts: it is missing"),
    "a layer is missing": (
        lambda home: shutil.rmtree(home / "activations" / "layer=3"),
        "activations/layer=3: it is missing",
    ),
    "a part is cut off": (
        lambda home: (home / "activations/layer=3/part-0.parquet").write_bytes(b"PAR1"),
        "it is cut off, or not the file that was exported",
    ),
    "a part is a link": (lambda home: link(home / "impacts/part-0.parquet"), "it is a link, or no file"),
    "a table is a link": (lambda home: link(home / "impacts"), "impacts: it is a link, or no folder"),
    "a layer is a link": (lambda home: link(home / "activations/layer=3"), "it is a link, or no folder"),
    "a part is a folder": (
        lambda home: ((home / "impacts/part-0.parquet").unlink(), (home / "impacts/part-0.parquet").mkdir()),
        "it is a link, or no file",
    ),
    "the run is a link": (lambda home: link(home), "it is a link, or no folder"),
    "no manifest": (lambda home: (home / MANIFEST).unlink(), "manifest.json: it is missing"),
    "no JSON": (lambda home: (home / MANIFEST).write_text("{"), "manifest.json: cannot be read"),
    "another run": (lambda home: manifest_of(home, run_id="other"), "it holds the parts of another run, other"),
    "an older schema": (
        lambda home: manifest_of(home, schema=VERSION - 1),
        f"its parts are of schema {VERSION - 1}, and this harness reads {VERSION}",
    ),
    "a newer schema": (
        lambda home: manifest_of(home, schema=VERSION + 1),
        f"it is of a newer harness (schema {VERSION + 1}, this one knows {VERSION})",
    ),
    "no schema": (lambda home: manifest_of(home, schema=None), "manifest.json: cannot be read"),
    "another format": (lambda home: manifest_of(home, format="run"), "manifest.json: cannot be read"),
    "a way out": (lambda home: rename_part(home, "../../x/part-0.parquet"), "manifest.json: cannot be read"),
    "an absolute path": (lambda home: rename_part(home, "/etc/passwd"), "manifest.json: cannot be read"),
    "a glob": (lambda home: rename_part(home, "impacts/*.parquet"), "manifest.json: cannot be read"),
    "a huge name": (lambda home: rename_part(home, "x" * 10**6), "manifest.json: cannot be read"),
    "a layer of a table by run": (
        lambda home: rename_part(home, "impacts/layer=3/part-0.parquet"),
        "manifest.json: cannot be read",
    ),
    "a folder of no run": (lambda home: home.rename(home.with_name("run_id=-a b")), "it is named after no run"),
    "a folder of another run": (
        lambda home: home.rename(home.with_name("run_id=other")),
        "it holds the parts of another run, odd",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_in_a_folder_is_one_sentence(own, fault):
    damage, said = FAULTS[fault]
    damage(own.parent / "run_id=odd")
    check_refused(own, said, "SELECT 1")


@pytest.mark.parametrize("run", ["odd", "first"])
@pytest.mark.parametrize("where", ["all", "head", "footer", "end"])
def test_a_part_of_the_same_length_that_cannot_be_read_is_named(own, copies, run, where):
    run_id = "odd" if run == "odd" else copies[1]
    path = own.parent / f"run_id={run_id}" / "activations" / "layer=1" / "part-0.parquet"
    data = bytearray(path.read_bytes())
    footer = -8 - int.from_bytes(data[-8:-4], "little")
    start, stop = {"all": (0, None), "head": (4, 400), "footer": (footer, -8), "end": (-4, None)}[
        where
    ]
    data[start:stop] = bytes(len(data[start:stop]))
    path.write_bytes(data)
    named = where in ("all", "end")
    said = str(path) if named else "a part beside it is damaged: "
    check_refused(own, said, "SELECT sum(hash(a)) FROM activations a")
    if not named:
        assert "; `harness import` of the folder says which" in asked(own, "SELECT sum(hash(a)) FROM activations a").stderr  # fmt: skip
        found = invoke("import", own.parent, "--db", own.parent.parent / "new.duckdb")
        assert found.exit_code == 3
        assert f"{path}: it is not the file that was exported" in found.stderr


def put(home, columns):
    """Another part in the place of one of `activations`, as the manifest would have it."""
    name = "activations/layer=1/part-0.parquet"
    with duckdb.connect() as db:
        db.execute("CREATE VIEW p AS SELECT 'p' AS prompt_id, 'l' AS readout, 1 AS feature, 1::FLOAT AS value, 'real' AS origin")  # fmt: skip
        db.execute(f"COPY ({columns}) TO '{home / name}' (FORMAT parquet)")
    said = json.loads((home / MANIFEST).read_text())
    said["parts"][name]["bytes"] = (home / name).stat().st_size
    manifest_of(home, parts=said["parts"])
    return home / name


@pytest.mark.parametrize("columns", ["SELECT 1 AS other", "SELECT * REPLACE ('x' AS value) FROM p"])
@pytest.mark.parametrize("run", ["odd", "first"])
def test_a_part_with_other_columns_is_refused(own, copies, run, columns):
    run_id = "odd" if run == "odd" else copies[1]
    put(own.parent / f"run_id={run_id}", columns)
    check_refused(own, "part")


def test_a_part_whose_types_all_others_would_be_given_is_refused(own, copies):
    part = put(own.parent / f"run_id={copies[1]}", "SELECT * REPLACE (1 AS readout) FROM p")
    check_refused(own, f"{part}: its column readout is of another type", "SELECT 1")


def test_the_name_of_a_part_says_all_that_it_says():
    for text in ("impacts/part-0.parquet", "activations/layer=12/part-3.parquet"):
        assert str(PartName.parse(text)) == text
    for text in (
        "impacts/part-00.parquet", "activations/part-0.parquet", "activations/layer=-1/part-0.parquet",
        "nothing/part-0.parquet", "impacts/part-0.parquet\n", "schema_version/part-0.parquet",
    ):  # fmt: skip
        with pytest.raises(ValueError, match="no part of a run"):
            PartName.parse(text)


def test_every_table_is_there_if_without_rows(own):
    said = json.loads((own.parent / "run_id=odd" / MANIFEST).read_text())
    without = {name: part for name, part in said["parts"].items() if not name.startswith("decoys")}
    with pytest.raises(ValueError, match="it does not name every table"):
        RunParts.model_validate(said | {"parts": without})
    assert read_run(own.parent / "run_id=odd").run_id == "odd"


@pytest.mark.parametrize("name", ["layer=5", "value=1"])
def test_a_folder_whose_path_would_be_taken_for_a_column_is_refused(own, tmp_path, name, copies):
    (tmp_path / name).mkdir()
    moved = shutil.move(own.parent, tmp_path / name / "parts")
    check_refused(moved / INDEX, "put the parts into a folder without =")
    found = invoke("export", "few", "--format", "parts", "--output_dir", moved, "--db", copies[0])
    assert found.exit_code == 3
    assert "put the parts into a folder without =" in found.stderr


@pytest.mark.parametrize(
    "call",
    [
        ["run", "pilot", "--target", "organism"],
        ["label", "few"],
        ["analyse", "few"],
        ["rerun", "FIRST"],
        ["register", "pilot", "--target", "organism"],
        ["import", "SOURCE"],
    ],
)
def test_whoever_would_write_is_told_that_parts_are_only_read(own, copies, call):
    before = sorted((path, path.stat().st_mtime_ns) for path in own.parent.rglob("*"))
    call = [{"SOURCE": copies[0], "FIRST": copies[1]}.get(one, one) for one in call]
    found = invoke(*call, "--db", own)
    assert found.exit_code == 3, found.output
    assert f"{own}: the runs beside it are parts, which are only read; name a results file with --db" in found.stderr  # fmt: skip
    assert sorted((path, path.stat().st_mtime_ns) for path in own.parent.rglob("*")) == before


@pytest.mark.parametrize(
    "sql",
    [
        "FROM read_parquet('{}/run_id=odd/impacts/part-0.parquet')",
        "FROM '{}/run_id=odd/impacts/part-0.parquet'",
        "FROM read_text('{}/run_id=odd/manifest.json')",
        "FROM read_parquet(getvariable('parts_impacts'))",
        "FROM glob('{}/*')",
    ],
)
def test_a_query_of_ones_own_reads_no_part_by_its_path(own, sql):
    found = asked(own, sql.format(own.parent))
    assert found.exit_code == 2
    assert "it would read other files" in found.stderr


def test_a_query_changes_nothing(own):
    for sql in ("COPY runs TO 'x'", "SET VARIABLE parts_runs = ['x']", "DROP VIEW runs", "CREATE TABLE x (y INTEGER)"):  # fmt: skip
        assert asked(own, sql).exit_code == 2


def test_what_was_added_since_is_not_seen_in_the_middle_of_a_look(own):
    with Store.open_to_read(own) as store:
        shutil.copytree(own.parent / "run_id=odd", own.parent / "run_id=odder")
        assert store.query("SELECT count(*) FROM runs")[1] == [(3,)]
    check_refused(own, "it holds the parts of another run, odd")


def test_a_results_file_of_that_name_is_one_still(copies, tmp_path):
    db = shutil.copy(copies[0], tmp_path / INDEX)
    assert query(db, "SELECT count(*) FROM runs") == [(3,)]


def test_a_link_to_the_index_is_followed(own, tmp_path):
    (tmp_path / "short.duckdb").symlink_to(own)
    assert query(tmp_path / "short.duckdb", "SELECT count(*) FROM runs") == [(3,)]
