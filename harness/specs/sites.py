"""Sites of a block at which a dictionary reads, and where what it writes is edited."""

from typing import Literal

# As a spec names them.
Hook = Literal["resid_post", "resid_pre", "mlp_out", "attn_out", "transcoder"]
HOOKS: tuple[Hook, ...] = ("resid_post", "resid_pre", "mlp_out", "attn_out", "transcoder")
# Published attention dictionaries read either what attention adds to the stream, or the heads' outputs
# beside each other, before they are projected: `attn_z`, TransformerLens' hook_z.
Site = Literal["resid_post", "resid_pre", "mlp_out", "attn_out", "attn_z", "transcoder"]


def hook_of(site: Site) -> Hook:
    """The hook that a spec names for a site."""
    return "attn_out" if site == "attn_z" else site
