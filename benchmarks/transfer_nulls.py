"""Claims of transfer at exactly the claimed share: how often they say otherwise, under skew and with few."""

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.calibration_rows import Row
from harness.analysis.source_impacts import Sample
from harness.analysis.transfer_verdicts import judge_transfers
from harness.analysis.units import Units
from harness.specs.edit_claims import TransfersClaim

ALPHA = 0.05
PAIRS = 2
SHARE = 0.5
THERE = 3.0  # what the set does there, in standard deviations of a family
CLAIM = TransfersClaim(name="c", transfers="a", than=SHARE)
SIZES = ((8, 8), (12, 12), (24, 24), (8, 24), (24, 8))  # families here, and there

# Of mean 0 and standard deviation 1: how a family's impact lies about the mean.
SHAPES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda random, n: random.normal(size=n),
    "skewed": lambda random, n: (random.lognormal(0, 1, n) - np.exp(0.5)) / 2.1612,
    "skewed the other way": lambda random, n: -SHAPES["skewed"](random, n),
}


def transfer_verdicts(replicates: int) -> Iterator[Row]:
    """Two samples whose means are in the claimed ratio; then some that do as much here as there."""
    replicates = max(60, replicates // 4)
    for shape in SHAPES:
        for here, there in SIZES:
            found = verdicts(shape, SHARE, here, there, replicates)
            design = f"{here} families at the claimed share of {there}, {shape}"
            for verdict in ("supported", "refuted"):
                # Either side is half of a two-sided test. Under skew no test of a mean is exact.
                bound = "none" if shape != "normal" else "at most"
                what = f"transfer, {design}: {verdict}"
                yield Row("verdicts", what, ALPHA / 2, bound, found[verdict], replicates)
    for here, there in SIZES:
        found = verdicts("normal", 1.0, here, there, replicates)
        what = (
            f"transfer, {here} families do as much as {there}, more than half is claimed: supported"
        )
        yield Row("verdicts", what, 1.0, "none", found["supported"], replicates)


def verdicts(shape: str, share: float, here: int, there: int, replicates: int) -> Counter[str]:
    """How often each word is said where the impact here is such a share of that there."""
    random = np.random.default_rng(here * 100 + there)
    return Counter(
        judge_transfers(
            _sample(random, shape, share * THERE, here, "h"),
            _sample(random, shape, THERE, there, "t"),
            CLAIM,
            ALPHA,
        ).verdict
        for _ in range(replicates)
    )


def _sample(random: np.random.Generator, shape: str, mean: float, n: int, name: str) -> Sample:
    families = [f"{name}{i}" for i in range(n)]
    values = np.repeat(mean + SHAPES[shape](random, n), PAIRS)
    values += 0.3 * random.normal(size=len(values))
    texts = {family: frozenset({family}) for family in families}
    return Sample(values, Units.by_family(np.repeat(families, PAIRS)), texts)
