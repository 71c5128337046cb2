"""Several evals at a time, each driven by a thread of its own, into one open results file."""

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, Say
from harness.runner.context import Progress
from harness.runner.outcome import Outcome
from harness.runner.resume import note_of_unfinished
from harness.runner.run import run_into
from harness.runner.tasks import Engine
from harness.specs.sources import sources_of
from harness.specs.spec_file import SpecFile
from harness.store.database import Store


def run_side_by_side(
    files: Sequence[SpecFile],
    target: str,
    engine: Engine,
    at_once: int,
    *,
    db: str | Path,
    wait: float,
    progress: Callable[[str], Progress],
    say: Callable[[str], Say],
    **options: Any,
) -> Iterator[Outcome]:
    """Run every spec, so many `at_once`, by one engine; yields them as they end.

    A spec that takes features from others of them, in no circle, waits for these. `progress` and `say` are
    of a spec, by its name; the empty one is all of them. Other `options` are of
    `run_into`. Raises `CannotRun` where the store cannot be opened, and at the end whatever stopped single
    evals.
    """
    # A run cannot be taken up by two at once.
    files = list({file.path.resolve(): file for file in files}.values())
    left = list(files)
    errors: list[Exception] = []

    def run(file: SpecFile) -> Outcome:
        name = file.spec.name
        return run_into(
            lambda: nullcontext(store),
            file,
            target,
            engine=engine,
            progress=progress(name),
            say=say(name),
            **options,
        )

    with Store.open(db, wait=wait, say=say("")) as store, ThreadPoolExecutor(at_once) as pool:
        running: dict[Future[Outcome], Path] = {}
        try:
            while left or running:
                for file in _ready(files, left, running.values()):
                    left.remove(file)
                    running[pool.submit(run, file)] = file.path
                ended, _ = wait_for(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    del running[future]
                    if (error := future.exception()) is None:
                        yield future.result()
                    elif isinstance(error, Exception):
                        errors.append(error)
                    else:
                        raise error
        except BaseException as error:
            engine.stop()
            pool.shutdown(cancel_futures=True)
            if isinstance(error, KeyboardInterrupt):
                error.add_note(note_of_unfinished(store, {file.spec.name for file in files}))
            raise
    if errors:
        raise _worst(errors, say(""))


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
