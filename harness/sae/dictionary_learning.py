"""dictionary_learning's files: `ae.pt`, a state dictionary, beside a `config.json` that names its class.

Values are those of its newest version: earlier ones multiplied the values of gated and JumpReLU SAEs by
the lengths of the decoder's rows and divided by them again, which changes no reconstruction.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from harness.sae import folds
from harness.sae.layout import BOTH, Layout
from harness.sae.place import at_hooks
from harness.sae.weight_checks import Broken, count, shown
from harness.specs.sites import Site

_LINEAR = {"W_enc": "encoder.weight", "b_enc": "encoder.bias", "W_dec": "decoder.weight"}
_OWN = {key: key for key in ("W_enc", "b_enc", "W_dec", "b_dec")}
_GATE = {"b_gate": "gate_bias", "b_mag": "mag_bias", "r_mag": "r_mag"}
_GATED = {
    "W_enc": "encoder.weight",
    **_GATE,
    "W_dec": "decoder.weight",
    "b_dec": "decoder_bias",
}
_ONE = {"threshold": "threshold"}
_BATCH = (folds.one_threshold, folds.subtracted)
_RELU = folds.without_threshold
_CLASSES = {
    "AutoEncoder": Layout(
        {**_LINEAR, "b_dec": "bias"}, (_RELU, folds.subtracted), turned=BOTH, relu=True
    ),
    "AutoEncoderNew": Layout({**_LINEAR, "b_dec": "decoder.bias"}, (_RELU,), turned=BOTH, relu=True),
    "GatedAutoEncoder": Layout(_GATED, (folds.gated, folds.subtracted), turned=BOTH),
    "JumpReluAutoEncoder": Layout({**_OWN, "jump": "threshold"}, (folds.clamped,)),
    # Its one threshold is for those who want no k; the k is in the configuration, and later in the file.
    "AutoEncoderTopK": Layout(
        {**_LINEAR, "b_dec": "b_dec"}, (_RELU, folds.subtracted), ignored=("threshold",),
        optional={"k": "k"}, turned=BOTH,
    ),
    "BatchTopKSAE": Layout(
        {**_LINEAR, "b_dec": "b_dec"}, _BATCH, _ONE, ("k",), turned=BOTH
    ),
    "MatryoshkaBatchTopKSAE": Layout(_OWN, _BATCH, _ONE, ("k", "group_sizes")),
}  # fmt: skip
_L0 = ("k", "target_l0")


_SUBMODULE = re.compile(r"(resid_post|resid_pre|mlp_out|attn_out)_layer_(\d{1,6})")


def layout_of(config: Mapping[str, Any], broken: Broken) -> Layout:
    """The layout of what the configuration names; raises what `broken` makes where it is not read."""
    trainer = config.get("trainer")
    kind = trainer.get("dict_class") if isinstance(trainer, dict) else None
    if not isinstance(trainer, dict) or not isinstance(kind, str):
        raise broken(
            "config.json beside it names no dict_class of a trainer",
            "put dictionary_learning's configuration there",
        )
    if kind not in _CLASSES:
        raise broken(f"it is a {shown(kind)}", f"name one of {', '.join(_CLASSES)}")
    layout = _CLASSES[kind]
    facts = {"d_in": trainer.get("activation_dim"), "d_sae": trainer.get("dict_size")}
    facts["l0"] = next((trainer[key] for key in _L0 if trainer.get(key)), None)
    if layout.relu:
        facts.pop("l0")  # of a trainer that aims at none
    top_k = count(trainer, "k", broken) if "k" in layout.optional else None
    layout = replace(layout, facts=facts, top_k=top_k)
    return _placed(layout, trainer, config.get("buffer"), broken)


def _placed(layout: Layout, trainer: Mapping[str, Any], buffer: object, broken: Broken) -> Layout:
    """The layout with the place that the trainer names: its submodule, or its layer alone."""
    if isinstance(buffer, dict) and buffer.get("io", "out") != "out":
        what = (
            f"it reads what goes into a module (io {shown(buffer['io'])}), not what comes out of it"
        )
        raise broken(what, "name another SAE")
    said = trainer.get("layer")
    layer = said if isinstance(said, int) and not isinstance(said, bool) else None
    name = str(trainer.get("submodule_name") or "")
    if named := _SUBMODULE.fullmatch(name):
        layout = replace(layout, site=cast("Site", named[1]), layer=int(named[2]))
    elif name:
        layout = at_hooks(layout, name, name, broken)
    if layer is not None and layout.layer not in (None, layer):
        raise broken(
            f"its layer is {shown(layer)}, and it reads {shown(name)}", "correct config.json"
        )
    return replace(layout, layer=layer if layout.layer is None else layout.layer)
