"""Bring a spec, a target and a results file together: the one way every surface runs an eval."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from harness.errors import Say
from harness.models.memory import peak_memory
from harness.paths import DEFAULT_DB
from harness.runner.answer_checks import check_answers
from harness.runner.context import How, Progress
from harness.runner.decoder_matches import DecoderMatcher
from harness.runner.in_process import InProcess
from harness.runner.outcome import Outcome, conclude, stored_verdicts
from harness.runner.pipeline import execute
from harness.runner.preparation import RunRequest, check_random, request, settled
from harness.runner.provenance import run_facts
from harness.runner.resume import (
    finished_run,
    noting_what_is_kept,
    resume_or_begin,
    what_is_kept,
)
from harness.runner.staged_units import Stages
from harness.runner.tasks import Crew, Engine, Setup
from harness.specs.plan import Plan, bare
from harness.specs.spec_file import SpecFile
from harness.specs.targets import Target
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
    engine: Engine | None = None,
    profile: Path | None = None,
    progress: Progress,
    say: Say = lambda _: None,
) -> Outcome:
    """Run one spec on one target, from its file to its verdicts, all of it stored in `db`.

    An unfinished run of the same content is taken up, unless `resume` is false; the verdicts of a
    finished one are given again where `reuse` is true. Where another process writes to `db`, waits so many
    seconds for it. The `engine` does the work; this process, where none is given. Where its time went is
    written to the file `profile`, if one is named. Raises `InputError` or `CannotRun`.
    """
    return run_into(
        partial(Store.open, db, wait=wait, say=say),
        file,
        target,
        probe=partial(Store.probe, db, wait=wait, say=say),
        resume=resume,
        reuse=reuse,
        how=how,
        engine=engine,
        profile=profile,
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
    engine: Engine | None = None,
    profile: Path | None = None,
    progress: Progress,
    say: Say = lambda _: None,
) -> Outcome:
    """As `run_eval`, into the store that `opened` opens once the model and SAEs are at hand.

    `probe` raises now what `opened` would then; what is wrong with the spec is said before.
    """
    wanted = request(file, target, how, say)
    probe()
    return run_request(
        wanted,
        opened,
        resume=resume,
        reuse=reuse,
        how=how,
        engine=engine,
        profile=profile,
        progress=progress,
        say=say,
    )


def run_request(
    wanted: RunRequest,
    opened: Callable[[], AbstractContextManager[RunStore]],
    *,
    resume: bool = True,
    reuse: bool = False,
    how: How,
    engine: Engine | None = None,
    profile: Path | None = None,
    progress: Progress,
    say: Say,
) -> Outcome:
    """Run what is wanted, into the store that `opened` opens.

    Raises `InputError` or `CannotRun`.
    """
    began = time.perf_counter()
    # In this process each run has its own, which ends with it: SAEs of the last one would take memory.
    crew, plan = fit_run(engine or InProcess(), wanted, how, say)
    whole = replace(wanted.whole, target=plan.target)
    match = DecoderMatcher(crew, plan.target.hook)
    # The file is held only from here on: others may write to it while gigabytes are loaded.
    with opened() as store:
        facts = run_facts(wanted, plan, crew.fitted.facts)
        asked = bool(how.batch_size)
        if reuse and (done := finished_run(store, plan, facts, asked=asked, match=match)):
            say(f"{plan.spec.name}: run {done['run_id']} is of the same content, and finished")
            return outcome_of(store, plan, done)
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
        with noting_what_is_kept(store, plan, started.run_id):
            return conclude_run(crew.at(started), plan, store, progress, began, profile)


def conclude_run(
    crew: Crew,
    plan: Plan,
    store: RunStore,
    progress: Progress,
    began: float,
    profile: Path | None = None,
) -> Outcome:
    """Take a run that has begun through its stages to its verdicts; `began` is by `time.perf_counter`.

    Raises `CannotRun`.
    """
    start = crew.start
    stages = execute(crew, plan, store, progress)
    progress("analyse", 0, 1)
    from_here = time.perf_counter()
    verdicts = conclude(store, plan, start.run_id, start.exploratory)
    progress("analyse", 1, 1)
    if profile is not None:
        stages.times.write(profile, start.run_id, time.perf_counter() - from_here)
    seconds = time.perf_counter() - began
    _finish(store, start.run_id, seconds, stages)
    return Outcome.of(store, plan, start.run_id, verdicts, start.exploratory, seconds)


def fit_run(engine: Engine, wanted: RunRequest, how: How, say: Say) -> tuple[Crew, Plan]:
    """Whoever works for the run, with the model at hand, and the plan on it as the model was found to be.

    Raises `InputError` or `CannotRun`.
    """
    check = check_random(wanted.plan, wanted.where)
    fitted = engine.fit(
        replace(wanted, plan=bare(wanted.plan), whole=bare(wanted.plan)),
        how,
        longest_row(wanted.plan),
        check=check,
        say=say,
    )
    # The others that work for it take what the first has found.
    crew = Crew(engine, Setup(settled(wanted, fitted.target), how, facts=fitted.facts), fitted)
    plan = on_target(wanted.plan, fitted.target)
    check_answers(crew, plan, wanted.prompts_path)
    return crew, plan


def on_target(plan: Plan, target: Target) -> Plan:
    """The plan on the target as it was found to be."""
    refits = tuple(replace(one, target=target) for one in plan.refits)
    return replace(plan, target=target, refits=refits)


def _finish(store: RunStore, run_id: str, seconds: float, stages: Stages) -> None:
    """Last of all: a run is finished when its verdicts are in."""
    main, on_device = peak_memory()
    store.set_run(
        run_id,
        status="finished",
        finished_at=datetime.now(UTC),
        wall_seconds=seconds,
        batch_size=stages.rows,
        peak_memory=max(main or 0, stages.memory[0]) or None,
        peak_device_memory=max(on_device or 0, stages.memory[1]) or None,
    )


def outcome_of(store: RunStore, plan: Plan, run: Mapping[str, Any]) -> Outcome:
    """The outcome of a stored run of the plan, with its verdicts in the order of the spec."""
    drawn = stored_verdicts(store, run["run_id"], plan.target.name)
    verdicts = tuple(drawn[claim.name] for claim in plan.spec.claims_on(plan.target.name))
    return Outcome.of(store, plan, run["run_id"], verdicts, run["exploratory"], run["wall_seconds"])
