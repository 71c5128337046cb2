"""Workers of a cluster find what one process finds, and what becomes of one of them stops nobody else."""

import json
import os
import signal
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

pytest.importorskip("distributed")

import dask

from harness.errors import CannotRun, InputError
from harness.runner.cluster import clusters, on_workers
from harness.runner.cluster.clusters import local_workers, workers_of
from harness.runner.cluster.on_workers import AHEAD, TRIES
from harness.runner.cluster.worker import Terms
from harness.runner.preparation import request
from harness.runner.registration import register_specs
from harness.runner.rerun import rerun
from harness.runner.run import fit_run
from harness.runner.side_by_side import run_side_by_side
from harness.runner.tasks import Task
from harness.specs.spec_file import load
from tests.helpers import works
from tests.helpers.divided import ON, in_process, run_it, tables_of, write_specs
from tests.helpers.runs import quiet

SECONDS = 5.0  # that a task may take


@pytest.fixture(scope="module")
def workers():
    """Two workers of this machine."""
    with local_workers(2, Terms(("cpu",), 1, SECONDS), lambda _: None) as executor:
        yield executor


@pytest.fixture(scope="module")
def crew(workers, tmp_path_factory):
    (spec,) = write_specs(tmp_path_factory.mktemp("crew"), "few")
    return fit_run(workers, request(load(spec), "organism", ON, print), ON, print)[0]


def test_a_run_is_repeated_by_workers_to_the_last_bit(workers, tmp_path):
    (spec,) = write_specs(tmp_path, "few")
    db = tmp_path / "r.duckdb"
    first = run_it(load(spec), db=db)
    asked = []

    def engaged(how):
        asked.append(how.threads)
        return nullcontext(workers)

    again = rerun(first.run_id, db=db, device="cpu", engaged=engaged, progress=quiet, say=print)
    assert asked == [1]
    assert again.agrees
    assert not again.facts


def values(crew, work, given, *, ordered=False):
    """What tasks return, or the words of what stopped them; `given` each."""
    tasks = [Task("try", work, given=one, index=i) for i, one in enumerate(given)]
    found = crew.results(tasks, ordered=ordered)
    return [done.value if done.error is None else str(done.error) for _, done in found]


def numbers(many):
    return [{"number": number} for number in range(many)]


def test_workers_find_to_the_bit_what_one_process_finds(workers, tmp_path):
    (spec,) = write_specs(tmp_path, "few")
    run_it(load(spec), db=tmp_path / "r.duckdb", engine=workers)
    assert tables_of(tmp_path / "r.duckdb") == in_process(spec, tmp_path / "whole.duckdb")


def test_evals_side_by_side_find_what_they_find_one_after_the_other(workers, tmp_path):
    specs = [load(path) for path in write_specs(tmp_path, "few", "more")]
    said = []
    for name in ("both", "turn"):  # of one prompt file: registered together, both can confirm
        register_specs(specs, "organism", db=tmp_path / f"{name}.duckdb")
    outcomes = run_side_by_side(
        [*specs, specs[0]],  # named twice, a spec is run once: two cannot take up the same run
        "organism",
        workers,
        2,
        db=tmp_path / "both.duckdb",
        wait=0,
        resume=True,
        how=ON,
        progress=lambda _: quiet,
        say=lambda name: lambda line: said.append((name, line)),
    )
    assert sorted(outcome.spec for outcome in outcomes) == ["few", "more"]
    assert {"few", "more"} <= {name for name, _ in said}
    for spec in specs:
        run_it(spec, db=tmp_path / "turn.duckdb")
    found = tables_of(tmp_path / "both.duckdb")
    assert len(found) == 2
    assert found == tables_of(tmp_path / "turn.duckdb")


def test_what_stops_one_eval_stops_no_other(workers, tmp_path):
    paths = write_specs(tmp_path, "few", "more")
    paths[0].write_text(paths[0].read_text().replace("few.jsonl", "none.jsonl"))
    outcomes = run_side_by_side(
        [load(path) for path in paths],
        "organism",
        workers,
        2,
        db=tmp_path / "r.duckdb",
        wait=0,
        resume=True,
        how=ON,
        progress=lambda _: quiet,
        say=lambda _: lambda _: None,
    )
    found = []
    with pytest.raises(InputError, match=r"there is no prompt file none\.jsonl"):
        found.extend(outcomes)
    assert set(tables_of(tmp_path / "r.duckdb")) == {"more"}


def test_tasks_come_back_each_once_in_order_where_that_is_asked(crew):
    squares = [number * number for number in range(20)]
    assert values(crew, works.square, numbers(20), ordered=True) == squares
    assert sorted(values(crew, works.square, numbers(20))) == squares


@pytest.mark.parametrize("ordered", [False, True])
def test_no_more_tasks_are_taken_than_workers_are_there_for(crew, ordered):
    taken = 0

    def tasks():
        nonlocal taken
        for number in range(30):
            taken += 1
            yield Task("try", works.square, given={"number": number})

    ended = 0
    for _ in crew.results(tasks(), ordered=ordered):
        ended += 1
        assert taken <= ended + 2 * AHEAD
    assert ended == 30


def test_a_task_that_always_fails_is_named_and_the_rest_goes_on(crew):
    tasks = [Task("try", works.square, given={"number": n}) for n in range(5)]
    tasks.insert(1, Task("try", works.fails, given={"number": 7}, label="layer 7"))
    found = {task.label or done.value: done.error for task, done in crew.results(tasks)}
    error = found.pop("layer 7")
    assert isinstance(error, CannotRun)
    assert str(error).startswith(
        f"try, layer 7: it failed {TRIES} times, at last with ValueError: number 7 is not liked"
    )
    assert found == dict.fromkeys([0, 1, 4, 9, 16])


def test_an_error_that_cannot_be_sent_is_named_too(crew):
    (said,) = values(crew, works.unpicklable, numbers(1))
    assert said.startswith(f"try: it failed {TRIES} times, at last with ")


def test_what_a_worker_dies_of_is_done_again_elsewhere(crew, tmp_path):
    given = [{"number": 2, "left": str(tmp_path)}]
    tasks = [Task("try", works.dies, given=given[0])]
    tasks += [Task("try", works.slow, given=one) for one in numbers(6)]
    found = [done.value for _, done in crew.results(tasks)]
    assert sorted(found) == sorted([2, *range(6)])
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.slow
def test_a_task_that_kills_every_worker_is_named_and_takes_no_other_with_it(crew, tmp_path):
    tasks = [Task("try", works.dies, given={"number": 99, "left": str(tmp_path)}, label="bad")]
    tasks += [Task("try", works.slow, given=one) for one in numbers(8)]
    found = {task.label or done.value: done.error for task, done in crew.results(tasks)}
    assert str(found.pop("bad")).startswith("try, bad: 4 workers ended while they did it; ")
    assert found == dict.fromkeys(range(8))
    assert len(list(tmp_path.iterdir())) == 4


def test_a_worker_that_hangs_ends_and_another_does_its_task(crew, tmp_path):
    began = time.monotonic()
    assert values(crew, works.hangs, [{"left": str(tmp_path), "times": 1}]) == ["done"]
    assert time.monotonic() - began > SECONDS
    stood = [
        file
        for folder in Path("/tmp").glob("harness-workers-*")
        for file in folder.glob("*.txt")
        if "in hangs" in file.read_text()
    ]
    assert stood
    for file in stood:
        file.unlink()


def test_who_waits_for_tasks_is_told_that_all_is_stopped(crew, monkeypatch):
    monkeypatch.setattr(on_workers, "LOOK", 0.1)
    threading.Timer(0.5, crew.executor.stop).start()
    try:
        with pytest.raises(CannotRun, match="it was stopped"):
            values(crew, works.slow, [{"number": 1, "seconds": SECONDS - 1}])
    finally:
        crew.executor._stopped.clear()


@pytest.mark.slow
def test_a_worker_that_is_stopped_is_given_up(monkeypatch, tmp_path):
    monkeypatch.setitem(clusters.SETTINGS, "distributed.scheduler.worker-ttl", "10 s")
    (spec,) = write_specs(tmp_path, "few")
    (tmp_path / "left").mkdir()
    with local_workers(2, Terms(("cpu",), 1, 0), lambda _: None) as executor:
        crew, _ = fit_run(executor, request(load(spec), "organism", ON, print), ON, print)
        assert values(crew, works.stops, [{"left": str(tmp_path / "left")}]) == ["done"]
        (stopped,) = (tmp_path / "left").iterdir()
        with pytest.raises(ProcessLookupError):
            os.kill(int(stopped.name), signal.SIGCONT)


@pytest.mark.parametrize(
    "scheduler, words",
    [
        ("tcp://10.0.0.7:8786", "whoever can reach a scheduler runs code as you"),
        ("http://[::1", "it is neither the address of a scheduler nor a file that one wrote"),
        ("tcp://127.0.0.1", "it is neither the address of a scheduler nor a file that one wrote"),
        ("tcp://127.0.0.1:abc", "it is neither the address of a scheduler nor a file that one"),
        ("tcp://127.0.0.1:99999", "it is neither the address of a scheduler nor a file that one"),
        ("inproc://127.0.0.1:99", "it is neither the address of a scheduler nor a file that one"),
        (
            "tls://127.0.0.1:8786",
            "TLS needs certificates, and DASK_DISTRIBUTED__COMM__TLS__CA_FILE",
        ),
        ("nothing", "it is neither the address of a scheduler nor a file that one wrote"),
        ("", "it is neither the address of a scheduler nor a file that one wrote"),
    ],
)
def test_a_scheduler_is_here_or_has_tls(scheduler, words):
    with pytest.raises(InputError, match=words), workers_of(scheduler, Terms(), print):
        pass


def test_a_certificate_that_is_not_there_is_named():
    with (
        dask.config.set({"distributed.comm.tls.ca-file": "/nowhere/ca.pem"}),
        pytest.raises(InputError, match=r"CA_FILE=/nowhere/ca\.pem: there is no such file"),
        workers_of("tls://127.0.0.1:8786", Terms(), print),
    ):
        pass


def test_where_no_worker_is_that_is_said_and_not_for_ever(monkeypatch):
    from distributed import Client, LocalCluster

    monkeypatch.setattr(on_workers, "LOOK", 0.1)
    monkeypatch.setattr(on_workers, "NOBODY", 0.5)
    said = []
    nobody = LocalCluster(n_workers=0, processes=False, dashboard_address=None)
    with nobody as cluster, Client(cluster) as client:
        executor = on_workers.OnWorkers(client, Terms(), said.append)
        node = on_workers._node(Task("try", print), print)
        with pytest.raises(CannotRun, match="cluster: no worker is left to do it"):
            list(executor._ended(iter([(Task("try", print), node)]), ordered=False))
    assert said == ["  no worker is there: waiting for one"]


def test_the_file_of_a_scheduler_names_its_address(tmp_path):
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": "tcp://10.0.0.7:8786"}))
    with (
        pytest.raises(InputError, match=r"tcp://10\.0\.0\.7:8786: whoever"),
        workers_of(str(file), Terms(), print),
    ):
        pass
    file.write_text("{}")
    with (
        pytest.raises(InputError, match="it is no file that a scheduler wrote"),
        workers_of(str(file), Terms(), print),
    ):
        pass


def test_a_scheduler_that_does_not_answer_is_said(monkeypatch):
    monkeypatch.setattr(clusters, "CONNECT", 0.5)
    with (
        pytest.raises(CannotRun, match=r"tcp://127\.0\.0\.1:9: it does not answer"),
        workers_of("tcp://127.0.0.1:9", Terms(), print),
    ):
        pass


def test_the_scheduler_of_local_workers_takes_nobody_without_its_key(workers):
    from distributed import Client

    address = workers._client.scheduler.address
    assert address.startswith("tls://127.0.0.1:")
    with pytest.raises((OSError, TimeoutError, TypeError)):
        Client(address, timeout=2)
    with pytest.raises((OSError, TimeoutError)):
        Client(address.replace("tls", "tcp"), timeout=2)


@pytest.mark.parametrize("at", ["observe", pytest.param("ablate top", marks=pytest.mark.slow)])
def test_a_run_whose_workers_are_killed_is_the_same_to_the_bit(workers, tmp_path, at):
    (spec,) = write_specs(tmp_path, "few")
    killed = []

    def kill(stage, done, total):
        if stage == at and 0 < done < total and not killed:
            found = workers._client.run(os.getpid)
            killed.append(sorted(found.values())[0])
            os.kill(killed[0], signal.SIGKILL)

    run_it(load(spec), db=tmp_path / "r.duckdb", engine=workers, progress=kill)
    assert killed
    assert tables_of(tmp_path / "r.duckdb") == in_process(spec, tmp_path / "whole.duckdb")
