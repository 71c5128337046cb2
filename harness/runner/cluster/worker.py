"""What runs in a worker: one task at a time, in a process that keeps what it has opened."""

import faulthandler
import os
import pickle
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from distributed import get_worker

from harness.errors import HarnessError
from harness.runner.context import How
from harness.runner.preparation import RunRequest
from harness.runner.tasks import Done, Fitted, Setup, Task
from harness.runner.workplace import Workplace

SAID = "harness"  # the topic of what a worker says: of a spec, by name, a line
# How a device says that this process can no longer use it.
LOST_DEVICE = ("cuda error", "hip error", "device-side assert", "unspecified launch failure")
GONE = 70  # status of a process that ends since its device is lost
_ONE_AT_A_TIME = Lock()  # a process has one model, however many threads its worker has


@dataclass(frozen=True)
class Terms:
    """How workers work: on these `devices` in turn, so many `threads` each, 0 for what they find.

    A worker that does a task for more than `seconds` is taken to hang, and ends; where its threads stood then
    is in the folder `stood`, or where it writes its errors.
    """

    devices: tuple[str, ...] = ("auto",)
    threads: int = 0
    seconds: float = 0.0
    stood: str = ""


@lru_cache(maxsize=1)
def _place() -> Workplace:
    return Workplace(_say)


class _Speaker:
    """Tells the driver what is said in this process, and of which spec."""

    spec = ""

    def __call__(self, line: str) -> None:
        get_worker().log_event(SAID, (self.spec, line))


_say = _Speaker()


@lru_cache(maxsize=32)
def _unpacked(packed: bytes) -> Any:
    return pickle.loads(packed)  # noqa: S301 # of the driver, whose code a worker runs in any case


def fit(packed: bytes, how: How, longest: int, terms: Terms) -> Fitted | HarnessError:
    """As `Executor.fit`, of a packed `RunRequest`; what it raises is returned: nobody tries it again."""
    with _ONE_AT_A_TIME:
        request: RunRequest = _unpacked(packed)
        how = replace(how, device=_device(terms))
        _say.spec = request.plan.spec.name
        try:
            return _place().fit(
                request, how, longest, check=lambda _: None, say=_say, threads=terms.threads
            )
        except HarnessError as error:
            return error


def do(packed_setup: bytes, packed_work: bytes, task: Task, terms: Terms) -> Done:
    """As `Workplace.do`. Anything that is no `HarnessError` is raised, and tried again elsewhere."""
    with _ONE_AT_A_TIME, _not_for_ever(terms) as watched:
        setup = _setup(packed_setup, terms)
        task = replace(task, work=_unpacked(packed_work))
        _say.spec = setup.request.plan.spec.name
        try:
            done = _place().do(setup, task, opened=watched)
            return replace(done, worker=str(get_worker().name))
        except RuntimeError as error:
            if any(words in str(error).lower() for words in LOST_DEVICE):
                # Its next tasks would fail as well: the nanny begins a new process.
                sys.stderr.write(f"{error}\n")
                os._exit(GONE)
            raise


@lru_cache(maxsize=32)
def _setup(packed: bytes, terms: Terms) -> Setup:
    setup: Setup = pickle.loads(packed)  # noqa: S301 # as above
    return replace(setup, how=replace(setup.how, device=_device(terms)))


def _device(terms: Terms) -> str:
    """This worker's own device: workers of one machine are numbered, and take them in turn."""
    name = str(get_worker().name)
    number = int(name) if name.isdigit() else 0
    chosen = terms.devices[number % len(terms.devices)]
    if chosen == "auto" and name.isdigit() and torch.cuda.device_count() > 1:
        return f"cuda:{number % torch.cuda.device_count()}"
    return chosen


@contextmanager
def _not_for_ever(terms: Terms) -> Iterator[Any]:
    """End this process where what follows the call takes longer, with where each thread stood.

    By a timer in C, which ends also what holds the interpreter's lock. What is opened before is not counted:
    it may be a download.
    """
    file: Any = sys.__stderr__

    def begin() -> None:
        if terms.seconds and file is not None:
            faulthandler.dump_traceback_later(terms.seconds, exit=True, file=file)

    with ExitStack() as held:
        if terms.stood:
            path = Path(terms.stood) / f"{os.getpid()}.txt"
            file = held.enter_context(path.open("w", encoding="utf-8"))
            held.callback(path.unlink)
        try:
            yield begin
        finally:
            faulthandler.cancel_dump_traceback_later()
