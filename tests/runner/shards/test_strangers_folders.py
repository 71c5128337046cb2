"""A folder of shards may be a stranger's: it names nothing that a spec could not, and writes into no other run."""

import hashlib
import json
import os
import shutil
from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest

from harness.errors import CannotRun, HarnessError, InputError
from harness.runner.run import run_eval
from harness.runner.shards.run_shard import Shard, join_shards, register_shards, run_shard
from harness.specs.spec_file import load
from harness.store.database import Store
from tests.helpers.divided import ON, write_specs
from tests.helpers.runs import quiet


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a run of one shard."""
    folder = tmp_path_factory.mktemp("strangers")
    (spec,) = write_specs(folder, "few")
    shard = Shard(1, 1, folder / "parts")
    return run_shard(load(spec), "organism", shard, how=ON, progress=quiet)


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / made.name)


def join(folder, tmp_path):
    return join_shards(folder, partial(Store.open, tmp_path / "r.duckdb"), progress=quiet)


def change(folder, **changes):
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"format": 1}', "\x00", '{"format": 1, "of": "x"}', "[" * 100_000]
)
def test_what_is_no_such_folder_is_said(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match=r"run\.json: it is not what `harness run --shard` wrote"):
        join(tmp_path, tmp_path)
    (tmp_path / "run.json").unlink()
    with pytest.raises(InputError, match=r"run\.json: it is not what `harness run --shard` wrote"):
        join(tmp_path, tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"of": 0},
        {"of": "1"},
        {"run_id": "../../elsewhere"},
        {"run_id": "x" * 201},
        {"target": "a b"},
        {"name": "\x1b[2J"},
        {"limit": -1},
        {"facts": {}},
        {"facts": {"threads": "one", "batch_size": 1}},
        {"found": {"width": 1}},
        {"on_cpu": "yes"},
        {"more": 1},
        {"spec": "a\0b"},
        {"facts": {"threads": 10**30, "batch_size": 1}},
        {"parameters": 10**40},
    ],
)
def test_no_line_of_it_is_taken_for_what_it_is_not(folder, tmp_path, changes):
    change(folder, **changes)
    with pytest.raises(InputError, match=r"run\.json: it is not what `harness run --shard` wrote"):
        join(folder, tmp_path)
    assert not (tmp_path / "r.duckdb").exists()


def test_a_newer_format_is_said(folder, tmp_path):
    change(folder, format=2)
    with pytest.raises(InputError, match="it is of format 2, and this harness reads 1"):
        join(folder, tmp_path)


@pytest.mark.parametrize("register", [False, True])
def test_of_another_file_than_its_spec_nothing_is_shown(folder, tmp_path, register):
    secret = tmp_path / "home" / ".secrets.yaml"
    secret.parent.mkdir()
    secret.write_text("token: hf_canary")
    take = partial(join, folder, tmp_path)
    if register:
        take = partial(register_shards, [folder], partial(Store.open, tmp_path / "r.duckdb"))
    for named in (str(secret), "/etc/passwd", "/dev/zero", "/nowhere"):
        change(folder, spec=named)
        with pytest.raises(InputError, match="is not its spec, or not any more") as refused:
            take()
        assert "canary" not in str(refused.value)
        assert "root:" not in str(refused.value)
    assert not (tmp_path / "r.duckdb").exists()


def lines(folder, stage="observe"):
    return sorted((folder / stage).glob("*.json"))


def rewritten(line, name, change):
    """A part's table changed by whoever also writes its hash."""
    path = line.with_suffix(f".{name}.parquet")
    pq.write_table(change(pq.read_table(path)), path)
    told = json.loads(line.read_text())
    told["hashes"][name] = hashlib.sha256(path.read_bytes()).hexdigest()
    line.write_text(json.dumps(told))


def of_another_run(rows):
    at = rows.column_names.index("run_id")
    other = [*rows.column("run_id").to_pylist()[:-1], "another-run"]
    return rows.set_column(at, "run_id", [other])


def test_rows_of_another_run_are_not_stored(folder, tmp_path):
    rewritten(lines(folder)[0], "activations", of_another_run)
    with pytest.raises(CannotRun, match="it is damaged: its rows are of another run; remove it"):
        join(folder, tmp_path)
    with Store.open_to_read(tmp_path / "r.duckdb") as store:
        assert store.query("SELECT count(*) FROM activations WHERE run_id = 'another-run'")[1] == [
            (0,)
        ]


@pytest.mark.parametrize(
    "told",
    [
        [],
        {"seconds": []},
        {"memory": [1]},
        {"memory": ["many", None]},
        {"rows": None},
        {"hashes": ["activations"]},
        {"hashes": {"../../../etc/passwd": "0"}},
        {"hashes": {"sums": "0"}},
        {"rows": float("inf")},
        {"memory": [10**40, None]},
    ],
)
def test_a_part_that_says_something_else_is_damaged(folder, tmp_path, told):
    line = lines(folder)[0]
    good = json.loads(line.read_text())
    line.write_text(json.dumps(good | told if isinstance(told, dict) else told))
    with pytest.raises(CannotRun, match=r"\.json: it is damaged: .*; remove it"):
        join(folder, tmp_path)


def test_columns_that_are_not_there_are_damage(folder, tmp_path):
    rewritten(lines(folder)[0], "activations", lambda rows: rows.drop_columns("feature"))
    with pytest.raises(CannotRun, match=r"\.json: it is damaged: .*; remove it"):
        join(folder, tmp_path)


@pytest.mark.parametrize("sums", [{"a": np.array("text")}, {"a": np.array([None])}])
def test_sums_that_are_no_numbers_are_damage(folder, tmp_path, sums):
    path = min((folder / "survey").glob("*.npz"))
    np.savez(path, **sums)
    line = path.with_suffix(".json")
    told = json.loads(line.read_text())
    told["hashes"]["sums"] = hashlib.sha256(path.read_bytes()).hexdigest()
    line.write_text(json.dumps(told))
    with pytest.raises(CannotRun, match=r"\.json: it is damaged: .*; remove it"):
        join(folder, tmp_path)


@pytest.mark.parametrize("name", ["run.json", "observe/*.json", "observe/*.answers.parquet"])
def test_nothing_is_waited_for_that_is_no_file(folder, tmp_path, name):
    path = next(folder.glob(name))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(HarnessError, match=r"is not what `harness run --shard`|damaged"):
        join(folder, tmp_path)


def test_a_line_that_is_deep_is_damaged(folder, tmp_path):
    lines(folder)[0].write_text("[" * 50_000)
    with pytest.raises(CannotRun, match=r"\.json: it is damaged: "):
        join(folder, tmp_path)


def test_another_run_is_not_told_for_this_one(folder, tmp_path):
    (spec,) = write_specs(tmp_path, "other")
    other = run_eval(load(spec), "organism", db=tmp_path / "r.duckdb", how=ON, progress=quiet)
    change(folder, run_id=other.run_id)
    with pytest.raises(InputError, match="that is stored is of another spec, prompts or target"):
        join(folder, tmp_path)
