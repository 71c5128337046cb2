"""Claims that are made of some of the prompts alone: whether there are such prompts, and what is lost."""

from collections import Counter
from collections.abc import Callable, Iterator

from harness.errors import Fault, first_few, nearest
from harness.specs.claim_part import PartClaim
from harness.specs.claims import BehaviourClaim
from harness.specs.plan import Plan
from harness.specs.prompt import Prompt

Locate = Callable[..., str]  # a part of a spec, key by key, as file:line:column


def faults_of_parts(plan: Plan, where: Locate) -> Iterator[Fault]:
    """What is wrong with each claim's `where`: tags and values that no prompt has, or half of a pair."""
    made = plan.spec.claims_on(plan.target.name)
    for number, claim in enumerate(plan.spec.claims):
        if not isinstance(claim, PartClaim) or claim not in made:
            continue
        here = where("claims", number, "where")
        faults = [
            Fault(here, *wrong)
            for tag, value in claim.where.items()
            if (wrong := _wrong(plan.prompts, tag, value))
        ]
        yield from faults
        if claim.where and not faults and not any(map(claim.asks_of, plan.of("confirmation"))):
            what = "confirming prompt" if any(map(claim.asks_of, plan.prompts)) else "prompt"
            yield Fault(here, f"no {what} has all these tags", "name fewer, or other values")


def _wrong(prompts: tuple[Prompt, ...], tag: str, value: str) -> tuple[str, str] | None:
    """What is wrong with one tag of a part, and what to do."""
    values = sorted({prompt.tags[tag] for prompt in prompts if tag in prompt.tags})
    if not values:
        tags = sorted({tag for prompt in prompts for tag in prompt.tags})
        return f"no prompt has a tag '{tag}'", nearest(tag, tags)
    if value not in values:
        return f"no prompt has the {tag} '{value}'", nearest(value, values)
    if halves := _halved(prompts, tag):
        what = f"the two variants of pair '{halves[0]}' differ in their {tag}"
        return what, "name a tag that both variants of a pair share"
    return None


def uneven(plan: Plan) -> list[str]:
    """Notes on parts in which an answer is oftener right than wrong, so that words do not cancel in a mean.

    Not of claims that compare: variants of a pair, a prompt and its baseline, or with an edit and without.
    """
    notes = []
    for claim in plan.spec.claims_on(plan.target.name):
        if not isinstance(claim, BehaviourClaim) or claim.contrast or claim.beyond != "zero":
            continue
        if claim.where and plan.spec.balance == "family":
            part = [prompt for prompt in plan.of("confirmation") if claim.asks_of(prompt)]
            surplus: Counter[str] = Counter()
            for prompt in part:
                surplus[prompt.correct] += 1
                surplus[prompt.misconception] -= 1
            lopsided = [
                f"'{answer}' {surplus[answer]:+d}" for answer in sorted(surplus) if surplus[answer]
            ]
            if lopsided:
                notes.append(
                    f"{plan.spec.name}: {claim.name} is made of prompts in which words do not cancel: how "
                    f"much oftener an answer is right than wrong, {first_few(lopsided, 3)}"
                )
    return notes


def _halved(prompts: tuple[Prompt, ...], tag: str) -> list[str]:
    """The pairs whose variants differ in a tag."""
    first: dict[str, str | None] = {}
    return [
        prompt.pair_id
        for prompt in prompts
        if first.setdefault(prompt.pair_id, prompt.tags.get(tag)) != prompt.tags.get(tag)
    ]
