"""Why a run cannot confirm: results for another version of its question were seen before."""

from harness.specs.plan import Plan, trial_of
from harness.store.interface import RunStore
from harness.store.tables.runs import Runs


def reason_exploratory(store: RunStore, plan: Plan, sae_hash: str) -> str | None:
    """Why a run cannot confirm: results for another version of the same question were seen before."""
    earlier = store.read(
        Runs, spec_name=plan.spec.name, target=plan.target.name, origin=plan.target.origin
    )
    now = {"spec": plan.spec.hash, "prompts": plan.prompts_hash, "SAEs": sae_hash}
    for i in range(len(earlier)):
        if earlier.status[i] != "finished" and not store.finished(str(earlier.run_id[i])):
            continue  # it broke before anything could be seen
        then = {
            "spec": earlier.spec_hash[i],
            "prompts": earlier.prompts_hash[i],
            "SAEs": earlier.sae_hash[i],
        }
        changed = [what for what in now if now[what] != then[what]]
        if "prompts" in changed and trial_of(plan, str(then["prompts"])):
            changed.remove("prompts")  # a trial on some of them changes nothing
        if changed:
            return f"the {' and '.join(changed)} changed since run {earlier.run_id[i]}"
    return None
