"""Mean impacts of arrangements of sources, by loops over all of them, and how often the true one is first."""

from itertools import permutations

import numpy as np
import pytest

from harness.stats import arranged_means

NAMES = np.array(["b", "a", "d", "c"])


def by_loops(table, families, lending):
    """{arrangement: mean} of impacts by prompt and the source's family, each family dealt another's."""
    asked = sorted(set(families))
    found = {}
    for dealt in permutations(lending, len(asked)):
        of = dict(zip(asked, dealt, strict=True))
        found[dealt] = sum(row[of[f]] for row, f in zip(table, families, strict=True)) / len(table)
    return found


def made(seed, families, lending):
    """A table of impacts, and the same as a run has it: own, others, and whose source each prompt had."""
    random = np.random.default_rng(seed)
    table = [{name: random.normal() for name in lending} for _ in families]
    own = [row[f] for row, f in zip(table, families, strict=True)]
    circle = list(lending)
    sources = [
        [circle[(circle.index(f) + step) % len(circle)] for f in families]
        for step in range(1, len(circle))
    ]
    others = [[row[s] for row, s in zip(table, given, strict=True)] for given in sources]
    return table, own, others, sources


@pytest.mark.parametrize("families", ["bbadcc", "ab", "ddddcb", "adcb"])
def test_every_arrangement_is_that_of_a_loop_over_all(families):
    lending = sorted(NAMES)
    table, own, others, sources = made(1, families, lending)
    found = arranged_means(own, others, list(families), sources, most=99)
    expected = by_loops(table, families, lending)
    true = tuple(sorted(set(families)))
    assert found[0] == pytest.approx(expected[true]) == pytest.approx(np.mean(own))
    del expected[true]
    np.testing.assert_allclose(sorted(found[1:]), sorted(expected.values()))


def test_some_of_many_are_drawn_at_random_and_may_be_the_true_one():
    lending = [f"f{i}" for i in range(5)]
    table, own, others, sources = made(2, lending, lending)
    found = arranged_means(own, others, lending, sources, most=100)
    every = np.array(list(by_loops(table, lending, lending).values()))
    assert len(found) == 101
    assert all(np.isclose(every, one, atol=1e-12).any() for one in found)
    again = arranged_means(own, others, lending, sources, most=100)
    np.testing.assert_array_equal(found, again)
    assert (found[1:] != arranged_means(own, others, lending, sources, most=100, seed=1)[1:]).any()
    # One in 120 is the true one, and it is drawn as often as any other.
    drawn = [
        np.isclose(
            arranged_means(own, others, lending, sources, most=100, seed=i)[1:], found[0]
        ).mean()
        for i in range(200)
    ]
    assert np.mean(drawn) == pytest.approx(1 / 120, rel=0.2)


def test_the_rank_is_uniform_over_who_is_whose_own():
    """Of one table, with every arrangement once taken for the true one: each rank comes once."""
    lending = sorted(NAMES)
    table, *_ = made(3, lending, lending)
    ranks = []
    for own_of in permutations(lending):
        named = [dict(zip(lending, [row[s] for s in own_of], strict=True)) for row in table]
        own = [row[f] for row, f in zip(named, lending, strict=True)]
        sources = [[*lending[step:], *lending[:step]] for step in (1, 2, 3)]
        others = [[row[s] for row, s in zip(named, given, strict=True)] for given in sources]
        found = arranged_means(own, others, lending, sources, most=99)
        ranks.append(int((found >= found[0] - 1e-12).sum()))
    assert sorted(ranks) == list(range(1, 25))


@pytest.mark.parametrize("lacking", [0, 2])
def test_where_a_family_was_not_given_some_source_there_are_none(lacking):
    lending = sorted(NAMES)
    _, own, others, sources = made(4, lending, lending)
    del others[lacking], sources[lacking]
    assert arranged_means(own, others, lending, sources, most=99) is None
    assert arranged_means(own, [], lending, np.zeros((0, 4), str), most=99) is None
    assert arranged_means(own[:1], [], lending[:1], np.zeros((0, 1), str), most=99) is None


def test_what_was_not_measured_is_taken_for_nothing():
    lending = sorted(NAMES)
    _, own, others, sources = made(5, lending, lending)
    others[1][2] = np.nan
    assert arranged_means(own, others, lending, sources, most=99) is None
