"""Qwen Scope's files: `layerN.sae.pt`, a dictionary of four arrays, in a repository `...-W32K-L0_50`.

TopK, then ReLU, of the stream after block N; the decoder bias is not subtracted. Its k is in the name of its
repository alone, or in a `config.json` beside it, where `harness convert` puts it.
"""

import re
from pathlib import Path
from typing import Any

from harness.sae import folds
from harness.sae.layout import BOTH, Layout
from harness.sae.weight_checks import KEYS, Broken, count

_NAME = re.compile(r"layer(\d{1,6})\.sae\.(?:pt|safetensors)")
_REPOSITORY = re.compile(r"-W(\d{1,6})K-L0_(\d{1,6})(?=$|[/\\])")


def is_named_so(path: Path) -> bool:
    """Whether a file has the name of one of Qwen Scope's."""
    return _NAME.fullmatch(path.name) is not None


def said_by(path: Path) -> dict[str, int]:
    """The k and the number of features that the folders of a path name, the innermost that do."""
    named = _REPOSITORY.findall(path.parent.as_posix())
    return {"k": int(named[-1][1]), "d_sae": int(named[-1][0]) * 1024} if named else {}


def layout_of(path: Path, config: dict[str, Any], broken: Broken) -> Layout:
    """The layout of such a file; raises what `broken` makes where nothing says its k."""
    facts = said_by(path) | config
    top_k = count(facts, "k", broken)
    if top_k is None:
        what = "neither the names of its folders nor a config.json beside it say its k"
        remedy = 'keep it in a folder named after its repository, as ...-W32K-L0_50, or write {"k": 50} there'
        raise broken(what, remedy)
    layer = int(named[1]) if (named := _NAME.fullmatch(path.name)) else None
    return Layout(
        {key: key for key in KEYS[:-1]},
        (folds.without_threshold,),
        turned=BOTH,
        top_k=top_k,
        site="resid_post",
        layer=layer,
        facts={key: facts.get(key) for key in ("k", "d_in", "d_sae")},
    )
