"""Splits of the organism's families, each with what its controls are drawn by and what its features do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fixtures.training.causes import (
    FILE,
    Causes,
    chosen_prompts,
    prompts_digest,
    sae_of,
    weights_digest,
)
from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.controls import (
    Candidates,
    balance_of,
    candidates_of,
    draw_controls,
    mean_profiles,
)
from harness.analysis.units import Units, units_of
from harness.models.adaptive_batching import BatchLimit
from harness.models.loading import load_model
from harness.models.model_files import ModelFiles
from harness.paths import bundled
from harness.runner.context import RunContext
from harness.runner.prompt_replays import joined
from harness.runner.stages.profile import profile, profile_layer
from harness.runner.sums import part_of
from harness.specs.ablations import Ablation
from harness.specs.clusters import FAMILY
from harness.specs.intervention import Feature
from harness.specs.plan import Plan, make_plan
from harness.specs.prompt_file import load_prompts
from harness.specs.spec import Split as SplitRule
from harness.specs.spec_file import load
from harness.store.tables.observations import EditActivity, FeatureActivity

Floats = NDArray[np.float64]
ORGANISM = bundled("fixtures", "organism")
COMMITTED = ORGANISM / FILE
ALPHA = 0.05
CONTROLS = 99


class OtherCauses(Exception):
    """The causes are not of this organism or its prompts."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{FILE} is of other {what}: write it again with `python -m fixtures.training --causes`"
        )


@dataclass(frozen=True)
class Split:
    """One division of the families: what features are like on the discovering ones, and who confirms.

    `confirms` (families,) bool; `impact` (n, confirming) has the candidates' own impacts in nats, and
    `units` what each confirming family is of: a principle, or in a trial of few families itself.
    """

    ablation: Ablation
    candidates: Candidates
    confirms: NDArray[np.bool_]
    impact: Floats
    units: Units

    def added(self, sets: Sequence[Sequence[Feature]]) -> Floats:
        """The sums of the features' own impacts, (n_sets, confirming)."""
        return np.array([self.impact[self.candidates.of(one)].sum(axis=0) for one in sets])

    def impacts(
        self, sets: Sequence[Sequence[Feature]], values: Floats, *, balanced: bool
    ) -> AblationImpacts:
        """What a run would find of these `sets`, the target's first, with `values` (n_sets, confirming).

        How like its controls the target is counts where they are to be `balanced`.
        """
        found = balance_of(self.candidates, sets[0], sets[1:]) if balanced else []
        return AblationImpacts(
            self.ablation,
            values[0],
            values[1:],
            self.units,
            profiles=mean_profiles(self.candidates, sets),
            balance={one.property: one.difference for one in found},
            planned=len(sets) - 1,
        )

    def matched(self, target: Sequence[Feature], seed: int) -> list[tuple[Feature, ...]]:
        """The target, and controls as a run draws them: from leaves of features that are alike here."""
        controls = draw_controls(self.candidates, target, sets=CONTROLS, alpha=ALPHA, seed=seed)
        return [tuple(target), *controls]


def splits(causes: Causes, count: int, organism: Path = ORGANISM) -> Iterator[Split]:
    """Splits of the families by `evals/voices.yaml`, and by so many other seeds that there are `count`.

    In a trial of few families these are split, and count, one by one: there are too few principles.
    Features are profiled by the stage of a run, on all discovery prompts. The candidates are those that
    fire on a prompt of `causes`. Raises `OtherCauses` where these are not of this organism and its prompts.
    """
    file = load(bundled("evals", "voices.yaml"))
    prompts = load_prompts(bundled("data", "voices.jsonl"))
    chosen = chosen_prompts(prompts, len(causes.family) if causes.is_limited else 0)
    if causes.prompts_sha256 != prompts_digest(chosen):
        raise OtherCauses("prompts")
    if causes.weights_sha256 != weights_digest(organism):
        raise OtherCauses("weights")
    model = load_model(ModelFiles(organism, "organism"))
    layers = tuple(sorted(set(causes.layer.tolist())))
    saes = {layer: sae_of(organism, layer, model.width) for layer in layers}
    context = RunContext("causes", "stand-in", model, saes.__getitem__, BatchLimit(32))
    norms = {layer: sae.w_dec.norm(dim=1).double().numpy() for layer, sae in saes.items()}
    prompts = tuple(prompt for prompt in prompts if prompt.family in set(causes.family.tolist()))
    for number in range(count):
        rule = SplitRule() if causes.is_limited else file.spec.split
        rule = rule.model_copy(update={"seed": file.spec.split.seed + number})
        spec = file.spec.model_copy(update={"split": rule})
        plan = make_plan(spec, file.targets["organism"], prompts)
        yield _split(context, plan, causes, norms)


def _split(
    context: RunContext,
    plan: Plan,
    causes: Causes,
    norms: dict[int, Floats],
) -> Split:
    (ablation,) = (one for one in plan.ablations if one.name == "top")
    shown = [one for one in plan.of("discovery") if one.label == ablation.variant]
    layers = tuple(norms)
    plan = replace(plan, layers=layers)
    sums = profile(context, ablation, layers, 0, shown)
    fires = joined(
        EditActivity,
        [
            table
            for layer in layers
            for table in profile_layer(context, ablation, layer, (), part_of(sums, str(layer)))
        ],
    )
    features = list(zip(causes.layer.tolist(), causes.feature.tolist(), strict=True))
    activity = FeatureActivity.of(
        {"layer": layer, "feature": feature, "decoder_norm": norms[layer][feature]}
        for layer, feature in features
    )
    known = set(features)
    edited = EditActivity.of(row for row in fires.rows() if (row["layer"], row["feature"]) in known)
    candidates = candidates_of(ablation, activity, edited)
    # A family that is left out of the plan is on neither side.
    sides = [plan.sides.get(family, "") for family in causes.family.tolist()]
    confirms = np.array(sides) == "confirmation"
    units = units_of(
        plan, causes.family[confirms], FAMILY if causes.is_limited else plan.spec.cluster
    )
    place = {feature: i for i, feature in enumerate(features)}
    order = [place[feature] for feature in candidates.features]
    impact = causes.impact[order][:, confirms].astype(np.float64)
    return Split(ablation, candidates, confirms, impact, units)
