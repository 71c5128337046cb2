"""Does an SAE fit the residual stream it is read from? Sums that add up over batches."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.sae.encoding import Sae, decode, encode, written_part
from harness.sae.precise import double, on_precise, total
from harness.sae.sparse_product import sparse_product


class Health:
    """Running sums over positions of one layer, in float64. It does not hold on to the SAE.

    `active` (n_features,) counts the positions at which each feature is above 0, `total` (n_features,)
    adds up its values, and `decoder_norm` (n_features,) is the length of its direction. What is an
    average or a share is undefined before the first position.
    """

    def __init__(self, sae: Sae) -> None:
        def zeros(size: int) -> Tensor:
            return torch.zeros(size, dtype=torch.float64, device=on_precise(sae.w_enc[:0]).device)

        self.positions = 0
        self.decoder_norm = sae.w_dec.norm(dim=1)
        self.active, self.total = zeros(sae.features), zeros(sae.features)
        self._sum, self._squares, self._errors = (zeros(sae.w_dec.shape[1]) for _ in range(3))

    def add(self, sae: Sae, held: Tensor, most: int = 1024) -> None:
        """Add what a site holds (n_positions, held width), with the same SAE, `most` positions at a time.

        BOS is the caller's to leave out. The sums do not depend on how positions are split, up to
        rounding in float64.
        """
        for part in held.float().split(most):
            values = encode(sae, part)
            aim = written_part(sae, part)
            errors = double(aim - decode(sae, values, part, sparse_product))
            self.positions += len(part)
            self.active += double((values > 0).sum(0))
            self.total += total(values)
            self._sum += total(aim)
            self._squares += double(aim).square().sum(0)
            self._errors += errors.square().sum(0)

    def state(self) -> dict[str, Any]:
        """Its sums as numpy arrays, by name: what `restore` takes. They add up, name by name."""
        return {
            name: value.cpu().numpy() if isinstance(value, Tensor) else np.array(value)
            for name, value in vars(self).items()
            if name != "decoder_norm"
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from the `state` of another one of the same SAE, to the bit."""
        for name, kept in state.items():
            value = getattr(self, name)
            restored = torch.tensor(kept).to(value) if isinstance(value, Tensor) else int(kept)
            setattr(self, name, restored)

    @property
    def firing_rate(self) -> Tensor:
        """Share of positions at which each feature is active, (n_features,)."""
        return self.active / self.positions

    @property
    def mean_activation(self) -> Tensor:
        """Mean value of each feature where it is active, (n_features,); NaN where it never is."""
        return self.total / self.active

    @property
    def l0(self) -> float:
        """Active features at a position, on average."""
        return float(self.active.sum()) / self.positions

    @property
    def dead(self) -> float:
        """Share of features that are active nowhere."""
        return float((self.active == 0).double().mean())

    @property
    def fvu(self) -> float:
        """Fraction of variance unexplained, over all dimensions together; 0 is exact."""
        return float(self._errors.sum() / self._variances.sum())

    @property
    def fvu_median(self) -> float:
        """The median over dimensions of each one's FVU: a few large ones cannot hide the rest."""
        varies = self._variances > 0
        return float((self._errors[varies] / self._variances[varies]).median())

    @property
    def _variances(self) -> Tensor:
        """Squared distances from the mean, summed over positions, (width,)."""
        return self._squares - self._sum.square() / self.positions
