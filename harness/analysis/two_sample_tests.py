"""Whether the mean of one sample of families is more, or less, than a share of that of another sample."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from harness.analysis.units import Units
from harness.specs.design import smallest_p
from harness.stats.ratios import TwoSampleRatio, two_sample_ratio

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RatioTest:
    """The `ratio` of two means and its test against a `share`; `floor` is the smallest p of so many units."""

    ratio: TwoSampleRatio
    share: float
    floor: float

    @classmethod
    def of(
        cls,
        values: Floats,
        units: Units,
        beside: Floats,
        beside_units: Units,
        *,
        share: float,
        level: float,
    ) -> Self:
        """That of `values` (n,) over `beside` (m,), whose mean is above 0; `level` is the interval's."""
        ratio = two_sample_ratio(
            values, units.of, beside, beside_units.of, against=share, level=level
        )
        return cls(ratio, share, smallest_p(min(units.n, beside_units.n)))

    @property
    def p(self) -> float:
        """Two-sided, and no smaller than flips of so many units could make it."""
        return max(self.ratio.p, self.floor)

    def is_below(self, alpha: float) -> bool:
        """Whether the ratio is shown to be less than the share, by its test and by its own interval."""
        return self.p <= alpha and self.ratio.side < 0 and self.ratio.high < self.share

    def is_above(self, alpha: float) -> bool:
        """Whether it is shown to be more."""
        return self.p <= alpha and self.ratio.side > 0 and self.ratio.low > self.share
