"""Output that cannot be written, and errors that nobody foresaw: a sentence, and never the status 1."""

import errno
import io
import subprocess
import sys

import pytest

from harness import __main__
from harness.cli import main
from harness.errors import CannotRun, Fault, InputError
from harness.runner.side_by_side import _worst
from tests.helpers.outcomes import an_outcome


class Device(io.RawIOBase):
    """Where a stream goes: it keeps what is written, or fails with an error of the system."""

    def __init__(self, error: int = 0) -> None:
        super().__init__()
        self.error, self.held = error, b""

    def writable(self):
        return True

    def write(self, data):
        if self.error:
            raise OSError(self.error, "of the device")
        self.held += bytes(data)
        return len(data)


def stream_to(device, encoding="utf-8"):
    return io.TextIOWrapper(io.BufferedWriter(device), encoding="ascii")


@pytest.fixture
def call(monkeypatch):
    """A command in this process, with standard output and error on devices: its status and both texts."""
    devices = []

    def called(*arguments, out=0, err=0, encoding="utf-8"):
        for name, error in (("stdout", out), ("stderr", err)):
            devices.append(Device(error or 0))
            stream = None if error is None else stream_to(devices[-1], encoding)
            monkeypatch.setattr(sys, name, stream)
        monkeypatch.setattr(sys, "argv", ["harness", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            __main__.main()
        status = ended.value.code
        for device in devices:  # what is left in a buffer may go now
            device.error = 0
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        shown, said = (device.held.decode() for device in devices[-2:])
        if err is None:
            sys.stderr.close()
        return status, shown, said

    return called


@pytest.fixture
def commands(few, root, tmp_path, monkeypatch):
    """A call of every kind of output: lines, tables, JSON, other programs' formats, verdicts, paths."""
    db, run_id = few
    monkeypatch.chdir(tmp_path)
    spec = root / "evals" / "voices.yaml"
    monkeypatch.setattr("harness.cli.cluster.run_eval", lambda *_, **__: an_outcome())
    return [
        ("check", spec),
        ("check", spec, "--json"),
        ("plan", spec),
        ("targets",),
        ("schema",),
        ("run", spec),
        ("run", spec, "--json"),
        ("show", run_id, "--db", db),
        ("sql", "--list"),
        ("sql", "FROM verdicts", "--db", db),
        ("sql", "FROM verdicts", "--db", db, "--format", "csv"),
    ]


@pytest.mark.parametrize(
    "out, status, said",
    [
        (errno.ENOSPC, 3, "error: standard output: it cannot be written or read: of the device; make"),
        (errno.EPIPE, 141, ""),
        (None, 3, "error: standard output: it is closed; send it to a file, or to /dev/null\n"),
    ],
)  # fmt: skip
def test_standard_output_that_cannot_be_written_ends_with_its_status(
    call, commands, out, status, said
):
    helps = [("--help",), ("--version",), *((name, "--help") for name in main.commands)]
    for arguments in (*helps, *commands):
        found, _, told = call(*arguments, out=out)
        assert (found, "Traceback" in told) == (status, False), (arguments, told)
        lines = told.splitlines(keepends=True)
        last = [line for line in lines if not line.startswith("note: ")][-1:]
        assert last == [] if not said else last[0].startswith(said.rstrip("\n")), (arguments, told)


def test_standard_error_that_cannot_be_written_changes_no_status(call, commands):
    for error in (errno.ENOSPC, errno.EPIPE, None):
        assert call("check", "nothing", err=error)[0] == 2
        assert call("chekc", err=error)[0] == 2
        assert call("show", "--db", "none.duckdb", err=error)[0] == 3
        for arguments in commands[:3]:
            assert call(*arguments, err=error)[0] == 0


def test_what_an_encoding_lacks_is_written_as_escapes(call, commands, monkeypatch):
    question = "Does Δv → 0 \udcff?"
    outcome = an_outcome(question=question, warnings=("Δ",))
    monkeypatch.setattr("harness.cli.cluster.run_eval", lambda *_, **__: outcome)
    for arguments in commands:
        status, shown, told = call(*arguments, encoding="ascii")
        assert status == (arguments[0] == "run"), (arguments, told)  # one claim is not supported
        if arguments[0] == "run":
            assert "\\u0394v" in shown
    status, _, told = call("check", "\udcff\u0394.yaml", encoding="latin-1")
    assert status == 2
    assert "\\u0394.yaml: there is no such spec" in told


def test_an_error_that_nobody_foresaw_is_a_sentence_with_its_traceback_in_a_file(
    call, monkeypatch, tmp_path
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def fails(*_):
        raise ValueError("no such\x1b[2J thing\nat all")

    monkeypatch.setattr("harness.specs.spec_file.load", fails)
    status, shown, told = call("plan", "voices")
    (file,) = tmp_path.iterdir()
    what = "it failed in a way that it should not, ValueError: no such\\x1b[2J thing"
    assert (status, shown) == (70, "")
    assert told == f"error: harness: {what}; please report it with {file}\n"
    assert "Traceback" in file.read_text()
    monkeypatch.setenv("HARNESS_TRACEBACK", "1")
    assert "Traceback" in call("plan", "voices")[2]
    monkeypatch.delenv("HARNESS_TRACEBACK")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    assert "set HARNESS_TRACEBACK=1" in call("plan", "voices")[2]
    assert call("plan", "voices", err=errno.ENOSPC)[0] == 70


@pytest.mark.parametrize(
    "error, said",
    [
        (MemoryError(), "error: memory: there is not enough of it"),
        (PermissionError(13, "Permission denied", "some/file"), "some/file: it cannot be written or"),
    ],
)  # fmt: skip
def test_what_the_machine_refuses_is_no_mistake_of_the_harness(call, monkeypatch, error, said):
    def fails(*_):
        raise error

    monkeypatch.setattr("harness.specs.spec_file.load", fails)
    status, _, told = call("plan", "voices")
    assert status == 3
    assert said in told


def test_of_what_stops_evals_side_by_side_the_unforeseen_comes_first_and_the_faults_are_said():
    fault, said = Fault("here", "it is wrong", "mend it"), []
    failed = ValueError("x")
    assert _worst([CannotRun(fault), failed], said.append) is failed
    assert said == ["error: here: it is wrong; mend it"]
    assert _worst([CannotRun(fault)], said.append).faults == (fault,)
    wrong = InputError(Fault("there", "it is none", "name one"))
    both = _worst([CannotRun(fault), wrong], said.append)
    assert both.faults == (fault, *wrong.faults)
    assert both.status == 3


def test_a_process_whose_streams_are_closed_or_full_ends_with_its_status(tmp_path):
    """Also where the disk takes the half of what is written, and Python is told not to buffer it."""
    call = f"{sys.executable} -m harness schema"
    found = subprocess.run(
        ["sh", "-c", f"{call} >&- 2>&- <&-; echo $?; {call} > /dev/full; echo $?; ulimit -f 4; "
         f"PYTHONUNBUFFERED=1 {call} > {tmp_path}/half; echo $?"],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert found.stdout == "3\n3\n3\n"
    assert [line.split(":")[1] for line in found.stderr.splitlines()] == [" standard output"] * 2
    assert (tmp_path / "half").stat().st_size == 2048


def test_what_people_read_fits_into_eighty_columns(call, commands, few, monkeypatch, tmp_path):
    """What programs read stays a line: JSON, CSV, and a path."""
    db, run_id = few
    monkeypatch.setenv("COLUMNS", "80")
    outcome = an_outcome(question="Does it? " * 20, warnings=("it is far off " * 20,), db=db)
    monkeypatch.setattr("harness.cli.cluster.run_eval", lambda *_, **__: outcome)
    more = [("sql", name, "--db", db) for name in ("ablations", "sae_health", "runs")]
    more += [("doctor",), ("check", "nothing"), ("sql", "nothing"), ("compare", run_id, "--db", db)]
    for arguments in (*commands, *more):
        _, shown, said = call(*arguments)
        for_programs = {"--json", "csv", "schema"} & set(map(str, arguments))
        lines = (said if for_programs else shown + said).splitlines()
        assert all(len(line) <= 80 for line in lines if " " in line.strip()), arguments
        assert lines or for_programs
    whole = call("sql", "FROM runs", "--db", db, "--format", "csv")[1]
    monkeypatch.delenv("COLUMNS")
    assert call("sql", "FROM runs", "--db", db, "--format", "csv")[1] == whole
    assert "it is far off " * 19 in call(*commands[5])[1]
