"""What the file beside an SAE's weights says: where it lies, and of which layer the SAE is."""

import re
from pathlib import Path

from harness.specs.json_file import read_mapping

# Of the language model alone: an image encoder has blocks too.
_SITE = re.compile(
    r"(?:(?:base_model|model|language_model|text_model|transformer|gpt_neox|backbone|decoder|module)\.)*"
    r"(?:blocks|layers|h)\.(?P<block>\d+)"
    r"(?:\.(?P<side>hook_resid_post|hook_resid_pre|hook_out|hook_in|output|input)(?:\.0|\[0\])?)?"
)


def configurations_beside(path: str) -> tuple[str, ...]:
    """The files that may say what weights are, the first one that there is counts; none for .npz.

    `sae_weights.safetensors` is SAELens' with `cfg.json`, and OpenMOSS' with `config.json`; Llama Scope
    keeps its weights in a folder `checkpoints` below `hyperparams.json`.
    """
    folder, _, name = path.rpartition("/")
    if name == "final.safetensors":
        above, _, last = folder.rpartition("/")
        return (_within(above if last == "checkpoints" else folder, "hyperparams.json"),)
    if name == "sae_weights.safetensors":
        return _within(folder, "cfg.json"), _within(folder, "config.json")
    return (_within(folder, "config.json"),) if name.endswith((".safetensors", ".pt")) else ()


def layer_said(weights: Path) -> int | None:
    """The layer that a configuration names; None where it cannot be read: the loader says why."""
    beside = (Path(name) for name in configurations_beside(weights.as_posix()))
    there = next((path for path in beside if path.is_file()), None)
    said = (read_mapping(there) if there else None) or {}
    trainer, metadata = (
        part if isinstance(part := said.get(key), dict) else {} for key in ("trainer", "metadata")
    )
    layer = trainer.get("layer")
    if isinstance(layer, int) and not isinstance(layer, bool):
        return layer
    names = ("hook_name", "hook_point", "hook_point_in")
    hook = next((found for name in names if (found := said.get(name))), metadata.get("hook_name"))
    return site_layer(str(hook))


def site_layer(hook: str) -> int | None:
    """The block after whose output a hook point stands; None for other sites.

    In the names of TransformerLens (`blocks.2.hook_resid_post`; `hook_resid_pre` is after the block
    below), or of a module of transformers or nnsight (`model.layers.2`, `transformer.h.2.output`): what a
    block puts out is the stream after it.
    """
    match = _SITE.fullmatch(hook)
    if match is None:
        return None
    layer = int(match["block"]) - (match["side"] in ("hook_resid_pre", "hook_in", "input"))
    return layer if layer >= 0 else None


def _within(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
