"""Claims about a set as a whole that are not true, or just so: how often they are supported.

Impacts are made up: a family has an effect of its own in each of them, normal or skewed, lognormal about its
mean. A set of four has one member that adds nothing; what is left out does just so much as the margin.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration_rows import Row
from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.set_verdicts import judge_complement, judge_needed
from harness.analysis.units import Units
from harness.specs.ablations import Ablation
from harness.specs.set_claims import ComplementClaim, NeededClaim
from harness.stats.ratios import ratio_interval

Floats = NDArray[np.float64]
Random = np.random.Generator
ALPHA = 0.05
PAIRS = 2
MARGIN = 0.2  # of what the variants differ by
GAP = 10.0
ABLATION = Ablation.model_validate({"name": "a", "select": {"by": "contrast"}})
NEEDED = NeededClaim(name="c", needed="a", direction="toward-correct")
OF_SHARE = ComplementClaim(name="c", complement="a", within_share=MARGIN)
OF_NATS = ComplementClaim(name="c", complement="a", within=MARGIN * GAP)


def effect(random: Random, mean: float, families: int, skewed: bool) -> Floats:
    """An impact of this mean on each prompt, (n_prompts,): families differ by about a nat."""
    drawn = random.lognormal(0, 1, families) if skewed else random.normal(0, 1, families)
    own = np.repeat((drawn - np.exp(0.5) * skewed) * (0.5 if skewed else 1.0), PAIRS)
    return np.asarray(mean + own + random.normal(0, 0.3, families * PAIRS))


def impacts_of(
    random: Random, families: int, skewed: bool, *, adds: tuple[float, ...] = (), rest: float = 0.0
) -> AblationImpacts:
    """Impacts of a set, of what it leaves out, and of the set without each member, that `adds` so much."""
    own = effect(random, 5.0, families, skewed)
    units = Units.by_family(np.repeat(np.arange(families), PAIRS))
    return AblationImpacts(
        ABLATION,
        own,
        np.zeros((0, len(own))),
        units,
        complement=effect(random, rest, families, skewed),
        without={
            (0, i): own - effect(random, mean, families, skewed) for i, mean in enumerate(adds)
        },
    )


def set_verdicts(replicates: int) -> Iterator[Row]:
    """How often each is supported, and how often a share's interval holds it."""
    replicates = max(40, replicates // 10)  # an analysis has many tests
    for skewed in (False, True):
        kind = "skewed" if skewed else "normal"
        # No test of a mean holds its level under every skew.
        promise = "none" if skewed else "at most"
        for families in (7, 20):
            random = np.random.default_rng(families)
            idle = by_share = by_nats = held = 0
            for _ in range(replicates):
                one = impacts_of(random, families, skewed, adds=(2.0, 2.0, 2.0, 0.0))
                idle += judge_needed(one, NEEDED, ALPHA).verdict == "supported"
                edge = impacts_of(random, families, skewed, rest=MARGIN * GAP)
                gap = effect(random, GAP, families, skewed)
                by_share += judge_complement(edge, gap, OF_SHARE, ALPHA).verdict == "supported"
                by_nats += judge_complement(edge, None, OF_NATS, ALPHA).verdict == "supported"
                ratio = ratio_interval(edge.target, gap, edge.units.of)
                held += ratio.low <= edge_share(5.0) <= ratio.high
            where = f"{kind}, {families} families"
            for hits, what in (
                (idle, "each of four needed, of which one adds nothing"),
                (by_share, "the rest within a share that it lies on"),
                (by_nats, "the rest within a margin that it lies on"),
            ):
                yield Row("sets", f"{what}, {where}: supported", ALPHA, promise, hits, replicates)
            what = f"a share of {edge_share(5.0):g}, {where}: its interval holds it"
            yield Row("sets", what, 0.95, "none" if skewed else "equal", held, replicates)


def edge_share(mean: float) -> float:
    """The share of what the variants differ by that an impact of this mean is."""
    return mean / GAP
