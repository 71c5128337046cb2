"""On what the impacts of a run's ablation depend, as rows of the store.

The tags of the prompts moderate what the ablation itself does; the dose, what the selected features do when
they are scaled, of which a factor of 1 is no edit and left out.
"""

from collections.abc import Mapping

import numpy as np

from harness.analysis.ablation_rows import AblationRows
from harness.analysis.moderators import PRINCIPLE, Moderation, Terms, Texts, moderations
from harness.specs.ablations import Ablation
from harness.specs.plan import Plan
from harness.specs.prompt import Origin, Prompt
from harness.store.tables.results import Moderators

DOSE, UNTAGGED = "dose", "untagged"
LEAVES = 1.0  # the factor that is no edit


def moderator_rows(
    plan: Plan, ablation: Ablation, rows: AblationRows, run_id: str, origin: Origin
) -> Moderators:
    """The moderators of an ablation's impact on the spec's metric, on the confirming prompts."""
    prompts = {p.id: p for p in plan.of("confirmation") if p.label == ablation.variant}
    found = [*_of_doses(plan, rows, prompts), *_of_tags(plan, rows, prompts)]
    common = {"run_id": run_id, "ablation": ablation.name, "origin": origin}
    return Moderators.of(vars(one) | common for one in found)


def _of_doses(plan: Plan, rows: AblationRows, prompts: Mapping[str, Prompt]) -> list[Moderation]:
    doses = {
        one.id: f"{one.values[0]:g}"
        for one in rows.interventions
        if one.role == "dose" and one.values and one.values[0] != LEAVES
    }
    if not doses:
        return [Moderation(DOSE, note="the spec asks for no dose that is an edit")]
    impacts, where, edits = _impacts(plan, rows, prompts, set(doses))
    levels = np.array([doses[edit] for edit in edits], str)
    return _moderations(impacts, where, {DOSE: levels})


def _of_tags(plan: Plan, rows: AblationRows, prompts: Mapping[str, Prompt]) -> list[Moderation]:
    tags = sorted({tag for prompt in prompts.values() for tag in prompt.tags})
    if not tags:
        return [Moderation("tags", note="the prompts have none")]
    target = {one.id for one in rows.interventions if one.role == "target"}
    impacts, where, _ = _impacts(plan, rows, prompts, target)
    terms = {tag: np.array([one.tags.get(tag, UNTAGGED) for one in where], str) for tag in tags}
    return _moderations(impacts, where, terms)


def _impacts(
    plan: Plan, rows: AblationRows, prompts: Mapping[str, Prompt], edits: set[str]
) -> tuple[list[float], list[Prompt], list[str]]:
    """Every impact of these edits on the spec's metric, with its prompt and its edit."""
    of = rows.impacts
    found = [
        (float(impact), prompts[prompt], edit)
        for edit, prompt, metric, impact in zip(
            of.intervention_id, of.prompt_id, of.metric, of.impact, strict=True
        )
        if edit in edits and metric == plan.spec.metric and prompt in prompts
    ]
    return [one[0] for one in found], [one[1] for one in found], [one[2] for one in found]


def _moderations(impacts: list[float], where: list[Prompt], terms: Terms) -> list[Moderation]:
    families = np.array([prompt.family for prompt in where], str)
    principles: Texts | None = None
    if all(PRINCIPLE in prompt.tags for prompt in where):
        principles = np.array([prompt.tags[PRINCIPLE] for prompt in where], str)
    return moderations(np.array(impacts, float), families, terms, principles)
