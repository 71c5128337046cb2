"""The share that is transferred: by loops over plain numbers, and what the cap does."""

import math

import numpy as np
import pytest
from scipy import stats

from harness.stats.transfers import transferred_share

RANDOM = np.random.default_rng(7)


def slow(injected, base, texts, own, units, against, level):
    """Share, interval, p and p_own by loops, each unit left out in turn."""

    def figures(texts_left, units_left):
        mine = [o for o, u in zip(own, units, strict=True) if u in units_left]
        m = sum(mine) / len(mine)
        pairs = [(i, b) for i, b, t in zip(injected, base, texts, strict=True) if t in texts_left]
        with_it = sum(min(i, m) for i, _ in pairs) / len(pairs)
        without = sum(min(b, m) for _, b in pairs) / len(pairs)
        plain = sum(b for _, b in pairs) / len(pairs)
        part, gap = with_it - without, m - without
        return part / gap, part - against * gap, m - plain

    every_text, every_unit = set(texts), set(units)
    whole = figures(every_text, every_unit)
    by_text = [figures(every_text - {one}, every_unit) for one in every_text]
    by_unit = [figures(every_text, every_unit - {one}) for one in every_unit]

    def error(which):
        total = 0.0
        for some in (by_text, by_unit):
            n = len(some)
            total += (n - 1) / n * sum((one[which] - whole[which]) ** 2 for one in some)
        return math.sqrt(total)

    freedom = min(len(by_text), len(by_unit)) - 1
    reach = stats.t.ppf((1 + level) / 2, freedom) * error(0)
    p, p_own = (2 * stats.t.sf(abs(whole[i]) / error(i), freedom) for i in (1, 2))
    return whole[0], whole[0] - reach, whole[0] + reach, p, p_own


@pytest.mark.parametrize("texts, families", [(24, 6), (5, 12), (2, 2)])
def test_it_is_what_loops_give(texts, families):
    base, injected = RANDOM.exponential(1, texts), RANDOM.exponential(4, texts)
    own = RANDOM.normal(5, 1, 3 * families)
    units = [f"f{i // 3}" for i in range(3 * families)]
    names = [f"t{i // 2}" if texts > 10 else f"t{i}" for i in range(texts)]
    found = transferred_share(injected, base, names, own, units, against=0.4, level=0.9)
    share, low, high, p, p_own = slow(injected, base, names, own, units, 0.4, 0.9)
    assert (found.share, found.low, found.high) == pytest.approx((share, low, high))
    assert (found.p, found.p_own) == pytest.approx((p, p_own))
    assert found.side == np.sign(share - 0.4)
    assert found.beyond == 1
    assert found.n_units == min(len(set(names)), families)


def test_a_family_called_like_a_text_is_another():
    injected, base = [3.0, 4.0, 5.0], [1.0, 0.0, 1.0]
    own = [6.0, 7.0, 9.0]
    one = transferred_share(injected, base, ["a", "b", "c"], own, ["a", "b", "c"], against=0.5)
    other = transferred_share(injected, base, ["a", "b", "c"], own, ["x", "y", "z"], against=0.5)
    assert one == other


def test_no_text_counts_as_more_than_all_of_it():
    names, units, own = list("abcd"), list("wxyz"), [4.0, 5.0, 5.0, 6.0]
    loud = transferred_share([50.0, 0.0, 0.0, 0.0], [0.0] * 4, names, own, units, against=0.5)
    assert loud.share == pytest.approx(0.25)
    # Where the texts have it without the tokens, these reproduce all the same.
    there = transferred_share([5.0] * 4, [5.0, 5.0, 0.0, 0.0], names, own, units, against=0.5)
    assert there.share == pytest.approx(1.0)


def test_there_is_no_share_of_nothing():
    found = transferred_share(
        [9.0, 8.0], [7.0, 6.0], ["a", "b"], [1.0, 2.0], ["x", "y"], against=0.5
    )
    assert math.isnan(found.share)
    assert (found.low, found.high, found.beyond) == (-math.inf, math.inf, -1)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (
            ([1.0], [1.0, 2.0], ["a", "b"], [1.0, 2.0], ["x", "y"]),
            "base: has 2 texts, 1 of injected",
        ),
        (([1.0, math.nan], [1.0, 2.0], ["a", "b"], [1.0, 2.0], ["x", "y"]), "injected: "),
        (([1.0, 2.0], [1.0, 2.0], ["a", "a"], [1.0, 2.0], ["x", "y"]), "units: 1 unit, at least 2"),
    ],
)
def test_what_is_wrong_is_said(arguments, said):
    with pytest.raises(ValueError, match=said):
        transferred_share(*arguments, against=0.5)
