"""Shards that never meet find what one process finds, in any order, and say what is not there."""

import json
import os
import shutil
from functools import partial

import pytest

from harness.errors import CannotRun, Fault, InputError
from harness.runner.shards import executors
from harness.runner.shards.parts import Parts
from harness.runner.shards.run_shard import Shard, join_shards, register_shards, run_shard
from harness.runner.tasks import Done, Task
from harness.specs.spec_file import load
from harness.store.database import Store
from harness.store.tables.runs import Units
from tests.helpers.divided import ON, in_process, tables_of, write_specs
from tests.helpers.runs import quiet

OF = 3


def do(spec, number, parts, of=OF, **more):
    return run_shard(
        load(spec), "organism", Shard(number, of, parts), how=ON, progress=quiet, **more
    )


def join(folder, db):
    return join_shards(folder, partial(Store.open, db), progress=quiet)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A spec, the folder of its three shards, and the tables of the same run in one process."""
    folder = tmp_path_factory.mktemp("divided")
    (spec,) = write_specs(folder, "few")
    found = [do(spec, number, folder / "parts") for number in (2, 3, 1)]
    assert len(set(found)) == 1
    return spec, found[0], in_process(spec, folder / "whole.duckdb")


def test_shards_find_to_the_bit_what_one_process_finds(done, tmp_path):
    _, folder, whole = done
    outcome = join(folder, tmp_path / "r.duckdb")
    assert tables_of(tmp_path / "r.duckdb") == whole
    assert outcome.run_id == json.loads((folder / "run.json").read_text())["run_id"]
    again = join(folder, tmp_path / "r.duckdb")
    assert again.verdicts == outcome.verdicts
    with Store.open_to_read(tmp_path / "r.duckdb") as store:
        assert store.query("SELECT count(*) FROM runs")[1] == [(1,)]


def test_a_shard_does_no_more_than_its_own_and_what_all_need(done, tmp_path, monkeypatch):
    spec, _, _ = done
    by_stage = {}
    saved = Parts.save

    def count(self, task, result):
        by_stage.setdefault(task.stage, []).append(task.index)
        saved(self, task, result)

    monkeypatch.setattr(Parts, "save", count)
    do(spec, 2, tmp_path / "parts")
    assert by_stage["generate"] == [1]
    assert all(index % OF == 1 for index in by_stage["ablate top"])
    # What nobody else has done by then is done besides, its own first.
    assert sorted(by_stage["observe"]) == list(range(len(by_stage["observe"])))
    assert by_stage["observe"][0] == 1
    by_stage.clear()
    do(spec, 2, tmp_path / "parts")
    assert by_stage == {}
    do(spec, 1, tmp_path / "parts")
    assert "observe" not in by_stage
    assert all(index % OF == 0 for of in by_stage.values() for index in of)


def test_what_is_missing_is_said_by_shard_and_joined_later(done, tmp_path):
    spec, _, whole = done
    folder = do(spec, 1, tmp_path / "parts")
    do(spec, 3, tmp_path / "parts")
    db = tmp_path / "r.duckdb"
    with pytest.raises(
        CannotRun, match=r"parts of `generate` are not there, of shard 2 of 3; wait"
    ):
        join(folder, db)
    with Store.open_to_read(db) as store:
        assert store.query("SELECT DISTINCT status FROM runs")[1] == [("unfinished",)]
        assert set(store.read(Units).stage) == {"observe"}
    do(spec, 2, tmp_path / "parts")
    join(folder, db)
    assert tables_of(db) == whole


def cut(data):
    return data[:50]


def flipped(data):
    """One bit of a byte in the middle, where values are."""
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("damage", [cut, flipped])
@pytest.mark.parametrize("part", ["observe/*.activations.parquet", "survey/*.npz"])
def test_a_damaged_part_is_named_and_nothing_of_it_is_stored(done, tmp_path, damage, part):
    _, there, whole = done
    folder = tmp_path / there.name
    shutil.copytree(there, folder)
    file = next(folder.glob(part))
    good = file.read_bytes()
    file.write_bytes(damage(good))
    with pytest.raises(CannotRun, match=r"\.json: it is damaged: .*; remove it"):
        join(folder, tmp_path / "r.duckdb")
    file.write_bytes(good)
    join(folder, tmp_path / "r.duckdb")
    assert tables_of(tmp_path / "r.duckdb") == whole


def test_a_part_is_there_when_it_is_whole(tmp_path, monkeypatch):
    parts, task = Parts(tmp_path, "run"), Task("survey", print, index=4, sums=True)
    monkeypatch.setattr(json, "dumps", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        parts.save(task, Done(value={"a": [1.0]}))
    monkeypatch.undo()
    assert list(tmp_path.rglob("*.npz"))
    assert not parts.has(task)
    parts.save(task, Done(value={"a": [1.0]}, seconds=2.0, rows=3, memory=(4, None)))
    found = parts.load(task)
    assert found.value["a"].tolist() == [1.0]
    assert (found.seconds, found.rows, found.memory) == (2.0, 3, (4, None))


def test_shards_with_another_model_or_device_are_refused(done, tmp_path):
    spec, _, _ = done
    folder = do(spec, 1, tmp_path / "parts")
    line = json.loads((folder / "run.json").read_text())
    line["facts"]["torch_version"] = "0.1"
    (folder / "run.json").write_text(json.dumps(line))
    with pytest.raises(
        CannotRun, match=r"another version of torch may choose other kernels \(0\.1"
    ):
        do(spec, 2, tmp_path / "parts")


def test_a_spec_that_changed_since_is_not_joined(done, tmp_path):
    (spec,) = write_specs(tmp_path, "few")
    folder = do(spec, 1, tmp_path / "parts", of=1)
    spec.write_text(spec.read_text().replace("alpha: 0.3", "alpha: 0.2"))
    with pytest.raises(InputError, match=r"few\.yaml or its prompts changed since"):
        join(folder, tmp_path / "r.duckdb")
    assert not (tmp_path / "r.duckdb").exists()


def test_features_of_another_eval_are_refused(tmp_path):
    (spec,) = write_specs(tmp_path, "few")
    text = spec.read_text().replace("{top: 2, by: contrast}", "{from: other/top}")
    spec.write_text(text.replace("unadjusted: three families confirm\n", ""))
    with pytest.raises(
        InputError, match="it takes features from another eval, which is in no shard"
    ):
        do(spec, 1, tmp_path / "parts")


@pytest.mark.skipif(os.getuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_to_is_said(done, tmp_path):
    (tmp_path / "parts").mkdir(mode=0o500)
    with pytest.raises(CannotRun, match="nothing can be written there"):
        do(done[0], 1, tmp_path / "parts")


def test_specs_that_are_joined_together_can_all_confirm(tmp_path):
    folders = [do(spec, 1, tmp_path / "parts", of=1) for spec in write_specs(tmp_path, "a", "b")]
    db = tmp_path / "r.duckdb"
    register_shards(folders, partial(Store.open, db))
    assert [join(folder, db).exploratory for folder in folders] == [None, None]
    again = tmp_path / "one-by-one.duckdb"
    assert [bool(join(folder, again).exploratory) for folder in folders] == [False, True]


def test_a_group_that_fails_is_told_and_the_others_are_kept():
    wrong = CannotRun(Fault("task", "it fails", "mend it"))
    saved = []

    class Some:
        def results(self, setup, tasks, *, ordered, heard):
            for task in tasks:
                yield task, Done(error=wrong) if task.index == 1 else Done(value=task.index)

    class Kept:
        def has(self, task):
            return False

        def save(self, task, done):
            saved.append(task.index)

        def load(self, task):
            return Done(value=task.index)

    tasks = [Task("observe", print, index=index) for index in range(4)]
    shard = executors.Sharded(Some(), Kept(), 1, 2)
    for ordered in (False, True):
        saved.clear()
        found = dict(shard.results(None, tasks, ordered=ordered, heard=print))
        assert {task.index for task, done in found.items() if done.error is wrong} == {1}
        assert sorted(saved) == [0, 2, 3]
        assert [task.index for task in found] == sorted(range(4)) if ordered else True


def test_a_shard_takes_the_others_groups_from_its_own_on(monkeypatch):
    """So shards that begin together do not all do the same ones first."""
    done_by = []

    class Nothing:
        def results(self, setup, tasks, *, ordered, heard):
            for task in tasks:
                done_by.append(task.index)
                yield task, Done(value=1)

    class Empty:
        def has(self, task):
            return False

        def save(self, task, done):
            pass

    tasks = [Task("observe", print, index=index) for index in range(6)]
    shard = executors.Sharded(Nothing(), Empty(), 2, 3)
    found = [task.index for task, _ in shard.results(None, tasks, ordered=False, heard=print)]
    assert found == done_by == [1, 4, 2, 5, 0, 3]
