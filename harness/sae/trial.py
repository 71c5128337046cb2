"""A dictionary on a sample of its site, read in one way after the other, and how well each way fits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from harness.sae.encoding import Sae, kth, moments, read_part, written_part
from harness.sae.precise import double
from harness.sae.sparse_product import LARGE, sparse_product

# Shares of the cost that a reading may leave to be believed: of one that has nothing to adjust, and of
# one that has a factor or a mean that is looked for.
FIXED, ADJUSTED = 0.85, 2 / 3
FACTORS = tuple(2 ** (half / 2) for half in range(-12, 13))
TOGETHER = 2**24  # feature values of several samples that are computed together


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
class Reading:
    """Another way to read the weights: of what `kind`, what it would mean, and how it fits.

    It may leave the share `leaves` of the cost to be believed.
    """

    kind: str
    cause: str
    fit: Fit
    leaves: float = FIXED


@dataclass(frozen=True)
class Trial:
    """A dictionary on what its site holds at some positions, (n_positions, held width), in any float dtype.

    It is read in one way after the other. What is changed is changed between its norm and its undoing, and
    what comes of it is compared with what the site holds as it is.
    """

    sae: Sae
    held: Tensor

    @cached_property
    def read(self) -> Tensor:
        """What it reads, (n_positions, width)."""
        return read_part(self.sae, self.held).float()

    @cached_property
    def aim(self) -> Tensor:
        """What it is to reconstruct, (n_positions, width written)."""
        return written_part(self.sae, self.held).float()

    @cached_property
    def moments(self) -> tuple[Tensor, Tensor, Tensor]:
        """What its norm takes from its input, multiplies its output by, and divides its input by."""
        if self.sae.norm is not None:
            return moments(self.sae.norm, self.read)
        nothing = self.read.new_zeros(1, 1)
        return nothing, nothing + 1, nothing + 1

    @cached_property
    def seen(self) -> Tensor:
        """What its encoder sees: what it reads, normalised where it asks for that, (n_positions, width)."""
        shift, _, divisor = self.moments
        return (self.read - shift) / divisor

    @cached_property
    def inner(self) -> Tensor:
        """What the encoder makes of it before its bias, (n_positions, n_features)."""
        return self.seen @ self.sae.w_enc

    @property
    def before(self) -> Tensor:
        """The same with its bias: values before the threshold."""
        return self.inner + self.sae.b_enc

    @cached_property
    def passed(self) -> Tensor:
        """What passes it by: its skip, (n_positions, width written), or 0, (1, 1)."""
        skip = self.sae.skip
        return self.read.new_zeros(1, 1) if skip is None else self.read @ skip

    @cached_property
    def moved(self) -> Tensor | None:
        """What the encoder makes of the decoder's bias, (n_features,); None where the sizes differ."""
        alike = self.aim.shape == self.read.shape
        return self.sae.b_dec @ self.sae.w_enc if alike else None

    @cached_property
    def _own(self) -> tuple[Tensor, Tensor]:
        return self.decoded(self.before)

    @property
    def values(self) -> Tensor:
        """The features as they are read, (n_positions, n_features)."""
        return self._own[0]

    @property
    def outer(self) -> Tensor:
        """What they decode to before the norm is undone, (n_positions, width written)."""
        return self._own[1]

    @cached_property
    def own(self) -> Fit:
        """The fit of the dictionary as it is read."""
        return self.measured(*self._own)

    @cached_property
    def idle(self) -> Fit:
        """The fit of what there is without its features: a constant, and what passes them by."""
        constant = (self.aim - self.passed).mean(0)
        return fit_of(self.aim, self.aim[:, :0], self.passed + constant)

    def raw(self, outer: Tensor) -> Tensor:
        """What is decoded, (..., width written), in the units of what the site holds."""
        shift, scale, _ = self.moments
        return outer * scale + shift + self.passed

    def measured(self, values: Tensor, outer: Tensor) -> Fit:
        """The fit of what is decoded."""
        return fit_of(self.aim, values, self.raw(outer))

    def fit(
        self,
        before: Tensor,
        scale: Tensor | float = 1.0,
        shift: Tensor | float = 0.0,
        threshold: Tensor | None = None,
        top_k: int | None = None,
    ) -> Fit:
        """The fit with other values before the threshold, and what is decoded scaled and shifted."""
        values, outer = self.decoded(before, threshold, top_k)
        return self.measured(values, outer * scale + shift)

    def decoded(
        self, before: Tensor, threshold: Tensor | None = None, top_k: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """The features (n_positions, n_features) of values before the threshold, and what they decode to.

        On so few positions most features are active nowhere: a processor leaves them out of the product,
        and of a large one all that is 0. Another device would be waited for until it said which.
        """
        values = before * self._active(before, threshold, top_k)
        if values.device.type != "cpu" or values.numel() >= LARGE:
            return values, sparse_product(values, self.sae.w_dec) + self.sae.b_dec
        used = (values > 0).any(0)
        return values, values[:, used] @ self.sae.w_dec[used] + self.sae.b_dec

    def with_thresholds(self, before: Tensor) -> Iterator[tuple[float, Fit]]:
        """Factors of all thresholds, and the fit with each: the one with which as many features are
        active as are published, or several where that is unknown.
        """
        thresholds = self.sae.threshold
        factors: Sequence[float] = FACTORS
        if not thresholds.any():
            factors = [1.0]
        elif self.sae.l0 is not None:
            factors = [self._published(before, self.sae.l0)]
        told = []
        for factor in factors:
            values, outer = self.decoded(before, factor * thresholds)
            told.append(measured_fit(self.aim, values, self.raw(outer)))
        yield from zip(factors, fits_of(self.aim, told), strict=True)

    def _active(self, before: Tensor, threshold: Tensor | None, top_k: int | None = None) -> Tensor:
        """Which are above the threshold, its own where none is given, and among the k largest."""
        active = before > (self.sae.threshold if threshold is None else threshold)
        k = self.sae.top_k if top_k is None else top_k
        return active if k is None else active & (before >= kth(before, k))

    def _published(self, before: Tensor, l0: float) -> float:
        """The least factor of the thresholds with which no more than `l0` features are active, by halving."""
        # Powers of 2, kept on the device, which nobody waits for until the last.
        low = torch.full((), -20.0, device=before.device)
        high = -low
        for _ in range(16):
            middle = (low + high) / 2
            active = self._active(before, self.sae.threshold * 2**middle).sum(1).float().mean()
            low, high = middle.where(active > l0, low), high.where(active > l0, middle)
        return float(2 ** float(high))


def fits_apart(sae: Sae, samples: Sequence[Tensor]) -> Iterator[Fit]:
    """The `own` fit of a dictionary on each of several samples of one width.

    A few are read together: a matrix takes hardly longer with several times as many positions.
    """
    most = max(1, TOGETHER // sae.features)
    waiting = list(samples)
    while waiting:
        part = [waiting.pop(0)]
        while waiting and sum(map(len, part)) + len(waiting[0]) <= most:
            part.append(waiting.pop(0))
        trial = Trial(sae, torch.cat(part))
        sides = (trial.aim, trial.values, trial.raw(trial.outer))
        each = zip(*(side.split([*map(len, part)]) for side in sides), strict=True)
        yield from fits_of(trial.aim, [measured_fit(*one) for one in each])


def fit_of(stream: Tensor, values: Tensor, reconstruction: Tensor) -> Fit:
    """The fit of a reconstruction (n_positions, width) by `values` (n_positions, n_features).

    An FVU is 0 where the stream is met, 1 for the mean of each dimension, and more for worse. Dimensions
    that do not vary are left out; it is 0 where none does.
    """
    (fit,) = fits_of(stream, [measured_fit(stream, values, reconstruction)])
    return fit


def fits_of(stream: Tensor, measured: Sequence[Tensor]) -> list[Fit]:
    """What was measured of each reconstruction of a stream, read together: the device is waited for once."""
    read = torch.stack([*measured]).tolist()
    return [Fit(fvu, fvu_median, l0, stream.shape[1]) for fvu, fvu_median, l0 in read]


def measured_fit(stream: Tensor, values: Tensor, reconstruction: Tensor) -> Tensor:
    """Both FVUs and the L0 of a `fit_of`, (3,), left on the device."""
    errors = double(stream - reconstruction).square().mean(0)
    variances = double(stream).var(0, correction=0)
    varies = variances > 0
    of_all = errors.where(varies, 0).sum() / variances.sum()
    of_median = (errors / variances).where(varies, torch.nan).nanmedian()
    # What is no number stays none.
    fvus = torch.stack([of_all, of_median.where(~of_all.isnan(), torch.nan)])
    l0 = double((values > 0).sum(1)).mean()
    return torch.cat([fvus.where(varies.any(), 0.0), l0[None].to(fvus.device)])
