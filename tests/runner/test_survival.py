"""Killed, interrupted, locked out, starved of disk: what was committed survives, and nothing doubles."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing import get_context

import pytest

from harness.errors import CannotRun
from harness.store.database import Store
from tests.helpers import ROOT, victim
from tests.helpers.hub import without_waits
from tests.helpers.specs import SMALL_SPEC, some_voices

OWN = "run_id, created_at, finished_at, wall_seconds, peak_memory"


@pytest.fixture(scope="module")
def processes(spec):
    """Processes that begin with everything imported and loaded, and without this one's threads."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.helpers.victim"])
    os.environ["WARM"] = str(spec)
    first = context.Process(target=time.sleep, args=(0,))
    first.start()  # and with it the process that all are forked from
    first.join()
    del os.environ["WARM"]
    return context


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spec")
    (folder / "few.jsonl").write_text(some_voices(6))
    (folder / "few.yaml").write_text(SMALL_SPEC)
    return folder / "few.yaml"


@pytest.fixture(scope="module")
def whole(tmp_path_factory, spec, processes):
    """The tables of a run that nothing disturbed, and how long it takes."""
    db = tmp_path_factory.mktemp("whole") / "r.duckdb"
    began = time.monotonic()
    process = processes.Process(target=victim.run, args=(spec, db))
    process.start()
    process.join()
    assert process.exitcode == 0
    return contents(db), time.monotonic() - began


def contents(db):
    """A hash of every table of the only run, and its line, without times."""
    with Store.open_to_read(db) as store:
        ((run,),) = store.query("SELECT run_id FROM runs WHERE status = 'finished'")[1]
        line = store.query(f"SELECT * EXCLUDE ({OWN}) FROM runs")[1]
        tables = store.query("FROM fingerprints($run)", {"run": run})[1]
        assert store.query("SELECT count(*) FROM units WHERE run_id <> $run", {"run": run})[1] == [
            (0,)
        ]
    return line, tables


def is_finished(db):
    try:
        with Store.open_to_read(db) as store:
            return store.query("SELECT count(*) FROM runs WHERE status = 'finished'")[1] == [(1,)]
    except CannotRun:
        return False  # killed before there was a file, or tables in it


def units_in(db):
    try:
        with Store.open_to_read(db) as store:
            return store.query("SELECT count(*) FROM units")[1][0][0]
    except CannotRun:
        return -1


@pytest.mark.parametrize("kills", [5, pytest.param(30, marks=pytest.mark.slow)])
def test_a_run_killed_at_any_moment_and_started_again_is_the_run_that_was_not(
    tmp_path, spec, whole, processes, kills
):
    expected, seconds = whole
    assert len(expected[1]) >= 14
    moments = random.Random(6)
    seen = []
    for number in range(4 * kills):
        db = tmp_path / f"{number}.duckdb"
        while not is_finished(db):
            process = processes.Process(target=victim.run, args=(spec, db))
            process.start()
            process.join(moments.uniform(0.1, 1.05) * seconds)
            if process.is_alive():
                process.kill()
                process.join()
                seen.append(units_in(db))
            else:
                assert process.exitcode == 0
        assert contents(db) == expected, f"after kills with {seen} units in"
        # Enough of them, and spread over the run: on a busy machine most come before its first unit.
        if len(seen) >= kills and len(set(seen) - {-1, 0}) >= min(4, kills // 2):
            break
    else:
        pytest.fail(f"kills came with these units in: {seen}")


@pytest.mark.slow
def test_an_interrupted_run_says_how_to_go_on_and_goes_on(tmp_path, spec, whole):
    db = tmp_path / "r.duckdb"
    call = [sys.executable, "-m", "harness", "run", spec, "--device", "cpu", "--batch-size", "8"]
    call += ["--db", db]
    before = 0
    for ending, stage in ((signal.SIGTERM, "observe"), (signal.SIGINT, "ablate")):
        said, errors, status = run_until(stage, ending, call)
        assert status == 128 + ending
        kept = units_in(db)
        assert kept > before
        assert re.fullmatch(
            rf"stopped; {kept} of 24 units of run \S+-few-organism are kept in {db}; "
            "the same command goes on from here\n",
            without_waits(errors),
        )
        assert (f"goes on from {before} of 24 units of run" in said) == (before > 0)
        before = kept
    again = subprocess.run(call, capture_output=True, check=False, text=True)
    assert again.returncode in (0, 1), again.stderr
    assert contents(db)[1] == whole[0][1]
    assert re.search(r"observe: 24 of 24 \(done before\)", again.stdout)
    assert all(float(rate) < 10_000 for rate in re.findall(r"([0-9.]+)/s", again.stdout))


def run_until(stage, ending, call):
    """Send a signal once a stage has begun: what is on both streams, and the status."""
    process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said = ""
    while stage not in said:
        assert process.poll() is None
        said += process.stdout.readline()
    process.send_signal(ending)
    out, errors = process.communicate()
    return said + out, errors, process.returncode


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_stops_any_command_and_one_that_is_ignored_stays_so(name):
    code = (
        "import signal, sys, os\n"
        f"signal.signal(signal.{name}, getattr(signal, sys.argv.pop(1)))\n"
        "from harness import __main__, cli\n"
        f"cli.main = lambda **_: os.kill(os.getpid(), signal.{name})\n"
        "__main__.main()"
    )
    for action, status in (("SIG_DFL", 128 + getattr(signal, name)), ("SIG_IGN", 0)):
        found = subprocess.run([sys.executable, "-c", code, action], capture_output=True, text=True)
        assert (found.returncode, found.stderr) == (status, "stopped\n" if status else "")


@pytest.mark.parametrize("threshold", ["16MB", "100KB"])
def test_a_snapshot_of_a_file_that_is_written_to_holds_whole_transactions(
    tmp_path, processes, threshold
):
    """Also while checkpoints follow one another."""
    db = tmp_path / "r.duckdb"
    process = processes.Process(target=victim.write_for_ever, args=(db, threshold))
    process.start()
    try:
        while units_of_snapshot(db) < 1:
            assert process.is_alive()
            time.sleep(0.05)
        last, until = 0, time.monotonic() + 4
        while time.monotonic() < until:
            found = units_of_snapshot(db)
            assert found >= last
            last = found
        assert last > 5
        with pytest.raises(CannotRun, match=f"process {process.pid} .*--snapshot"):
            Store.open_to_read(db)
    finally:
        process.kill()
        process.join()


def units_of_snapshot(db):
    try:
        with Store.open_snapshot(db) as store:
            ((units, rows),) = store.query("SELECT count(*), sum(seconds) FROM units")[1]
            ((named, there),) = store.query(
                "SELECT count(DISTINCT prompt_id), count(*) FROM activations"
            )[1]
    except CannotRun as error:
        if "no results yet" not in str(error):
            raise
        return 0
    assert (units, rows or 0) == (named, there)
    return units


def test_a_second_writer_waits_and_then_says_who_holds_the_file(tmp_path):
    db = tmp_path / "r.duckdb"
    call = [sys.executable, "-m", "tests.helpers.victim", db, "4"]
    with subprocess.Popen(call, stdout=subprocess.PIPE, cwd=ROOT) as holder:
        assert holder.stdout.readline() == b"open\n"
        said = []
        began = time.monotonic()
        with pytest.raises(CannotRun, match=rf"process {holder.pid} \(python[^)]*\) is writing"):
            Store.open(db, wait=0.5, say=said.append)
        assert 0.5 <= time.monotonic() - began < 3
        assert len(said) == 1
        assert "waiting up to 0.5 s" in said[0]
        Store.open(db, wait=60, say=said.append).__exit__()  # once the holder is done
        assert holder.wait() == 0


def test_many_processes_read_at_once(tmp_path, processes):
    db = tmp_path / "r.duckdb"
    with Store.open(db) as store:
        store.commit(*victim.unit_and_rows("u", 3))
    readers = [processes.Process(target=victim.count, args=(db,)) for _ in range(4)]
    for reader in readers:
        reader.start()
    with Store.open_to_read(db) as store:
        assert store.query("SELECT count(*) FROM activations")[1] == [(3,)]
    for reader in readers:
        reader.join()
        assert reader.exitcode == 0


def in_a_small_disk(folder, size, script, **names):
    """Run a shell script in which `folder` is a disk of that size. Skips where that is not allowed."""
    unshare = shutil.which("unshare")
    if not unshare or subprocess.run([unshare, "-rm", "true"], capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    mount = f"mount -t tmpfs -o size={size} none {folder} || exit 77\n"
    found = subprocess.run(
        [unshare, "-rm", "sh", "-c", mount + script],
        capture_output=True,
        text=True,
        env={**os.environ, **{name: str(value) for name, value in names.items()}},
        timeout=300,
    )
    if found.returncode == 77:
        pytest.skip("no mounts here")
    return found.stdout + found.stderr


def test_a_full_disk_stops_a_run_in_a_sentence_and_the_same_command_goes_on(tmp_path, spec, whole):
    """The disk fills up in the middle of a run, and is made larger."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        'run() { "$PYTHON" -m harness run "$SPEC" --db "$DISK/r.duckdb" --device cpu '
        '--batch-size 8; echo "status $?"; }\n'
        'run; "$PYTHON" -m harness sql "SELECT count(*) AS units FROM units" --format csv '
        '--db "$DISK/r.duckdb"\n'
        'mount -o remount,size=500m "$DISK"; run; cp "$DISK/r.duckdb" "$OUT"'
    )
    out = tmp_path / "out.duckdb"
    said = in_a_small_disk(
        disk, "280k", script, PYTHON=sys.executable, SPEC=spec, DISK=disk, OUT=out
    )
    _, _, rest = said.partition("status ")
    assert rest.startswith("3"), said
    assert "there is no room left on the disk; make room" in said
    assert "Traceback" not in said
    units = int(rest.split("units\n")[1].split()[0])
    assert 0 < units < 21
    assert contents(out)[1] == whole[0][1]


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_to_is_said_in_a_sentence(tmp_path, spec):
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        '"$PYTHON" -c "from harness.store.database import Store; Store.open(\'$DISK/old.duckdb\').__exit__()"\n'
        'mount -o remount,ro "$DISK"\n'
        'for db in old new sub/new; do "$PYTHON" -m harness run "$SPEC" --db "$DISK/$db.duckdb"; '
        'echo "status $?"; done\n'
        '"$PYTHON" -m harness sql runs --db "$DISK/old.duckdb"; echo "status $?"'
    )
    said = in_a_small_disk(disk, "10m", script, PYTHON=sys.executable, SPEC=spec, DISK=disk)
    assert said.count("status 3") == 3, said
    assert said.count("status 0") == 1, said
    assert said.count("name a file in another folder with --db") == 3, said
    assert "Traceback" not in said
