"""Feature sets of other evals, as a plan sees them: which run they would be of, or what is missing."""

from collections.abc import Iterator
from pathlib import Path

from harness.errors import HarnessError
from harness.runner.frozen_sets import find_set, no_source
from harness.runner.provenance import model_here
from harness.specs.plan import Plan
from harness.store.database import Store


def planned_sources(plan: Plan, db: Path) -> list[str]:
    """A line for each ablation that takes another eval's features: which they are, or what is missing.

    They are those that a run would find in `db` now with the model that is here. Whether the SAEs are the
    same is not known before their files are.
    """
    if not any(one.select.source for one in plan.ablations):
        return []
    try:
        if not db.exists():
            return list(_lines(plan, None, db))
        with Store.open_to_read(db) as store:
            return list(_lines(plan, store, db))
    except HarnessError as error:  # the file itself, which another process may write to
        return [_in_words(error)]


def _lines(plan: Plan, store: Store | None, db: Path) -> Iterator[str]:
    revision, digest = model_here(plan.target)
    model = {"model_revision": revision, "model_hash": digest}
    facts = {"origin": plan.target.origin, "target": plan.target.name, **model}
    for ablation in plan.ablations:
        if not ablation.select.source:
            continue
        try:
            if store is None:
                raise no_source(plan, ablation, db)
            found = find_set(store, plan, ablation, facts, db)
        except HarnessError as error:
            yield _in_words(error)
        else:
            least = ablation.select.least
            later = f", to be matched here by their decoders' cosines, {least:g} or more"
            yield f"{ablation.name}: {found}{later if ablation.select.match else ''}"


def _in_words(error: HarnessError) -> str:
    return "; ".join(str(fault) for fault in error.faults)
