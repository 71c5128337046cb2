"""Where a dictionary reads, held against where it is asked for."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.sae.layout import Layout
from harness.sae.weight_checks import Broken, shown
from harness.specs.sae_configuration import hooks_said, place_of, site_named
from harness.specs.sites import PLACES, Hook, hook_of

# What is no place within a block that is read, by a part of its name.
_REASONS = {
    "resid_mid": "the stream between attention and the MLP",
    "embed": "the embedding, before the first block",
    "hook_mlp_in": "the stream before the MLP's norm, which no transcoder of the norm's output does",
    "ln1": "what attention reads",
}
_REMEDY = "name a dictionary of the stream, of what the MLP or attention writes, or a transcoder of an MLP"


def placed(layout: Layout, config: dict[str, Any], broken: Broken) -> Layout:
    """A layout with the site and the layer of the hook points that its configuration names, if it does.

    Raises what `broken` makes where they are of another place than those that are read.
    """
    read, written = hooks_said(config)
    return at_hooks(layout, read, written, broken) if read else layout


def at_hooks(layout: Layout, read: str, written: str, broken: Broken) -> Layout:
    """A layout with the site and the layer of two hook points; raises what `broken` makes for others."""
    place = place_of(read, written)
    if place is None:
        why = next((f": {why}" for part, why in _REASONS.items() if part in read), "")
        writes = "" if written == read else f" and writes {shown(written)}"
        raise broken(
            f"it reads {shown(read)}{writes}, which no dictionary is read at here{why}", _REMEDY
        )
    return replace(
        layout, site=place.site, layer=place.layer, without_gain=place.without_gain
    )  # fmt: skip


def asked_for(layout: Layout, path: Path, hook: Hook, layer: int | None, broken: Broken) -> Layout:
    """A layout with the site that it is read at, which is one of the `hook` that is asked for.

    Where its configuration names none, the folders of `path` may, else it is taken at its word. A file of
    the stream before a block is one of the stream after the block below. Raises what `broken` makes where
    it is of another hook or layer.
    """
    found, trained = layout.site or site_named(path.as_posix()), layout.layer
    if found is None:
        found = "attn_z" if hook == "attn_out" and layout.heads else hook
    if found == "resid_pre" and hook == "resid_post" and trained != 0:
        found, trained = "resid_post", None if trained is None else trained - 1
    if (said := hook_of(found)) != hook:
        what = f"it is of {PLACES[said]}, not of {PLACES[hook]}"
        raise broken(what, f"write hook: {said}, or name another file")
    if layer is not None and trained not in (None, layer):
        raise broken(
            f"it was trained on layer {shown(trained)}, not on layer {layer}", "name another SAE"
        )
    return replace(
        layout, site=found, without_gain=layout.without_gain and found == "transcoder"
    )  # fmt: skip
