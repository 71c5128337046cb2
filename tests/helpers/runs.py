"""Runs: of a small random model with random SAEs, and of the organism."""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from harness.analysis.comparison import Comparison, compare
from harness.models.adaptive_batching import BatchLimit
from harness.runner.context import How, RunContext
from harness.runner.in_process import crew_of
from harness.runner.pipeline import execute
from harness.runner.run import run_eval
from harness.sae.encoding import Sae
from harness.specs.plan import Plan
from harness.specs.spec_file import load
from harness.store.database import Store
from harness.store.find_run import find_run
from harness.store.prompts import prompt_tables
from harness.store.tables import TABLES
from harness.store.tables.runs import Prompts
from harness.testing.models import random_model, random_sae


def quiet(stage: str, done: int, total: int) -> None:
    """Progress that nobody is told of."""


@cache
def sae(layer: int) -> Sae:
    return random_sae(layer)


def a_run_context(batch_size: int = 5, side: str = "left", seed: int = 0) -> RunContext:
    """What the stages of a run `r` need, with a random model of its own."""
    return RunContext("r", "mock", random_model(seed, side), sae, BatchLimit(batch_size))


def run_into(
    path: Path, plan: Plan, run_context: RunContext, store_type: type[Store] = Store
) -> dict:
    """Run a plan into a results file, or go on with it; every table's rows."""
    with store_type.open(path) as store:
        if not len(store.read(Prompts, "r")):
            store.commit(*prompt_tables(plan.prompts, plan.sides, "r"))
        execute(crew_of(run_context, plan), plan, store, quiet)
        return stored_tables(store)


def stored_tables(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Every table's rows without the times."""
    found = {}
    for kind in TABLES:
        names = [n for n in kind.names() if n not in ("finished_at", "seconds")]
        found[kind.table] = store.query(
            f"SELECT {', '.join(names)} FROM {kind.table} ORDER BY ALL"
        )[1]
    return found


def run_on_organism(spec: str | Path, db: Path, progress: Callable = quiet, **how: Any) -> str:
    """Run a spec, by path or name, on the organism; the run's id."""
    options = How(device="cpu", **how)
    return run_eval(load(spec), "organism", db=db, how=options, progress=progress).run_id


def compared(db: Path, a: str, b: str) -> Comparison:
    """Two stored runs held against each other."""
    with Store.open_to_read(db) as store:
        return compare(store, find_run(store, a), find_run(store, b))


def made_once(
    folders: pytest.TempPathFactory, name: str, make: Callable[[Path, Path], object]
) -> Path:
    """A file that `make(folder, file)` writes once a session: the first worker that needs it does.

    It is everybody's: copy it to write.
    """
    session = folders.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        session = session.parent
    folder = session / f"{name}-made-once"
    folder.mkdir(exist_ok=True)
    file = folder / name
    with FileLock(folder / "lock"):
        if not file.exists():
            unfinished = folder / f"unfinished-{name}"
            make(folder, unfinished)
            unfinished.rename(file)
    return file
