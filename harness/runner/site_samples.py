"""What the sites of every block hold at some positions, on which dictionaries are tried."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property, lru_cache
from typing import get_args

import torch
from torch import Tensor

from harness.errors import InputError
from harness.models.adaptive_batching import map_batches
from harness.models.finite import check_finite
from harness.models.hooks import capture, tap_blocks
from harness.models.mlp_norms import mlp_norm
from harness.models.padded_batch import Tokens, positions_of
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

    One forward has all sites of the context's model at all blocks.
    """

    def __init__(self, context: RunContext, rows: Sequence[Tokens]) -> None:
        self.rows = cut_sample(rows, context.model.n_parameters)
        self._context = context
        self._forwards = lru_cache(1)(lambda _: list(sample_forwards(context, self.rows)))

    @property
    def forwards(self) -> list[SampleForward]:
        """The rows in forwards from whose blocks losses are replayed; in smaller ones once memory ran out."""
        return self._forwards(self._context.limit.rows)

    def misfit(self, sae: Sae, layer: int, recovered: float) -> str | None:
        """What is wrong with reading `layer` with a dictionary, see `harness.sae.diagnosis.misfit`.

        Its site is the one that the context's model is at. `recovered` is the share of the model's loss that
        passes through it.
        """
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
        return self._take(list(self._sites()))

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

    def _take(self, sites: Sequence[Site]) -> Mapping[Site, Mapping[int, Tensor]]:
        """What these sites hold at positions spread over the rows, by block, in one forward of them."""
        model, rows = self._context.model, self.rows
        blocks = range(model.depth)
        # Every so many of all positions, picked from each batch, as none is held longer than it must be.
        total = sum(len(row.prompt) - 1 for row in rows)
        step, seen = max(1, total // TRIED), 0

        def capture_rows(chosen: list[int]) -> tuple[int, dict[Site, dict[int, Tensor]]]:
            batch = model.batch([rows[i] for i in chosen])
            places = positions_of(batch, "prompt").nonzero()
            picked = torch.zeros_like(batch.ids, dtype=torch.bool)
            picked[places[-seen % step :: step].unbind(1)] = True
            held: dict[Site, dict[int, Tensor]] = {site: {} for site in sites}
            with ExitStack() as stack:
                for site, streams in held.items():
                    taps = capture(blocks, streams, picked)
                    stack.enter_context(
                        tap_blocks(model.blocks, taps, model.device, site, model.parts)
                    )
                model.forward(batch)
            for streams in held.values():
                check_finite(streams, model.dtype)
            return len(places), held

        parts: dict[Site, dict[int, list[Tensor]]] = {
            site: {block: [] for block in blocks} for site in sites
        }
        for _, (count, held) in map_batches(self._context.limit, rows, capture_rows):
            for site, streams in held.items():
                for block, stream in streams.items():
                    parts[site][block].append(stream)
            seen += count
        return {
            site: {block: torch.cat(part)[:TRIED] for block, part in of_site.items()}
            for site, of_site in parts.items()
        }
