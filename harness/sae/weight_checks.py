"""What an SAE's file must hold before it is believed: site, layer, shapes, finite values."""

import re
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.errors import CannotRun
from harness.sae import folds
from harness.sae.layout import Layout, Step
from harness.specs.sae_configuration import site_layer

KEYS = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
Shapes = Mapping[str, tuple[int, ...]]
Broken = Callable[..., CannotRun]  # what is wrong and what to do, as an error that names the file


# What can be done about an SAE that is computed in another way. What depends on the token, as the norm
# of its stream or the k largest of its features do, is in no weight, and cannot be folded into one.
OTHER = "name a JumpReLU or standard SAE whose input is not normalised"
TOP_K = (
    "its number of active features is fixed, which no threshold does exactly: name a JumpReLU or standard "
    "SAE, or a BatchTopK one, which SAELens saves as jumprelu and dictionary_learning with one threshold"
)
BY_NORM = (
    "it divides each token's stream by its own norm, which no weights can hold: name an SAE of the stream "
    "as it is"
)
_SITE = "it is of attention heads: name an SAE of the residual stream after a block"
_FOLD = "fold it into the weights with SAELens ({}), and save it again"
_OTHERWISE = {
    "topk": TOP_K,
    "batchtopk": "save it with SAELens, which makes a jumprelu SAE of it: the k becomes a threshold",
}
# What SAELens' files have by architecture, and what makes a JumpReLU of it.
_SAELENS: Mapping[str, tuple[tuple[str, ...], tuple[Step, ...]]] = {
    "standard": (KEYS[:-1], (folds.without_threshold,)),
    "jumprelu": (KEYS, ()),
    "gated": (("W_enc", "b_gate", "b_mag", "r_mag", "W_dec", "b_dec"), (folds.gated,)),
}
# Keys of SAELens: the values that change nothing, and what can be done about others ("" for any).
_PLAIN: Mapping[str, tuple[tuple[object, ...], Mapping[str, str]]] = {
    "normalize_activations": (
        ("none", None, False),
        {
            "": BY_NORM,
            "expected_average_only_in": _FOLD.format("fold_activation_norm_scaling_factor"),
        },
    ),
    "reshape_activations": (("none", None), {"": _SITE}),
    "activation_fn": (("relu", None), {"topk": TOP_K}),
    "activation_fn_str": (("relu", None), {"topk": TOP_K}),
    "finetuning_scaling_factor": (
        (False, None),
        {
            "": "multiply each row of W_dec by its finetuning_scaling_factor, leave it out, and save it again"
        },
    ),
    "hook_head_index": ((None,), {"": _SITE}),
}


def check_gemma_scope(config: Mapping[str, Any], layer: int | None, broken: Broken) -> Layout:
    """Refuse what Gemma Scope 2's configuration says is not an SAE of the residual stream.

    `layer` is the one that is asked for, if any. Returns the layout of such a file, and raises what
    `broken` makes.
    """
    kind = config.get("architecture", "jump_relu")
    if kind not in ("jump_relu", "jumprelu"):
        raise broken(f"its architecture is {kind}, not jump_relu", "name a JumpReLU SAE")
    hook = config.get("hf_hook_point_in")
    check_hook(hook, config.get("hf_hook_point_out", hook), layer, broken)
    return Layout({key: key for key in KEYS}, facts=config)


def check_saelens(config: Mapping[str, Any], layer: int | None, broken: Broken) -> Layout:
    """Refuse what SAELens' configuration says cannot be read as a JumpReLU of the raw stream.

    Arguments and result as in `check_gemma_scope`; a standard SAE has no thresholds.
    """
    if "d_in" not in config or "d_sae" not in config:
        raise broken("cfg.json beside it describes no SAE", "put SAELens' configuration there")
    kind = config.get("architecture", "standard")
    if kind not in _SAELENS:
        raise broken(f"its architecture is {kind}", _OTHERWISE.get(str(kind), OTHER))
    for key, (plain, remedies) in _PLAIN.items():
        if (value := config.get(key)) not in plain:
            remedy = remedies.get(str(value)) or remedies.get("", OTHER)
            raise broken(f"its {key} is {value}, which is not supported", remedy)
    if not isinstance(subtracts := config.get("apply_b_dec_to_input", True), bool):
        raise broken("its apply_b_dec_to_input is neither true nor false", "correct cfg.json")
    hook = config.get("hook_name", config.get("hook_point"))
    check_hook(hook, config.get("hook_name_out", hook), layer, broken)
    keys, steps = _SAELENS[kind]
    if subtracts:
        steps = (*steps, folds.subtracted)
    return Layout(
        {key: key for key in keys}, steps, relu=kind == "standard", facts=config
    )  # fmt: skip


def check_sizes(config: Mapping[str, Any], shape: tuple[int, ...], broken: Broken) -> None:
    """Refuse weights of other sizes than the configuration says; `shape` is W_enc's."""
    width, features = shape
    for key, size in {"d_in": width, "d_sae": features, "width": features}.items():
        if isinstance(config.get(key), int) and config[key] != size:
            raise broken(f"its configuration says {key} {config[key]}, the weights say {size}")


def check_hook(read: object, written: object, layer: int | None, broken: Broken) -> None:
    """Refuse an SAE whose configuration names another site than the stream after block `layer`.

    `read` and `written` are the hook points as it names them; empty where it does not.
    """
    if not read:
        return
    trained = site_layer(str(read))
    if trained is None:
        raise broken(f"it reads {read}, not the residual stream after a block", "name another SAE")
    if site_layer(str(written)) != trained:
        raise broken(f"it writes {written}: a transcoder", "name an SAE")
    check_layer(trained, layer, broken)


def published_l0(path: Path, config: Mapping[str, Any]) -> float | None:
    """How many features are active at a position, as the file's name or its configuration says."""
    for key in ("l0", "average_l0", "k"):
        said = config.get(key)
        if isinstance(said, int | float) and not isinstance(said, bool) and said > 0:
            return float(said)
    named = re.search(r"average_l0_(\d+)", path.as_posix())
    return float(named[1]) if named else None


def check_layer(trained: int, layer: int | None, broken: Broken) -> None:
    """Refuse an SAE that says itself that it was `trained` on another layer than is asked for."""
    if layer is not None and trained != layer:
        raise broken(f"it was trained on layer {trained}, not on layer {layer}", "name another SAE")


def check_shapes(shapes: Shapes, layout: Layout, width: int | None, broken: Broken) -> None:
    """Refuse arrays that are missing, or not of one size, before any of them is read.

    Without a `width` it is that of `b_dec`.

    `shapes` are the file's by our names, as they are stored: `W_enc` (width, n_features), `W_dec`
    (n_features, width), where the layout does not turn both; `b_dec` (width,), one number for a scalar,
    and (n_features,) for all else.
    """
    keys = tuple(layout.arrays)
    if missing := [key for key in (*keys, *layout.scalars) if key not in shapes]:
        known = f"it has {', '.join(sorted(map(layout.named, shapes))) or 'nothing'}"
        names = ", ".join(map(layout.named, missing))
        raise broken(f"it has no {names}", f"{known}; name an SAE's weights")
    encoder = shapes["W_enc"]
    if width is None:
        width = shapes["b_dec"][0] if shapes["b_dec"] else 0
    # Where the two matrices are swapped, the other length is still the number of features.
    if len(encoder) != 2:
        what = f"{layout.named('W_enc')} has shape {encoder}, not two dimensions"
        raise broken(what, "name an SAE's weights")
    first, last = encoder[::-1] if layout.turned else encoder
    features = first if first != width and last == width else last
    matrix = (features, width) if layout.turned else (width, features)
    wanted = dict.fromkeys(keys, (features,)) | {
        "W_enc": matrix, "W_dec": matrix[::-1], "b_dec": (width,),
    }  # fmt: skip
    for key in keys:
        if shapes[key] == wanted[key] and 0 not in shapes[key]:
            continue
        swapped = next(
            (other for other in keys if other != key and shapes[key] == wanted[other]), ""
        )
        raise broken(
            f"{layout.named(key)} has shape {shapes[key]}, not {wanted[key]} for a model of width {width}"
            + (f"; it looks like {layout.named(swapped)}" if swapped else ""),
            "name an SAE of this model's residual stream",
        )
    for key in layout.scalars:
        if prod(shapes[key]) != 1:
            raise broken(f"{layout.named(key)} has shape {shapes[key]}, and should be one number")


def check_scalars(scalars: Mapping[str, float], layout: Layout, broken: Broken) -> None:
    """Refuse a threshold that was never set, which dictionary_learning stores as -1, and such norms."""
    for key, value in scalars.items():
        if not 0 <= value < float("inf") or (value == 0 and key.startswith("norm")):
            what = f"{layout.named(key)} is {value:g}, as where it was never set"
            raise broken(what, "name an SAE whose training was finished")


def check_values(tensors: Mapping[str, Tensor], layout: Layout, broken: Broken) -> None:
    """Refuse numbers that are not finite, and thresholds below 0."""
    for key, tensor in tensors.items():
        # The extremes are NaN where anything is: no second array of this size is needed.
        low, high = tensor.aminmax()
        if not (torch.isfinite(low) and torch.isfinite(high)):
            raise broken(f"{layout.named(key)} holds NaN or infinity")
    if "threshold" in tensors and float(tensors["threshold"].min()) < 0:
        raise broken("threshold holds negative values", "are threshold and b_enc swapped?")
