"""Sites of a block at which a dictionary reads, and where what it writes is edited."""

from collections.abc import Mapping
from typing import Literal

# As a spec names them.
Hook = Literal["resid_post", "resid_pre", "mlp_out", "attn_out", "transcoder"]
HOOKS: tuple[Hook, ...] = ("resid_post", "resid_pre", "mlp_out", "attn_out", "transcoder")
# Published attention dictionaries read either what attention adds to the stream, or the heads' outputs
# beside each other, before they are projected: `attn_z`, TransformerLens' hook_z.
Site = Literal["resid_post", "resid_pre", "mlp_out", "attn_out", "attn_z", "transcoder"]


# In words, as pages and messages have them.
PLACES: Mapping[Hook, str] = {
    "resid_post": "the stream after a block",
    "resid_pre": "the stream before a block",
    "mlp_out": "what the MLP adds to the stream",
    "attn_out": "what attention puts out",
    "transcoder": "what the MLP reads, to explain what it adds to the stream",
}


def hook_of(site: Site) -> Hook:
    """The hook that a spec names for a site."""
    return "attn_out" if site == "attn_z" else site
