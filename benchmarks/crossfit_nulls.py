"""Claims that hold on several splits, of features of which none does anything: how often they are supported.

Families' differences in features and what an edit of each does to the answers are made up. They go together
within a family, so that a feature which is selected seems to do more to the families that select it; each
split confirms on the other families. What an edit does has a mean of 0 and is normal or lognormal, and what a
family does after any edit makes splits hang together.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration_rows import Row
from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.ablation_verdicts import judge_ablation
from harness.analysis.crossfits import combine
from harness.analysis.units import Units
from harness.analysis.verdict import Verdict
from harness.specs.ablations import Ablation
from harness.specs.crossfit_claim import CrossfitClaim
from harness.specs.edit_claims import AblationClaim
from harness.specs.intervention import Feature
from harness.specs.refits import COMBINED

Floats = NDArray[np.float64]
Random = np.random.Generator
ALPHA, FEATURES, TOP, TOGETHER = 0.05, 40, 3, 0.7
ABLATION = Ablation.model_validate({"name": "a", "select": {"by": "contrast"}, "splits": 2})
HOW = {"name": "c", "direction": "toward-correct", "beyond": "zero"}
CLAIM = CrossfitClaim.model_validate(HOW | {"crossfit": "a"})
ALONE = AblationClaim.model_validate(HOW | {"ablation": "a"})


def families_of(
    random: Random, families: int, skewed: bool, effect: float
) -> tuple[Floats, Floats]:
    """What features differ by, and what the edit of each does, (families, features) both.

    The first `TOP` features differ, and do something, where there is an `effect`.
    """
    shape = families, FEATURES
    differ = random.normal(0, 1, shape)
    does = TOGETHER * differ + np.sqrt(1 - TOGETHER**2) * random.normal(0, 1, shape)
    if skewed:
        does = np.exp(does) - np.exp(0.5)
    does = does + random.normal(0, 0.5, (families, 1))
    strong = effect * (np.arange(FEATURES) < TOP)
    return differ + strong, does + strong


def on_split(
    random: Random, differ: Floats, does: Floats, alpha: float
) -> tuple[Verdict, tuple[Feature, ...]]:
    """One half selects the features that differ most, and the other says what their edit does."""
    order = random.permutation(len(differ))
    half = len(differ) // 2
    chosen, rest = order[:half], order[half:]
    mean, spread = differ[chosen].mean(axis=0), differ[chosen].std(axis=0, ddof=1)
    best = np.argsort(-mean / spread, kind="stable")[:TOP]
    impact = does[np.ix_(rest, best)].mean(axis=1)
    impacts = AblationImpacts(
        ABLATION, impact, np.zeros((0, len(rest))), Units.by_family(np.sort(rest))
    )
    judged = judge_ablation(impacts, ALONE, alpha)
    return judged, tuple((0, int(one)) for one in best)


def crossfit_verdicts(replicates: int) -> Iterator[Row]:
    """Claims about features that do nothing on several splits, and about some that do."""
    replicates = max(60, replicates // 10)
    for families in (16, 40):
        for splits in (2, 5, 10):
            for skewed in (False, True):
                hits = _supported(families, splits, skewed, 0.0, replicates)
                what = f"{splits} splits of {families} families, {'skewed' if skewed else 'normal'}"
                promise = "none" if skewed else "at most"
                yield Row("splits", f"nothing, {what}: supported", ALPHA, promise, hits, replicates)
        for splits in (1, 5):
            hits = _supported(families, splits, False, 1.0, replicates)
            what = f"an effect of 1 sd, {splits} split{'s' * (splits > 1)} of {families} families: supported"
            yield Row("splits", what, 1.0, "none", hits, replicates)


def _supported(families: int, splits: int, skewed: bool, effect: float, replicates: int) -> int:
    random = np.random.default_rng([families, splits, skewed, int(effect)])
    hits = 0
    for _ in range(replicates):
        differ, does = families_of(random, families, skewed, effect)
        alpha = ALPHA / COMBINED if splits > 1 else ALPHA
        found = [on_split(random, differ, does, alpha) for _ in range(splits)]
        judged, sets = zip(*found, strict=True)
        verdict = judged[0] if splits == 1 else combine(judged, sets, CLAIM, ALPHA)
        hits += verdict.verdict == "supported"
    return hits
