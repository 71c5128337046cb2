"""What the sites of every block hold at some positions, on which dictionaries are tried."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import get_args

import torch
from torch import Tensor

from harness.errors import InputError
from harness.models.adaptive_batching import map_batches
from harness.models.mlp_norms import mlp_norm
from harness.models.padded_batch import Tokens
from harness.runner.context import RunContext
from harness.runner.residual_streams import captured
from harness.sae import Sae
from harness.sae.diagnosis import misfit
from harness.sae.input_readings import Gain
from harness.specs.sites import Site

TRIED = 128  # positions on which a dictionary is tried in other readings, a hundred or so


class SiteSamples:
    """Samples of some `rows`, taken where they are asked for and kept: a forward a site for all blocks."""

    def __init__(self, context: RunContext, rows: Sequence[Tokens]) -> None:
        self.rows = rows
        self._context = context
        self._of = cache(self._take)

    def misfit(self, sae: Sae, layer: int, recovered: float) -> str | None:
        """What is wrong with reading `layer` with a dictionary, see `harness.sae.diagnosis.misfit`.

        Its site is the one that the context's model is at. `recovered` is the share of the model's loss that
        passes through it.
        """
        own = self._of(self._context.model.site)
        return misfit(
            sae,
            own,
            layer,
            recovered,
            beside=lambda: self.beside(layer),
            gain=self._gain(layer),
        )

    def beside(self, layer: int) -> Mapping[Site, Tensor]:
        """What each site of a layer holds, (TRIED, held width) at most; without those its model has not."""
        held: dict[Site, Tensor] = {}
        for site in get_args(Site):
            try:
                held[site] = self._of(site)[layer]
            except InputError:
                continue
        return held

    def _gain(self, layer: int) -> Gain | None:
        """Of the norm before a layer's MLP, where its dictionary reads what comes of it."""
        model = self._context.model
        if model.site != "transcoder":
            return None
        try:
            norm = mlp_norm(model.parts(layer))
        except InputError:
            return None
        return norm.gain.to(model.device), norm.bias.to(model.device)

    def _take(self, site: Site) -> Mapping[int, Tensor]:
        """What a site holds at positions spread over the rows, by block. Raises `InputError`."""
        context, rows = self._context, self.rows
        there = replace(context, model=context.model.at(site))
        blocks = range(context.model.depth)

        def capture_rows(chosen: list[int]) -> dict[int, Tensor]:
            return captured(there, [rows[i] for i in chosen], blocks, "prompt")

        # Every so many of all positions, picked from each batch, as none is held longer than it must be.
        total = sum(len(row.prompt) - 1 for row in rows)
        step, seen = max(1, total // TRIED), 0
        parts: dict[int, list[Tensor]] = {block: [] for block in blocks}
        for _, held in map_batches(context.limit, rows, capture_rows):
            for block, one in held.items():
                parts[block].append(one[-seen % step :: step].clone())
            seen += len(held[0])
        return {block: torch.cat(part)[:TRIED] for block, part in parts.items()}
