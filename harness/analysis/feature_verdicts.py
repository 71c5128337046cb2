"""Claims about how many features differ: at least so many, all but so many within a margin, or a guard."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from harness.analysis.run_analysis import FeatureResult
from harness.analysis.verdict import Verdict
from harness.specs.claims import FeatureClaim
from harness.specs.design import smallest_p
from harness.specs.intervention import Feature

Floats = NDArray[np.float64]


def judge_features(
    blank: Verdict,
    result: FeatureResult,
    claim: FeatureClaim,
    truth: Collection[Feature] | None,
    alpha: float,
    edited: Collection[Feature] | None = None,
) -> Verdict:
    """What becomes of a claim about features, from their tests on the confirming families.

    `truth` are the features that are known to differ; None where nothing is known. `edited` are those that
    the claim is `among`; None where it is of all.
    """
    units = result.units
    floor = smallest_p(units.n)
    design = replace(blank, n_units=units.n, floor=floor)
    if units.n >= 2 and result.test is None:
        return replace(design, because="no feature is active on the confirming families")
    if result.test is None or design.floor > alpha:
        because = f"{units.words} can give no p below {design.floor:.3g}"
        return replace(design, because=because)
    if claim.features == "truth" and truth is None:
        return replace(design, because="the target has no known truth")
    known = claim.features == "truth" and truth is not None
    asked = np.array(
        [
            (not known or feature in (truth or ())) and (edited is None or feature in edited)
            for feature in result.features
        ],
        bool,
    )
    because = f"{units.words}, {len(result.features)} features"
    because = f"{because}, {len(truth or ())} known" if known else because
    if edited is not None:
        because = f"{because}, {int(asked.sum())} of those that {claim.among} edits"
    design = replace(design, because=because)
    if claim.margin is not None:
        return _judge_margin(design, result, asked, claim, alpha)
    return _judge_count(design, result.test.p_adjusted[asked], claim, alpha)


def _judge_count(design: Verdict, p: Floats, claim: FeatureClaim, alpha: float) -> Verdict:
    """How many are found to differ, of adjusted `p` (n_features,)."""
    count = int((p <= alpha).sum())
    if claim.at_least is not None:
        verdict = "supported" if count >= claim.at_least else "inconclusive"
        deciding = claim.at_least
    else:
        # That no more are found does not show that no more differ: nothing is supported by it.
        assert claim.at_most is not None
        verdict = "held" if count <= claim.at_most else "broken"
        deciding = claim.at_most + 1
    decisive = _nth(p, deciding)
    return replace(design, verdict=verdict, estimate=float(count), p=decisive)


def _judge_margin(
    design: Verdict,
    result: FeatureResult,
    asked: NDArray[np.bool_],
    claim: FeatureClaim,
    alpha: float,
) -> Verdict:
    """Whether all of those `asked` about (n_features,) lie inside the margin, but for `at_most`."""
    assert claim.margin is not None
    assert claim.at_most is not None
    same = result.within[claim.margin]
    if (same.flag[asked] != "").all():
        return replace(design, because=f"{result.units.words} without any spread")
    inside, outside = same.p_inside[asked], same.p_outside[asked]
    beyond = int((inside > alpha).sum())
    # More than `at_most` are not inside unless the (n - at_most)-th smallest p says that they are.
    supports = _nth(inside, len(inside) - claim.at_most)
    refutes = _nth(outside, claim.at_most + 1)
    verdict = (
        "supported" if supports <= alpha else "refuted" if refutes <= alpha else "inconclusive"
    )
    because = (
        f"{design.because}, margin {claim.margin:g} d_z, simultaneous {1 - alpha:.0%} intervals: "
        f"{int((outside <= alpha).sum())} outside, {len(inside) - beyond} inside"
    )
    return replace(
        design,
        verdict=verdict,
        estimate=float(beyond),
        p=refutes if verdict == "refuted" else supports,
        because=because,
    )


def _nth(p: Floats, number: int) -> float:
    """The p by which so many reject: that number's smallest; 0 for none, 1 where there are fewer."""
    if number <= 0:
        return 0.0
    return float(np.sort(p)[number - 1]) if number <= len(p) else 1.0
