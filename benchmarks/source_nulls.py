"""The rank of a prompt's own pair among other families' sources, where it does not matter whose it has.

Impacts are made up: what a family does with another's values has a part of the one, a part of the other, and
a part of both together.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration_rows import Row
from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.ablation_verdicts import judge_ablation
from harness.analysis.shuffled import Shuffled
from harness.analysis.units import Units
from harness.specs.ablations import Ablation
from harness.specs.edit_claims import AblationClaim
from harness.stats import control_rank_p

Floats = NDArray[np.float64]
Places = NDArray[np.intp]
Random = np.random.Generator
ALPHA = 0.05
PAIRS = 2
JUDGED = 12  # families of which the whole claim is judged: with more it takes longer
ABLATION = Ablation.model_validate({"name": "a", "select": {"by": "contrast"}})
TOWARD = AblationClaim.model_validate(
    {"name": "c", "ablation": "a", "direction": "toward-correct", "beyond": "shuffled"}
)


def circled(random: Random, families: int, edits: int) -> Places:
    """Whose values each family has in so many shuffled edits, as `specs.shuffled_sources` deals them."""
    circle = random.permutation(families)
    dealt = np.zeros((edits, families), np.intp)
    for row, step in zip(dealt, random.permutation(np.arange(1, families)), strict=False):
        row[circle] = np.roll(circle, -step)
    return dealt


def deranged(random: Random, families: int, edits: int) -> Places:
    """The same, each edit drawn by itself: none has its own, and two may have the same."""
    dealt: list[Places] = []
    while len(dealt) < edits:
        one = random.permutation(families)
        if (one != np.arange(families)).all():
            dealt.append(one)
    return np.array(dealt)


def impacts_of(random: Random, dealt: Places) -> AblationImpacts:
    """Impacts with each family's own source, and with those that are dealt, (n, families)."""
    families = dealt.shape[1]
    own = np.arange(families)
    cell = random.normal(size=(families, families)) + random.normal(size=families)
    cell += 2.0 + random.normal(size=(families, 1))
    noise = random.normal(0, 0.3, (1 + len(dealt), families * PAIRS))
    done = np.repeat(cell[own, np.vstack([own, dealt])], PAIRS, axis=1) + noise
    names = np.array([f"f{i:02}" for i in own])
    return AblationImpacts(
        ABLATION,
        done[0],
        done[:0],
        Units.by_family(np.repeat(names, PAIRS)),
        shuffled=Shuffled(done[1:], np.repeat(names[dealt], PAIRS, axis=1)),
    )


def source_ranks(replicates: int) -> Iterator[Row]:
    """How often an own pair whose values are like any other's is ranked first, and a claim supported."""
    replicates = max(100, replicates // 4)
    for families, edits in ((6, 5), (12, 11), (20, 19), (40, 19)):
        random = np.random.default_rng(families)
        p = []
        found: Counter[str] = Counter()
        for _ in range(replicates):
            impacts = impacts_of(random, circled(random, families, edits))
            p.append(impacts.beside("shuffled").rank_p(1.0))
            if families == JUDGED:
                found[judge_ablation(impacts, TOWARD, ALPHA).verdict] += 1
        what = f"sources of {families} families that are alike, {edits} shuffled"
        for level in (ALPHA, 0.5):
            hits = int((np.array(p) <= level).sum())
            yield Row("sources", f"{what}: rank p of {level:g}", level, "equal", hits, replicates)
        if families == JUDGED:
            hits = found["supported"]
            yield Row("sources", f"{what}: supported", ALPHA, "at most", hits, replicates)
    yield drawn_apart(replicates)


def drawn_apart(replicates: int) -> Row:
    """How often it is ranked first among edits that each are drawn by themselves."""
    random = np.random.default_rng(8)
    hits = 0
    for _ in range(replicates):
        impacts = impacts_of(random, deranged(random, 8, 99))
        assert impacts.shuffled is not None
        others = impacts.shuffled.impacts.mean(axis=1)
        hits += control_rank_p(float(impacts.target.mean()), others) <= ALPHA
    what = "the same of 8 families among 99 that may have a source twice: rank p of 0.05"
    return Row("sources", what, ALPHA, "none", hits, replicates)
