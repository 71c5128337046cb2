"""Some features at every token: their part of the SAEs, and their values in a batch of rows."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.models.finite import check_finite
from harness.models.hooks import capture
from harness.models.padded_batch import Tokens, positions_of, rows_of
from harness.runner.context import RunContext
from harness.sae import Sae, encode
from harness.specs.intervention import Feature

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TracedFeatures:
    """Some features of one layer: their part of its SAE, and their indices in it, (n_features,)."""

    sae: Sae
    features: Integers


def prepare_trace(context: RunContext, features: Iterable[Feature]) -> Mapping[int, TracedFeatures]:
    """What a trace needs of the SAEs: of each layer the columns of these features, and no more."""
    wanted = frozenset(features)
    return context.once(("trace", wanted), lambda: _parts_of(context, wanted))


def _parts_of(context: RunContext, features: Iterable[Feature]) -> Mapping[int, TracedFeatures]:
    by_layer: dict[int, list[int]] = defaultdict(list)
    for layer, feature in sorted(features):
        by_layer[layer].append(feature)
    traced = {}
    for layer, members in by_layer.items():
        sae = context.saes(layer)
        part = sae.only(torch.tensor(members, device=sae.w_enc.device))
        traced[layer] = TracedFeatures(part, np.array(members))
    return traced


@dataclass(frozen=True)
class TokenValues:
    """Features at every prompt token but BOS of a batch: `values` (n_positions, n_features).

    Features are in the order of their layers and indices; `row` and `place` (n_positions,) are where each
    position is: in which row of the batch, and how far from its first token.
    """

    row: Integers
    place: Integers
    values: Floats

    def peaks(self, rows: int) -> Floats:
        """The largest value of each feature in each row, (rows, n_features); 0 where there is no token."""
        found = np.zeros((rows, self.values.shape[1]))
        np.maximum.at(found, self.row, self.values)
        return found


def token_values(
    context: RunContext, rows: Sequence[Tokens], traced: Mapping[int, TracedFeatures]
) -> TokenValues:
    """One forward of rows, with these features at their prompts' tokens.

    Raises `CannotRun` where NaN or infinity arises.
    """
    batch = context.model.batch(rows)
    positions = positions_of(batch, "prompt")
    streams: dict[int, Tensor] = {}
    context.model.forward(batch, capture(traced, streams, positions))
    check_finite(streams, context.model.dtype)
    # Of a few features each, so that all of them are copied from the device together.
    parts = [encode(traced[layer].sae, streams[layer]).cpu() for layer in sorted(traced)]
    return TokenValues(
        rows_of(positions, range(len(rows))).numpy(),
        batch.place[positions].numpy(),
        torch.cat(parts, 1).double().numpy(),
    )
