"""Run a stored run again, from what the store holds of it, and hold the two against each other."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import Fault, InputError, Say
from harness.paths import DEFAULT_DB
from harness.runner.context import How, Progress
from harness.runner.outcome import Outcome
from harness.runner.preparation import RunRequest
from harness.runner.provenance import REASONS
from harness.runner.run import run_request
from harness.runner.stored_target import target_of_run
from harness.specs.plan import make_plan
from harness.specs.prompt import LIMITED
from harness.specs.spec import Spec
from harness.store.agreement import TableAgreement, compare_facts, compare_tables
from harness.store.database import Store
from harness.store.find_run import check_finished, find_run
from harness.store.interface import WAIT_SECONDS
from harness.store.prompts import stored_other_prompts, stored_prompts
from harness.store.stored_spec import spec_mapping
from harness.store.tables.runs import Prompts

UNEXPLAINED = (
    "nothing that is recorded of the runs differs: memory ran out on the way in one of them, or the device "
    "does not repeat its sums"
)


@dataclass(frozen=True)
class Repeated:
    """A run and its repetition: whether their tables agree, and what else is not the same."""

    first: str
    outcome: Outcome
    tables: tuple[TableAgreement, ...]
    facts: Mapping[str, tuple[Any, Any]]

    @property
    def agrees(self) -> bool:
        """Whether every row is the same, to the last bit."""
        return all(table.agrees for table in self.tables)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it may not agree: what is recorded of both runs, is not the same, and decides the last bits.

        Nothing where it agrees.
        """
        if self.agrees:
            return ()
        return tuple(why for name, why in REASONS.items() if name in self.facts) or (UNEXPLAINED,)


def rerun(
    name: str,
    *,
    db: str | Path = DEFAULT_DB,
    wait: float = WAIT_SECONDS,
    device: str = "auto",
    progress: Progress,
    say: Say,
) -> Repeated:
    """Repeat the run that `name` means, with its stored spec and prompts, into the same store.

    Neither the spec's file nor the prompts' need be there any more. Raises `InputError`, `CannotRun`.
    """
    with Store.open_to_read(db, say=say) as store:
        run = find_run(store, name)
        check_finished(run)
        wanted = _request(store, run)
    threads = run["threads"]  # null, which is read as NaN, in runs of old
    how = How(
        threads=int(threads) if threads is not None and threads == threads else 0,
        device=device,
        dtype=run["dtype"],
        attention=run["attention"],
        batch_size=run["batch_size"],
    )
    Store.probe(db, wait=wait, say=say)
    outcome = run_request(
        wanted,
        partial(Store.open, db, wait=wait, say=say),
        how=how,
        progress=progress,
        say=say,
    )
    with Store.open_to_read(db, say=say) as store:
        again = find_run(store, outcome.run_id)
        return Repeated(
            run["run_id"],
            outcome,
            tuple(compare_tables(store, run["run_id"], outcome.run_id)),
            compare_facts(run, again),
        )


def _request(store: Store, run: Mapping[str, Any]) -> RunRequest:
    """What was asked then. Raises `InputError` where this harness would ask something else."""
    where = f"run {run['run_id']}"
    remedy = f"repeat it with harness {run['harness_version']} (commit {run['git_commit']})"
    try:
        spec = Spec.model_validate(_tuples(spec_mapping(run)))
    except (ValidationError, InputError):
        what = "its spec is not one that this harness reads"
        raise InputError(Fault(where, what, remedy)) from None
    target = target_of_run(run, spec)
    of_run = run["run_id"]
    prompts, others = stored_prompts(store, of_run), stored_other_prompts(store, of_run)
    plan = make_plan(spec, target, prompts, others)
    if (run["exploratory"] or "").startswith(LIMITED):
        # Of a trial not all families are there, and each keeps the side that it was on.
        rows = store.read(Prompts, run["run_id"])
        sides = dict(sorted(zip(rows.family, rows.split, strict=True)))
        plan = replace(plan, sides=sides, limit=max(Counter(sides.values()).values()))
    hashes = {"spec": (spec.hash, run["spec_hash"])}
    hashes["prompts"] = (plan.prompts_hash, run["prompts_hash"])
    if changed := [part for part, (now, then) in hashes.items() if now != then]:
        what = f"this harness reads its {' and '.join(changed)} otherwise"
        raise InputError(Fault(where, what, remedy))
    return RunRequest(
        plan,
        why=f"repeats {run['run_id']}",
        spec_path=Path(run["spec_path"]),
        prompts_path=Path(run["prompts_path"]),
        where=lambda *at: f"{where}, {'.'.join(map(str, at))}",
        whole=plan,
        repeated=run,
    )


def _tuples(value: Any) -> Any:
    """A spec's lists are tuples, as its reader makes them."""
    if isinstance(value, dict):
        return {key: _tuples(each) for key, each in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
