"""The strongest tokens against loops over plain texts, and Cohen's d against scipy."""

from collections import defaultdict

import numpy as np
import pytest
from scipy import stats

from harness.analysis.strongest_tokens import GramSums, TokenSums, strongest_tokens
from harness.analysis.token_grams import grams_of
from harness.analysis.token_injection import class_of, cohens_d
from harness.specs.ablations import Ablation

FEATURES = [(0, 4), (2, 1), (2, 9)]
SPECIAL = {2, 3}


def ablation(**tokens):
    return Ablation.model_validate(
        {"name": "top", "select": {"by": "contrast"}, "tokens": {"at_least": 2} | tokens}
    )


def texts_of(seed, end=11):
    """Texts as (variant, ids, values (n_positions, n_features)); one feature never fires."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(14 if end == 11 else 80):
        ids = random.integers(2, end, random.integers(1 if end < 11 else 3, 9))
        values = np.maximum(random.normal(size=(len(ids), 3)), 0)
        values = np.ceil(values) if seed == 3 else values  # so that means are equal
        values[:, 2] = 0
        made.append((number % 2, ids, values))
    return made


def sums_of(texts, grams=1):
    peaks, n_texts = np.zeros((2, 3)), np.zeros(2, int)
    for variant, _, values in texts:
        n_texts[variant] += 1
        peaks[variant] += values.max(axis=0)
    return TokenSums([gram_sums(texts, n) for n in range(1, grams + 1)], peaks, n_texts)


def ending(ids, n):
    """Each n adjacent tokens, by the place of the last."""
    return {end: tuple(ids[end - n + 1 : end + 1].tolist()) for end in range(n - 1, len(ids))}


def gram_sums(texts, n):
    ids = sorted({gram for _, own, _ in texts for gram in ending(own, n).values()})
    shape = 2, len(ids)
    found = GramSums(
        np.array(ids), np.zeros(shape, int), np.zeros(shape, int), np.zeros((*shape, 3))
    )
    for variant, own, values in texts:
        for gram in set(ending(own, n).values()):
            at = ids.index(gram)
            found.texts[variant, at] += 1
            for end, one in ending(own, n).items():
                if one == gram:
                    found.positions[variant, at] += 1
                    found.total[variant, at] += values[end]
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("top, at_least, grams", [(3, 2, 1), (1, 5, 1), (20, 1, 2), (4, 2, 3)])
def test_they_are_those_of_plain_loops(seed, top, at_least, grams):
    texts = texts_of(seed, 11 if grams == 1 else 7)
    wanted = ablation(top=top, at_least=at_least, grams=grams)
    found = strongest_tokens(sums_of(texts, grams), FEATURES, wanted, SPECIAL)
    expected = []
    for column, feature in enumerate(FEATURES):
        peaks = [
            np.mean([values[:, column].max() for v, _, values in texts if v == variant])
            for variant in (0, 1)
        ]
        own = 0 if peaks[0] > peaks[1] else 1  # the edited variant, where they tie
        for n in range(1, grams + 1):
            seen, where = defaultdict(list), defaultdict(set)
            for number, (variant, ids, values) in enumerate(texts):
                if variant == own:
                    for end, gram in ending(ids, n).items():
                        seen[gram].append(values[end, column].item())
                        where[gram].add(number)
            means = {
                gram: sum(some) / len(some)
                for gram, some in seen.items()
                if not set(gram) & SPECIAL and len(where[gram]) >= at_least and sum(some) > 0
            }
            for rank, gram in enumerate(sorted(means, key=lambda t: (-means[t], t))[:top]):
                label = ("correct", "misconception")[own]
                counts = len(seen[gram]), len(where[gram])
                expected.append((feature, label, rank, gram, means[gram], *counts))
    assert grams == 1 or {len(one.ids) for one in found} == set(range(1, grams + 1))
    assert [(*vars(one).values(),) for one in found] == [
        (*one[:4], pytest.approx(one[4]), *one[5:]) for one in expected
    ]
    assert not any(one.feature == (2, 9) for one in found)
    assert not any(set(one.ids) & SPECIAL for one in found)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n, at_least", [(1, 2), (2, 1), (2, 3), (3, 2), (9, 1)])
def test_sequences_are_those_of_plain_loops(seed, n, at_least):
    """In texts some tokens of which count for nothing, which two variants may share, or neither have."""
    random = np.random.default_rng(seed)
    texts = [ids for _, ids, _ in texts_of(seed, 6)]
    words = [random.random(len(ids)) < 0.8 for ids in texts]
    asked = random.random((2, len(texts))) < 0.6
    found = grams_of(texts, words, asked, n, at_least)
    where = [defaultdict(set), defaultdict(set)]
    at = []
    for number, (ids, counts) in enumerate(zip(texts, words, strict=True)):
        own = {
            end: one for end, one in ending(ids, n).items() if all(counts[end - n + 1 : end + 1])
        }
        at.append(own)
        for variant in (0, 1):
            for gram in own.values():
                if asked[variant, number]:
                    where[variant][gram].add(number)
    often = {gram for of in where for gram, some in of.items() if len(some) >= at_least}
    assert list(map(tuple, found.ids.tolist())) == sorted(often)
    for ids, own, ends in zip(texts, at, found.ends, strict=True):
        expected = [own.get(end) if own.get(end) in often else None for end in range(len(ids))]
        assert [None if one < 0 else tuple(found.ids[one].tolist()) for one in ends] == expected
    positions = asked.sum(axis=0) @ [len(ids) for ids in texts]
    assert len(found.ids) <= positions / at_least


def test_cohens_d_is_that_of_two_samples():
    random = np.random.default_rng(0)
    injected, base = random.normal(1, 1, 24), random.normal(0, 2, 24)
    d, p = cohens_d(injected, base)
    assert p == pytest.approx(stats.ttest_ind(injected, base).pvalue)
    pooled = np.sqrt((np.std(injected, ddof=1) ** 2 + np.std(base, ddof=1) ** 2) / 2)
    assert d == pytest.approx((np.mean(injected) - np.mean(base)) / pooled)
    assert cohens_d(np.ones(4), np.zeros(4)) == (np.inf, 0.0)
    assert cohens_d(np.ones(4), np.ones(4)) == (0.0, 1.0)


@pytest.mark.parametrize(
    "d, p, said",
    [
        (0.8, 0.009, "token-driven"),
        (0.8, 0.02, "weakly token-driven"),
        (0.5, 0.009, "partially token-driven"),
        (0.3, 0.04, "weakly token-driven"),
        (0.3, 0.06, "context-dependent"),
        (0.1, 0.0, "context-dependent"),
        (-2.0, 0.0, "context-dependent"),
    ],
)
def test_classes_are_those_of_the_paper(d, p, said):
    assert class_of(d, p) == said
