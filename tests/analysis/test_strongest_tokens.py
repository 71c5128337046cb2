"""The strongest tokens against loops over plain texts, and Cohen's d against scipy."""

from collections import defaultdict

import numpy as np
import pytest
from scipy import stats

from harness.analysis.strongest_tokens import TokenSums, strongest_tokens
from harness.analysis.token_injection import class_of, cohens_d
from harness.specs.ablations import Ablation

FEATURES = [(0, 4), (2, 1), (2, 9)]
SPECIAL = {2, 3}


def ablation(**tokens):
    return Ablation.model_validate(
        {"name": "top", "select": {"by": "contrast"}, "tokens": {"at_least": 2} | tokens}
    )


def texts_of(seed):
    """Texts as (variant, ids, values (n_positions, n_features)); one feature never fires."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(14):
        ids = random.integers(2, 11, random.integers(3, 9))
        values = np.maximum(random.normal(size=(len(ids), 3)), 0)
        values[:, 2] = 0
        made.append((number % 2, ids, values))
    return made


def sums_of(texts):
    ids = np.unique(np.concatenate([one for _, one, _ in texts]))
    shape = 2, len(ids)
    found = TokenSums(
        ids, np.zeros(shape, int), np.zeros(shape, int), np.zeros((*shape, 3)), np.zeros((2, 3)),
        np.zeros(2, int),
    )  # fmt: skip
    for variant, own, values in texts:
        found.n_texts[variant] += 1
        found.peaks[variant] += values.max(axis=0)
        for token in set(own.tolist()):
            at = ids.tolist().index(token)
            found.texts[variant, at] += 1
            found.positions[variant, at] += (own == token).sum()
            found.total[variant, at] += values[own == token].sum(axis=0)
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("top, at_least", [(3, 2), (1, 5), (20, 1)])
def test_they_are_those_of_plain_loops(seed, top, at_least):
    texts = texts_of(seed)
    found = strongest_tokens(
        sums_of(texts), FEATURES, ablation(top=top, at_least=at_least), SPECIAL
    )
    expected = []
    for column, feature in enumerate(FEATURES):
        peaks = [
            np.mean([values[:, column].max() for v, _, values in texts if v == variant])
            for variant in (0, 1)
        ]
        own = 0 if peaks[0] > peaks[1] else 1  # the edited variant, where they tie
        seen, where = defaultdict(list), defaultdict(set)
        for number, (variant, ids, values) in enumerate(texts):
            if variant == own:
                for token, value in zip(ids.tolist(), values[:, column].tolist(), strict=True):
                    seen[token].append(value)
                    where[token].add(number)
        means = {
            token: sum(some) / len(some)
            for token, some in seen.items()
            if token not in SPECIAL and len(where[token]) >= at_least and sum(some) > 0
        }
        for rank, token in enumerate(sorted(means, key=lambda t: (-means[t], t))[:top]):
            label = ("correct", "misconception")[own]
            counts = len(seen[token]), len(where[token])
            expected.append((feature, label, rank, token, means[token], *counts))
    assert [(*vars(one).values(),) for one in found] == [
        (*one[:4], pytest.approx(one[4]), *one[5:]) for one in expected
    ]
    assert not any(one.feature == (2, 9) for one in found)
    assert not any(one.token_id in SPECIAL for one in found)


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
