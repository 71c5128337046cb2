"""Why a dictionary does not fit what it is read from: the usual mistakes, each tried the other way round.

One that was loaded wrongly still runs, and still has features that fire. What gives it away is
that some other reading of the same weights reconstructs its site far better with as few features.
How much of the error goes counts, not how little is left: of a weak SAE, or on a stream with a few huge
dimensions, much is left whatever is wrong.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from torch import Tensor

from harness.sae.encoding import Sae
from harness.sae.input_readings import Beside, Gain, huge_positions
from harness.sae.readings import own_lengths
from harness.sae.sparsity_readings import ALIKE, NEAR, missing_thresholds
from harness.sae.trial import Fit, Reading, Trial
from harness.sae.tried_places import TriedPlaces

ENOUGH = 0.85  # share that a reading may leave of a cost, or of a constant's where that is less
HARMLESS = 1.1  # times the error, with fewer features active
MOST_CAUSES = 3
FEWEST = 24  # positions that tell one reading from another
SLACK = 1.15  # times what is enough: so much on a few positions is worth a look at all
EXACT = 1e-3  # an error that is mostly rounding
HOPELESS = (
    0.9  # share of the FVU without features above which these are of no use, unless the loss says
)
USEFUL = 0.8  # otherwise: share of recovered loss from which it is of use, whatever its FVU
FAR = 2.5  # times the published L0: prompts differ so much, and no more


def misfit(
    sae: Sae,
    streams: Mapping[int, Tensor],
    layer: int,
    recovered: float = float("nan"),
    *,
    beside: Beside | None = None,
    gain: Gain | None = None,
) -> str | None:
    """What is wrong with reading `layer` with this dictionary, in words; None where nothing seems to be.

    `streams` are samples (n_positions, held width) of what its site holds at every block, BOS left out,
    on which no SAE is trained. `recovered` is the share of the model's loss that passes through it, NaN
    where that is unknown. `beside` gives samples of the layer's sites, and is called only where it fits
    ill; `gain` is of the norm before the layer's MLP. Causes that the samples cannot tell apart are all
    named.
    """
    trial = Trial(sae, streams[layer])
    # First, as a lack of thresholds hardly shows in the fit.
    if missing := missing_thresholds(trial):
        return missing
    own = trial.own
    if len(trial.held) >= FEWEST and own.error > EXACT:
        # Then positions that alone decide every other fit.
        others = _others(TriedPlaces(trial, streams, layer, beside, gain))
        for readings in (huge_positions(trial), others, own_lengths(trial)):
            if believed := [one for one in readings if _is_believed(one, trial)]:
                return _named(believed, own)
    return _unexplained(trial, recovered)


def _others(places: TriedPlaces) -> Iterator[Reading]:
    """All other readings, but for kinds of which a few positions show that none will be believed."""
    few = places.few()
    if few is None:
        yield from chain(*places.kinds())
        return
    for first, kind in zip(few.kinds(), places.kinds(), strict=True):
        if any(_is_believed(one, few.trial, SLACK) for one in first):
            yield from kind


def _is_believed(reading: Reading, trial: Trial, slack: float = 1.0) -> bool:
    """Whether a reading takes away so much that it must be what was meant, or with some `slack` may be.

    It lowers the error and the cost. Thresholds that were too low need not show in the error; but where
    the published L0 is unknown, so that no factor is given, it may hardly rise at half of the features.
    """
    own, fit, most = trial.own, reading.fit, reading.leaves
    if fewer := reading.kind == "thresholds":
        halved = fit.l0 <= slack * own.l0 / NEAR
        most = ALIKE if trial.sae.l0 is not None else HARMLESS if halved else reading.leaves
    return (
        fit.cost < slack * reading.leaves * own.cost
        and fit.error < slack * most * own.error
        and _is_enough(fit.costs, own.costs, trial.idle.costs, slack)
        and (fewer or _is_enough(fit.fvus, own.fvus, trial.idle.fvus, slack))
    )


def _is_enough(
    after: tuple[float, float],
    before: tuple[float, float],
    idle: tuple[float, float],
    slack: float,
) -> bool:
    """Whether either goes by a good part: of all dimensions, or of the median one.

    What is worse than no features at all counts as none: noise that is scaled down gains nothing.
    """
    enough = slack * ENOUGH
    return any(a < enough * min(b, i) for a, b, i in zip(after, before, idle, strict=True))


def _named(believed: Sequence[Reading], own: Fit) -> str:
    """The causes that cannot be told from the best one, best first, and what undoing it does."""
    ranked = sorted(believed, key=lambda reading: reading.fit.cost)
    best = ranked[0].fit
    causes: dict[str, str] = {}
    for reading in ranked:
        if reading.fit.cost <= ALIKE * best.cost:
            causes.setdefault(reading.kind, reading.cause)
    return (
        f"{'; or '.join([*causes.values()][:MOST_CAUSES])} (FVU on some positions {best.fvu:.2g} instead of "
        f"{own.fvu:.2g}, of the median dimension {best.fvu_median:.2g} instead of {own.fvu_median:.2g})"
    )


def _unexplained(trial: Trial, recovered: float) -> str | None:
    """What is wrong where no other reading explains it, if anything is."""
    sae, own = trial.sae, trial.own
    if own.l0 == 0:
        return "none of its features is active: its thresholds or its scale are of another stream"
    # A dictionary may be weak, or be about a few large dimensions, and still be of use. But through very
    # many features a stream passes whatever their directions are.
    useful = recovered >= USEFUL and own.l0 < own.width / 2
    shares = [fvu / max(idle, 1e-12) for fvu, idle in zip(own.fvus, trial.idle.fvus, strict=True)]
    if not useful and min(shares) >= HOPELESS:
        reason = "for no reason that is known here: check that it was trained on this model"
        if not sae.b_enc.any() and not sae.relu:
            reason = f"and its encoder bias is all 0, as where it was lost; else {reason}"
        return (
            f"it does not reconstruct {_held(sae)} (FVU on some positions {own.fvu:.2g}, of the median "
            f"dimension {own.fvu_median:.2g}), {reason}"
        )
    published = sae.top_k if sae.l0 is None else sae.l0
    if published is not None and not published / FAR <= own.l0 <= published * FAR:
        return (
            f"{own.l0:.0f} features are active at a position where its publisher says {published:.0f}: its "
            "thresholds or encoder are not its own, or it was trained on very different text"
        )
    return None


def _held(sae: Sae) -> str:
    return "this stream" if sae.site.startswith("resid") else f"{sae.site} of this model"
