"""What a simulation is held against: a promised share, and how often it was seen."""

from dataclasses import dataclass

from scipy import stats

LEVEL = 0.999  # of the interval that a row is held against


@dataclass(frozen=True)
class Row:
    """`kind`: "at most" a nominal error rate, "equal" to a nominal share, or "none" of these promised."""

    group: str
    what: str
    nominal: float
    kind: str
    hits: int
    replicates: int

    @property
    def share(self) -> float:
        """What was seen."""
        return self.hits / self.replicates

    @property
    def interval(self) -> tuple[float, float]:
        """The exact binomial interval of the share."""
        exact = stats.binomtest(self.hits, self.replicates).proportion_ci(LEVEL)
        return float(exact.low), float(exact.high)

    @property
    def holds(self) -> bool:
        """Whether the promise lies within binomial error of what was seen, or above it."""
        if self.kind == "none":
            return True
        low, high = self.interval
        return low <= self.nominal and (self.kind == "at most" or self.nominal <= high)
