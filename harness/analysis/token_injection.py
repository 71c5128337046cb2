"""What an ablation's features are in neutral texts with their strongest tokens, and in their own prompts."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from harness.analysis.selection import lengths
from harness.analysis.units import Units
from harness.specs.ablations import Ablation
from harness.specs.intervention import Feature
from harness.specs.plan import Plan
from harness.specs.prompt import Origin, Pair, pairs_of
from harness.stats.transfers import transferred_share
from harness.store.interface import ReadStore
from harness.store.tables.interventions import InjectedTokens, Injections
from harness.store.tables.observations import FeatureActivity, PromptTokens, TokenActivations
from harness.store.tables.results import InjectionTests

Floats = NDArray[np.float64]
LEVEL = 0.95  # of the intervals that are stored
NO_SHARE = 0.5  # that no test is drawn from: rows are description
# Cohen's d and p from which on Ma et al. (2026) call a feature driven by its tokens, the strictest first.
CLASSES = (
    (0.8, 0.01, "token-driven"),
    (0.5, 0.01, "partially token-driven"),
    (0.2, 0.05, "weakly token-driven"),
)
CONTEXT = "context-dependent"


@dataclass(frozen=True)
class Injected:
    """Values (n_texts, n_features) with each feature's strongest sequences of `gram` tokens at one place.

    Of the features that have such sequences, `has` (n_features,): those of others mean nothing.
    """

    gram: int
    placement: str
    values: Floats
    has: NDArray[np.bool_]

    @property
    def name(self) -> str:
        """The place, and of sequences of how many tokens."""
        return (
            self.placement if self.gram == 1 else f"{self.placement} of {grams_in_words(self.gram)}"
        )


def grams_in_words(gram: int) -> str:
    """What sequences of so many tokens are called."""
    return "tokens" if gram == 1 else f"{gram}-grams"


@dataclass(frozen=True)
class TokenInjection:
    """The largest value of each feature in each text: of neutral texts, and of the confirming prompts.

    `base` (n_texts, n_features) is that of neutral texts as they are, `injected` the same with the feature's
    strongest tokens, for each of their lengths at each place, and `own` (n_pairs, n_features) that of its
    prompts of the variant where it is the stronger. `texts` (n_texts,) and `units` are what is independent.
    `features` are those that have tokens, of which a set adds up by `weights` (n_features,), the lengths of
    their directions; `silent` others have none.
    """

    features: tuple[Feature, ...]
    weights: Floats
    base: Floats
    injected: tuple[Injected, ...]
    own: Floats
    texts: NDArray[np.str_]
    units: Units
    silent: int

    @classmethod
    def read(
        cls,
        source: ReadStore,
        plan: Plan,
        ablation: Ablation,
        run_id: str,
        chosen: Sequence[Feature],
    ) -> Self:
        """That of a stored run's frozen set."""
        label: dict[Feature, str] = {}
        holders: dict[int, set[Feature]] = defaultdict(set)
        for row in source.read(InjectedTokens, run_id, ablation=ablation.name).rows():
            label[row["layer"], row["feature"]] = row["label"]
            holders[row["gram"]].add((row["layer"], row["feature"]))
        features = tuple(one for one in chosen if one in label)
        rows = list(source.read(Injections, run_id, ablation=ablation.name).rows())
        texts = {row["prompt_id"]: row["family"] for row in rows}
        column = {one: i for i, one in enumerate(features)}
        line = {name: i for i, name in enumerate(sorted(texts))}
        assert ablation.tokens is not None
        base = np.zeros((len(line), len(features)))
        injected = {
            (gram, place): Injected(
                gram, place, base.copy(), np.array([one in holders[gram] for one in features])
            )
            for gram in range(1, ablation.tokens.grams + 1)
            for place in ablation.tokens.at
        }
        for row in rows:
            at = line[row["prompt_id"]], column[row["layer"], row["feature"]]
            place = row["placement"]
            (injected[row["gram"], place].values if place else base)[at] = row["peak"]
        pairs = pairs_of(plan.of("confirmation"))
        own = _own_peaks(source, run_id, pairs, {one: label[one] for one in features})
        activity = source.read(FeatureActivity, run_id)
        return cls(
            features,
            lengths(features, activity),
            base,
            tuple(injected.values()),
            own,
            np.array([texts[name] for name in line], str),
            Units.by_family([pair.family for pair in pairs]),
            len(chosen) - len(features),
        )


def _own_peaks(
    source: ReadStore, run_id: str, pairs: Sequence[Pair], labels: Mapping[Feature, str]
) -> Floats:
    """Each feature's largest value at a prompt token of each pair's prompt of its variant, (n_pairs, n)."""
    said: dict[str, int] = {}
    spoken = source.read(PromptTokens, run_id, part="prompt")
    for prompt, position in zip(spoken.prompt_id, spoken.position, strict=True):
        said[str(prompt)] = max(said.get(str(prompt), 0), int(position))
    own = np.zeros((len(pairs), len(labels)))
    for column, ((layer, feature), label) in enumerate(labels.items()):
        line = {getattr(pair, label).id: i for i, pair in enumerate(pairs)}
        rows = source.read(TokenActivations, run_id, layer=layer, feature=feature)
        for prompt, position, value in zip(rows.prompt_id, rows.position, rows.value, strict=True):
            if prompt in line and position <= said[prompt]:
                at = line[prompt], column
                own[at] = max(own[at], float(value))
    return own


def injection_tests(
    found: TokenInjection, ablation: Ablation, run_id: str, origin: Origin
) -> InjectionTests:
    """A row a length, place and feature, and one of the set at each: it describes, and concludes nothing."""
    if not found.features:
        return InjectionTests.of(())
    each = np.eye(len(found.features))
    return InjectionTests.of(
        {
            "run_id": run_id,
            "ablation": ablation.name,
            "placement": part.placement,
            "layer": layer,
            "feature": feature,
            **_described(found.base @ weights, part.values @ weights, found.own @ weights, found),
            "origin": origin,
            "gram": part.gram,
        }
        for part in found.injected
        if part.has.any()
        for (layer, feature), weights in (
            *[(one, each[i]) for i, one in enumerate(found.features) if part.has[i]],
            ((None, None), found.weights * part.has),
        )
    )


def _described(
    base: Floats, injected: Floats, own: Floats, found: TokenInjection
) -> dict[str, Any]:
    share = transferred_share(
        injected, base, found.texts, own, found.units.of, against=NO_SHARE, level=LEVEL
    )
    is_share = bool(np.isfinite(share.share))
    d, p = cohens_d(injected, base)
    return {
        "base": float(base.mean()),
        "injected": float(injected.mean()),
        "own": float(own.mean()),
        "share": share.share if is_share else None,
        "ci_low": share.low if is_share else None,
        "ci_high": share.high if is_share else None,
        "cohens_d": d if np.isfinite(d) else None,
        "p": p,
        "driven": class_of(d, p),
        "n_texts": len(base),
        "n_units": found.units.n,
    }


def cohens_d(injected: Floats, base: Floats) -> tuple[float, float]:
    """Cohen's d of two samples of one size and the p of Student's t, as Ma et al. (2026) have them.

    The difference of the means by their pooled standard deviation: infinite where neither has any spread and
    they differ, 0 where they do not.
    """
    difference = float(injected.mean() - base.mean())
    spread = float(np.sqrt((injected.var(ddof=1) + base.var(ddof=1)) / 2))
    if not spread:
        return (float(np.inf * np.sign(difference)), 0.0) if difference else (0.0, 1.0)
    t = difference / spread * np.sqrt(len(base) / 2)
    return difference / spread, float(2 * stats.t.sf(abs(t), 2 * len(base) - 2))


def class_of(d: float, p: float) -> str:
    """What Ma et al. (2026) call a feature whose tokens do so much."""
    return next((name for least, most, name in CLASSES if d >= least and p < most), CONTEXT)
