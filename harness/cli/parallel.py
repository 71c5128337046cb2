"""Several evals at a time, each in a process of its own; one process writes what they find."""

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import Empty
from typing import Any

import torch

from harness.errors import CannotRun, Fault, HarnessError, Say
from harness.reports.terminal.progress import PlainProgress
from harness.runner.context import How
from harness.runner.outcome import Outcome
from harness.runner.resume import note_of_unfinished
from harness.runner.run import run_into
from harness.specs.sources import sources_of
from harness.specs.spec_file import SpecFile
from harness.store.database import Store
from harness.store.single_writer import Address, RemoteStore, serve
from harness.streams import shown

# A scheduler that ends all processes ends this one too: its signal says more than a worker's end.
PATIENCE = 0.5


def run_evals(
    files: Sequence[SpecFile],
    target: str,
    jobs: int,
    *,
    db: str | Path,
    wait: float,
    resume: bool,
    how: How,
    say: Say,
) -> Iterator[Outcome]:
    """Run every spec, `jobs` of them at a time; yields them as they end.

    A spec that takes features from others of them, in no circle, waits for these.

    `how.device` may name several devices with commas between them: each worker takes one. Raises
    `CannotRun` where the store cannot be opened, and at the end, whatever stopped single evals: of
    several, a `WorkerFailed` before all others.
    """
    # A run cannot be taken up by two at once.
    files = list({file.path.resolve(): file for file in files}.values())
    context = multiprocessing.get_context("spawn")
    workers = min(jobs, len(files))
    devices = context.Queue()
    named = how.device.split(",")
    for worker in range(workers):
        devices.put(named[worker % len(named)])
    lines = context.Queue()
    with (
        Store.open(db, wait=wait, say=say) as store,
        serve(store) as address,
        ProcessPoolExecutor(workers, context, _start_worker, (devices, lines, workers)) as pool,
    ):
        work = partial(_run, address=address, target=target, resume=resume, how=how)
        waiting: dict[Future[Outcome | Exception], Path] = {}
        left = list(files)

        def submit() -> None:
            for file in _ready(files, left, waiting.values()):
                left.remove(file)
                waiting[pool.submit(work, file)] = file.path

        submit()
        errors: list[Exception] = []
        try:
            for result in _results(waiting, lines, say):
                submit()
                if isinstance(result, Exception):
                    errors.append(result)
                else:
                    yield result
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            if isinstance(error, KeyboardInterrupt):
                error.add_note(note_of_unfinished(store, {file.spec.name for file in files}))
            raise
    if errors:
        raise _worst(errors, say)


class WorkerFailed(Exception):
    """An error that no worker should meet, with its traceback as text: any process can be given it."""


def _ready(
    files: Sequence[SpecFile], left: Sequence[SpecFile], running: Collection[Path]
) -> list[SpecFile]:
    """Those that are `left` and take no features from another that is not done."""
    undone = {one.spec.name for one in files if one in left or one.path in running}
    return [one for one in left if undone.isdisjoint(sources_of(one))]


def _worst(errors: Sequence[Exception], say: Say) -> Exception:
    """The error to raise for all of them; `say` hears the faults where another kind comes before them."""
    known = [error for error in errors if isinstance(error, HarnessError)]
    faults = [fault for error in known for fault in error.faults]
    failed = [error for error in errors if not isinstance(error, HarnessError)]
    if failed:
        for fault in faults:
            say(f"error: {fault}")
        return failed[0]
    return type(max(known, key=lambda error: error.status))(*faults)


def _results(
    waiting: dict[Future[Outcome | Exception], Path], lines: Any, say: Say
) -> Iterator[Outcome | Exception]:
    """What the workers return, and in between what they say."""
    while waiting:
        for future in [future for future in waiting if future.done()]:
            spec = waiting.pop(future)
            _drain(lines, say)
            try:
                yield future.result()
            except BrokenProcessPool:
                time.sleep(PATIENCE)
                what = "a worker was ended from outside, perhaps for want of memory"
                remedy = "take fewer --jobs; the same command goes on from there"
                yield CannotRun(Fault(str(spec), what, remedy))
        _drain(lines, say, seconds=0.1)


def _drain(lines: Any, say: Say, seconds: float = 0.0) -> None:
    try:
        while True:
            say(lines.get(timeout=seconds) if seconds else lines.get_nowait())
    except Empty:
        return


# What a worker was given when it began.
_WORKER: dict[str, Any] = {}


def _start_worker(devices: Any, lines: Any, workers: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that waits for all ends them
    sys.stdout, sys.stderr = shown(sys.stdout), shown(sys.stderr)
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
    _WORKER.update(device=devices.get(), lines=lines)


def _run(
    file: SpecFile, *, address: Address, target: str, resume: bool, how: How
) -> Outcome | Exception:
    """One eval in a worker. What stops it is returned: the other evals go on."""
    name = file.path.stem

    def say(line: str) -> None:
        _WORKER["lines"].put(f"[{name}] {line}")

    try:
        return run_into(
            partial(RemoteStore, address),
            file,
            target,
            resume=resume,
            how=replace(how, device=_WORKER["device"]),
            progress=PlainProgress(say),
            say=say,
        )
    except HarnessError as error:
        return error
    except Exception as error:
        what = f"{name}: {type(error).__name__}: {error}"
        return WorkerFailed(f"{what}\n{traceback.format_exc()}")
