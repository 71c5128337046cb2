"""Claims about tokens: whether a frozen set of features is a detector of the tokens it is strongest at."""

from dataclasses import dataclass, replace

import numpy as np

from harness.analysis.token_injection import TokenInjection
from harness.analysis.verdict import Verdict
from harness.specs.design import smallest_p
from harness.specs.edit_claims import TokensClaim
from harness.stats.transfers import Transfer, transferred_share


@dataclass(frozen=True)
class _Place:
    """What the tokens do at one place: the share, and at alpha over all places (`strict`)."""

    name: str
    transfer: Transfer
    strict: Transfer
    floor: float

    @property
    def p(self) -> float:
        """No smaller than flips of so many units could make it."""
        return max(self.transfer.p, self.floor)

    def is_below(self, share: float, alpha: float) -> bool:
        return self.p <= alpha and self.transfer.side < 0 and self.transfer.high < share

    def is_above(self, share: float, alpha: float, places: int) -> bool:
        p = self.p * places
        return p <= alpha and self.transfer.side > 0 and self.strict.low > share

    def __str__(self) -> str:
        found = self.transfer
        return f"{self.name} {found.share:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def judge_tokens(found: TokenInjection, claim: TokensClaim, alpha: float) -> Verdict:
    """Whether strongest tokens in neutral texts give a set less than a share of its own activation.

    That they do at every place is an intersection-union test (Berger 1982): each at alpha, and the worst is
    reported. That they do not is shown where one place shows it, at alpha divided by their number. The set
    has to be more active in its own prompts than in neutral texts: else there is nothing to have a share of.
    """
    blank = Verdict(claim.name, claim.kind, "share")
    n_units = min(found.units.n, len(set(found.texts.tolist())))
    floor = smallest_p(n_units)
    blank = replace(blank, n_units=n_units, n_pairs=len(found.own), floor=floor)
    if not found.features:
        because = (
            "no feature has a token in enough of the discovering prompts at which it is active"
        )
        return replace(blank, because=because)
    n_texts = len(set(found.texts.tolist()))
    rests_on = f"{found.units.words} and {n_texts} neutral texts"
    if floor > alpha:
        return replace(blank, because=f"{rests_on} can give no p below {floor:.3g}")
    places = [_place(found, name, claim.less_than, alpha, floor) for name in found.injected]
    share, p_own = places[0].transfer, max(places[0].transfer.p_own, floor)
    if p_own > alpha or share.beyond < 0 or not np.isfinite(share.share):
        because = (
            f"the features are not shown to be more active in their own prompts than in neutral "
            f"texts (p {p_own:.2g}, {rests_on})"
        )
        return replace(blank, verdict="inconclusive", because=because)
    below = [one.is_below(claim.less_than, alpha) for one in places]
    above = [one for one in places if one.is_above(claim.less_than, alpha, len(places))]
    worst = max(places, key=lambda one: one.transfer.share)
    p = max(one.p if one.transfer.side < 0 else 1.0 for one in places)
    if above:
        worst = min(above, key=lambda one: one.p)
        p = min(1.0, worst.p * len(places))
    of = len(found.features) + found.silent
    told = f"{len(found.features)} of {of} features have tokens, " if found.silent else ""
    because = f"{rests_on}, {told}{', '.join(map(str, places))}, against {claim.less_than:g}"
    return replace(
        blank,
        verdict="refuted" if above else "supported" if all(below) else "inconclusive",
        estimate=worst.transfer.share,
        ci_low=worst.transfer.low,
        ci_high=worst.transfer.high,
        p=p,
        because=because,
    )


def _place(found: TokenInjection, name: str, share: float, alpha: float, floor: float) -> _Place:
    def at(level: float) -> Transfer:
        return transferred_share(
            found.injected[name] @ found.weights,
            found.base @ found.weights,
            found.texts,
            found.own @ found.weights,
            found.units.of,
            against=share,
            level=level,
        )

    return _Place(name, at(1 - alpha), at(1 - alpha / len(found.injected)), floor)
