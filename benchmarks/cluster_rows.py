"""Claims about a mean over families that hang together by principle: what families promise, and principles.

Impacts of two families of a principle correlate by .73, as was measured of an ablation's. Where principles'
own effects are skewed, lognormal about 0, nothing is promised, as of skewed families.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration_rows import Row
from harness.analysis.mean_verdicts import Bound, judge_mean, side_of
from harness.analysis.units import Units
from harness.analysis.verdict import Verdict
from harness.stats.max_t import paired_max_t

Floats = NDArray[np.float64]
Random = np.random.Generator
ALPHA = 0.05
CORRELATION = 0.73
SIZES = (1, 2, 3, 4, 5, 6, 7, 1, 3, 5, 7, 2, 6, 4, 1, 3)  # families of each principle
EVEN = (6,) * 16
CANDIDATES = 20
BLANK = Verdict("c", "ablation", "nats")
DESIGN = f"{len(SIZES)} principles of 1 to 7 families, correlation {CORRELATION}"


def clustered(random: Random, sizes: tuple[int, ...], skewed: bool, features: int = 1) -> Floats:
    """Impacts of variance 1 and mean 0, (features, n_families), the families in order of their principles."""
    shape = features, len(sizes)
    own = random.normal(size=shape)
    if skewed:
        own = (random.lognormal(size=shape) - np.exp(0.5)) / np.sqrt(np.e * (np.e - 1))
    shared = np.repeat(own, sizes, axis=1)
    alone = random.normal(size=shared.shape)
    return np.asarray(np.sqrt(CORRELATION) * shared + np.sqrt(1 - CORRELATION) * alone)


def units_of(sizes: tuple[int, ...]) -> tuple[Units, Units]:
    """Each family by itself, and the families put together by principle."""
    families = [f"f{i:03}" for i in range(sum(sizes))]
    principles = [f"p{i:02}" for i, size in enumerate(sizes) for _ in range(size)]
    of = dict(zip(families, principles, strict=True))
    return Units.by_family(families), Units.by(families, of, "principle")


def principles(replicates: int) -> Iterator[Row]:
    """Of a mean of 0: how often it is called above or below, and within a margin, and intervals hold it."""
    replicates = max(100, replicates // 4)
    for skewed in (False, True):
        kind = "skewed" if skewed else "normal"
        random = np.random.default_rng(16 + skewed)
        drawn = clustered(random, SIZES, skewed, replicates)
        for units in units_of(SIZES):
            of_principles = units.tag == "principle"
            by = f"{kind}, {DESIGN}: by {units.tag}"
            promise = "at most" if of_principles and not skewed else "none"
            p = paired_max_t(drawn.T, units=units.of, statistic="mean").p_marginal
            yield Row(
                "clusters", f"{by}, flips", ALPHA, promise, int((p <= ALPHA).sum()), replicates
            )
            sides = [side_of(values, units, 0.0, ALPHA) for values in drawn]
            called = sum(side.rejects for side in sides)
            yield Row(
                "clusters", f"{by}, called above or below", ALPHA, promise, called, replicates
            )
            held = sum(side.low <= 0 <= side.high for side in sides)
            exactly = "equal" if promise == "at most" else "none"
            yield Row("clusters", f"{by}, interval holds it", 1 - ALPHA, exactly, held, replicates)
            same = Counter(
                judge_mean(BLANK, 0.4 + values, units, Bound(0.0, 0.4), 0, ALPHA).verdict
                for values in drawn[: max(100, replicates // 4)]
            )
            what = f"{by}, called within a margin that it lies on"
            yield Row("clusters", what, ALPHA, promise, same["supported"], same.total())


def selected(replicates: int) -> Iterator[Row]:
    """The strongest of some features that all do nothing on average: how often it is called above 0.

    It is chosen on half of the families, of the principles that confirm or of others.
    """
    replicates = max(100, replicates // 4)
    # Half of each principle's families, or all families of half of the principles.
    halves = {
        "the same": np.tile([True] * 3 + [False] * 3, len(EVEN)),
        "other": np.repeat([True, False] * (len(EVEN) // 2), EVEN),
    }
    _, units = units_of(EVEN)
    for which, discovers in halves.items():
        random = np.random.default_rng(3)
        own = Units(units.of[~discovers], units.families[~discovers], units.tag)
        hits = 0
        for _ in range(replicates):
            drawn = clustered(random, EVEN, False, CANDIDATES)
            best = drawn[drawn[:, discovers].mean(axis=1).argmax()]
            side = side_of(best[~discovers], own, 0.0, ALPHA)
            hits += side.rejects and side.sign > 0
        what = (
            f"the strongest of {CANDIDATES} features, chosen on families of {which} principles, "
            f"{len(EVEN)} of {EVEN[0]}: by principle, called above"
        )
        promise = "at most" if which == "other" else "none"
        yield Row("clusters", what, ALPHA / 2, promise, hits, replicates)
