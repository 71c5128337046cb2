"""Specs put into a results file before anything is run, so that several may confirm on the same prompts."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError, Say
from harness.paths import DEFAULT_DB
from harness.runner.context import How
from harness.runner.exploratory import register
from harness.runner.preparation import request
from harness.specs.plan import Plan
from harness.specs.spec_file import SpecFile
from harness.store.database import Store
from harness.store.interface import WAIT_SECONDS, RunStore


@dataclass(frozen=True)
class Registered:
    """A spec that is in the results file: `seen` says why its runs cannot confirm, if they cannot."""

    spec: str
    hash: str
    target: str
    claims: int
    seen: str | None


def register_all(
    store: RunStore,
    files: Iterable[SpecFile],
    target: str = "auto",
    *,
    how: How = How(),
    lenient: bool = False,
) -> list[Registered]:
    """Put all of these on a target, or each on the best one present. Raises `InputError`, `CannotRun`.

    What cannot run is left out where it is `lenient`: its own run will say why.
    """
    return [
        Registered(
            plan.spec.name,
            plan.spec.hash,
            plan.target.name,
            len(plan.spec.claims_on(plan.target.name)),
            register(store, plan),
        )
        for plan in _plans(files, target, how, lenient=lenient)
    ]


def _plans(files: Iterable[SpecFile], target: str, how: How, *, lenient: bool) -> list[Plan]:
    found = []
    for file in files:
        with suppress(*[HarnessError] * lenient):
            found.append(request(file, target, how, lambda _: None).whole)
    return found


def register_specs(
    files: Iterable[SpecFile],
    target: str = "auto",
    *,
    db: str | Path = DEFAULT_DB,
    wait: float = WAIT_SECONDS,
    how: How = How(),
    lenient: bool = False,
    say: Say = lambda _: None,
) -> list[Registered]:
    """The same, into the results file `db`."""
    with Store.open(db, wait=wait, say=say) as store:
        return register_all(store, files, target, how=how, lenient=lenient)
