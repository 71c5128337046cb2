"""The first line of a run: an unfinished one of the same content is taken up, else one begins."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from harness.runner.exploratory import reason_exploratory
from harness.runner.frozen_sets import Matcher, find_sets, why_sets_explore
from harness.specs.plan import Plan
from harness.store.frozen_sets import FrozenSets, matched_rows, sets_of, sets_text
from harness.store.interface import RunStore
from harness.store.prompts import prompt_tables
from harness.store.tables.runs import Runs

# What two runs may differ in and still be the same run.
_IRRELEVANT = ("spec_path", "prompts_path", "git_commit", "git_dirty", "neuronpedia", "threads")


@dataclass(frozen=True)
class RunStart:
    """A run that is begun or taken up; `exploratory` says why it cannot confirm, if it cannot.

    `kept` is how many of its units were done before, and `sets` what it has from other evals.
    """

    run_id: str
    exploratory: str | None
    batch_size: int
    threads: int
    sets: FrozenSets
    kept: int = 0


def resume_or_begin(
    store: RunStore,
    plan: Plan,
    facts: Mapping[str, Any],
    *,
    whole: Plan,
    repeated: Mapping[str, Any] | None = None,
    asked: bool,
    resume: bool = True,
    run_id: str = "",
    match: Matcher | None = None,
) -> RunStart:
    """Go on with the unfinished run of the same content, unless `resume` is false, or begin one.

    A batch size that was not `asked` for is no part of the content: it follows the free memory, and a
    run that is taken up keeps its own, and its number of threads. `whole` is the plan of all prompts, which
    is registered also where a trial takes some of them. A run that repeats another, whose
    line is `repeated`, is exploratory where that one was, and has its features. One that begins has this
    `run_id`, where it is given. `match` finds those of other dictionaries. Raises `CannotRun` or `InputError`
    where features of another eval are not there.
    """
    content = _content(facts, asked)
    unfinished = store.read(Runs, content=content, status="unfinished")
    rows = [row for row in unfinished.rows() if run_id in ("", row["run_id"])]
    if resume and rows:
        row = rows[0]
        kept = len(store.finished(row["run_id"]))
        return RunStart(
            row["run_id"],
            row["exploratory"],
            row["batch_size"],
            int(row["threads"]),
            sets_of(row),
            kept,
        )
    now = datetime.now(UTC)
    run_id = run_id or new_run_id(plan, now)
    if repeated is not None:
        sets, exploratory = sets_of(repeated), repeated["exploratory"]
    else:
        sets = find_sets(store, plan, facts, match)
        reason = reason_exploratory(store, whole, str(facts["sae_hash"]))
        exploratory = plan.limited or reason or why_sets_explore(store, plan, sets)
    row = {
        "run_id": run_id,
        "content": content,
        "created_at": now,
        "status": "unfinished",
        "exploratory": exploratory,
        "feature_sources": sets_text(sets),
        **facts,
    }
    store.commit(
        Runs.of([row]),
        matched_rows(sets, run_id, plan.target.origin),
        *prompt_tables(plan.prompts, plan.sides, run_id, plan.others),
    )
    return RunStart(run_id, exploratory, facts["batch_size"], facts["threads"], sets)


def new_run_id(plan: Plan, now: datetime) -> str:
    """What a run that begins now is called."""
    return f"{now:%Y%m%d-%H%M%S-%f}"[:-3] + f"-{plan.spec.name}-{plan.target.name}"


def finished_run(
    store: RunStore,
    plan: Plan,
    facts: Mapping[str, Any],
    *,
    asked: bool,
    match: Matcher | None = None,
) -> dict[str, Any] | None:
    """The line of the last finished run of the same content, whose verdicts are of its own spec.

    With the features that other evals have frozen by now. Raises as `resume_or_begin` where there are none.
    """
    sources = sets_text(find_sets(store, plan, facts, match))
    runs = store.read(Runs, content=_content(facts, asked), status="finished").rows()
    return max(
        (run for run in runs if run["analysed_spec"] is None and run["feature_sources"] == sources),
        key=lambda run: (run["finished_at"], run["run_id"]),
        default=None,
    )


def _content(facts: Mapping[str, Any], asked: bool) -> str:
    """What two runs that are the same have in common, as a hash; `asked` as above."""
    irrelevant = _IRRELEVANT if asked else (*_IRRELEVANT, "batch_size")
    told = {key: value for key, value in facts.items() if key not in irrelevant}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


@contextmanager
def noting_what_is_kept(store: RunStore, plan: Plan, run_id: str) -> Iterator[None]:
    """Let an interrupt carry a note of what of the run is in the store."""
    try:
        yield
    except KeyboardInterrupt as error:
        error.add_note(f"{what_is_kept(store, plan, run_id)} {_are_in(store)}")
        raise


def what_is_kept(store: RunStore, plan: Plan, run_id: str) -> str:
    """How much of a run is in the store, in words."""
    return f"{len(store.finished(run_id))} of {plan.n_units} units of run {run_id}"


def note_of_unfinished(store: RunStore, specs: Collection[str]) -> str:
    """The same of every unfinished run of some specs, by their names."""
    runs = store.read(Runs, status="unfinished")
    kept = [
        f"{len(store.finished(run_id))} units of run {run_id}"
        for run_id, spec in zip(runs.run_id, runs.spec_name, strict=True)
        if spec in specs
    ]
    return f"{' and '.join(kept) or 'finished runs'} {_are_in(store)}"


def _are_in(store: RunStore) -> str:
    return f"are kept in {store.path}"
