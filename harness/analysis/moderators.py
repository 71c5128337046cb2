"""On what an ablation's impact depends: the dose, and the tags of the prompts. It concludes nothing.

The impact on each prompt is regressed on indicators of every level but the first, of all terms together. What
hangs together is a cluster: a family's prompts, or those of all families of a principle where principles are
tagged. statsmodels fits generalised estimating equations with one correlation within clusters (Liang and
Zeger 1986) and a covariance that leaves each cluster out (Mancl and DeRouen 2001), so that neither the
correlation need be right nor effects be alike in all families. Where families and principles cross,
or that does not converge, it is least squares with errors robust to clusters of both kinds (Cameron, Gelbach
and Miller 2011), and no smaller than to those of either alone.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

Floats = NDArray[np.float64]
Texts = NDArray[np.str_]
Terms = Mapping[str, Texts]
PRINCIPLE = "principle"
FEWEST = 6  # clusters whose spread says how sure an estimate is
MOST_LEVELS = 12
SAME = 1e-9  # of the largest impact: a smaller spread is none
LEVEL = 0.95
ALONE = 1e-9  # less than a whole leverage: what rests on one cluster but for rounding


@dataclass(frozen=True)
class Moderation:
    """How far the impact at a level of a term is from that at the term's first level, in nats.

    `ci_low` to `ci_high` is the interval at 95 %, and `p` is corrected for nothing. `note` names the first
    level and the clusters; where there is no estimate it says why, and all that is estimated is None.
    """

    term: str
    level: str | None = None
    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p: float | None = None
    method: str | None = None
    n_rows: int = 0
    n_families: int = 0
    note: str = ""


@dataclass(frozen=True)
class Clusters:
    """What hangs together, in words, and each prompt's cluster in each way to hang together, (n, n_ways)."""

    words: str
    of: NDArray[np.intp]

    @property
    def fewest(self) -> int:
        """How many there are, in the way that has the fewest."""
        return int(self.of.max(axis=0).min()) + 1


def moderations(
    impacts: Floats, families: Texts, terms: Terms, principles: Texts | None = None
) -> list[Moderation]:
    """Every level of every term but its first, in the order of the terms; what is left out says why.

    `impacts` (n,) in nats are each of a prompt of one of the `families` (n,) and `principles` (n,), where
    these are known; `terms` have their levels, (n,). Impacts that are not finite are left out.
    """
    seen = np.isfinite(impacts)
    y, families = impacts[seen], families[seen]
    terms = {term: levels[seen] for term, levels in terms.items()}
    n, n_families = len(y), len(set(families.tolist()))
    if why := _unfit(y, n_families):
        return [Moderation(term, note=why, n_rows=n, n_families=n_families) for term in terms]
    by_family = Clusters("family", _codes(families))
    found = _fit_terms(y, terms, by_family)
    if principles is not None:
        # How far principles lie apart is seen in their families; anything else may vary with principles.
        others = {term: levels for term, levels in terms.items() if term != PRINCIPLE}
        if wider := _wider(by_family, principles[seen]):
            found |= _fit_terms(y, others, wider)
    return [replace(one, n_rows=n, n_families=n_families) for term in terms for one in found[term]]


def _unfit(y: Floats, n_families: int) -> str:
    """Why nothing can be estimated, or nothing."""
    if not len(y):
        return "no impact was measured"
    if n_families < FEWEST:
        return f"fewer than {FEWEST} families say little of their spread"
    if np.ptp(y) <= SAME * np.abs(y).max():
        return "every impact is the same"
    return ""


def _codes(names: Texts) -> NDArray[np.intp]:
    return np.unique(names, return_inverse=True)[1].reshape(-1, 1)


def _wider(families: Clusters, principles: Texts) -> Clusters | None:
    """Principles as clusters, alone where families lie in them, else both; None where they are too few."""
    of = _codes(principles)
    both = Clusters("family and principle, which cross", np.hstack([families.of, of]))
    if both.fewest < FEWEST:
        return None
    nested = len(np.unique(both.of, axis=0)) == families.fewest
    return Clusters("principle", of) if nested else both


def _fit_terms(y: Floats, terms: Terms, clusters: Clusters) -> dict[str, list[Moderation]]:
    """What each term does beside the others; of those that cannot be told apart the first."""
    found: dict[str, list[Moderation]] = {}
    places: dict[str, tuple[list[str], int]] = {}
    design = np.ones((len(y), 1))
    for term, levels in terms.items():
        named = _in_order(levels)
        columns = (levels[:, None] == np.array(named[1:])).astype(float)
        both = np.hstack([design, columns])
        if why := _why_not(named, both, columns.shape[1], clusters, [*places]):
            found[term] = [Moderation(term, note=why)]
            continue
        places[term] = named, design.shape[1]
        design = both
    if places:
        method, estimates, errors = _fit(y, design, clusters)
        freedom = _freedom(design, clusters)
        spread = SAME * float(np.abs(y).max())
        for term, (named, at) in places.items():
            note = f"beside {named[0]}; clustered by {clusters.words}"
            found[term] = [
                _estimated(
                    term,
                    level,
                    float(estimates[i]),
                    float(errors[i]),
                    freedom,
                    spread,
                    method,
                    note,
                )
                for i, level in enumerate(named[1:], start=at)
            ]
    return found


def _in_order(levels: Texts) -> list[str]:
    """Each level once: numbers by size, then words by letter."""

    def key(level: str) -> tuple[float, str]:
        try:
            number = float(level)
        except ValueError:
            number = np.inf
        return (number if number == number else np.inf), level

    return sorted(set(levels.tolist()), key=key)


def _why_not(
    named: list[str], design: Floats, own: int, clusters: Clusters, before: list[str]
) -> str:
    """Why a term cannot be estimated, or nothing: its `own` columns are the last of the `design` (n, k)."""
    if own == 0:
        return f"one level: {named[0]}"
    if own >= MOST_LEVELS:
        return f"{own + 1} levels, and more than {MOST_LEVELS} show nothing"
    k = design.shape[1]
    if _rank(design) < k:
        return f"cannot be told apart from {', '.join(before)}"
    if any(_rests_on_one(design, way) for way in clusters.of.T):
        return f"rests on one {clusters.words.split()[0]} alone"
    return (
        "" if _freedom(design, clusters) > 0 else f"too many levels for {clusters.fewest} clusters"
    )


def _rank(design: Floats) -> int:
    return int(np.linalg.matrix_rank(design.T @ design, hermitian=True))


def _rests_on_one(design: Floats, way: NDArray[np.intp]) -> bool:
    """Whether a `design` (n, k) of full rank loses it with one of the clusters (n,) left out.

    So it does where a combination of its columns is 0 but in that cluster, whose leverage is 1 there.
    """
    basis = np.linalg.qr(design)[0][np.argsort(way, kind="stable")]
    parts = np.split(basis, np.cumsum(np.bincount(way))[:-1])
    leverages = np.linalg.eigvalsh(np.stack([part.T @ part for part in parts]))
    return bool((leverages[:, -1] > 1 - ALONE).any())


def _freedom(design: Floats, clusters: Clusters) -> int:
    """Clusters less what their means are asked: 1, and one more for each column that tells clusters apart."""
    left = []
    for way in clusters.of.T:
        n = np.bincount(way)
        sums = np.zeros((len(n), design.shape[1]))
        np.add.at(sums, way, design)
        left.append(len(n) - _rank(sums / n[:, None]))
    return min(left)


def _fit(y: Floats, design: Floats, clusters: Clusters) -> tuple[str, Floats, Floats]:
    """The method, and estimate and standard error of each column of the `design` (n, k), (k,) each."""
    with warnings.catch_warnings(record=True), np.errstate(all="ignore"):
        warnings.simplefilter("always")  # what libraries say of each other is for no terminal
        fitted = None if clusters.of.shape[1] > 1 else _by_gee(y, design, clusters.of[:, 0])
        return fitted or _by_least_squares(y, design, clusters)


def _by_gee(
    y: Floats, design: Floats, groups: NDArray[np.intp]
) -> tuple[str, Floats, Floats] | None:
    """None where it does not converge."""
    from statsmodels.genmod.cov_struct import Exchangeable, Independence
    from statsmodels.genmod.generalized_estimating_equations import GEE

    structure = Exchangeable if np.bincount(groups).max() > 1 else Independence
    try:
        fit = GEE(y, design, groups, cov_struct=structure()).fit(cov_type="bias_reduced")
        errors = _roots(fit.cov_params())
    except (np.linalg.LinAlgError, ValueError, ZeroDivisionError):
        return None
    if not (fit.converged and np.isfinite(errors).all()):
        return None
    return "GEE", np.asarray(fit.params), errors


def _by_least_squares(y: Floats, design: Floats, clusters: Clusters) -> tuple[str, Floats, Floats]:
    from statsmodels.regression.linear_model import OLS

    ways = [*clusters.of.T] + ([clusters.of] if clusters.of.shape[1] > 1 else [])
    fits = [OLS(y, design).fit(cov_type="cluster", cov_kwds={"groups": way}) for way in ways]
    # Of two ways together it can be smaller than of one, and even negative.
    errors = np.fmax.reduce([_roots(fit.cov_params()) for fit in fits])
    return "OLS", np.asarray(fits[0].params), errors


def _roots(covariance: Floats) -> Floats:
    """Standard errors, (k,); NaN where a variance is negative."""
    return np.sqrt(np.diag(np.asarray(covariance, float)))


def _estimated(
    term: str,
    level: str,
    estimate: float,
    error: float,
    freedom: int,
    least: float,
    method: str,
    note: str,
) -> Moderation:
    """A row of what was estimated; without interval and p where there is no spread to judge it by."""
    found = Moderation(term, level, estimate, method=method, note=note)
    if not error > least:
        return replace(found, note=f"{note}; no spread to judge it by")
    half = float(student.ppf((1 + LEVEL) / 2, freedom)) * error
    return replace(
        found,
        ci_low=estimate - half,
        ci_high=estimate + half,
        p=2 * float(student.sf(abs(estimate) / error, freedom)),
    )
