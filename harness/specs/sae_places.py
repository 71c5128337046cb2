"""Where a dictionary reads: its block and its hook, as libraries and collections name them."""

import re
from collections.abc import Iterable
from pathlib import Path

from harness.specs.sae_configuration import hooks_said, place_of, read_configuration
from harness.specs.sites import Hook, hook_of

Place = tuple[int, Hook]

# Words in the names of folders and repositories, the first that is found counts. None is of no hook: it
# writes at several blocks, or stands where nothing is read here.
_WORDS: tuple[tuple[Hook | None, str], ...] = (
    (None, r"clt|crosscoder|embedding|mlp_in|(?:hook_)?resid_mid"),
    ("transcoder", r"transcoders?|L[\dX]+TC"),
    ("attn_out", r"hook_z|hook_attn_out|attn_out|attn|att|L[\dX]+A"),
    ("mlp_out", r"hook_mlp_out|mlp_out|mlp|L[\dX]+M"),
    ("resid_pre", r"(?:hook_)?resid_pre"),
    ("resid_post", r"(?:hook_)?resid_post|res|L[\dX]+R"),
)
_FOUND = tuple((hook, re.compile(rf"(?:^|[-_/.])({words})(?:[-_/.]|$)")) for hook, words in _WORDS)


def place_named(hook: str, written: str = "") -> Place | None:
    """The block and the hook that a hook point's name means; None for other ones.

    `written` is where it writes, where a configuration says that; of what the MLP reads it is after the MLP,
    else where it reads.
    """
    # What Gemma Scope 2's transcoders read, as SAELens calls it: to TransformerLens another place.
    read = hook.replace(".hook_mlp_in", ".mlp.hook_in")
    written = written.replace(".hook_mlp_in", ".mlp.hook_in")
    found = place_of(read, written or read)
    if found is None and not written and (block := re.match(r".*?\d+(?=\.)", read)):
        found = place_of(read, f"{block[0]}.hook_mlp_out")
    return None if found is None else (found.layer, hook_of(found.site))


def word_of(name: str) -> tuple[Hook | None, str] | None:
    """The hook that a folder's or a collection's name tells, and its word; None where it tells none."""
    return next(
        ((hook, match[1]) for hook, pattern in _FOUND if (match := pattern.search(name))), None
    )


def place_said(beside: Iterable[str]) -> Place | None:
    """What a configuration beside weights says of their place; None where it cannot be read.

    Of several files the first one that there is counts.
    """
    there = next((path for path in map(Path, beside) if path.is_file()), None)
    said = (read_configuration(there) if there else None) or {}
    trainer, metadata = (
        part if isinstance(part := said.get(key), dict) else {} for key in ("trainer", "metadata")
    )
    layer = trainer.get("layer")
    if isinstance(layer, int) and not isinstance(layer, bool):
        told = word_of(str(trainer.get("submodule_name") or ""))
        hook: Hook | None = "resid_post" if told is None else told[0]
        return None if hook is None else (layer, hook)
    return place_named(*hooks_said(metadata | said))
