"""Claims about tokens: whether a frozen set of features is a detector of the tokens it is strongest at."""

from dataclasses import dataclass, replace

import numpy as np

from harness.analysis.token_injection import Injected, TokenInjection, grams_in_words
from harness.analysis.verdict import Verdict
from harness.specs.design import smallest_p
from harness.specs.edit_claims import TokensClaim
from harness.stats.transfers import Transfer, transferred_share


@dataclass(frozen=True)
class _Place:
    """What tokens of one length do at one place: the share, and at alpha over all of these (`strict`)."""

    part: Injected
    transfer: Transfer
    strict: Transfer
    floor: float

    @property
    def p(self) -> float:
        """No smaller than flips of so many units could make it."""
        return max(self.transfer.p, self.floor)

    def has_own(self, alpha: float) -> bool:
        """Whether these features are more active in their own prompts: else there is nothing to share."""
        found = self.transfer
        p = max(found.p_own, self.floor)
        return p <= alpha and found.beyond > 0 and bool(np.isfinite(found.share))

    def is_below(self, share: float, alpha: float) -> bool:
        return self.p <= alpha and self.transfer.side < 0 and self.transfer.high < share

    def is_above(self, share: float, alpha: float, places: int) -> bool:
        p = self.p * places
        return p <= alpha and self.transfer.side > 0 and self.strict.low > share

    def __str__(self) -> str:
        found = self.transfer
        return f"{self.part.name} {found.share:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def judge_tokens(found: TokenInjection, claim: TokensClaim, alpha: float) -> Verdict:
    """Whether strongest tokens in neutral texts give a set less than a share of its own activation.

    That they do at every place, single and in sequences of each length, is an intersection-union test (Berger
    1982): each at alpha, and the worst is reported. That they do not is shown where one of them shows it, at
    alpha divided by their number. The features have to be more active in their own prompts than in neutral
    texts: else there is nothing to have a share of.
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
    every = [
        _place(found, part, claim.less_than, alpha, floor)
        for part in found.injected
        if part.has.any()
    ]
    places = [one for one in every if one.has_own(alpha)]
    above = [one for one in places if one.is_above(claim.less_than, alpha, len(every))]
    if len(places) < len(every) and not above:
        idle = next(one for one in every if not one.has_own(alpha))
        which = "" if idle.part.gram == 1 else f" that have {grams_in_words(idle.part.gram)}"
        because = (
            f"the features{which} are not shown to be more active in their own prompts than in neutral "
            f"texts (p {max(idle.transfer.p_own, floor):.2g}, {rests_on})"
        )
        return replace(blank, verdict="inconclusive", because=because)
    below = [one.is_below(claim.less_than, alpha) for one in places]
    worst = max(places, key=lambda one: one.transfer.share)
    p = max(one.p if one.transfer.side < 0 else 1.0 for one in places)
    if above:
        worst = min(above, key=lambda one: one.p)
        p = min(1.0, worst.p * len(every))
    because = (
        f"{rests_on}, {_holders(found)}{', '.join(map(str, places))}, against {claim.less_than:g}"
    )
    return replace(
        blank,
        verdict="refuted" if above else "supported" if all(below) else "inconclusive",
        estimate=worst.transfer.share,
        ci_low=worst.transfer.low,
        ci_high=worst.transfer.high,
        p=p,
        because=because,
    )


def _holders(found: TokenInjection) -> str:
    """How many features have tokens, and sequences of them of each length, where some have none."""
    of = len(found.features) + found.silent
    counts = {part.gram: int(part.has.sum()) for part in found.injected}
    told = [
        f"{n} of {of} features have {grams_in_words(gram)}, "
        for gram, n in counts.items()
        if n < of
    ]
    return "".join(told)


def _place(
    found: TokenInjection, part: Injected, share: float, alpha: float, floor: float
) -> _Place:
    weights = found.weights * part.has

    def at(level: float) -> Transfer:
        return transferred_share(
            part.values @ weights,
            found.base @ weights,
            found.texts,
            found.own @ weights,
            found.units.of,
            against=share,
            level=level,
        )

    return _Place(part, at(1 - alpha), at(1 - alpha / len(found.injected)), floor)
