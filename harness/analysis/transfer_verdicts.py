"""Claims that a set does here, too, what it did where another eval froze it: at least a share of that."""

from dataclasses import replace

from harness.analysis.mean_verdicts import side_of
from harness.analysis.noise_floor import is_clear_of_noise
from harness.analysis.source_impacts import Sample, in_both
from harness.analysis.two_sample_tests import RatioTest
from harness.analysis.verdict import Verdict
from harness.specs.clusters import counted
from harness.specs.design import smallest_p
from harness.specs.edit_claims import TransfersClaim


def judge_transfers(
    here: Sample,
    there: Sample | str,
    claim: TransfersClaim,
    alpha: float,
    noise: float = float("nan"),
    unit: str = "nats",
) -> Verdict:
    """Whether the mean impact here is more than a share s of that where the set was frozen.

    Two samples of families, independent of each other: those that are in both are left out of both. The mean
    there must itself be shown to differ from 0, and its sign is the direction. Then the mean here minus s
    times that there is tested as Fieller (1954) does; the ratio's own interval must agree, and both have to
    without any one family. `noise` is what the device may move an impact by, in `unit`. Where impacts of the
    other run cannot be had, `there` says why.
    """
    blank = Verdict(claim.name, claim.kind, "share", n_units=here.units.n, n_pairs=len(here.values))
    if isinstance(there, str):
        return replace(blank, floor=smallest_p(here.units.n), because=there)
    of_here, of_there = in_both(here, there)
    here, there = here.without(of_here), there.without(of_there)
    n_units = min(here.units.n, there.units.n)
    blank = replace(blank, n_units=n_units, n_pairs=len(here.values), floor=smallest_p(n_units))
    rests_on = f"{here.units.words} here and {there.units.words} there"
    if of_here:
        rests_on += f", without {counted(len(of_here), 'family')} that are in both"
    if n_units < 2 or blank.floor > alpha:
        return replace(blank, because=f"{rests_on}, which can give no p below {blank.floor:.3g}")
    shown = side_of(there.values, there.units, 0.0, alpha)
    if not shown.rejects or not is_clear_of_noise(shown.low, shown.high, 0.0, noise):
        because = (
            f"{rests_on}: no impact is shown there that could be found again (p {shown.p:.2g})"
        )
        return replace(blank, verdict="inconclusive", because=because)
    test = _test(here, there, shown.sign, claim.than, alpha)
    ratio = test.ratio
    verdict, against = _word(test, alpha), ""
    if verdict != "inconclusive":
        against = _weakness(here, there, shown.sign, test, alpha, noise, unit)
    because = (
        f"{rests_on}, {here.values.mean():+.3g} of {there.values.mean():+.3g} {unit}, against "
        f"{claim.than:g}{against}"
    )
    return replace(
        blank,
        verdict="inconclusive" if against else verdict,
        estimate=ratio.ratio,
        ci_low=ratio.low,
        ci_high=ratio.high,
        p=test.p,
        because=because,
    )


def _test(here: Sample, there: Sample, sign: int, share: float, alpha: float) -> RatioTest:
    return RatioTest.of(
        sign * here.values,
        here.units,
        sign * there.values,
        there.units,
        share=share,
        level=1 - alpha,
    )


def _word(test: RatioTest, alpha: float) -> str:
    if test.is_above(alpha):
        return "supported"
    return "refuted" if test.is_below(alpha) else "inconclusive"


def _weakness(
    here: Sample,
    there: Sample,
    sign: int,
    test: RatioTest,
    alpha: float,
    noise: float,
    unit: str,
) -> str:
    """What keeps a verdict from standing, in words: the device's noise, or one unit that carries it."""
    mean = abs(float(there.values.mean()))
    within = noise * (1 + test.share) / mean
    if not is_clear_of_noise(test.ratio.low, test.ratio.high, test.share, within):
        return f", but an edit that changes nothing seems to move a prompt by {noise:.2g} {unit}"
    for which, sample in (("here", here), ("there", there)):
        if sample.units.n < 3:
            return ""  # one unit alone has no error
        for unit_name in sorted(set(sample.units.of.tolist())):
            kept = sample.units.of != unit_name
            rest = replace(sample, values=sample.values[kept], units=sample.units.only(kept))
            pair = (rest, there) if which == "here" else (here, rest)
            again = _test(*pair, sign, test.share, alpha).ratio
            same = again.low > test.share if test.ratio.side > 0 else again.high < test.share
            if not same or again.side != test.ratio.side or again.p > alpha:
                return f", but one {sample.units.tag} {which} carries it: {unit_name}"
    return ""
