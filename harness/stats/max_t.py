"""The confirmatory test: sign flips of units with max-T over every feature (Westfall and Young 1993).

With x_c the sum of a feature's scores in unit c, u = sum x_c / sqrt(sum x_c^2). Flips leave the
denominator alone, and |t| grows with |u|, so max-|u| is max-|t| without a variance.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.arguments import check_choice, check_flag
from harness.stats.flip_counts import count_reaching
from harness.stats.sign_flips import sign_flips
from harness.stats.unit_scores import Statistic, sum_scores

Alternative = Literal["two-sided", "greater", "less"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MaxT:
    """Results per feature, (n_features,) each, and what the design could have shown.

    `statistic` is u, signed: of two scores the larger in absolute value, or the one that speaks most
    for a one-sided alternative. `p_marginal` is of that feature alone, `p_adjusted` holds the
    family-wise error over all of them. `exact` says that the flips are a group, so that p is exact under
    the null; `floor` is the smallest p that they can give.
    """

    p_adjusted: Floats
    p_marginal: Floats
    statistic: Floats
    n_units: int
    n_flips: int
    exact: bool
    floor: float


def paired_max_t(
    x: ArrayLike,
    y: ArrayLike | None = None,
    units: ArrayLike | None = None,
    *,
    statistic: Statistic | None = None,
    alternative: Alternative = "two-sided",
    step_down: bool = True,
    flips: str | int = "auto",
    seed: int = 0,
) -> MaxT:
    """Test every feature of paired data, with family-wise error control over all of them.

    The null hypothesis is that each unit's scores and their opposites have the same joint distribution.

    Arguments:
        x: activations (n_pairs, n_features), dense or scipy sparse, or (n_pairs,) of one feature;
            differences where `y` is None.
        y: the other activations, of the same shape, or None.
        units: the unit of each pair, (n_pairs,), at least two; each pair its own where None.
        statistic: what is summed. `mean`: the differences. `signed-rank`: their signed ranks, zeros
            ranked and then dropped (Pratt 1959). `mcnemar`: [x > 0] - [y > 0], as the exact test of
            McNemar (1947); it needs `y`. `pratt+mcnemar`: the larger of these two, each scaled; the
            default with `y`, as `signed-rank` is without.
        alternative: "two-sided", or the side of x - y: "greater" or "less".
        step_down: take the maximum over features that are no stronger, not over all; p is never larger.
        flips: "auto" (the full group up to 16 units, a subgroup of 2^16 or 2^18 up to 511, random flips
            beyond), "full" (at most 24 units), "monte-carlo", or a number of random flips.
        seed: of random flips, an integer from 0 on.

    Returns:
        `MaxT`. A feature that is zero everywhere has p 1 and changes no other.

    Raises:
        ValueError: naming the argument that is wrong, and the place of a value that is not finite.

    Westfall and Young (1993), algorithm 2.8; random flips have the +1 of Phipson and Smyth (2010).
    """
    check_choice("alternative", alternative, get_args(Alternative))
    check_flag("step_down", step_down)
    scores = sum_scores(x, y, units, statistic)
    if alternative == "less":
        scores = scores.reversed()
    two_sided = alternative == "two-sided"
    drawn = sign_flips(scores.n_units, how=flips, seed=seed)
    observed = _larger_score(scores.u, two_sided)
    reach = np.abs(observed) if two_sided else observed
    own, joint = count_reaching(scores, reach, drawn, two_sided=two_sided, step_down=step_down)
    p_marginal, p_adjusted = drawn.p(own), drawn.p(joint)
    if step_down:
        p_adjusted = _raise_to_stronger(p_adjusted, reach, scores.alive)
    return MaxT(
        p_adjusted=p_adjusted,
        p_marginal=p_marginal,
        statistic=-observed if alternative == "less" else observed,
        n_units=drawn.units,
        n_flips=drawn.count,
        exact=drawn.exact,
        floor=drawn.floor if two_sided else drawn.p(np.array(0 if not drawn.exact else 1)).item(),
    )


def paired_statistic(
    x: ArrayLike,
    y: ArrayLike | None = None,
    units: ArrayLike | None = None,
    *,
    statistic: Statistic | None = None,
) -> Floats:
    """The signed statistic that `paired_max_t` tests, (n_features,), without its p values.

    `x` and `y` (n_pairs, n_features), `units` (n_pairs,) and what is raised are as there.
    """
    return _larger_score(sum_scores(x, y, units, statistic).u, two_sided=True)


def _raise_to_stronger(p: Floats, reach: Floats, alive: NDArray[np.bool_]) -> Floats:
    """No p (n_features,) below that of a stronger feature: the running maximum of algorithm 2.8."""
    # In the counts' own order, ties and all. A feature that is zero everywhere has p 1 and no part.
    order = np.argsort(reach, kind="stable")
    descending = order[alive[order]][::-1]
    raised = p.copy()
    raised[descending] = np.maximum.accumulate(p[descending])
    return raised


def _larger_score(u: Floats, two_sided: bool) -> Floats:
    """Each feature's signed u, (n_features,), of u (n_scores, n_features): the one that counts."""
    if not two_sided:
        return u.max(axis=0)
    return np.take_along_axis(u, np.abs(u).argmax(axis=0)[None], axis=0)[0]
