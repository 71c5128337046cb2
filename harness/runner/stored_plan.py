"""The plan of a stored run, made again from what the store holds of it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from harness.errors import Fault, InputError
from harness.runner.stored_target import target_of_run
from harness.specs.plan import Plan, make_plan
from harness.specs.prompt import LIMITED
from harness.specs.spec import Spec
from harness.store.interface import ReadStore
from harness.store.prompts import stored_other_prompts, stored_prompts
from harness.store.stored_spec import spec_mapping
from harness.store.tables.runs import Prompts


def stored_plan(store: ReadStore, run: Mapping[str, Any]) -> Plan:
    """What a run was made of, by its stored spec and prompts: neither's file need be there any more.

    Raises `InputError` where this harness would read them otherwise.
    """
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
    return plan


def _tuples(value: Any) -> Any:
    """A spec's lists are tuples, as its reader makes them."""
    if isinstance(value, dict):
        return {key: _tuples(each) for key, each in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
