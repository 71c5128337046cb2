"""Stand-ins by which a block is computed from the output of its own attention on."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from harness.models.block_parts import BlockParts
from harness.models.cached_blocks import KnownOutput
from harness.models.hooks import finish
from harness.specs.sites import Site


@contextmanager
def know_attention(parts: BlockParts, site: Site, held: Tensor) -> Iterator[None]:
    """The block's attention computes nothing, and what its `site` holds comes of it.

    `held` is the heads' outputs (n, columns, width of all heads) for `attn_z`, or what attention adds to
    the stream (n, columns, width) for `attn_out`. The block's own code does all the rest, its norms and
    its MLP.
    """
    # Of a model that is spread over devices each block is on its own.
    held = held.to(next(parts.module(parts.projection).parameters()).device)
    stand_ins: dict[str, nn.Module] = {}
    if site == "attn_z":
        stand_ins[parts.attention] = _KnownAttention(parts.module(parts.projection)(held))
    else:
        stand_ins[parts.attention] = _KnownAttention(held)
        if parts.attention_norm is not None:
            stand_ins[parts.attention_norm] = KnownOutput(held)
    before = {name: parts.module(name) for name in stand_ins}
    try:
        for name, stand_in in stand_ins.items():
            setattr(parts.block, name, stand_in)
        yield
    finally:
        finish([partial(setattr, parts.block, name, module) for name, module in before.items()])


class _KnownAttention(nn.Module):
    """Stands for an attention whose output is known."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, *_: Any, **__: Any) -> tuple[Tensor, None]:
        """The known output (rows, columns, width), and no weights of attention."""
        return self.output, None
