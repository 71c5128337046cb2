"""Verdicts on ablations that change nothing of what is claimed: how often they say that they do.

Impacts are made up: families have effects of their own, which an edit and its controls share in part, and
every control set has an effect of its own, as real ones do.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration_rows import Row
from harness.analysis.ablation_impacts import AblationImpacts
from harness.analysis.ablation_verdicts import judge_ablation
from harness.analysis.dose_verdicts import judge_monotone
from harness.analysis.share_verdicts import judge_share
from harness.analysis.units import Units
from harness.specs.ablations import Ablation
from harness.specs.edit_claims import AblationClaim, MonotoneClaim, ShareClaim

Floats = NDArray[np.float64]
Random = np.random.Generator
ALPHA = 0.05
FAMILIES, PROMPTS = 20, 2
ABLATION = Ablation.model_validate({"name": "a", "select": {"by": "contrast"}})
TOWARD = AblationClaim.model_validate(
    {"name": "c", "ablation": "a", "direction": "toward-correct", "beyond": "controls"}
)
WITHIN = AblationClaim.model_validate(
    {"name": "c", "ablation": "a", "within": 0.5, "beyond": "controls"}
)

SHARE = ShareClaim(name="c", share="a", than=0.25)
MONOTONE = MonotoneClaim(name="c", monotone="a", direction="toward-correct")
EDITED = 12  # families of claims about shares and doses: each has several tests
UNITS = np.repeat(np.arange(EDITED), PROMPTS)


def impacts_of(random: Random, target: float, sets: Floats, families: int) -> AblationImpacts:
    """Impacts of a target with this mean, and of control sets with these means (n_sets,)."""
    units = np.repeat(np.arange(families), PROMPTS)
    shared = random.normal(0, 0.3, families)[units]

    def of(mean: float) -> Floats:
        own = random.normal(0, 0.3, families)[units] + random.normal(0, 0.2, len(units))
        return mean + shared + own

    return AblationImpacts(
        ABLATION, of(target), np.array([of(mean) for mean in sets]), Units.by_family(units)
    )


def edit_verdicts(replicates: int) -> Iterator[Row]:
    """Of claims about shares and doses that are not true, or just so: how often each verdict is drawn.

    Families differ as those of `impacts_of` do, or are skewed: lognormal about their mean.
    """
    replicates = max(60, replicates // 10)
    for skewed in (False, True):
        kind = "skewed" if skewed else "normal"
        random = np.random.default_rng(11)

        def impact(mean: float, random: Random = random, skewed: bool = skewed) -> Floats:
            drawn = random.lognormal(0, 1, EDITED) if skewed else random.normal(0, 1, EDITED)
            own = (drawn - np.exp(0.5) * skewed)[UNITS] * 0.5
            return np.asarray(mean + own + random.normal(0, 0.3, len(UNITS)))

        def judged(doses: dict[float, float], impact: Callable[[float], Floats] = impact) -> str:
            made = {factor: impact(mean) for factor, mean in doses.items()}
            return judge_monotone(_of(impact(0.0), doses=made), MONOTONE, ALPHA).verdict

        found = Counter(
            judge_share(_of(impact(2.5)), impact(10.0), SHARE, ALPHA).verdict
            for _ in range(replicates)
        )
        for verdict in ("supported", "refuted"):
            what = f"a share that is the claimed one, {kind} families: {verdict}"
            # Either side is half of a two-sided test: a skewed mean is missed on one of them.
            promise = "none" if skewed else "at most"
            yield Row("verdicts", what, ALPHA / 2, promise, found[verdict], replicates)
        for doses, what, verdict in (
            ({0.0: 0.0, 0.5: 0.0, 2.0: 0.0}, "doses that do nothing", "supported"),
            ({0.0: 2.0, 0.5: 0.0, 2.0: 0.0}, "doses in order, two steps flat", "refuted"),
        ):
            hits = sum(judged(doses) == verdict for _ in range(replicates))
            promise = "none" if skewed else "at most"
            yield Row(
                "verdicts", f"{what}, {kind} families: {verdict}", ALPHA, promise, hits, replicates
            )
        hits = sum(judged({0.0: 2.0, 0.5: 1.0, 2.0: 2.0}) == "supported" for _ in range(replicates))
        what = f"doses that turn round by two nats, {kind} families: supported"
        yield Row("verdicts", what, ALPHA, "at most", hits, replicates)


def _of(target: Floats, **more: Any) -> AblationImpacts:
    return AblationImpacts(
        ABLATION, target, np.zeros((0, len(UNITS))), Units.by_family(UNITS), **more
    )


def ablation_verdicts(replicates: int) -> Iterator[Row]:
    """Of claims that are not true: in how many replicates they are supported, or refuted."""
    # An analysis has many tests: a fifth of the replicates of a single one takes as long.
    replicates = max(100, replicates // 5)
    for controls in (20, 99):
        random = np.random.default_rng(controls)
        found = Counter(
            judge_ablation(
                impacts_of(random, -2.0, random.normal(-3.0, 0.2, controls), FAMILIES),
                TOWARD,
                ALPHA,
            ).verdict
            for _ in range(replicates)
        )
        what = f"moves the wrong way, less than {controls} controls: supported"
        yield Row("verdicts", what, ALPHA, "at most", found["supported"], replicates)
        for spread, level in ((0.0, 0.6), (0.3, 1.5)):
            random = np.random.default_rng(controls + 1)
            found = Counter(
                judge_ablation(
                    impacts_of(
                        random,
                        random.normal(level, spread),
                        random.normal(level, spread, controls),
                        FAMILIES,
                    ),
                    TOWARD,
                    ALPHA,
                ).verdict
                for _ in range(replicates)
            )
            for verdict in ("supported", "refuted"):
                what = f"a random set among {controls}, whose effects differ by {spread:g} nats: {verdict}"
                yield Row("verdicts", what, ALPHA, "at most", found[verdict], replicates)
    random = np.random.default_rng(7)
    found = Counter(
        judge_ablation(
            impacts_of(random, -5.0, random.normal(-5.0, 0.1, 20), FAMILIES), WITHIN, ALPHA
        ).verdict
        for _ in range(replicates)
    )
    what = "no effect beside controls, where both move by 5 nats: supported"
    yield Row("verdicts", what, ALPHA, "at most", found["supported"], replicates)
