"""circuit-tracer's transcoders of one layer each: `layer_N.safetensors` in a folder with one `config.yaml`.

Those of Qwen3 (`mwhanna/qwen3-4b-transcoders`) are plain ReLU. Both matrices are (n_features, width), a skip
connection is (width written, width read). Without a configuration, as some have none, they read what the MLP
reads and write what it adds to the stream.
"""

import re
from pathlib import Path
from typing import Any

from harness.sae import folds
from harness.sae.layout import Layout
from harness.sae.place import at_hooks
from harness.sae.weight_checks import KEYS, Broken, shown

_NAME = re.compile(r"layer_(\d{1,6})\.safetensors")
_HOOKS = {"feature_input_hook": "mlp.hook_in", "feature_output_hook": "hook_mlp_out"}


def is_named_so(path: Path) -> bool:
    """Whether a file has the name of such a transcoder's."""
    return _NAME.fullmatch(path.name) is not None


def layout_of(path: Path, config: dict[str, Any], broken: Broken) -> Layout:
    """The layout that a configuration describes; raises what `broken` makes where it is not read."""
    if (kind := config.get("model_kind", "transcoder_set")) != "transcoder_set":
        what = f"its model_kind is {shown(kind)}, not transcoder_set"
        raise broken(what, "name transcoders of one layer each: edits are of one")
    named = _NAME.fullmatch(path.name)
    layer = named[1] if named else ""
    read, written = (f"blocks.{layer}.{config.get(key, usual)}" for key, usual in _HOOKS.items())
    layout = Layout(
        {key: key for key in KEYS[:-1]},
        (folds.without_threshold,),
        optional={"skip": "W_skip"},
        turned=("W_enc", "skip"),
        relu=True,
    )
    return at_hooks(layout, read, written, broken)
