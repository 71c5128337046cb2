"""What a test takes for independent: families, or the clusters of them that a claim names."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.specs.clusters import FAMILY, counted, plural
from harness.specs.plan import Plan

Texts = NDArray[np.str_]


@dataclass(frozen=True)
class Units:
    """The independent unit of each value, `of` (n,), and the family that it is of, `families` (n,).

    `tag` is what the units are: families, or values of that tag of the prompts.
    """

    of: Texts
    families: Texts
    tag: str = FAMILY

    @classmethod
    def by_family(cls, families: ArrayLike) -> Self:
        """Each family by itself."""
        names = np.asarray(families, str)
        return cls(names, names)

    @classmethod
    def by(cls, families: ArrayLike, clusters: Mapping[str, str], tag: str) -> Self:
        """Families put together by their value of a tag, as `Plan.clusters` has it."""
        names = np.asarray(families, str)
        of = np.array([clusters[family] for family in names.tolist()], str)
        return cls(of, names, tag)

    def only(self, mask: NDArray[np.bool_]) -> Self:
        """Those of the values that a mask (n,) holds."""
        return replace(self, of=self.of[mask], families=self.families[mask])

    @property
    def n(self) -> int:
        """How many units there are."""
        return len(set(self.of.tolist()))

    @property
    def names(self) -> str:
        """What several units are called: families, principles."""
        return plural(self.tag)

    @property
    def words(self) -> str:
        """How many there are, in words; of clusters how many families as well."""
        n = self.n
        # As it has always been said of families, one of them included.
        own = f"{n} families" if self.tag == FAMILY else counted(n, self.tag)
        return own + self.and_families

    @property
    def and_families(self) -> str:
        """Of clusters, what is said beside their number; nothing of families."""
        if self.tag == FAMILY:
            return ""
        return f", {counted(len(set(self.families.tolist())), FAMILY)}"


def units_of(plan: Plan, families: ArrayLike, tag: str, file: str = "") -> Units:
    """The units of values of these families (n,), by a tag of a plan's prompts, or of another file's."""
    if tag == FAMILY:
        return Units.by_family(families)
    return Units.by(families, plan.clusters(tag, file), tag)


def means_of(values: NDArray[np.float64], names: Texts) -> NDArray[np.float64]:
    """The mean of the `values` (n,) of each name, in the order of the names, (n_names,)."""
    order = np.argsort(names, kind="stable")
    ends = np.cumsum(np.unique(names, return_counts=True)[1])
    return np.array([own.mean() for own in np.split(values[order], ends[:-1])])
