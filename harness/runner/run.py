"""Bring a spec, a target and a results file together: the one way every surface runs an eval."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch

from harness.errors import Say
from harness.models.adaptive_batching import BatchLimit, memory_is_said
from harness.models.arithmetic import exact_arithmetic
from harness.models.memory import peak_memory, rows_that_fit
from harness.paths import DEFAULT_DB
from harness.runner.context import How, Progress, RunContext
from harness.runner.decoder_matches import DecoderMatcher
from harness.runner.outcome import Outcome, conclude, stored_verdicts
from harness.runner.pipeline import execute
from harness.runner.preparation import Prepared, RunRequest, prepare, request
from harness.runner.provenance import run_facts
from harness.runner.resume import (
    RunStart,
    finished_run,
    noting_what_is_kept,
    resume_or_begin,
    what_is_kept,
)
from harness.runner.sae_provider import sae_provider
from harness.sae import Sae
from harness.specs.plan import Plan
from harness.specs.spec_file import SpecFile
from harness.specs.workload import longest_row
from harness.store.database import Store
from harness.store.interface import WAIT_SECONDS, RunStore


def run_eval(
    file: SpecFile,
    target: str = "auto",
    *,
    db: str | Path = DEFAULT_DB,
    wait: float = WAIT_SECONDS,
    resume: bool = True,
    reuse: bool = False,
    how: How = How(),
    progress: Progress,
    say: Say = lambda _: None,
) -> Outcome:
    """Run one spec on one target, from its file to its verdicts, all of it stored in `db`.

    An unfinished run of the same content is taken up, unless `resume` is false; the verdicts of a
    finished one are given again where `reuse` is true. Where another process writes to `db`, waits so many
    seconds for it. Raises `InputError` or `CannotRun`.
    """
    return run_into(
        partial(Store.open, db, wait=wait, say=say),
        file,
        target,
        probe=partial(Store.probe, db, wait=wait, say=say),
        resume=resume,
        reuse=reuse,
        how=how,
        progress=progress,
        say=say,
    )


def run_into(
    opened: Callable[[], AbstractContextManager[RunStore]],
    file: SpecFile,
    target: str = "auto",
    *,
    probe: Callable[[], None] = lambda: None,
    resume: bool = True,
    reuse: bool = False,
    how: How = How(),
    progress: Progress,
    say: Say = lambda _: None,
) -> Outcome:
    """As `run_eval`, into the store that `opened` opens once the model and SAEs are at hand.

    `probe` raises now what `opened` would then; what is wrong with the spec is said before.
    """
    wanted = request(file, target, how, say)
    probe()
    return run_request(
        wanted, opened, resume=resume, reuse=reuse, how=how, progress=progress, say=say
    )


def run_request(
    wanted: RunRequest,
    opened: Callable[[], AbstractContextManager[RunStore]],
    *,
    resume: bool = True,
    reuse: bool = False,
    how: How,
    progress: Progress,
    say: Say,
) -> Outcome:
    """Run what is wanted, into the store that `opened` opens.

    Raises `InputError` or `CannotRun`.
    """
    began = time.perf_counter()
    prepared = prepare(wanted, how, say)
    plan, model = prepared.plan, prepared.resources.model
    whole = replace(wanted.whole, target=plan.target)
    # What is free is asked before the results file takes some of it.
    rows = how.batch_size or rows_that_fit(model, longest_row(plan))
    threads = how.threads or torch.get_num_threads()
    saes = sae_provider(plan.target, prepared.resources.sae_files, model, say)
    match = DecoderMatcher(saes, model, plan.target.hook, say)
    # The file is held only from here on: others may write to it while gigabytes are loaded.
    with opened() as store:
        facts = run_facts(wanted, prepared, batch_size=rows, threads=threads)
        asked = bool(how.batch_size)
        if reuse and (done := finished_run(store, plan, facts, asked=asked, match=match)):
            say(f"{plan.spec.name}: run {done['run_id']} is of the same content, and finished")
            return _outcome_of(store, plan, done)
        started = resume_or_begin(
            store,
            plan,
            facts,
            whole=whole,
            repeated=wanted.repeated,
            asked=asked,
            resume=resume,
            match=match,
        )
        if started.kept:
            say(f"  goes on from {what_is_kept(store, plan, started.run_id)}")
        limit = BatchLimit(started.batch_size, say)
        context = _context(prepared, started, limit, saes)
        with noting_what_is_kept(store, plan, started.run_id):
            threads_set, settled = _threads(started.threads), exact_arithmetic(model.device)
            with threads_set, settled, memory_is_said("between two stages"):
                execute(context, plan, store, progress)
            progress("analyse", 0, 1)
            verdicts = conclude(store, plan, started.run_id, started.exploratory)
            progress("analyse", 1, 1)
        seconds = time.perf_counter() - began
        _finish(store, started.run_id, seconds, limit)
        return Outcome.of(store, plan, started.run_id, verdicts, started.exploratory, seconds)


def _finish(store: RunStore, run_id: str, seconds: float, limit: BatchLimit) -> None:
    """Last of all: a run is finished when its verdicts are in."""
    main, on_device = peak_memory()
    store.set_run(
        run_id,
        status="finished",
        finished_at=datetime.now(UTC),
        wall_seconds=seconds,
        batch_size=limit.lowest,
        peak_memory=main,
        peak_device_memory=on_device,
    )


def _context(
    prepared: Prepared, started: RunStart, limit: BatchLimit, saes: Callable[[int], Sae]
) -> RunContext:
    """What the stages of a run that has begun share."""
    plan = prepared.plan
    return RunContext(
        started.run_id,
        plan.target.origin,
        prepared.resources.model,
        saes,
        limit,
        sets=started.sets,
        asked=plan.spec.metrics,
        own=prepared.own,
    )


def _outcome_of(store: RunStore, plan: Plan, run: Mapping[str, Any]) -> Outcome:
    """The outcome of a stored run of the plan, with its verdicts in the order of the spec."""
    drawn = stored_verdicts(store, run["run_id"], plan.target.name)
    verdicts = tuple(drawn[claim.name] for claim in plan.spec.claims_on(plan.target.name))
    return Outcome.of(store, plan, run["run_id"], verdicts, run["exploratory"], run["wall_seconds"])


@contextmanager
def _threads(wanted: int) -> Iterator[None]:
    """So many threads: between how many a sum is divided shows in its last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)
