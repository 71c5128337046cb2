"""The stages that add up over prompts: divided into parts, and made into rows layer by layer."""

from collections.abc import Collection, Iterator
from functools import partial

from harness.runner.staged_units import Stages
from harness.runner.stages.profile import in_texts, profile, profile_layer
from harness.runner.stages.survey import sample_of, survey, survey_layer
from harness.runner.sums import Sums, part_of
from harness.runner.tasks import Task
from harness.specs.ablations import Ablation
from harness.specs.intervention import Feature
from harness.specs.plan import Plan
from harness.specs.prompt import Prompt
from harness.specs.unit import Stage
from harness.store.interface import RunStore
from harness.store.tables.observations import SaeHealth

LAYER = 8  # texts that a layer's losses stand for where it is told how far a survey is


def add_up_survey(stages: Stages, plan: Plan, store: RunStore) -> None:
    """The survey of a run: sums over the distinct texts, then the rows of each layer as it is done."""
    texts = list(dict.fromkeys(prompt.asked for prompt in _prompts(plan, "survey")))
    size = stages.crew.together("survey")
    work = partial(survey, layers=plan.layers)
    parts = [
        Task(
            "survey", work, None, {"texts": some}, len(some), index=index, label="texts", sums=True
        )
        for index, some in enumerate(texts[at : at + size] for at in range(0, len(texts), size))
    ]
    there = set(map(int, store.read(SaeHealth, stages.crew.run_id).layer))

    def rows_of(sums: Sums) -> Iterator[Task]:
        sample = sample_of(texts, sums)
        work = partial(survey_layer, n_prompts=len(texts), sample=sample)
        for index, layer in enumerate(plan.layers):
            if layer not in there:
                given = {"layer": layer, "sums": part_of(sums, str(layer))}
                label = f"layer {layer}"
                yield Task("survey", work, given=given, size=LAYER, index=index, label=label)

    stages.add_up("survey", parts, rows_of, beside=LAYER * len(plan.layers), each=True)


def add_up_profile(
    stages: Stages, plan: Plan, ablation: Ablation, also: Collection[Feature]
) -> None:
    """The profile of an ablation: of the edited variant, and of the other where the edit is to a mean.

    Features that are edited `also` where they never fire have rows too.
    """
    edited = _prompts(plan, "profile", ablation.name)
    variants = [edited]
    if ablation.kind == "mean":
        pairs = {prompt.pair_id for prompt in edited}
        others = (p for p in plan.prompts if p.pair_id in pairs and p.label != ablation.variant)
        variants.append(list(others))
    work = partial(profile, ablation=ablation, layers=plan.layers)
    name = f"profile {ablation.name}"
    some_of = (
        (variant, some)
        for variant, prompts in enumerate(variants)
        for some in in_texts(prompts, stages.crew.together("survey"))
    )
    parts = [
        Task(name, work, some, {"variant": variant}, len(some), index=index, sums=True)
        for index, (variant, some) in enumerate(some_of)
    ]
    finish = partial(profile_layer, ablation=ablation, also=also)

    def rows_of(sums: Sums) -> Iterator[Task]:
        for index, layer in enumerate(plan.layers):
            given = {"layer": layer, "sums": part_of(sums, str(layer))}
            yield Task(name, finish, given=given, size=1, index=index, label=f"layer {layer}")

    stages.add_up("profile", parts, rows_of, ablation.name, beside=len(plan.layers))


def _prompts(plan: Plan, stage: Stage, ablation: str = "") -> list[Prompt]:
    """The prompts of a stage, in the order of its units."""
    named = {prompt.id: prompt for prompt in plan.prompts}
    return [named[prompt] for unit in plan.units(stage, ablation) for prompt in unit.prompts]
