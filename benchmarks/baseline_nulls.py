"""Claims that a set does more than its baseline, of sets that do as much: how often they are supported.

Impacts are made up: families have effects of their own, which the set and its baseline share in part; what
they do not share is normal, or lognormal about a mean of 0, turned either way. The set moves the answers by
itself, so that the difference alone is what decides.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration_rows import Row
from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.ablation_verdicts import judge_ablation
from harness.analysis.units import Units
from harness.specs.ablations import Ablation
from harness.specs.edit_claims import AblationClaim

Floats = NDArray[np.float64]
Random = np.random.Generator
ALPHA, PAIRS, LEVEL = 0.05, 2, 3.0
ABLATION = Ablation.model_validate({"name": "a", "select": {"by": "contrast"}})
CLAIM = AblationClaim.model_validate(
    {"name": "c", "ablation": "a", "direction": "toward-correct", "beyond": "mean-difference"}
)
# Which way what a set does beyond its baseline is skewed, if at all.
SKEWS = {"normal": 0.0, "skewed upward": 1.0, "skewed downward": -1.0}


def impacts_of(random: Random, families: int, skew: float, more: float = 0.0) -> AblationImpacts:
    """Impacts of a set and of its baseline, of which the set does `more` on average."""
    units = np.repeat(np.arange(families), PAIRS)
    shared = LEVEL + random.normal(0, 1.0, families)[units]
    apart = random.normal(0, 0.5, families)
    if skew:
        apart = skew * 0.5 * (random.lognormal(0, 1, families) - np.exp(0.5))
    noise = random.normal(0, 0.2, (2, len(units)))
    return AblationImpacts(
        ABLATION,
        shared + more + apart[units] + noise[0],
        np.zeros((0, len(units))),
        Units.by_family(units),
        baselines={"mean-difference": shared + noise[1]},
    )


def baseline_verdicts(replicates: int) -> Iterator[Row]:
    """Of sets that do exactly as much as their baseline, and of one that does half a nat more."""
    replicates = max(60, replicates // 10)
    for families in (6, 12):
        for name, skew in SKEWS.items():
            found = _judged(families, skew, replicates)
            what = f"as much as its baseline, {families} families, {name}"
            for verdict in ("supported", "refuted"):
                promise = "none" if skew else "at most"
                hits = found[verdict]
                yield Row("baselines", f"{what}: {verdict}", ALPHA, promise, hits, replicates)
        found = _judged(families, 0.0, replicates, more=0.5)
        what = f"half a nat more than its baseline, {families} families: supported"
        yield Row("baselines", what, 1.0, "none", found["supported"], replicates)


def _judged(families: int, skew: float, replicates: int, more: float = 0.0) -> Counter[str]:
    random = np.random.default_rng([families, int(skew) + 1, int(2 * more)])
    return Counter(
        judge_ablation(impacts_of(random, families, skew, more), CLAIM, ALPHA).verdict
        for _ in range(replicates)
    )
