"""What a row of tokens takes in a model's forward, about, and what a cached one keeps of it."""

from collections.abc import Sequence

from harness.models.language_model import LanguageModel
from harness.models.replay_starts import BEGINS


def bytes_per_read(model: LanguageModel) -> int:
    """Of one float32 distribution over the vocabulary."""
    return 4 * model.architecture.config.vocab_size


def bytes_per_row(model: LanguageModel, columns: int) -> int:
    """What one row of so many columns takes in a forward, about: its widest block and its reads."""
    size = model.network.dtype.itemsize
    block = size * (4 * model.width + 3 * model.architecture.widest_inside)
    # A softmax is taken in float32: what goes in, what comes out, and the scores that it is of.
    scores = (4 + 4 + size) * model.architecture.heads * columns
    return columns * (block + scores) + 8 * 3 * bytes_per_read(model)


def bytes_per_cached_row(model: LanguageModel, columns: int, blocks: Sequence[int]) -> int:
    """What a cached forward keeps of one row of so many columns, with its reads, after these blocks."""
    size = model.network.dtype.itemsize
    cache = 2 * model.architecture.cached_width * (model.depth - min(blocks))
    # At sites within a block the stream from which a replay begins is kept as well.
    held = model.held_width + (model.width if model.site in BEGINS else 0)
    return columns * size * (cache + held * len(blocks)) + 3 * bytes_per_read(model)
