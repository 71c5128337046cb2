"""A trial: a plan on the first families of each side alone, which is no evidence."""

from collections.abc import Sequence
from dataclasses import replace

from harness.errors import Fault, InputError
from harness.specs.plan import FEWEST, Plan, bare, with_refits
from harness.specs.prompt import Prompt


def limited(plan: Plan, limit: int) -> Plan:
    """The plan on the first `limit` families of each side, by name: each stays on its side.

    Unchanged where no side has more. Raises `InputError` where so few can show nothing.
    """
    if limit < FEWEST:
        what = f"{limit} famil{'y has' if limit == 1 else 'ies have'} no spread to estimate"
        raise InputError(Fault("limit", what, f"take {FEWEST} or more"))
    kept = {*plan.families("discovery")[:limit], *plan.families("confirmation")[:limit]}
    if len(kept) == len(plan.sides):
        return plan
    some = bare(plan, [prompt for prompt in plan.prompts if prompt.family in kept])
    others = {name: _first_families(own, limit) for name, own in plan.others.items()}
    return with_refits(replace(some, limit=limit, others=others))


def _first_families(prompts: Sequence[Prompt], limit: int) -> tuple[Prompt, ...]:
    kept = sorted({prompt.family for prompt in prompts})[:limit]
    return tuple(prompt for prompt in prompts if prompt.family in kept)


def trial_of(plan: Plan, prompts_hash: str, families: int) -> Plan | None:
    """The limited plan of so many families that has these prompts; None where they are no first ones."""
    sides = [len(plan.families(side)) for side in ("discovery", "confirmation")]
    for limit in range(FEWEST, max(sides)):
        if sum(min(limit, side) for side in sides) == families:
            trial = limited(plan, limit)
            return trial if trial.prompts_hash == prompts_hash else None
    return None
