"""What an ablation did on the confirming families: target and controls, by metric and prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from harness.analysis.ablation_rows import AblationRows
from harness.analysis.impact_matrices import floors_of, impact_matrices, set_profiles
from harness.analysis.shuffled import Shuffled, shuffled_of
from harness.analysis.units import Units, units_of
from harness.specs.ablations import FUTILE, Ablation
from harness.specs.edit_claims import Beyond, MeasuredClaim
from harness.specs.fields import BASELINES, Baseline
from harness.specs.intervention import Feature, Intervention
from harness.specs.metrics import KINDS, LOG_MASS, MetricKind, kind_of
from harness.specs.plan import Plan
from harness.stats import control_rank_p, residual_rank_p
from harness.stats.source_arrangements import ROUNDING

Floats = NDArray[np.float64]
K = TypeVar("K")
# KL and flips only grow.
EITHER_WAY = ("kl", "top1_flips")


@dataclass(frozen=True)
class AblationImpacts:
    """Impacts of one ablation on one metric of the confirming families, in the metric's unit.

    `target` is (n_prompts,), `controls` (n_sets, n_prompts), and `units` what each prompt is of: a family,
    or a cluster of families. `noise` is the largest change of a prompt that is no edit's,
    NaN where that was not measured. `profiles` (1 + n_sets, k) are what the sets are like, the target's
    first, and `balance` how far it lies from its controls in each property; there are none of runs of
    before these were kept. `planned` is how many sets there are, some of which a look may have left out.
    `mass` (1 + n_sets, n_prompts), the target's first, is how far each moves the log of both answers'
    probability together; None of runs of before that was kept. `doses` and `dose_mass` have the same of
    the selected set at each dose, (n_prompts,), by the factor that it is scaled by; `rotated` are the impacts
    of edits as large in random directions, (n, n_prompts), if there are any, and `shuffled` those with values
    of other families' pairs. `complement` (n_prompts,) is what the edit of all other features does, and
    `without` what the set does without a feature, (n_prompts,), by that one, where these were made. `against`
    is what the `controls` are, by the name that claims have for it, and `arranged` the mean impacts of
    arrangements of sources, the true one's first. `ceiling` says which of its features the selection could
    not order, or nothing. `baselines` are the impacts of edits as large along one direction, (n_prompts,), by
    their name. `kind` says the metric's unit, and toward which answer it grows.
    """

    ablation: Ablation
    target: Floats
    controls: Floats
    units: Units
    metric: str = "logit_difference"
    noise: float = np.nan
    profiles: Floats | None = None
    balance: Mapping[str, float] = field(default_factory=dict)
    planned: int = 0
    mass: Floats | None = None
    doses: Mapping[float, Floats] = field(default_factory=dict)
    dose_mass: Mapping[float, Floats] = field(default_factory=dict)
    rotated: Floats | None = None
    shuffled: Shuffled | None = None
    complement: Floats | None = None
    without: Mapping[Feature, Floats] = field(default_factory=dict)
    against: Beyond = "controls"
    arranged: Floats | None = None
    ceiling: str = ""
    baselines: Mapping[Baseline, Floats] = field(default_factory=dict)
    kind: MetricKind = KINDS["logit_difference"]

    @property
    def unit(self) -> str:
        """Of the impacts, as it follows a number."""
        return self.kind.unit

    @property
    def baseline(self) -> Baseline | None:
        """Which of the baselines the `controls` are; None where they are something else."""
        return self.against if self.against in BASELINES else None

    def beside(self, against: Beyond) -> Self:
        """The same with other edits for controls that are as large: of its own features, or a baseline."""
        arranged = None
        if against in self.baselines:
            controls = self.baselines[cast("Baseline", against)][None]
        elif against == "shuffled":
            assert self.shuffled is not None
            controls = self.shuffled.impacts
            arranged = self.shuffled.arranged(self.target, self.units.families)
        else:
            assert self.rotated is not None
            controls = self.rotated
        return replace(
            self,
            controls=controls,
            profiles=None,
            balance={},
            planned=len(controls),
            mass=None if self.mass is None else self.mass[:1],
            against=against,
            arranged=arranged,
        )

    def only(self, mask: NDArray[np.bool_]) -> Self:
        """The same on some of the prompts alone, those that a mask (n_prompts,) holds."""

        def each(found: Mapping[K, Floats]) -> dict[K, Floats]:
            return {key: values[mask] for key, values in found.items()}

        return replace(
            self,
            target=self.target[mask],
            controls=self.controls[:, mask],
            units=self.units.only(mask),
            mass=None if self.mass is None else self.mass[:, mask],
            doses=each(self.doses),
            dose_mass=each(self.dose_mass),
            rotated=None if self.rotated is None else self.rotated[:, mask],
            shuffled=self.shuffled and self.shuffled.only(mask),
            complement=None if self.complement is None else self.complement[mask],
            without=self.without and each(self.without),
            baselines=self.baselines
            and {name: values[mask] for name, values in self.baselines.items()},
        )

    @property
    def beyond(self) -> Floats:
        """Target minus the mean of its controls, (n_prompts,)."""
        return self.target - self.controls.mean(axis=0)

    def rank_p(self, direction: float) -> float:
        """The target's rank among its controls, in the direction +1 (toward correct) or -1.

        Beside what the sets are like, where that is known; of sources, among their arrangements. Raises
        `ValueError` where there is no control, or a mean is not finite.
        """
        if self.arranged is not None:
            true, *others = direction * self.arranged
            rounding = ROUNDING * float(np.abs(self.arranged).max())
            return control_rank_p(float(true) - rounding, others)
        own, others = direction * float(self.target.mean()), direction * self.controls.mean(axis=1)
        if self.profiles is None:
            return control_rank_p(own, others)
        return residual_rank_p(own, others, self.profiles)

    @property
    def is_futile(self) -> bool:
        """Whether more controls could show nothing: the rank is in the middle of those that there are."""
        if not len(self.target):
            return True
        return min(self.rank_p(1.0), self.rank_p(-1.0)) > FUTILE

    @property
    def expected(self) -> float:
        """The direction that the selection expects of this metric."""
        if self.metric in EITHER_WAY:
            return 1.0
        if self.metric in (LOG_MASS, "mass"):
            return -1.0  # what is feared of it
        toward = 1.0 if self.ablation.select.toward == "correct" else -1.0
        return toward * (self.kind.toward or 1.0)


@dataclass(frozen=True)
class Measured:
    """An ablation's impacts by metric, (n_interventions, n_prompts) of `values`, and whether it was `active`.

    `impacts` are the same by target and controls.
    """

    impacts: Mapping[str, AblationImpacts]
    values: Mapping[str, Floats]
    active: Floats


def ablation_impacts(
    plan: Plan,
    ablation: Ablation,
    rows: AblationRows,
    own_units: Mapping[str, str] = MappingProxyType({}),
) -> Measured:
    """What an ablation's interventions did on the confirming prompts, as far as they were measured.

    `own_units` are those of registered metrics.
    """
    planned = sum(one.role == "control" for one in rows.interventions)
    rows = rows.measured()
    edited = (prompt for prompt in plan.of("confirmation") if prompt.label == ablation.variant)
    prompts = sorted(edited, key=lambda prompt: prompt.id)
    units = units_of(plan, [prompt.family for prompt in prompts], plan.spec.cluster)
    values, active = impact_matrices(rows, prompts)
    # A metric that was never measured is NaN, and no test takes it for 0.
    for metric in _asked(plan):
        values.setdefault(metric, np.full(active.shape, np.nan))
    roles = np.array([edit.role for edit in rows.interventions])
    floors = floors_of(rows, values, roles == "no-op")
    profiles = set_profiles(ablation, rows)
    balance = dict(zip(rows.balance.property, rows.balance.difference, strict=True))
    ceiling = next((one.ceiling for one in rows.interventions if one.role == "target"), "")
    moved = values.get(LOG_MASS)
    mass = None if moved is None else np.r_[moved[roles == "target"], moved[roles == "control"]]
    factors = {
        edit.values[0]: i for i, edit in enumerate(rows.interventions) if edit.role == "dose"
    }
    rest = next((i for i, one in enumerate(roles) if one == "complement"), None)
    left_out = _left_out(rows.interventions)

    def by_dose(metric: str) -> dict[float, Floats]:
        return {f: values[metric][i] for f, i in factors.items()} if metric in values else {}

    impacts = {
        metric: AblationImpacts(
            ablation,
            matrix[roles == "target"][0],
            matrix[roles == "control"],
            units,
            metric,
            floors.get(metric, np.nan),
            profiles,
            balance,
            planned,
            mass,
            by_dose(metric),
            by_dose(LOG_MASS),
            matrix[roles == "rotated"] if (roles == "rotated").any() else None,
            shuffled_of(plan, rows.interventions, rows.impacts, prompts, matrix),
            None if rest is None else matrix[rest],
            {feature: matrix[i] for feature, i in left_out.items()},
            ceiling=ceiling,
            baselines=_baselines(rows.interventions, matrix),
            kind=kind_of(metric, own_units),
        )
        for metric, matrix in values.items()
    }
    return Measured(impacts, values, active)


def _baselines(interventions: Sequence[Intervention], matrix: Floats) -> dict[Baseline, Floats]:
    """Those of them that are baselines, by name, from (n_interventions, n_prompts)."""
    return {one.baseline: matrix[i] for i, one in enumerate(interventions) if one.baseline}


def _left_out(interventions: Sequence[Intervention]) -> dict[Feature, int]:
    """Which of an ablation's interventions is the set without a feature, by that one, in the set's order."""
    (members,) = (one.features for one in interventions if one.role == "target")
    places = {one.number: i for i, one in enumerate(interventions) if one.role == "without"}
    return {members[number]: places[number] for number in sorted(places)}


def _asked(plan: Plan) -> set[str]:
    """The metrics in which the spec, or a claim, asks for impacts."""
    claims = plan.spec.claims_on(plan.target.name)
    asked = {plan.spec.metric_of(one) for one in claims if isinstance(one, MeasuredClaim)}
    return asked | {plan.spec.metric}
