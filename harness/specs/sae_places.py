"""Where a dictionary reads: its block and its hook, as libraries and collections name them."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.specs.json_file import read_mapping
from harness.specs.sites import Hook

Place = tuple[int, Hook]

# Of the language model alone: an image encoder has blocks too.
_BLOCK = re.compile(
    r"(?:(?:base_model|model|language_model|text_model|transformer|gpt_neox|backbone|decoder|module)\.)*"
    r"(?:blocks|layers|h)\.(\d{1,6})(?:\.(.+))?"
)
# What stands after the block: TransformerLens' names, and modules of transformers with nnsight's output.
_HOOKS: Mapping[Hook, tuple[str, ...]] = {
    "resid_post": ("", "hook_resid_post", "hook_out"),
    "resid_pre": ("hook_resid_pre", "hook_in", "input"),
    "mlp_out": ("hook_mlp_out", "mlp", "mlp.hook_out", "post_feedforward_layernorm"),
    "attn_out": (
        "hook_attn_out", "attn.hook_out", "attn.hook_z", "hook_z", "attn", "self_attn", "attention",
        "self_attn.o_proj.input",
    ),
    "transcoder": (
        "hook_mlp_in", "mlp.hook_in", "mlp.input", "ln2.hook_normalized", "pre_feedforward_layernorm",
    ),
}  # fmt: skip
_BY_NAME: Mapping[str, Hook] = {name: hook for hook, names in _HOOKS.items() for name in names}

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

    `written` is where it writes, where a configuration says that: after the MLP, of a transcoder, and else
    where it reads.
    """
    match = _BLOCK.fullmatch(hook)
    if match is None:
        return None
    name = re.sub(r"(?:^|\.)(output|input)(?:\.0|\[0\])$", r".\1", match[2] or "").removeprefix(".")
    stripped = name.removesuffix("output").removesuffix(".")
    found = _BY_NAME.get(name, _BY_NAME.get(stripped))
    if found is None:
        return None
    place = (int(match[1]), found)
    expected = (place[0], "mlp_out") if found == "transcoder" else place
    return place if not written or place_named(written) == expected else None


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
    said = (read_mapping(there) if there else None) or {}
    trainer, metadata = (
        part if isinstance(part := said.get(key), dict) else {} for key in ("trainer", "metadata")
    )
    layer = trainer.get("layer")
    if isinstance(layer, int) and not isinstance(layer, bool):
        told = word_of(str(trainer.get("submodule_name") or ""))
        return (layer, "resid_post") if told is None else _placed(layer, told[0])
    flat = metadata | said
    read = _first(flat, "hook_name", "hook_point", "hook_point_in")
    return place_named(read, _first(flat, "hook_name_out", "hook_point_out"))


def _placed(layer: int, hook: Hook | None) -> Place | None:
    return None if hook is None else (layer, hook)


def _first(said: Mapping[str, Any], *names: str) -> str:
    return str(next((found for name in names if (found := said.get(name))), ""))
