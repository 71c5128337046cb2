"""What tells the variants of a prompt file apart without any model: shortcut scores.

A linear classifier that sees words, answers or lengths alone is trained on some groups of pairs and asked of
each pair of another group which variant is the positive one. Where it knows, a feature may know by the
same means, and a claim about what the variants mean cannot tell the two apart (Gururangan et al. 2018).
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.analysis.scored_prompts import scored_prompts
from harness.specs.prompt import Pair, Prompt, pairs_of
from harness.stats import bounded_mean_interval

Floats = NDArray[np.float64]
CHANCE = 0.5
FOLDS = 10  # at most: more groups than that are left out some at a time
FEWEST_GROUPS = 3  # of a tag that groups families: of fewer, one leaves too little to learn from
PENALTY = 1.0  # of the ridge, for features that are counts
_TIE = 1e-9  # a difference of two scores that is rounding
NOUNS = ("role", "quantity")  # tags of what is asked for: the first that every prompt has
FORM = "form"  # the tag of the words in which a trait is said
_SENTENCE_END = re.compile(r"[.?!]\s|\n")


@dataclass(frozen=True)
class ShortcutScore:
    """How well one kind of features tells variants apart in groups that it was not trained on.

    `score` is the paired accuracy, 0.5 at chance: the share of pairs whose positive variant scores higher,
    a tie counting half, averaged over families. `low` to `high` is its 95% betting interval over families.
    `left_out` names what groups pairs, of which `groups` were left out in `folds` parts. `decides` marks
    the score by which the kind is judged.
    """

    kind: str
    left_out: str
    score: float
    low: float
    high: float
    groups: int
    folds: int
    families: int
    decides: bool

    def __str__(self) -> str:
        return f"{self.kind} {self.score:.2f}"


def shortcut_scores(prompts: Sequence[Prompt], *, every: bool = True) -> tuple[ShortcutScore, ...]:
    """The scores of every kind of features, with each grouping of pairs left out; deciding ones first.

    Without `every`, only with that left out which decides, and families where it is a form.

    Least squares with a penalty of 1 on the differences between a pair's two variants, which is a ridge
    classifier with an effect of each pair: what both variants share tells nothing. A kind that needs the
    tag `quantity` is left out where it is missing, and a grouping where it has fewer than three groups. Of
    more than 2,000 pairs the scores are those of some families, see `scored_prompts`.
    """
    pairs = pairs_of(scored_prompts(prompts))
    families = np.array([pair.family for pair in pairs])
    groupings = _groupings(pairs)
    decisive = next(iter(groupings))
    if not every:
        shown = {decisive, "family"} if decisive == FORM else {decisive}
        groupings = {name: groups for name, groups in groupings.items() if name in shown}
    names, of = np.unique(families, return_inverse=True)
    found = []
    for kind, differences in _differences(pairs).items():
        inverse = _inverse(_kernel(differences))
        for left_out, groups in groupings.items():
            n_groups = len(set(groups))
            folds = min(FOLDS, n_groups)
            hits = _hits(inverse, groups, folds)
            by_family = np.bincount(of, hits) / np.bincount(of)
            low, high = bounded_mean_interval(by_family, 0.0, 1.0)
            found.append(
                ShortcutScore(
                    kind=kind,
                    left_out=left_out,
                    score=float(np.mean(by_family)),
                    low=low,
                    high=high,
                    groups=n_groups,
                    folds=folds,
                    families=len(names),
                    decides=left_out == decisive,
                )
            )
    return tuple(sorted(found, key=lambda one: not one.decides))


def _groupings(pairs: Sequence[Pair]) -> Mapping[str, NDArray[np.str_]]:
    """By name the group of each pair, (n_pairs,), the deciding grouping first.

    It is the form in which the trait is said, where that is tagged; else the coarsest that groups families.
    """
    families = np.array([pair.family for pair in pairs])
    names = set.intersection(*({*pair.correct.tags, *pair.misconception.tags} for pair in pairs))
    tagged: dict[str, NDArray[np.str_]] = {}
    for name in sorted(names):
        groups = np.array([_tag(pair, name) for pair in pairs])
        whole = len({*zip(families, groups, strict=True)}) == len({*families})
        many = FEWEST_GROUPS <= len({*groups}) < len({*families})
        if (name == FORM and len({*groups}) > 1) or (whole and many):
            tagged[name] = groups
    coarse = sorted(tagged.keys() - {FORM}, key=lambda name: len({*tagged[name]}))
    order = [FORM] * (FORM in tagged) + coarse
    return {name: tagged[name] for name in order} | {"family": families}


def _tag(pair: Pair, name: str) -> str:
    values = {one.tags.get(name, "") for one in (pair.correct, pair.misconception)}
    return " / ".join(sorted(values))


def _differences(pairs: Sequence[Pair]) -> Mapping[str, Any]:
    """By kind of features, the positive variants' minus the others', sparse (n_pairs, n_features)."""
    kinds: dict[str, Callable[[Prompt], Mapping[str, float]]] = {
        "words": _words,
        "scene x answer": _scene_and_answer,
        "length": _lengths,
    }
    both = [pair.correct for pair in pairs] + [pair.misconception for pair in pairs]
    noun = next((name for name in NOUNS if all(name in one.tags for one in both)), None)
    if noun:
        kinds |= {
            "answer x noun": partial(_answer_and_noun, noun),
            "scene x noun x answer": partial(_scene_noun_and_answer, noun),
        }
    rows = {kind: [features(one) for one in both] for kind, features in kinds.items()}
    by_pair = [_word_pairs(pair) for pair in pairs]
    rows["word pairs"] = [mine for mine, _ in by_pair] + [others for _, others in by_pair]
    found = {kind: _matrix(some) for kind, some in sorted(rows.items())}
    return {kind: one[: len(pairs)] - one[len(pairs) :] for kind, one in found.items()}


def _matrix(rows: Sequence[Mapping[str, float]]) -> sparse.csr_array:
    """The values of named features, sparse (n_rows, n_features)."""
    column: dict[str, int] = {}
    at = [column.setdefault(name, len(column)) for row in rows for name in row]
    values = np.array([value for row in rows for value in row.values()], float)
    ends = np.cumsum([0, *map(len, rows)])
    return sparse.csr_array((values, np.array(at, int), ends), shape=(len(rows), len(column)))


def _words(prompt: Prompt) -> Mapping[str, float]:
    return Counter(f"{prompt.text} {prompt.answer}".lower().split())


def _word_pairs(pair: Pair) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Any two words of one sentence, in their order; of sentences that both variants have, none."""
    mine, others = (
        Counter(_SENTENCE_END.split(f"{one.text} {one.answer}".lower()))
        for one in (pair.correct, pair.misconception)
    )
    return _pairs_in(mine - others), _pairs_in(others - mine)


def _pairs_in(sentences: Mapping[str, int]) -> Mapping[str, float]:
    found: Counter[str] = Counter()
    for sentence, times in sentences.items():
        for one, other in combinations(sentence.split(), 2):
            found[f"{one} {other}"] += times
    return found


def _answer_and_noun(noun: str, prompt: Prompt) -> Mapping[str, float]:
    return {prompt.answer: 1.0, f"{prompt.tags[noun]}\n{prompt.answer}": 1.0}


def _scene_and_answer(prompt: Prompt) -> Mapping[str, float]:
    return {f"{word}\n{prompt.answer}": 1.0 for word in {*prompt.text.lower().split()}}


def _scene_noun_and_answer(noun: str, prompt: Prompt) -> Mapping[str, float]:
    return {f"{name}\n{prompt.tags[noun]}": 1.0 for name in _scene_and_answer(prompt)}


def _lengths(prompt: Prompt) -> Mapping[str, float]:
    """Words, and characters in fives, of the prompt and of the answer."""
    texts = {"prompt": prompt.text, "answer": prompt.answer}
    characters = {f"{name} characters": len(text) / 5 for name, text in texts.items()}
    return characters | {f"{name} words": float(len(text.split())) for name, text in texts.items()}


def _kernel(differences: Any) -> Floats:
    """Products of the pairs' differences, (n_pairs, n_pairs): all that a ridge sees of them."""
    return np.asarray((differences @ differences.T).toarray(), float)


def _inverse(kernel: Floats) -> Floats:
    """That of the kernel with the penalty, (n_pairs, n_pairs): every fit of some of the pairs is in it."""
    return np.asarray(np.linalg.inv(kernel + PENALTY * np.eye(len(kernel))), float)


def _hits(inverse: Floats, groups: NDArray[np.str_], folds: int) -> Floats:
    """Whether each pair's positive variant scores higher, (n_pairs,): 1, 0, or one half of a tie."""
    if folds < 2:
        return np.full(len(inverse), CHANCE)
    margins = _margins(inverse, groups, folds)
    return np.where(np.abs(margins) < _TIE, CHANCE, (margins > 0).astype(float))


def margins_of(kernel: Floats, groups: NDArray[np.str_], folds: int) -> Floats:
    """By how much each pair's positive variant scores higher where its group is left out, (n_pairs,).

    A ridge on the products of the pairs' differences, `kernel` (n_pairs, n_pairs), whose target is 1.
    """
    return _margins(_inverse(kernel), groups, folds)


def _margins(inverse: Floats, groups: NDArray[np.str_], folds: int) -> Floats:
    """The same from the inverse, without a fit for each fold.

    What a fit without the pairs S lacks of their targets is the solution of inverse[S, S] x = (inverse 1)[S]:
    leaving out by blocks (Stone 1974 has single cases; Rifkin and Lippert 2007).
    """
    residuals, fold_of = inverse.sum(axis=1), _folds(groups, folds)
    margins = np.empty(len(inverse))
    for fold in range(folds):
        (own,) = np.nonzero(fold_of == fold)
        margins[own] = 1.0 - np.linalg.solve(inverse[np.ix_(own, own)], residuals[own])
    return margins


def _folds(groups: NDArray[np.str_], folds: int) -> NDArray[np.intp]:
    """The fold of each pair, (n_pairs,): groups whole, from the largest, each to the fold of fewest pairs."""
    _, of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    fold_of, load = np.empty(len(sizes), np.intp), np.zeros(folds, np.intp)
    for group in np.argsort(sizes, kind="stable")[::-1]:
        fold_of[group] = np.argmin(load)
        load[fold_of[group]] += sizes[group]
    return fold_of[of]
