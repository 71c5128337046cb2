"""Run a stored run again, from what the store holds of it, and hold the two against each other."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harness.errors import Say
from harness.paths import DEFAULT_DB
from harness.runner.context import How, Progress
from harness.runner.outcome import Outcome
from harness.runner.preparation import RunRequest
from harness.runner.provenance import REASONS
from harness.runner.run import run_request
from harness.runner.stored_plan import stored_plan
from harness.runner.tasks import Engine
from harness.store.agreement import TableAgreement, compare_facts, compare_tables
from harness.store.database import Store
from harness.store.find_run import check_finished, find_run
from harness.store.interface import WAIT_SECONDS

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
    engaged: Callable[[How], AbstractContextManager[Engine | None]] = lambda _: nullcontext(),
    progress: Progress,
    say: Say,
) -> Repeated:
    """Repeat the run that `name` means, with its stored spec and prompts, into the same store.

    Neither the spec's file nor the prompts' need be there any more. Who does it is `engaged` for it, with the
    threads that it had; this process, where nobody is. Raises `InputError`, `CannotRun`.
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
    with engaged(how) as engine:
        outcome = run_request(
            wanted,
            partial(Store.open, db, wait=wait, say=say),
            how=how,
            engine=engine,
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
    where, plan = f"run {run['run_id']}", stored_plan(store, run)
    return RunRequest(
        plan,
        why=f"repeats {run['run_id']}",
        spec_path=Path(run["spec_path"]),
        prompts_path=Path(run["prompts_path"]),
        where=partial(_place, where),
        whole=plan,
        repeated=run,
    )


def _place(where: str, *at: object) -> str:
    """A part of a stored spec, as a message names it; workers are told of it, too."""
    return f"{where}, {'.'.join(map(str, at))}"
