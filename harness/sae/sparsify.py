"""EleutherAI's sparsify: `HOOKPOINT/sae.safetensors` beside `cfg.json`; the folder names the module.

A dictionary of a module's output, or a transcoder from its input to its output: TopK after ReLU, of which
the decoder bias is subtracted from the input of the first alone.
"""

import re
from pathlib import Path
from typing import Any

from harness.sae import folds
from harness.sae.layout import Layout
from harness.sae.place import at_hooks
from harness.sae.weight_checks import Broken, count, flag, shown
from harness.specs.sae_configuration import place_of

_ARRAYS = {"W_enc": "encoder.weight", "b_enc": "encoder.bias", "W_dec": "W_dec", "b_dec": "b_dec"}
_BLOCK = re.compile(r"(?:^|\.)(?:layers|blocks|h)\.\d")
_GROUPS = "it takes the largest of each of k groups of features: name one whose activation is topk"


def layout_of(path: Path, config: dict[str, Any], broken: Broken) -> Layout:
    """The layout that a configuration describes; raises what `broken` makes where it is not read."""
    width, top_k = (count(config, key, broken) for key in ("d_in", "k"))
    if width is None or top_k is None:
        what = f"cfg.json beside it has no {'d_in' if width is None else 'k'}"
        raise broken(what, "put sparsify's configuration there")
    activation = config.get("activation", "topk")
    if activation != "topk":
        remedy = _GROUPS if activation == "groupmax" else "name one whose activation is topk"
        raise broken(f"its activation is {shown(activation)}", remedy)
    if flag(config, "signed", False, broken):
        what = "its signed is True: its features may be negative"
        raise broken(what, "name another: a feature is active here where it is above 0")
    transcodes = flag(config, "transcode", False, broken)
    skips = flag(config, "skip_connection", False, broken)
    latents = config.get("num_latents")
    features = count(config, "num_latents", broken) if latents != 0 else None
    if features is None and (factor := count(config, "expansion_factor", broken)):
        features = width * factor
    layout = Layout(
        _ARRAYS | ({"skip": "W_skip"} if skips else {}),
        (folds.without_threshold,) if transcodes else (folds.without_threshold, folds.subtracted),
        turned=("W_enc", "skip") if skips else ("W_enc",),
        top_k=top_k,
        site="transcoder" if transcodes else None,
        facts={"d_in": width, "d_sae": features, "k": top_k},
    )
    module = path.parent.name
    if "embed" in module:
        raise broken(f"it is of {module}, before the first block", "name one of a block")
    if not _BLOCK.search(module):  # a folder of a user's own
        return layout
    if transcodes and place_of(module):
        return at_hooks(layout, f"{module}.input", f"{module}.output", broken)
    return at_hooks(layout, module, module, broken)
