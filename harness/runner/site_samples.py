"""What the sites of every block hold at some positions, on which dictionaries are tried."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import get_args

import torch
from torch import Tensor

from harness.errors import InputError
from harness.models.mlp_norms import mlp_norm
from harness.models.padded_batch import Tokens
from harness.runner.context import RunContext
from harness.runner.grouping import SMALL
from harness.runner.sample_forwards import SampleForward, sample_forwards
from harness.sae import Sae
from harness.sae.diagnosis import misfit
from harness.sae.input_readings import Gain
from harness.specs.sites import Site

TRIED = 128  # positions on which a dictionary is tried in other readings, a hundred or so
LEAST = 4  # rows at least, where there are as many


def cut_sample(rows: Sequence[Tokens], parameters: int) -> Sequence[Tokens]:
    """The rows on which a model of so many parameters is sampled: all of them, if it is small.

    Of a larger one rows spread over these, each cut after its first tokens, so that the positions after BOS
    are `TRIED` at most, of `LEAST` rows at least. A row is as it was up to where it is cut.
    """
    if parameters <= SMALL or sum(len(row.prompt) - 1 for row in rows) <= TRIED:
        return rows
    each = TRIED // LEAST
    longest = min(each, max(len(row.prompt) - 1 for row in rows))
    wanted = min(len(rows), TRIED // longest)
    spread = [rows[i * len(rows) // wanted] for i in range(wanted)]
    return [Tokens(row.prompt[: 1 + TRIED // wanted]) for row in spread]


class SiteSamples:
    """Samples of some rows, see `cut_sample`, taken where they are asked for and kept.

    One forward has all sites of the context's model at all blocks, and the losses as well.
    """

    def __init__(self, context: RunContext, rows: Sequence[Tokens]) -> None:
        self.rows = cut_sample(rows, context.model.n_parameters)
        self._context = context
        sites = list(self._sites())
        self._forwards = lru_cache(1)(
            lambda _: list(sample_forwards(context, self.rows, sites, TRIED))
        )

    @property
    def forwards(self) -> list[SampleForward]:
        """The rows in forwards from whose blocks losses are replayed; in smaller ones once memory ran out."""
        return self._forwards(self._context.limit.rows)

    def misfit(self, sae: Sae, layer: int, recovered: float) -> str | None:
        """What is wrong with reading `layer` with a dictionary, see `harness.sae.diagnosis.misfit`.

        Its site is the one that the context's model is at. `recovered` is the share of the model's loss that
        passes through it. Of rows that are BOS alone nothing can be said.
        """
        if not self.forwards:
            return None
        return misfit(
            sae,
            self._held[self._context.model.site],
            layer,
            recovered,
            beside=lambda: self.beside(layer),
            gain=self._gain(layer),
        )

    def beside(self, layer: int) -> Mapping[Site, Tensor]:
        """What each site of a layer holds, (TRIED, held width) at most; without those its model has not."""
        return {site: held[layer] for site, held in self._held.items()}

    @cached_property
    def _held(self) -> Mapping[Site, Mapping[int, Tensor]]:
        blocks = range(self._context.model.depth)
        parts = [forward.sites for forward in self.forwards]
        return {
            site: {
                block: torch.cat([part[site][block] for part in parts])[:TRIED] for block in blocks
            }
            for site in parts[0]
        }

    def _sites(self) -> Iterator[Site]:
        """That of its model, and then those beside it that the model has."""
        model = self._context.model
        yield model.site
        for site in get_args(Site):
            try:
                model.at(site)
            except InputError:
                continue
            if site != model.site:
                yield site

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
