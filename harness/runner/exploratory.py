"""Why a run cannot confirm: results on the prompts that it confirms on were seen before its spec was here.

What counts is data and target, and not a name: a claim that is turned round under another name was made
after its results were seen. A spec is in the results file from when it is registered, by `harness register`
or before the first run it is given with; whether results were there before is decided then, by what the
file holds, so that no clock can change it.
"""

import json
from datetime import UTC, datetime

from harness.specs.plan import Plan, trial_of
from harness.store.interface import RunStore
from harness.store.tables.runs import Registrations, Runs

_SEEN = """
SELECT DISTINCT r.run_id, r.spec_name, r.spec_hash, r.prompts_hash, r.created_at, p.prompt
FROM runs r JOIN prompts p USING (run_id)
WHERE r.target = $target AND r.origin = $origin
    AND (r.status = 'finished' OR EXISTS (SELECT 1 FROM units u WHERE u.run_id = r.run_id))
ORDER BY r.created_at, r.run_id, p.prompt
"""


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
    if len(found):
        return found.seen[0] or None
    seen = _seen_before(store, plan)
    claims = [claim.model_dump(mode="json") for claim in plan.spec.claims_on(plan.target.name)]
    row = {
        **key,
        "spec_name": plan.spec.name,
        "claims": json.dumps(claims, sort_keys=True),
        "registered_at": datetime.now(UTC),
        "seen": seen,
    }
    store.commit(Registrations.of([row]))
    return seen


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


def _seen_before(store: RunStore, plan: Plan) -> str | None:
    """The first run whose results are on a prompt that this one confirms on, in words."""
    confirming = {prompt.text for prompt in plan.of("confirmation")}
    where = {"target": plan.target.name, "origin": plan.target.origin}
    _, rows = store.query(_SEEN, where)
    runs: dict[tuple[str, str, str, str], int] = {}
    for run_id, name, spec_hash, prompts_hash, _, text in rows:
        if text in confirming:
            run = str(run_id), str(name), str(spec_hash), str(prompts_hash)
            runs[run] = runs.get(run, 0) + 1
    for (run_id, name, spec_hash, prompts_hash), count in runs.items():
        if name != plan.spec.name:
            return (
                f"{count} of the {len(confirming)} prompts that it confirms on were seen in run {run_id} "
                "before it was registered"
            )
        same = prompts_hash == plan.prompts_hash or trial_of(plan, prompts_hash) is not None
        changed = ["spec"] * (spec_hash != plan.spec.hash) + ["prompts"] * (not same)
        if changed:
            return f"the {' and '.join(changed)} changed since run {run_id}"
    return None
