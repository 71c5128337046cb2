"""SAELens' files: `sae_weights.safetensors` beside `cfg.json`, of its versions before 6 and since.

Before version 6 a configuration names its activation function, and TopK by it; since then the hook points
stand under `metadata`. What is computed is SAELens' own: `sae_lens/saes/*.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from harness.sae import folds
from harness.sae.encoding import Norm
from harness.sae.layout import Layout, Step
from harness.sae.place import placed
from harness.sae.weight_checks import KEYS, OTHER, Broken, count, flag, shown

_FOLD = "fold it into the weights with SAELens ({}), and save it again"
_OTHERWISE = {
    "temporal": "its values depend on the tokens before, and each is read and edited by itself here",
    "matching_pursuit": "its features are chosen one after the other, each of what the others left",
    "abstopk": "its features may be negative, and one is active here where it is above 0",
    "crosscoder": "it reads several layers, and a dictionary here reads one",
    "clt": "it writes to several layers, and an edit is of one",
}
_SITE = "it is of one head of attention: name one of all heads, or of the residual stream"
_RELU = folds.without_threshold
_PLAIN_ARRAYS = {key: key for key in KEYS[:-1]}
_JUMP = {key: key for key in KEYS}
_SKIP = {"skip": "W_skip"}
# A trainer's own file, which it saves otherwise as jumprelu: one threshold of all features.
_TRAINED = Layout(_PLAIN_ARRAYS, (folds.one_threshold,), {"threshold": "topk_threshold"})
_LAYOUTS: Mapping[str, Layout] = {
    "standard": Layout(_PLAIN_ARRAYS, (_RELU,), relu=True),
    "jumprelu": Layout(_JUMP),
    "gated": Layout(
        {key: key for key in ("W_enc", "b_gate", "b_mag", "r_mag", "W_dec", "b_dec")},
        (folds.gated,),
    ),
    "topk": Layout(_PLAIN_ARRAYS, (_RELU,)),
    "batchtopk": _TRAINED,
    "matryoshka_batchtopk": _TRAINED,
    "transcoder": Layout(_PLAIN_ARRAYS, (_RELU,), relu=True),
    "skip_transcoder": Layout(_PLAIN_ARRAYS | _SKIP, (_RELU,), turned=("skip",), relu=True),
    "jumprelu_transcoder": Layout(_JUMP),
    "jumprelu_skip_transcoder": Layout(_JUMP | _SKIP, turned=("skip",)),
}


@dataclass(frozen=True)
class _Key:
    """A key of the configuration: the values that change nothing, and what can be done about others."""

    plain: tuple[object, ...]
    remedies: Mapping[str, str]  # by the value; "" for any


_KEYS: Mapping[str, _Key] = {
    "normalize_activations": _Key(
        ("none", None, False, *get_args(Norm)),
        {
            "expected_average_only_in": _FOLD.format("fold_activation_norm_scaling_factor"),
            "True": _FOLD.format("fold_activation_norm_scaling_factor"),
            "covariance_whitening": _FOLD.format("fold_activation_whitening"),
        },
    ),
    "reshape_activations": _Key(("none", None, "hook_z"), {}),
    "activation_fn": _Key(("relu", None, "topk"), {}),
    "activation_fn_str": _Key(("relu", None, "topk"), {}),
    "finetuning_scaling_factor": _Key(
        (False, None),
        {
            "": "multiply each row of W_dec by its finetuning_scaling_factor, leave it out, and save it again"
        },
    ),
    "hook_head_index": _Key((None,), {"": _SITE}),
}


def layout_of(config: dict[str, Any], broken: Broken) -> Layout:
    """The layout that a configuration describes; raises what `broken` makes where it is not read."""
    if "d_in" not in config or "d_sae" not in config:
        raise broken("cfg.json beside it describes no SAE", "put SAELens' configuration there")
    config = _as_since_version_6(config)
    kind = str(config.get("architecture", "standard"))
    if kind not in _LAYOUTS:
        raise broken(f"its architecture is {shown(kind)}", _OTHERWISE.get(kind, OTHER))
    for key, known in _KEYS.items():
        value = config.get(key)
        if not any(value is one or (isinstance(one, str) and value == one) for one in known.plain):
            remedy = known.remedies.get(str(value)) or known.remedies.get("", OTHER)
            raise broken(f"its {key} is {shown(value)}, which is not supported", remedy)
    layout = replace(_LAYOUTS[kind], facts=config)
    if kind == "topk":
        top_k = count(config, "k", broken)
        if top_k is None:
            raise broken("its architecture is topk, and cfg.json has no k", "add the k it has")
        layout = replace(layout, top_k=top_k)
    is_transcoder = kind.endswith("transcoder")
    subtracts = flag(config, "apply_b_dec_to_input", not is_transcoder, broken)
    norm = _norm(config)
    if is_transcoder and (norm or subtracts):
        # Its decoder bias is of another place than its input, and SAELens scales no output back.
        what = "normalizes its input" if norm else "subtracts its decoder bias from its input"
        raise broken(f"it is a transcoder that {what}, which is not supported", OTHER)
    steps: tuple[Step, ...] = layout.steps
    if flag(config, "rescale_acts_by_decoder_norm", False, broken):
        if kind == "jumprelu":  # TopK's trainers save it folded
            raise broken("its rescale_acts_by_decoder_norm is True, which no jumprelu has", OTHER)
        steps = (*steps, folds.by_decoder_row)
    if subtracts:
        steps = (*steps, folds.subtracted)
    layout = placed(replace(layout, steps=steps, norm=norm), config, broken)
    if config.get("reshape_activations") == "hook_z" and layout.site not in (None, "attn_z"):
        raise broken("its reshape_activations is hook_z, and its hook is none of the heads", OTHER)
    return layout


def _norm(config: Mapping[str, Any]) -> Norm | None:
    """How each position's input is normalised."""
    said = config.get("normalize_activations")
    return next((norm for norm in get_args(Norm) if norm == said), None)


def _as_since_version_6(config: dict[str, Any]) -> dict[str, Any]:
    """The same where TopK is an activation function with a k, which an architecture is since then."""
    act = config.get("activation_fn", config.get("activation_fn_str"))
    arguments = config.get("activation_fn_kwargs")
    if act != "topk" or config.get("architecture", "standard") not in ("standard", "topk"):
        return config
    k = arguments.get("k") if isinstance(arguments, dict) else None
    return config | {"architecture": "topk", "k": config.get("k") if k is None else k}
