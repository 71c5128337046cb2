"""An SAE on a sample of a stream, read in one way after the other, and how well each way fits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from harness.sae.encoding import Sae, encode
from harness.sae.precise import double

FACTORS = tuple(2 ** (half / 2) for half in range(-12, 13))


@dataclass(frozen=True)
class Fit:
    """How well a stream is reconstructed: the fraction of variance unexplained (FVU) and at what L0.

    `fvu` is of all dimensions together, which the largest of them decide, `fvu_median` of the median
    dimension, which a few large ones can drown: an SAE is of use where either is small.
    """

    fvu: float
    fvu_median: float
    l0: float
    width: int

    @property
    def fvus(self) -> tuple[float, float]:
        """Both."""
        return self.fvu, self.fvu_median

    @property
    def costs(self) -> tuple[float, float]:
        """Both, for the dimensions that the active features leave free, as generalised cross-validation
        has it (Craven and Wahba 1978): with more features active any SAE fits better.
        """
        free = max(1 - self.l0 / self.width, 1e-6) ** 2
        return self.fvu / free, self.fvu_median / free

    @property
    def error(self) -> float:
        """The geometric mean of both: a share of either that goes is a share of it."""
        return (self.fvu * self.fvu_median) ** 0.5

    @property
    def cost(self) -> float:
        """The same of the costs."""
        return (self.costs[0] * self.costs[1]) ** 0.5


@dataclass(frozen=True)
class Trial:
    """An SAE on a sample (n_positions, width) of a stream, read in one way after the other."""

    sae: Sae
    stream: Tensor

    @cached_property
    def inner(self) -> Tensor:
        """What the encoder makes of the stream before its bias, (n_positions, n_features)."""
        return self.stream @ self.sae.w_enc

    @cached_property
    def values(self) -> Tensor:
        """The features as they are read, (n_positions, n_features)."""
        return encode(self.sae, self.stream)

    @cached_property
    def moved(self) -> Tensor:
        """What the encoder makes of the decoder's bias, (n_features,)."""
        return self.sae.b_dec @ self.sae.w_enc

    @cached_property
    def own(self) -> Fit:
        """The fit of the SAE as it is read."""
        return self.fit(self.inner + self.sae.b_enc)

    def fit(
        self,
        before: Tensor,
        scale: Tensor | float = 1.0,
        shift: Tensor | float = 0.0,
        threshold: Tensor | None = None,
    ) -> Fit:
        """The fit with other values before the threshold, and what is decoded scaled and shifted."""
        values, outer = self.decoded(before, threshold)
        return fit_of(self.stream, values, outer * scale + shift)

    def decoded(self, before: Tensor, threshold: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The features (n_positions, n_features) of values before the threshold, and what they decode to.

        On so few positions most features are active nowhere: a processor leaves them out of the product.
        Another device would be waited for until it said which.
        """
        values = before * (before > (self.sae.threshold if threshold is None else threshold))
        if values.device.type != "cpu":
            return values, values @ self.sae.w_dec + self.sae.b_dec
        used = (values > 0).any(0)
        return values, values[:, used] @ self.sae.w_dec[used] + self.sae.b_dec

    def with_thresholds(self, before: Tensor) -> Iterator[tuple[float, Fit]]:
        """Factors of all thresholds, and the fit with each: the one with which as many features are
        active as are published, or several where that is unknown.
        """
        thresholds = self.sae.threshold
        factors: Sequence[float] = FACTORS
        if self.sae.l0 is not None:
            factors = [self._published(before, self.sae.l0)]
        measured = []
        for factor in factors:
            values, outer = self.decoded(before, factor * thresholds)
            measured.append(_measured(self.stream, values, outer))
        for factor, told in zip(factors, torch.stack(measured).tolist(), strict=True):
            fvu, fvu_median, l0 = told
            yield factor, Fit(fvu, fvu_median, l0, width=self.stream.shape[1])

    def _published(self, before: Tensor, l0: float) -> float:
        """The least factor of the thresholds with which no more than `l0` features are active, by halving."""
        # Powers of 2, kept on the device, which nobody waits for until the last.
        low = torch.full((), -20.0, device=before.device)
        high = -low
        for _ in range(16):
            middle = (low + high) / 2
            active = (before > self.sae.threshold * 2**middle).sum(1).float().mean()
            low, high = middle.where(active > l0, low), high.where(active > l0, middle)
        return float(2 ** float(high))


def fit_of(stream: Tensor, values: Tensor, reconstruction: Tensor) -> Fit:
    """The fit of a reconstruction (n_positions, width) by `values` (n_positions, n_features).

    An FVU is 0 where the stream is met, 1 for the mean of each dimension, and more for worse. Dimensions
    that do not vary are left out; it is 0 where none does.
    """
    fvu, fvu_median, l0 = _measured(stream, values, reconstruction).tolist()
    return Fit(fvu, fvu_median, l0, stream.shape[1])


def _measured(stream: Tensor, values: Tensor, reconstruction: Tensor) -> Tensor:
    """Both FVUs and the L0, (3,): on the device, so that many can be read together."""
    errors = double(stream - reconstruction).square().mean(0)
    variances = double(stream).var(0, correction=0)
    varies = variances > 0
    of_all = errors.where(varies, 0).sum() / variances.sum()
    of_median = (errors / variances).where(varies, torch.nan).nanmedian()
    # What is no number stays none.
    fvus = torch.stack([of_all, of_median.where(~of_all.isnan(), torch.nan)])
    l0 = double((values > 0).sum(1)).mean()
    return torch.cat([fvus.where(varies.any(), 0.0), l0[None].to(fvus.device)])
