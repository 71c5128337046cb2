"""What the file beside a dictionary's weights says: where it lies, and what of which layer is read."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.errors import InputError
from harness.specs.json_file import read_mapping
from harness.specs.sites import Site
from harness.specs.text_file import read_text
from harness.specs.yaml_source import LARGEST, read_yaml

# Of the language model alone: an image encoder has blocks too.
_HOOK = re.compile(
    r"(?:(?:base_model|model|language_model|text_model|transformer|gpt_neox|backbone|decoder|module)\.)*"
    r"(?:blocks|layers|h)\.(?P<block>\d{1,6})(?:\.(?P<part>[a-z_]\w*(?:\.[a-z_]\w*)*))?(?:\.0|\[0\])?"
)
_MLP = "mlp|feed_forward|block_sparse_moe"
_ATTENTION = "self_attn|attn|attention|self_attention"
# What is read within a block, by what comes after its number: TransformerLens' hooks, and modules of
# transformers, of which a module by itself is its output.
_PARTS: tuple[tuple[Site, re.Pattern[str]], ...] = (
    ("resid_post", re.compile(r"|hook_resid_post|hook_out|output")),
    ("resid_pre", re.compile(r"hook_resid_pre|hook_in|input")),
    (
        "mlp_out",
        re.compile(rf"hook_mlp_out|(?:{_MLP}|post_feedforward_layernorm)(?:\.hook_out|\.output)?"),
    ),
    ("attn_out", re.compile(rf"hook_attn_out|(?:{_ATTENTION})(?:\.hook_out|\.output)?")),
    (
        "attn_z",
        re.compile(rf"(?:{_ATTENTION})\.(?:hook_z|(?:o_proj|c_proj|out_proj|dense)\.input)|hook_z"),
    ),
)
# What the MLP reads: the norm's output, or what that is before the norm's weights.
_NORMED = "ln2.hook_normalized"
_MLP_IN = re.compile(
    rf"ln2\.hook_normalized|(?:{_MLP})(?:\.hook_in|\.input)"
    r"|(?:pre_feedforward_layernorm|post_attention_layernorm|ln_2|ln2)(?:\.output|\.hook_out)?"
)
# Sites by what published collections call a folder: each whole, or the part that says it.
_FOLDERS: tuple[tuple[Site, re.Pattern[str]], ...] = (
    ("resid_post", re.compile(r"resid_post(?:_all)?|.*gemma-scope-(?!2-).+-res|.*-L[\dX]+R(?:-.*)?|L\d+R")),
    ("mlp_out", re.compile(r"mlp_out(?:_all)?|.*gemma-scope-(?!2-).+-mlp|.*-L[\dX]+M(?:-.*)?|L\d+M")),
    ("attn_z", re.compile(r"attn_out(?:_all)?|.*gemma-scope-(?!2-).+-att")),
    ("attn_out", re.compile(r".*-L[\dX]+A(?:-.*)?|L\d+A")),
    ("transcoder", re.compile(r"transcoder(?:_all)?|.*-transcoders(?:-lowl0)?|.*-L[\dX]+TC(?:-.*)?|L\d+TC")),
    *((site, re.compile(rf"{site}_layer_\d+")) for site in ("resid_post", "mlp_out", "attn_out")),
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """What a dictionary reads: of which block, and of a transcoder whether without the norm's weights."""

    site: Site
    layer: int
    without_gain: bool = False


def configurations_beside(path: str) -> tuple[str, ...]:
    """The files that may say what weights are, the first one that there is counts; none for .npz.

    `sae_weights.safetensors` is SAELens' with `cfg.json`, and OpenMOSS' with `config.json`; Llama Scope
    keeps its weights in a folder `checkpoints` below `hyperparams.json`; sparsify's `sae.safetensors` has
    a `cfg.json`, and the transcoders `layer_N.safetensors` of a folder one `config.yaml`.
    """
    folder, _, name = path.rpartition("/")
    if name == "final.safetensors":
        above, _, last = folder.rpartition("/")
        return (_within(above if last == "checkpoints" else folder, "hyperparams.json"),)
    if name == "sae_weights.safetensors":
        return _within(folder, "cfg.json"), _within(folder, "config.json")
    if name == "sae.safetensors":
        return (_within(folder, "cfg.json"),)
    if re.fullmatch(r"layer_\d+\.safetensors", name):
        return (_within(folder, "config.yaml"),)
    return (_within(folder, "config.json"),) if name.endswith((".safetensors", ".pt")) else ()


def read_configuration(path: Path) -> dict[str, Any] | None:
    """The mapping that a file of JSON or YAML holds; None where it is not there or holds something else."""
    if path.suffix != ".yaml":
        return read_mapping(path)
    try:
        said = read_yaml(read_text(path, LARGEST)).data
    except (InputError, yaml.YAMLError):
        return None
    return said if isinstance(said, dict) else None


def hooks_said(said: dict[str, Any]) -> tuple[str, str]:
    """The hook points that are read and written, as a configuration names them; empty where it does not.

    Names of transformers come before those of TransformerLens, which has none for what some read.
    """
    reads = ("hf_hook_name", "hf_hook_point_in", "hook_name", "hook_point", "hook_point_in")
    writes = ("hf_hook_name_out", "hf_hook_point_out", "hook_name_out", "hook_point_out")
    read, written = (
        next((str(said[name]) for name in names if said.get(name)), "") for names in (reads, writes)
    )
    return read, written or read


def place_of(read: str, written: str | None = None) -> Place | None:
    """What hook points stand for, of which the second is what is written; None for other places.

    In the names of TransformerLens (`blocks.2.hook_resid_post`, `blocks.2.attn.hook_z`), or of a module of
    transformers, sparsify or nnsight (`model.layers.2`, `transformer.h.2.mlp.output`): a module by itself
    is what it puts out.
    """
    reads = _HOOK.fullmatch(read)
    writes = reads if written in (None, read) else _HOOK.fullmatch(written or "")
    if reads is None or writes is None or reads["block"] != writes["block"]:
        return None
    layer, part, out = int(reads["block"]), reads["part"] or "", writes["part"] or ""
    if _MLP_IN.fullmatch(part) and _site(out) == "mlp_out":
        return Place("transcoder", layer, without_gain=part == _NORMED)
    site = _site(part)
    return Place(site, layer) if site is not None and site == _site(out) else None


def site_named(path: str) -> Site | None:
    """The site that the folders of a path stand for in published collections, the innermost that does."""
    for part in reversed(path.split("/")[:-1]):
        if place := place_of(part):
            return place.site
        for site, pattern in _FOLDERS:
            if pattern.fullmatch(part):
                return site
    return None


def _site(part: str) -> Site | None:
    return next((site for site, pattern in _PARTS if pattern.fullmatch(part)), None)


def _within(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
