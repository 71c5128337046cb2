"""Verdicts on decoys that are answered by exactly the claimed share: how often they say otherwise."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from benchmarks.calibration_rows import Row
from harness.analysis.decoy_verdicts import SetContrast, judge_decoy
from harness.analysis.units import Units
from harness.specs.edit_claims import DecoyClaim
from harness.store.tables.interventions import Decoys

ALPHA = 0.05
PAIRS = 4
SHARE = 0.5
TRAIT = 5.0  # what the set answers the trait by, in standard deviations of a pair
CLAIM = DecoyClaim(name="c", decoy="a", prompts="d", less_than=SHARE)


def decoy_verdicts(replicates: int) -> Iterator[Row]:
    """Of two samples whose ratio is the claimed one: one kind of decoy or three, many families or few."""
    replicates = max(60, replicates // 10)
    for confirming, families in ((20, 20), (20, 8), (8, 20)):
        for kinds in (1, 3):
            random = np.random.default_rng(confirming + kinds)
            found = Counter(
                judge_decoy(
                    _rows(random, kinds, families), CLAIM, _trait(random, confirming), ALPHA
                ).verdict
                for _ in range(replicates)
            )
            for verdict in ("supported", "refuted"):
                what = (
                    f"decoys of {families} families at the claimed share of {confirming}, {kinds} "
                    f"kind{'s' * (kinds > 1)}: {verdict}"
                )
                # Either side is half of a two-sided test.
                yield Row("verdicts", what, ALPHA / 2, "at most", found[verdict], replicates)


def _values(random: np.random.Generator, mean: float, families: int) -> np.ndarray:
    own = np.repeat(random.normal(0, 1, families), PAIRS)
    return np.asarray(mean + own + random.normal(0, 1, len(own)))


def _trait(random: np.random.Generator, families: int) -> SetContrast:
    units = np.repeat([f"f{i}" for i in range(families)], PAIRS)
    return SetContrast(_values(random, TRAIT, families), Units.by_family(units), {(0, 0): 1.0})


def _rows(random: np.random.Generator, kinds: int, families: int) -> Decoys:
    """Each pair's contrast as the value of one feature in the misconception variant."""
    return Decoys.of(
        {
            "file": "d",
            "decoy": str(kind),
            "family": f"d{pair // PAIRS}",
            "pair_id": f"{kind}-{pair}",
            "label": "misconception",
            "layer": 0,
            "feature": 0,
            "value": float(value),
        }
        for kind in range(kinds)
        for pair, value in enumerate(_values(random, SHARE * TRAIT, families))
    )
