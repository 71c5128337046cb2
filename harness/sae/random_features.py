"""A dictionary of random directions, as wide as a trained one: what the same selection must be held against.

Each of its features takes the place of a trained one: it reads with a column and writes along a row as long
as that one's, which point at random, both the same way where the dictionary writes what it reads. Its value
is how far the stream lies past its threshold. After "Sanity checks for SAEs" (2026), arXiv:2602.14111.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from harness.sae.encoding import Sae

BLOCK = 1024  # features whose directions are drawn together
ALIKE = 1e-5  # of a feature's range: values that lie closer are those of one token in one context


def random_blocks(sae: Sae, seed: int) -> Iterator[tuple[slice, Sae]]:
    """All of the random dictionary, some features after others, each active everywhere as it is read."""
    for start in range(0, sae.features, BLOCK):
        some = slice(start, min(start + BLOCK, sae.features))
        yield some, _block(sae, seed, some)


def random_features(sae: Sae, seed: int, features: Sequence[int], thresholds: Tensor) -> Sae:
    """Some features of the random dictionary that stands for `sae`, with their thresholds (n_features,)."""
    encoder, decoder = [], []
    for feature in features:
        start = feature // BLOCK * BLOCK
        block = _block(sae, seed, slice(start, min(start + BLOCK, sae.features)))
        encoder.append(block.w_enc[:, feature - start])
        decoder.append(block.w_dec[feature - start])
    none = torch.zeros(len(features), device=sae.w_enc.device)
    found = replace(
        _plain(sae), w_enc=torch.stack(encoder, 1), w_dec=torch.stack(decoder), b_enc=none
    )
    return with_thresholds(found, thresholds)


def with_thresholds(block: Sae, thresholds: Tensor) -> Sae:
    """Features that are active where they read more than their threshold, which may be infinite."""
    thresholds = thresholds.to(block.w_enc)
    never = torch.isinf(thresholds)
    zero = torch.zeros_like(thresholds)
    return replace(
        block,
        b_enc=zero.where(never, -thresholds),
        threshold=torch.full_like(zero, torch.inf).where(never, zero),
        relu=True,
    )


def thresholds_of(read: Tensor, active: Tensor) -> Tensor:
    """Thresholds (n_features,) above which so many values, `active` (n_features,), of each feature lie.

    Of `read` (n_positions, n_features). They lie in the middle of a gap, as positions that are alike are all
    active or none: in the gap that is nearest to that many. Infinite where none shall be active.
    """
    ordered = read.sort(0, descending=True).values
    highest, lowest = ordered[0], ordered[-1]
    below = lowest - (highest - lowest) / len(ordered)  # where all positions are active
    ends = torch.cat([ordered, below[None]])
    # Of so many values that they lie closer than that, a tenth of their mean distance.
    least = min(ALIKE, 0.1 / len(ordered))
    gap = ends[:-1] - ends[1:] > least * (highest - lowest)
    count = torch.arange(1, len(ordered) + 1, device=read.device)[:, None]
    away = (count - active.to(read.device)).abs().where(gap, len(ordered) + 1)
    at = away.argmin(0)[None]
    middle = (ends.gather(0, at) + ends.gather(0, at + 1))[0] / 2
    return middle.where((active.to(read.device) > 0) & (highest > lowest), torch.inf)


def _block(sae: Sae, seed: int, some: slice) -> Sae:
    """Random features in the place of these, that begin a block, without thresholds."""
    random = np.random.default_rng([seed, some.start])
    many = some.stop - some.start
    reads = _directions(random, many, sae.width)
    writes = reads
    if sae.site == "transcoder":
        writes = _directions(random, many, sae.w_dec.shape[1])
    columns = torch.from_numpy(reads).to(sae.w_enc).T * sae.w_enc[:, some].norm(dim=0)
    rows = torch.from_numpy(writes).to(sae.w_dec) * sae.w_dec[some].norm(dim=1)[:, None]
    zero = torch.zeros(many, device=sae.w_enc.device)
    return replace(_plain(sae), w_enc=columns, w_dec=rows, b_enc=zero, threshold=zero - torch.inf)


def _directions(random: np.random.Generator, many: int, width: int) -> np.ndarray:
    """Directions of length 1, (many, width), uniform over the sphere."""
    drawn = random.standard_normal((many, width))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def _plain(sae: Sae) -> Sae:
    """What decides by thresholds alone, whatever the trained one does."""
    return replace(sae, top_k=None, whole=None, l0=None, skip=None)
