"""The target's rank among its controls as a p, by itself and beside what the sets are like."""

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.arguments import check_finite, dense_features, vector

ADJUSTED = (
    19  # controls from which a rank is one of residuals: a line through fewer follows each of them
)
ROUNDING = 1e-9  # of the largest statistic: residuals that differ by less are equal


def control_rank_p(target: float, controls: ArrayLike) -> float:
    """The target's rank among its controls as a one-sided p: (1 + #{T_r >= T}) / (R + 1).

    Arguments:
        target: what the target did, T; larger is stronger.
        controls: what each of R sets of controls did, (R,), at least one.

    Returns:
        A p of at least 1 / (R + 1). It is valid where the target is exchangeable with its controls under
        the null; the +1 counts the target itself (Phipson and Smyth 2010).

    Raises:
        ValueError: where a number is not finite, or there are no controls.
    """
    values = vector("controls", controls)
    if not len(values) or not np.isfinite(values).all():
        raise ValueError("controls: a list of one or more finite numbers is needed")
    target = check_finite("target", target)
    return float((1 + (values >= target).sum()) / (len(values) + 1))


def residual_rank_p(target: float, controls: ArrayLike, profiles: ArrayLike) -> float:
    """The same rank of what is left of each statistic when the sets' mean profiles have been taken out.

    Arguments:
        target: what the target did, T; larger is stronger.
        controls: what each of R sets of controls did, (R,), at least one.
        profiles: what each set is like on average, (R + 1, k), the target's first.

    Returns:
        The rank p of the target's residual from one least-squares plane through all R + 1 sets. The plane
        does not know which is the target, so the p is as exact as that of plain ranks, and what leaves
        of like features leave of a difference no longer moves it. Of fewer than 19 sets it is
        `control_rank_p`.

    Raises:
        ValueError: where a number is not finite, lengths differ, or there are no controls.
    """
    plain = control_rank_p(target, controls)
    every = np.concatenate([[check_finite("target", target)], vector("controls", controls)])
    columns = dense_features("profiles", profiles)
    if columns.shape[1] != len(every):
        raise ValueError(f"profiles: {len(every)} rows are needed, the target's and each control's")
    if len(every) - 1 < ADJUSTED:
        return plain
    size = np.abs(every).max()
    if not size > 0:
        return plain
    scaled = every / size  # so that no square of it overflows
    plane = np.column_stack([np.ones(len(every)), columns.T])
    left = scaled - plane @ np.linalg.lstsq(plane, scaled, rcond=None)[0]
    return float((1 + (left[1:] >= left[0] - ROUNDING).sum()) / len(every))
