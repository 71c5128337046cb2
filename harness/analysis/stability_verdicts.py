"""Claims about a selection: whether halves of the families that discover select the same features."""

from dataclasses import replace

import numpy as np

from harness.analysis.verdict import Verdict
from harness.errors import first_few
from harness.specs.clusters import counted
from harness.specs.edit_claims import StableClaim
from harness.stats.stability import chance_of_low
from harness.store.tables.results import SelectionOverlap, SelectionStability


def judge_stable(
    features: SelectionStability,
    overlap: SelectionOverlap,
    claim: StableClaim,
    top: int,
    alpha: float,
) -> Verdict:
    """Whether each feature that was selected, of at most `top`, is in more than such a share of the halves.

    Its p is that of the least stable of them, `chance_of_low`: a half is no sample of other families, and so
    what can be excluded is that one of them is there no oftener than chance has it. That a set is not stable
    shows nothing, so no such claim is refuted.
    """
    blank = Verdict(claim.name, claim.kind, "share")
    if not overlap.n_units:
        return replace(blank, because="too few units discover to be halved")
    (units,), (tag,), (candidates,) = overlap.n_units, overlap.unit, overlap.candidates
    floor = chance_of_low(1.0, top, int(candidates))
    blank = replace(blank, n_units=int(units), floor=floor)
    if floor > alpha:
        because = f"{top} of {candidates} features can give no p below {floor:.3g}"
        return replace(blank, because=because)
    chosen = np.asarray(features.selected, bool)
    share = np.asarray(features.half_share, float)[chosen]
    if not len(share):
        return replace(blank, because="no feature was selected")
    names = [
        f"{layer}:{feature} ({value:.2f})"
        for layer, feature, value in zip(
            np.asarray(features.layer)[chosen],
            np.asarray(features.feature)[chosen],
            share,
            strict=True,
        )
        if value <= claim.than
    ]
    p = chance_of_low(float(share.min()), top, int(candidates))
    stands = not names and p <= alpha
    fewer = f"; fewer select {first_few(names)}" if names else ""
    return replace(
        blank,
        verdict="supported" if stands else "inconclusive",
        estimate=float(share.min()),
        p=p,
        because=f"{counted(int(units), str(tag))} that discover, {candidates} features{fewer}",
    )
