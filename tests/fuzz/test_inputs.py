"""A slice of what `python -m tests.fuzz` tries, and that it would see what it looks for."""

import time
from contextlib import closing
from random import Random

import pytest

from harness.errors import Fault, HarnessError, InputError
from tests.fuzz import trials
from tests.fuzz.mutations import CHANGES, mutated
from tests.fuzz.readers import READERS, Reader
from tests.fuzz.trials import Trial

SLICE = 60  # inputs of each reader


@pytest.mark.parametrize("name", READERS)
def test_what_is_wrong_with_a_file_is_said_and_nothing_else_happens(name, tmp_path, capsys):
    status = Trial(name, 1, tmp_path / "kept").run(range(SLICE))
    assert status == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", READERS)
def test_some_inputs_are_read_and_some_are_not(name, tmp_path):
    """Else only one side of a reader would be tried."""
    taken = []
    with closing(READERS[name]()) as reader:
        for number in range(SLICE):
            data = mutated(Random(number), reader.seeds) if number else reader.seeds[0]
            try:
                reader.read(reader.put(data, tmp_path))
            except HarnessError:
                taken.append(False)
            else:
                taken.append(True)
    # A manifest's files are not there; any text can be shown.
    assert any(taken) or name == "manifest"
    assert not all(taken) or name in ("text", "prompts")


class Bad(Reader):
    """One that does with each input what none may."""

    seeds = (b"a good file",)
    does = staticmethod(lambda file: None)

    def read(self, file):
        self.does(file)


def silent(file):
    raise InputError()


def slow(file):
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass


def large(file):
    return len(bytearray(100 << 20))


@pytest.mark.parametrize(
    "does, said",
    [
        (lambda file: 1 / 0, "ZeroDivisionError"),
        (silent, "its error says nothing"),
        (slow, "it took 0.2 s"),
        (large, "MiB"),
        (lambda file: file.write_bytes(b"x"), "the file is another after it was read"),
    ],
)
def test_each_thing_that_no_reader_may_do_is_seen(does, said, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(READERS, "bad", type("Bad", (Bad,), {"does": staticmethod(does)}))
    monkeypatch.setattr(trials, "SECONDS", 0.15)
    monkeypatch.setattr(trials, "MEMORY", 20 << 10)
    if does is large:  # what was the most before is no more than now
        peaks = iter((0, 100 << 10, 100 << 10))
        monkeypatch.setattr(trials, "_memory", lambda: next(peaks))
    assert Trial("bad", 0, tmp_path).run(range(3)) == 1
    assert said in capsys.readouterr().out
    assert [path.name for path in tmp_path.glob("bad-0-*")] == ["bad-0-0"]


def test_an_error_in_words_is_no_failure(tmp_path, monkeypatch):
    def refuse(file):
        raise InputError(Fault("file", "it is none", "name another"))

    monkeypatch.setitem(READERS, "bad", type("Bad", (Bad,), {"does": staticmethod(refuse)}))
    assert Trial("bad", 0, tmp_path).run(range(3)) == 0


def test_inputs_follow_from_their_numbers(tmp_path):
    one, again = (Trial("csv", 3, tmp_path) for _ in range(2))
    assert [one.data(i) for i in range(20)] == [again.data(i) for i in range(20)]
    assert len({one.data(i) for i in range(20)}) > 15


@pytest.mark.parametrize("change", set(CHANGES))
def test_every_change_takes_any_bytes(change):
    for number in range(200):
        random = Random(number)
        data = random.randbytes(random.choice((0, 1, 2, 50)))
        assert isinstance(change(random, data, random.randbytes(random.choice((0, 3)))), bytes)
