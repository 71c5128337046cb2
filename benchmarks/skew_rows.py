"""Claims about a mean over families whose impacts are skewed, or zero but for few: what is called in error.

No test of a mean holds its level under every skew (Bahadur and Savage 1956): these rows promise nothing and
show how much is lost.
"""

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration_rows import Row
from harness.analysis.mean_verdicts import Bound, judge_mean
from harness.analysis.units import Units
from harness.analysis.verdict import Verdict

Floats = NDArray[np.float64]
Random = np.random.Generator
ALPHA = 0.05
BLANK = Verdict("c", "behaviour", "nats")


def lognormal(random: Random, families: int) -> Floats:
    """Skewed, of mean 0."""
    return np.asarray(random.lognormal(size=families) - np.exp(0.5))


def one_in_ten(random: Random, families: int) -> Floats:
    """Of mean 0: a little below it, but for one family in ten that lies far above."""
    far = random.random(families) < 0.1
    return np.asarray(np.where(far, 9.0, -1.0) + random.normal(0, 0.1, families))


def one_in_twenty(random: Random, families: int) -> Floats:
    """Of mean 1.2, all of it in one family in twenty."""
    far = random.random(families) < 0.05
    return np.asarray(np.where(far, 24.0, 0.0) + random.normal(0, 0.1, families))


def normal(random: Random, families: int) -> Floats:
    """Symmetric, of mean 0."""
    return np.asarray(random.normal(size=families))


def skewed(replicates: int) -> Iterator[Row]:
    """Claims that are not true: how often they are decided all the same."""
    replicates = max(100, replicates // 10)
    draws: dict[str, Callable[[Random, int], Floats]] = {
        "normal": normal,
        "lognormal": lognormal,
        "far in one family of ten": one_in_ten,
    }
    for families in (7, 12, 20):
        for name, draw in draws.items():
            found = _verdicts(draw, families, Bound(0.0, None), replicates)
            hits = found["supported"] + found["refuted"]
            what = f"mean 0, {name}, {families} families: called above or below"
            yield Row(
                "skew", what, ALPHA, "at most" if draw is normal else "none", hits, replicates
            )
        found = _verdicts(one_in_twenty, families, Bound(0.0, 1.0), replicates)
        what = f"mean 1.2, carried by one family of twenty, {families} families: within 1"
        yield Row("skew", what, ALPHA, "none", found["supported"], replicates)


def _verdicts(
    draw: Callable[[Random, int], Floats], families: int, bound: Bound, replicates: int
) -> Counter[str]:
    random = np.random.default_rng(families)
    units = Units.by_family(np.arange(families))
    return Counter(
        judge_mean(BLANK, draw(random, families), units, bound, 1, ALPHA).verdict
        for _ in range(replicates)
    )
