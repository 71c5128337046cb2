"""A published layout: what its arrays are called, and how they become a JumpReLU of the raw stream."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from harness.sae.encoding import Norm
from harness.specs.sites import Site

Arrays = dict[str, Tensor]
# Each step takes arrays by our names, in float32, and returns those of the next; together they end in
# W_enc, b_enc, W_dec, b_dec and threshold, with the same values and the same reconstruction.
Step = Callable[[Arrays], Arrays]


BOTH = ("W_enc", "W_dec")  # the matrices, as torch's `Linear` has them


@dataclass(frozen=True)
class Layout:
    """What a file has, by our names, and what is done to it.

    `arrays` and `scalars` give each name within the file, `optional` those that it may lack. Matrices are
    `turned` where they are stored as torch's `Linear` has them, (out, in). `ignored` arrays of the file say
    nothing of its values. `relu` is a plain ReLU by design; `top_k`, `norm`, `site` and `without_gain` are
    as in `Sae`, `site` and `layer` None where its configuration says neither; dictionaries of attention are
    of the `heads`. `facts` are what its configuration says, under our names: d_in, d_sae, d_out, l0.
    """

    arrays: Mapping[str, str]
    steps: tuple[Step, ...] = ()
    scalars: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    optional: Mapping[str, str] = field(default_factory=dict)
    turned: tuple[str, ...] = ()
    relu: bool = False
    top_k: int | None = None
    norm: Norm | None = None
    site: Site | None = None
    layer: int | None = None
    without_gain: bool = False
    heads: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)

    def named(self, key: str) -> str:
        """What the file calls an array or a number."""
        return {**self.optional, **self.arrays, **self.scalars}.get(key, key)
