"""dictionary_learning's files: `ae.pt`, a state dictionary, beside a `config.json` that names its class.

Values are those of its newest version: earlier ones multiplied the values of gated and JumpReLU SAEs by
the lengths of the decoder's rows and divided by them again, which changes no reconstruction.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness.sae import folds
from harness.sae.layout import Layout
from harness.sae.weight_checks import TOP_K, Broken, check_hook, check_layer
from harness.specs.sae_catalogue import OTHER_SITE

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
        {**_LINEAR, "b_dec": "bias"}, (_RELU, folds.subtracted), turned=True, relu=True
    ),
    "AutoEncoderNew": Layout({**_LINEAR, "b_dec": "decoder.bias"}, (_RELU,), turned=True, relu=True),
    "GatedAutoEncoder": Layout(_GATED, (folds.gated, folds.subtracted), turned=True),
    "JumpReluAutoEncoder": Layout({**_OWN, "jump": "threshold"}, (folds.clamped,)),
    "BatchTopKSAE": Layout(
        {**_LINEAR, "b_dec": "b_dec"}, _BATCH, _ONE, ("k",), turned=True
    ),
    "MatryoshkaBatchTopKSAE": Layout(_OWN, _BATCH, _ONE, ("k", "group_sizes")),
}  # fmt: skip
_L0 = ("k", "target_l0")


def layout_of(config: Mapping[str, Any], layer: int | None, broken: Broken) -> Layout:
    """The layout of what the configuration names; raises what `broken` makes where it is not read."""
    trainer = config.get("trainer")
    kind = trainer.get("dict_class") if isinstance(trainer, dict) else None
    if not isinstance(trainer, dict) or not isinstance(kind, str):
        raise broken(
            "config.json beside it names no dict_class of a trainer",
            "put dictionary_learning's configuration there",
        )
    if kind not in _CLASSES:
        remedy = TOP_K if "TopK" in kind else f"name one of {', '.join(_CLASSES)}"
        raise broken(f"it is a {kind}", remedy)
    _check_place(trainer, config.get("buffer"), layer, broken)
    layout = _CLASSES[kind]
    facts = {"d_in": trainer.get("activation_dim"), "d_sae": trainer.get("dict_size")}
    facts["l0"] = next((trainer[key] for key in _L0 if trainer.get(key)), None)
    if layout.relu:
        facts.pop("l0")  # of a trainer that aims at none
    return replace(layout, facts=facts)


def _check_place(
    trainer: Mapping[str, Any], buffer: object, layer: int | None, broken: Broken
) -> None:
    """Refuse another place than the stream after a block, or another block than is asked for."""
    name = str(trainer.get("submodule_name") or "")
    if name.startswith(("model.", "transformer.", "gpt_neox.")):
        check_hook(name, name, layer, broken)
    elif OTHER_SITE.search(name) or "pre" in name.split("_"):
        raise broken(f"it reads {name}, not the residual stream after a block", "name another SAE")
    if isinstance(buffer, dict) and buffer.get("io", "out") != "out":
        what = f"it reads what goes into a module (io {buffer['io']}), not the stream after a block"
        raise broken(what, "name another SAE")
    said = trainer.get("layer")
    if isinstance(said, int) and not isinstance(said, bool):
        check_layer(said, layer, broken)
