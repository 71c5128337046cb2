"""Gemma Scope's `params.npz` (arXiv:2408.05147) and Gemma Scope 2's `params.safetensors`.

Both have five arrays, the second in lower case, and of some transcoders a skip connection (width read, width
written). The transcoders of the first read what the norm puts out before its weights, those of the second
after them; dictionaries of attention read the heads' outputs beside each other.
"""

import re
from pathlib import Path
from typing import Any

from harness.sae.layout import Layout
from harness.sae.place import placed
from harness.sae.weight_checks import KEYS, OTHER, Broken, flag, shown

_ARRAYS = {key: key for key in KEYS}
_SKIP = {"skip": "affine_skip_connection"}
_OTHERS = {
    "clt": "a cross-layer transcoder: one feature writes to several layers, and edits are of one",
    "crosscoder": "a crosscoder: one feature reads several layers, and a dictionary here reads one",
    "embedding": "of the embedding, before the first block",
}


def npz_layout(path: Path, broken: Broken) -> Layout:
    """The layout of a `params.npz`, which has no configuration: its folders say what it reads."""
    _check_folders(path, broken)
    return Layout(_ARRAYS, without_gain=True, heads=True)


def layout_of(path: Path, config: dict[str, Any], broken: Broken) -> Layout:
    """The layout of a `params.safetensors`, whose configuration may be absent.

    Raises what `broken` makes where it says that it is no JumpReLU, or of a place that is not read.
    """
    _check_folders(path, broken)
    kind = config.get("architecture", "jump_relu")
    if kind not in ("jump_relu", "jumprelu"):
        raise broken(f"its architecture is {shown(kind)}, not jump_relu", OTHER)
    affine = flag(config, "affine_connection", False, broken)
    layout = Layout(
        _ARRAYS | (_SKIP if affine else {}), optional=_SKIP, heads=True, facts=config
    )  # fmt: skip
    return placed(layout, config, broken)


def _check_folders(path: Path, broken: Broken) -> None:
    for part in path.parts[:-1]:
        if named := re.fullmatch(r"(clt|crosscoder|embedding)(?:_all)?", part):
            raise broken(f"it is {_OTHERS[named[1]]}", "name a dictionary of one layer")
