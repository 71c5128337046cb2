"""Why a run cannot confirm: results on the prompts that it confirms on were seen before its spec was here.

What counts is data and target, and not a name: a claim that is turned round under another name was made
after its results were seen, and a target is its model's files, whatever it is called. A spec is in the
results file from when it is registered, by `harness register` or before the first run it is given with;
whether results were there before is decided then, by what the file holds, so that no clock can change it.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from harness.runner.provenance import model_here
from harness.specs.plan import Plan
from harness.specs.trials import trial_of
from harness.store.interface import RunStore
from harness.store.prompts import families_of_run
from harness.store.registrations import Shown, shown
from harness.store.tables.runs import Registrations, Runs


def register(store: RunStore, plan: Plan) -> str | None:
    """Put a spec on a target into the results file, unless it is there; why its runs cannot confirm.

    `plan` is of all of its prompts. None where no results on its confirming prompts were there first.
    """
    key = {
        "spec_hash": plan.spec.hash,
        "target": plan.target.name,
        "origin": plan.target.origin,
        "prompts_hash": plan.prompts_hash,
    }
    found = store.read(Registrations, **key)
    revision, digest = model_here(plan.target)
    if len(found):
        then = found.model_revision[0], found.model_hash[0]
        return found.seen[0] or _other_model(then, (revision, digest))
    facts = {
        "model_revision": revision,
        "model_hash": digest,
        "confirming": sorted(plan.confirming),
    }
    seen = _seen_before(store, plan, key | facts)
    made = {claim.name for claim in plan.spec.claims_on(plan.target.name)}
    said = plan.spec.model_dump(mode="json")["claims"]
    claims = [claim for claim in said if claim["name"] in made]
    row = {
        **key,
        "spec_name": plan.spec.name,
        "claims": json.dumps(claims, sort_keys=True),
        "registered_at": datetime.now(UTC),
        "seen": seen,
        **facts,
    }
    store.commit(Registrations.of([row]))
    return seen


def _other_model(then: tuple[str | None, ...], now: tuple[str | None, ...]) -> str | None:
    """Whether a target stands for another model than when its spec was registered, in words.

    What a target is may be said in a file of its own, which the hash of a spec does not see.
    """
    differ = any(a and b and a != b for a, b in zip(then, now, strict=True))
    return "the model changed since its spec was registered" if differ else None


def reason_exploratory(store: RunStore, plan: Plan, sae_hash: str) -> str | None:
    """Why a run of all prompts of a plan cannot confirm. Registers its spec where nobody did."""
    if seen := register(store, plan):
        return seen
    earlier = store.read(
        Runs,
        spec_hash=plan.spec.hash,
        prompts_hash=plan.prompts_hash,
        target=plan.target.name,
        origin=plan.target.origin,
    )
    for i in range(len(earlier)):
        if earlier.status[i] != "finished" and not store.finished(str(earlier.run_id[i])):
            continue  # it broke before anything could be seen
        if earlier.sae_hash[i] != sae_hash:
            return f"the SAEs changed since run {earlier.run_id[i]}"
    return None


def _seen_before(store: RunStore, plan: Plan, registered: Mapping[str, Any]) -> str | None:
    """The first run whose results are on a prompt that this one confirms on, in words."""
    for run in shown(store, registered):
        if run.spec_name != plan.spec.name:
            return run.before(registered["confirming"])
        same = run.prompts_hash == plan.prompts_hash or _is_trial(store, plan, run)
        changed = ["spec"] * (run.spec_hash != plan.spec.hash) + ["prompts"] * (not same)
        if changed:
            return f"the {' and '.join(changed)} changed since run {run.run_id}"
    return None


def _is_trial(store: RunStore, plan: Plan, run: Shown) -> bool:
    families = families_of_run(store, run.run_id)
    return trial_of(plan, run.prompts_hash, families) is not None
