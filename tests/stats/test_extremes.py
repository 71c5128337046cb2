"""Numbers near the ends of float64, and sums that nearly cancel, against the formulas in 1400 digits."""

from decimal import Context, Decimal, localcontext

import numpy as np
import pytest
from scipy import stats as distributions

from harness import stats
from harness.stats.effects import hedges

UNITS = [0, 0, 1, 2, 2, 2, 3, 4]
PLAIN = np.array([1.0, 2.0, 3.5, -0.5, 1.25, 2.0, 0.375, 1.5])
OTHER = np.array([0.5, 0.0, 1.0, 0.25, 2.0, 0.0, 0.125, 3.0])
SCALES = [1.0, 1e160, 1e300, 2e307, 1e-160, 1e-200, 1e-300, 2.0**-1071]
UNEVEN = [
    PLAIN + 1e12,
    PLAIN - 2.0**44,
    [1e16, 1.0, -1e16, 2.0, 1e16, -1e16, 0.5, 0.25],
    [1e300, 1e-300, -1e300, 2e-300, 1e-300, 5e-324, -1e-300, 3e-300],
    [1.7e308, -1.7e308, 1.7e308, -1.7e308, 1e308, 1.0, 1e-308, -1e308],
]
EXACT = Context(prec=1400, Emax=10**6, Emin=-(10**6))


def exactly(values):
    return [Decimal(float(value)) for value in values]


def by_unit(values):
    """The values of each unit."""
    return [[v for v, unit in zip(values, UNITS, strict=True) if unit == u] for u in range(5)]


def average(values):
    return sum(values, Decimal(0)) / len(values)


def deviation(values):
    about = average(values)
    return (sum((v - about) ** 2 for v in values) / (len(values) - 1)).sqrt()


def exact_interval(values):
    """The mean and its CRV3 error, by leaving each unit out."""
    with localcontext(EXACT):
        units, whole = by_unit(exactly(values)), average(exactly(values))
        without = [
            average([v for j, unit in enumerate(units) if j != i for v in unit])
            for i in range(len(units))
        ]
        squares = sum((mean - whole) ** 2 for mean in without)
        return float(whole), float((Decimal(4) / 5 * squares).sqrt())


def exact_effects(x, y):
    """d_z and g_av, over the means of units."""
    with localcontext(EXACT):
        first, second = ([average(unit) for unit in by_unit(exactly(side))] for side in (x, y))
        d = [a - b for a, b in zip(first, second, strict=True)]
        spread = ((deviation(first) ** 2 + deviation(second) ** 2) / 2).sqrt()
        return float(average(d) / deviation(d)), hedges(4) * float(average(d) / spread)


@pytest.mark.parametrize("values", [*(PLAIN * scale for scale in SCALES), *UNEVEN])
def test_the_mean_and_its_interval_are_the_exact_ones(values):
    mean, error = exact_interval(values)
    found = stats.mean_interval(values, UNITS)
    least = {"rel": 1e-12, "abs": 5e-324}
    assert found.mean[0] == pytest.approx(mean, **least)
    assert found.error[0] == pytest.approx(error, **least)
    reach = float(distributions.t.ppf(0.975, 4)) * error
    assert found.low[0] == pytest.approx(mean - reach, **least)
    assert found.high[0] == pytest.approx(mean + reach, **least)


@pytest.mark.parametrize("scale", SCALES)
def test_effect_sizes_depend_on_no_scale(scale):
    x, y = PLAIN * scale, OTHER * scale
    assert np.isfinite(x).all()
    found, plain = stats.effects(x, y, UNITS), stats.effects(PLAIN, OTHER, UNITS)
    d_z, g_av = exact_effects(x, y)
    assert found.d_z[0] == pytest.approx(d_z, rel=1e-12)
    assert found.g_av[0] == pytest.approx(g_av, rel=1e-12)
    assert found.d_z_low[0] == pytest.approx(plain.d_z_low[0], rel=1e-2 if scale < 1e-307 else 1e-9)
    assert found.rank_biserial == plain.rank_biserial
    assert found.common_language == plain.common_language
    assert found.flag.tolist() == [""]


@pytest.mark.parametrize("values", UNEVEN)
def test_effect_sizes_of_uneven_numbers_are_the_exact_ones(values):
    found = stats.effects(values, OTHER, UNITS)
    d_z, g_av = exact_effects(values, OTHER)
    assert found.d_z[0] == pytest.approx(d_z, rel=1e-9)
    assert found.g_av[0] == pytest.approx(g_av, rel=1e-9)


def test_small_differences_of_large_activations_keep_their_digits():
    y = np.full(8, 1e9)
    x = y + PLAIN / 1024  # exact: the sums of units are not
    found, plain = stats.effects(x, y, UNITS), stats.effects(PLAIN, None, UNITS)
    assert found.d_z[0] == pytest.approx(plain.d_z[0], rel=1e-6)
    assert found.rank_biserial == plain.rank_biserial


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("statistic", ["mean", "signed-rank", "pratt+mcnemar"])
def test_the_test_depends_on_no_scale(scale, statistic):
    found = stats.paired_max_t(PLAIN * scale, OTHER * scale, UNITS, statistic=statistic)
    plain = stats.paired_max_t(PLAIN, OTHER, UNITS, statistic=statistic)
    assert found.p_marginal == plain.p_marginal
    assert found.statistic[0] == pytest.approx(
        plain.statistic[0], rel=0.1 if scale < 1e-307 else 1e-12
    )


@pytest.mark.parametrize(
    "x, y, pattern",
    [
        # Large and tiny ones in one feature keep their signs and ranks.
        ([1e300, 1e-300, -2e-300, 3e-300], None, [4, 1, -2, 3]),
        # Activations of ordinary size whose differences have no square.
        ([3e-170, 1e-140, 0.0, 2e-170], [0.0, 1e-140, 1e-170, 0.0], [3, 0, -1, 2]),
        # Differences beyond the largest number.
        ([1.5e308, -1.5e308, 1e308, 1.0], [-1.5e308, 1e308, 1e308, 0.5], [4, -3, 0, 1]),
    ],
)
def test_ranks_survive_what_overflows_or_underflows(x, y, pattern):
    found = stats.paired_max_t(x, y, statistic="signed-rank")
    assert found.statistic == stats.paired_max_t(pattern, statistic="signed-rank").statistic
    if 0 not in pattern:
        assert (
            stats.effects(x, y, None).rank_biserial
            == stats.effects(pattern, None, None).rank_biserial
        )


def test_what_units_cancel_to_is_tested_and_not_what_rounding_left():
    d = [1e16, 1.0, -1e16, 2e-180, 1.0, -1.0, 3.0, 4.0]  # unit sums 1, 2e-180, 0 and 7
    units = [0, 0, 0, 1, 2, 2, 3, 3]
    found = stats.paired_max_t(d, units=units, statistic="mean")
    assert found.statistic == pytest.approx([8 / np.sqrt(50)])
    tiny = stats.paired_max_t([1.0, 1e-200, -1.0, 3e-200], units=[0, 0, 0, 1], statistic="mean")
    assert tiny.statistic == pytest.approx([4 / np.sqrt(10)])


@pytest.mark.parametrize("scale", SCALES[1:-1])
def test_equivalence_and_synergy_depend_on_no_scale(scale):
    found = stats.equivalence(PLAIN * scale, UNITS, margin=2 * scale)
    plain = stats.equivalence(PLAIN, UNITS, margin=2)
    assert found.p == pytest.approx(plain.p, rel=1e-9)
    assert found.high == pytest.approx(plain.high * scale, rel=1e-9)
    together = stats.synergy(PLAIN * scale, [OTHER * scale, OTHER * scale / 2], UNITS)
    alone = stats.synergy(PLAIN, [OTHER, OTHER / 2], UNITS)
    assert together.p == alone.p
    assert together.mean == pytest.approx(alone.mean * scale, rel=1e-9)
    assert together.low == pytest.approx(alone.low * scale, rel=1e-9)


def test_a_margin_beyond_any_error_is_reached():
    found = stats.equivalence([1e-320, 3e-320], [0, 1], margin=1e308)
    assert (found.p, found.flag) == (0.0, "")


@pytest.mark.parametrize("scale", SCALES)
def test_controls_are_drawn_alike_at_any_scale(scale):
    profile = np.random.default_rng(0).integers(1, 64, (40, 2)) / 8
    draw = {"sets": 3, "seed": 0, "pool": 5}
    plain = stats.matched_sets([3, 4], [0] * 40, profile, **draw)
    factors = [2.0 ** int(np.log2(scale)), 1.0]
    assert np.array_equal(stats.matched_sets([3, 4], [0] * 40, profile * factors, **draw), plain)


@pytest.mark.parametrize(
    "found, expected",
    [
        (stats.power(1e308, 10), 1.0),
        (stats.power(1e-300, 10), 0.05),
        (stats.power(1.0, 10**300), 1.0),
        (stats.power(1e-9, 10**18), stats.power(1e-3, 10**6)),
        (stats.power(1.0, 2, alpha=5e-324), 0.0),
        (stats.units_needed(1e308), 2),
        (stats.effective_pairs(10, 1e308, 1), 1e-307),
        (stats.effective_pairs(10, 1e-200, 1), 1e201),
    ],
)
def test_designs_at_the_ends_have_their_limits(found, expected):
    assert found == pytest.approx(expected, rel=1e-4)
