"""The complement of a set at one layer: all features but the set's take their values in a source prompt.

out = out + sum_j (v_j - f_j) * W_dec[j] over every feature j of the dictionary: f is its value in the stream
as it is there, and v its value in the source's own forward, or, of the features that are spared, in the
prompt's own before any edit. So at the lowest layer the spared ones are left alone, and above it they are
kept where they were. What the dictionary does not reconstruct stays the prompt's own, as does what a
transcoder passes on beside its features. Values are never held for all positions at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from harness.interventions.edits import Edit
from harness.sae import Sae, encode
from harness.sae.encoding import ENCODED, read_part
from harness.specs.intervention import Intervention

At = tuple[Tensor, Tensor]  # the row and the column of each value that is taken


@dataclass(frozen=True)
class ComplementEdit(Edit):
    """The edit of rows, of which `beside` (rows, tokens, ...) is as `ComplementEdits.beside` gives it.

    `sae` is whole, and `spared` (k,) int64 are those of its features that are kept. `gain` is -1.
    """

    spared: Tensor = field(kw_only=True)
    beside: Tensor = field(kw_only=True)

    def delta(self, held: Tensor, cut: Tensor | None = None) -> Tensor:
        """What is added to what the dictionary writes, (rows, tokens, width written), in float32."""
        rows = [moved @ self.sae.w_dec for moved in self._moved(held, cut)]
        return torch.cat(rows).reshape(*held.shape[:-1], -1)

    def changes(self, held: Tensor) -> Tensor:
        """Where it moves anything, (rows, tokens) bool."""
        found = [(moved != 0).any(-1) for moved in self._moved(held, None)]
        return torch.cat(found).reshape(held.shape[:-1])

    def _moved(self, held: Tensor, cut: Tensor | None) -> Iterator[Tensor]:
        """v - f of some positions after others, (positions, n_features)."""
        most = max(1, ENCODED // self.sae.features)
        streams = held.flatten(0, -2).split(most)
        besides = self.beside.flatten(0, -2).split(most)
        cuts = [None] * len(streams) if cut is None else cut.flatten(0, -2).split(most)
        for x, beside, at in zip(streams, besides, cuts, strict=True):
            value = encode(self.sae, beside[:, : self.sae.width])
            value[:, self.spared] = beside[:, self.sae.width :]
            yield value - encode(self.sae, x, at)


@dataclass(frozen=True)
class ComplementEdits:
    """What one intervention of the role `complement` does at one layer, see `LayerEdits`.

    `sae` is the whole dictionary, and `spared` (k,) int64 are those of its features that are kept.
    """

    sae: Sae
    spared: Tensor

    def read(self, held: Tensor, cut: Tensor | None = None) -> Tensor:
        """Of what the site holds, (rows, tokens, held width), what the dictionary reads."""
        del cut
        return read_part(self.sae, held)

    def beside(self, source: Tensor, at: At, held: Tensor, cut: Tensor | None) -> Tensor:
        """What edits need beside the edited stream: what is read of the source, and the spared values.

        Arguments as of `LayerEdits`; (rows, tokens, width read + k) in float32.
        """
        own = encode(self.sae.only(self.spared), held, cut)
        return torch.cat([read_part(self.sae, source)[at].float(), own], -1)

    def edit(self, which: Tensor, beside: Tensor | None = None, *, identity: Tensor) -> Edit:
        """The edit of rows (n,), of which that is what they have beside."""
        del which, identity  # there is one intervention, and no no-op of it
        return self._edit(beside)

    def changes(self, held: Tensor, beside: Tensor | None = None) -> Tensor:
        """Where it moves anything, (1, rows, tokens) bool, of what was `read` of the prompts."""
        return self._edit(beside).changes(held)[None]

    def _edit(self, beside: Tensor | None) -> ComplementEdit:
        assert beside is not None
        return ComplementEdit(self.sae, -1.0, spared=self.spared, beside=beside)


def complement_of(sae: Sae, layer: int, edit: Intervention) -> ComplementEdits:
    """What an intervention that spares its features does at one layer."""
    spared = [feature for of, feature in edit.features if of == layer]
    return ComplementEdits(sae, torch.tensor(spared, device=sae.b_enc.device))
