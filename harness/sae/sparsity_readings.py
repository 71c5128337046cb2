"""Other readings of which features are active: thresholds that were lost, and a k that is not its own."""

from collections.abc import Iterator

import torch
from torch import Tensor

from harness.sae.trial import ADJUSTED, FIXED, Fit, Reading, Trial

ALIKE = 1.25  # times the cost of the best reading: it cannot be told from the best
NEAR = 2.0  # times the published L0: prompts differ so much
STEPS = 4  # powers of 2 by which a k may be wrong
# Numbers of which a quantile is taken: torch's takes 16 million at most.
MOST_QUANTILES = 10_000_000


def other_ks(trial: Trial) -> Iterator[Reading]:
    """Another number of largest features, where the dictionary is TopK or has no thresholds."""
    sae = trial.sae
    if sae.top_k is None:
        if not sae.threshold.any():
            for k, fit in _top_ks(trial):
                yield Reading("top k", _only(k), fit, FIXED if sae.l0 else ADJUSTED)
        return
    cause = "TopK: it is none, and every feature above its threshold is meant"
    yield Reading("top k", cause, trial.fit(trial.before, top_k=sae.features))
    ks = {round(sae.top_k * 2.0**step) for step in range(-STEPS, STEPS + 1)}
    if sae.l0:
        ks = {round(sae.l0)}
    for k in sorted({k for k in ks if 0 < k < sae.features} - {sae.top_k}):
        cause = f"TopK: the {k} largest of each position are meant, not {sae.top_k}"
        fit = trial.fit(trial.before, top_k=k)
        yield Reading("top k", cause, fit, FIXED if sae.l0 else ADJUSTED)


def missing_thresholds(trial: Trial) -> str | None:
    """Whether thresholds were lost, in words: then half of what is active, or more, only adds noise.

    An SAE that was trained without thresholds needs its small values: cut off, its fit suffers. One
    that lost them fits as well, or better, without the values that its thresholds had held back; so does
    one that is TopK, and which of both is meant only the fit may tell.
    """
    sae, own, values = trial.sae, trial.own, trial.values
    active = values[values > 0]
    by_design = sae.relu or sae.top_k is not None
    if by_design or float(sae.threshold.abs().max()) > 1e-6 or not len(active):
        return None
    lost = (
        f"ReLU instead of JumpReLU: its thresholds are all 0, and {own.l0:.0f} features are active"
    )
    if sae.l0 is not None:
        if own.l0 <= NEAR * sae.l0:
            return None
        # One cut for all features, with which as many are active as are published.
        levels = [1 - sae.l0 / own.l0]
        lost += f" where its publisher says {sae.l0:.0f}"
    else:
        # Where the thresholds were is not known, so it is tried at several heights.
        levels = torch.linspace(0.5, 0.95, 10).tolist()
    cuts = [trial.fit(values, threshold=cut) for cut in _quantiles(active, levels)]
    if sae.l0 is None:
        enough = [fit for fit in cuts if fit.cost <= FIXED * own.cost]
        if not enough:
            return None
        lost += f" where {enough[0].l0:.0f} explain as much"
    return "; or ".join(_likely(lost, cuts, dict(_top_ks(trial))))


def _likely(lost: str, cuts: list[Fit], ks: dict[int, Fit]) -> list[str]:
    """Lost thresholds, a TopK dictionary, or both, by which of them fits at less cost."""
    cut = min(fit.cost for fit in cuts)
    k, of_k = min(ks.items(), key=lambda item: item[1].cost, default=(0, cuts[0]))
    causes = [(cut, lost), (of_k.cost, _only(k))] if k else [(cut, lost)]
    least = min(cost for cost, _ in causes)
    return [cause for cost, cause in sorted(causes) if cost <= ALIKE * least]


def _top_ks(trial: Trial) -> Iterator[tuple[int, Fit]]:
    """Numbers of largest features, and the fit with each: the published one, or powers of 2."""
    sae, own = trial.sae, trial.own
    ks = [round(sae.l0)] if sae.l0 else [2**i for i in range(sae.w_dec.shape[1].bit_length())]
    for k in ks:
        if 0 < k < min(own.l0, sae.features):
            yield k, trial.fit(trial.before, top_k=k)


def _only(k: int) -> str:
    return f"TopK: only the {k} largest of each position are meant"


def _quantiles(active: Tensor, levels: list[float]) -> Tensor:
    part = active[:: len(active) // MOST_QUANTILES + 1]
    return part.quantile(torch.tensor(levels, device=part.device))
