"""Where a verdict's estimate comes from: the figures that it is made of, which the page's parts show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from harness.errors import InputError
from harness.reports.html.impact_figures import (
    ImpactFigure,
    as_large,
    beside_baseline,
    beside_controls,
)
from harness.reports.run_data import Row, query_rows, table_rows
from harness.specs.claims import ROLES, BehaviourClaim, Claim, FeatureClaim
from harness.specs.edit_claims import AblationClaim, Beyond
from harness.specs.known_features import load_truth
from harness.specs.metrics import KINDS, Metric, kind_of, metric_words
from harness.specs.prompt import Label
from harness.specs.spec import Spec
from harness.specs.target_choice import TargetChoice
from harness.specs.targets import resolve
from harness.specs.variants import Variants
from harness.store.find_run import Run
from harness.store.interface import ReadStore
from harness.store.tables.results import AblationTests, BaselineTests, FeatureTests
from harness.store.tables.runs import Prompts, PromptTags

Key = tuple[int, int]
Part = tuple[Metric, tuple[tuple[str, str], ...]]  # a metric, and the tags of the prompts
# What the other claims about edits are made of: their figures are in the sentence beneath.
_MADE_OF = {
    "share": "the target's own impact, divided by what the variants differ by",
    "monotone": "the slope of the impact over the doses, by what is taken away of the features",
    "specific": "the target's impact on the prompts of the other variant",
    "collateral": "what the target's edit changes on other prompts",
    "stable": "the share of the halves that select the least stable of its features",
    "complement": "the impact of all other features of its layers, as it is or as a share of the difference",
    "needed": "the target's own impact, minus its impact without the member that adds least",
    "tokens": "what their tokens alone give the target's features in neutral texts, as a share of their own "
    "activation",
    "crossfit": "the median over the splits of what the edit does beyond its controls, or by itself",
    "transfers": "the target's own impact here, divided by its impact where its features were frozen",
    "decoy": "what the target's features answer the worst decoy by, divided by what they answer the trait by",
}


@dataclass(frozen=True)
class BehaviourMeans:
    """Means of one metric over the confirming families' pairs, in its unit, after either variant."""

    metric: Metric
    after_correct: float
    after_misconception: float
    n_pairs: int
    shared: bool  # whether the variants of every pair share their prompt, and so their value
    claims: tuple[BehaviourClaim, ...]
    variants: Variants = ROLES

    @property
    def name(self) -> str:
        """The metric in words."""
        return metric_words(self.metric, self.variants) + self.claims[0].where_in_words

    @property
    def unit(self) -> str:
        """Of its means."""
        return kind_of(self.metric).unit

    @property
    def difference(self) -> float:
        """What a claim with `contrast` is about."""
        return self.after_correct - self.after_misconception

    @property
    def mean(self) -> float:
        """What a claim without `contrast` is about."""
        return (self.after_correct + self.after_misconception) / 2


@dataclass(frozen=True)
class Derivation:
    """What an estimate is made of, as a sentence, and the part of the page that shows it.

    `features` are those that are counted, where their names are known here.
    """

    words: str
    anchor: str
    part: str
    features: tuple[Key, ...] = ()


_MEANS = {
    "directions": "as large random edits",
    "shuffled": "the same edit with sources of other families",
}


@dataclass(frozen=True)
class Figures:
    """All that the estimates of a run are made of."""

    behaviour: Mapping[Part, BehaviourMeans]
    on_metric: Mapping[tuple[str, str], Row]  # each ablation's target, by its name and the metric
    metric: str
    significant: Sequence[Key]
    tested: int
    alpha: float
    known: frozenset[Key]
    # What its baselines do, by the ablation, the metric and the baseline's name.
    baselines: Mapping[tuple[str, str, str], Row]

    def derive(self, claim: Claim) -> Derivation | None:
        """Of a claim's estimate; None where there is none."""
        if isinstance(claim, BehaviourClaim):
            return self._of_behaviour(claim)
        if isinstance(claim, FeatureClaim):
            return self._of_features(claim)
        if isinstance(claim, AblationClaim):
            return self._of_ablation(claim)
        return Derivation(
            _MADE_OF[claim.kind], f"ablation-{claim.edit}", f"Ablations, {claim.edit}"
        )

    def of_ablation(self, name: str, claims: Sequence[Claim]) -> list[ImpactFigure]:
        """Its own impact; where it has controls or baselines, theirs, and the target minus these."""
        if (row := self.on_metric.get((name, self.metric))) is None or row["mean_impact"] is None:
            return []

        def about(beyond: str) -> tuple[str, ...]:
            mine = (one for one in claims if isinstance(one, AblationClaim))
            of_metric = (c for c in mine if c.metric in (None, self.metric))
            return tuple(c.name for c in of_metric if (c.ablation, c.beyond) == (name, beyond))

        own = ImpactFigure(
            "the target's own impact",
            row["mean_impact"],
            row["ci_low"],
            row["ci_high"],
            row["p"],
            # A claim beyond controls is about the impact by itself as well.
            tuple(name for beyond in get_args(Beyond) for name in about(beyond)),
        )
        figures = [own]
        if row["mean_control"] is not None and row["beyond_controls"] is not None:
            figures += beside_controls(row, about("controls"))
        for (ablation, metric, baseline), found in self.baselines.items():
            if (ablation, metric) == (name, self.metric):
                figures += beside_baseline(found, about(baseline))
        return figures

    def _of_behaviour(self, claim: BehaviourClaim) -> Derivation | None:
        if (means := self.behaviour.get(_part_of(claim))) is None:
            return None
        correct = f"{means.after_correct:+.3f} after the {means.variants.correct} variants"
        confused = (
            f"{means.after_misconception:+.3f} after the {means.variants.misconception} variants"
        )
        if claim.contrast:
            words = f"{correct} minus {confused}, over {means.n_pairs} pairs"
        elif means.shared:
            words = f"the mean over {means.n_pairs} pairs, whose variants share their prompt"
        else:
            words = f"the mean of {correct} and {confused}, over {means.n_pairs} pairs"
        if claim.beyond == "baseline":
            words = f"{words}; minus the same of their sentences without the scenes"
        words += claim.where_in_words
        return Derivation(words, "behaviour", "Behaviour")

    def _of_features(self, claim: FeatureClaim) -> Derivation | None:
        if not self.tested:
            return None
        known = claim.features == "truth"
        words = (
            f"the number of {'known ' if known else ''}features with an adjusted p of at most "
            f"{self.alpha:g}"
        )
        if claim.among:
            words = f"{words}, of those that ablation {claim.among} edits"
        counted = tuple(key for key in self.significant if known and key in self.known)
        return Derivation(words, "layers", "Layers", counted)

    def _of_ablation(self, claim: AblationClaim) -> Derivation | None:
        metric = claim.metric or self.metric
        row = self.on_metric.get((claim.ablation, metric))
        if row is None or row["mean_impact"] is None:
            return None
        own, controls, unit = row["mean_impact"], row["mean_control"], kind_of(metric).unit
        anchor, part = f"ablation-{claim.ablation}", f"Ablations, {claim.ablation}"
        if claim.beyond == "zero":
            return Derivation(f"the target's own impact, {own:+.3f} {unit}", anchor, part)
        if beside := self.baselines.get((claim.ablation, metric, claim.beyond)):
            rival = f"{as_large(claim.beyond)}, {beside['baseline_impact']:+.3f} {unit}"
            words = f"the target's own impact, {own:+.3f} {unit}, minus that of {rival}"
            return Derivation(words, anchor, part)
        if claim.beyond in _MEANS:
            words = f"the target's own impact, {own:+.3f} {unit}, minus the mean of {_MEANS[claim.beyond]}"
            return Derivation(words, anchor, part)
        if controls is None:
            return None
        words = (
            f"the target's own impact, {own:+.3f} {unit}, minus the mean of its {row['n_controls']} "
            f"controls, {controls:+.3f} {unit}"
        )
        return Derivation(words, anchor, part)


def figures_of(store: ReadStore, run: Run, spec: Spec) -> Figures:
    """Those of a run; what it has not is left out."""
    run_id = run["run_id"]
    tests = table_rows(store, FeatureTests, run_id, split="confirmation")
    targets = table_rows(store, AblationTests, run_id, role="target")
    behaviour = _behaviour_means(store, run, spec)
    return Figures(
        behaviour={_part_of(means.claims[0]): means for means in behaviour},
        on_metric={(row["ablation"], row["metric"]): row for row in targets},
        metric=run["metric"],
        significant=sorted(
            (row["layer"], row["feature"])
            for row in tests
            if row["p_adjusted"] is not None and row["p_adjusted"] <= run["alpha"]
        ),
        tested=len(tests),
        alpha=run["alpha"],
        known=_known_features(run, spec),
        baselines={
            (row["ablation"], row["metric"], row["baseline"]): row
            for row in table_rows(store, BaselineTests, run_id)
        },
    )


def _behaviour_means(store: ReadStore, run: Run, spec: Spec) -> list[BehaviourMeans]:
    """One a metric, and part of the prompts, that some claim is about, in the order of the spec."""
    prompts = table_rows(store, Prompts, run["run_id"], split="confirmation")
    label_of: dict[str, Label] = {row["prompt_id"]: row["label"] for row in prompts}
    pairs = {row["pair_id"] for row in prompts}
    shared = len({(row["pair_id"], row["prompt"]) for row in prompts}) == len(pairs)
    tags = {
        (row["prompt_id"], row["tag"], row["value"])
        for row in table_rows(store, PromptTags, run["run_id"])
    }
    claims: dict[Part, list[BehaviourClaim]] = {}
    for claim in spec.claims_on(run["target"]):
        # A registered metric is a function that need not be here.
        if isinstance(claim, BehaviourClaim) and claim.behaviour in KINDS:
            claims.setdefault(_part_of(claim), []).append(claim)
    means = []
    for (metric, where), about in claims.items():
        values: dict[Label, list[float]] = {"correct": [], "misconception": []}
        for row in query_rows(store, "evidence", run=run["run_id"], claim=about[0].name):
            asked = all((row["prompt_id"], *one) in tags for one in where)
            if asked and row["value"] is not None:
                values[label_of[row["prompt_id"]]].append(row["value"])
        correct, confused = values["correct"], values["misconception"]
        if correct and len(correct) == len(confused):
            n = len(correct)
            after = sum(correct) / n, sum(confused) / n
            means.append(BehaviourMeans(metric, *after, n, shared, tuple(about), spec.variants))
    return means


def _part_of(claim: BehaviourClaim) -> Part:
    """What a claim's mean is of: a metric, and the tags of the prompts that count."""
    return claim.behaviour, tuple(sorted(claim.where.items()))


def _known_features(run: Run, spec: Spec) -> frozenset[Key]:
    """Those that the run's target is known to have; none where nothing here says so."""
    try:
        target = resolve(run["target"], spec.targets.get(run["target"], TargetChoice()))
    except InputError:
        return frozenset()
    return frozenset((one.layer, one.feature) for one in load_truth(target) or ())
