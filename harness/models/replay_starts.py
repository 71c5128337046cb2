"""Where a replay begins: from what a site holds after an edit, and the stream that was kept beside it."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from harness.models.architecture import Family
from harness.models.cached_blocks import skip_blocks
from harness.models.hooks import Parts, tap_blocks
from harness.models.known_attention import know_attention
from harness.specs.sites import Site

# The stream from which a replay begins, beside what the site itself holds: what the MLP writes is added to
# the stream after the block, and attention is followed by the rest of its block.
BEGINS: Mapping[Site, Site] = {
    "mlp_out": "resid_post",
    "transcoder": "resid_post",
    "attn_out": "resid_pre",
    "attn_z": "resid_pre",
}


def first_computed(site: Site, layer: int) -> int:
    """The first block of which a replay from this site computes any part."""
    return layer if site in ("resid_pre", "attn_out", "attn_z") else layer + 1


def needs_keys_from(site: Site, layer: int) -> int:
    """The first block whose keys and values a replay from this site attends to."""
    return layer if site == "resid_pre" else layer + 1


def moved_stream(stream: Tensor, held: Tensor, before: Tensor, factor: float) -> Tensor:
    """The stream (n, columns, width) after a block whose MLP put out `held` instead of what was `before`.

    In float32, cast once. The last dimensions of both, as many as the stream has, are what it puts out, of
    which the block adds `factor` times as much. Adding there and at the MLP's own output is the same, up
    to rounding.
    """
    width = stream.shape[-1]
    change = held[..., -width:].float() - before[..., -width:].float()
    return (stream.float() + factor * change).to(stream.dtype)


@contextmanager
def begin_at(
    blocks: nn.ModuleList,
    family: Family,
    site: Site,
    layer: int,
    held: Tensor,
    *,
    stream: Tensor | None,
    parts: Parts,
) -> Iterator[None]:
    """The blocks begin with what the `site` of block `layer` holds; what comes before is not computed.

    `held` (n, columns, held width) is edited. `stream` (n, columns, width) is the one that `BEGINS` names:
    at an MLP it has been moved already, and at sites of the stream itself there is none.
    """
    with ExitStack() as stack:
        if site in ("mlp_out", "transcoder"):
            assert stream is not None
            stack.enter_context(skip_blocks(blocks, layer, stream, family))
        elif site == "resid_post":
            stack.enter_context(skip_blocks(blocks, layer, held, family))
        else:
            entering = held if site == "resid_pre" else stream
            assert entering is not None
            # Into the first block goes what the model makes of its tokens, or what is edited of that.
            if layer:
                stack.enter_context(skip_blocks(blocks, layer - 1, entering, family))
            elif site == "resid_pre":
                taps = {0: lambda _: held}
                stack.enter_context(tap_blocks(blocks, taps, torch.device(held.device), site))
            if site != "resid_pre":
                stack.enter_context(know_attention(parts(layer), site, held))
        yield
