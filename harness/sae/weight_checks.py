"""What an SAE's file must hold before it is believed: site, layer, shapes, finite values."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from harness.errors import CannotRun
from harness.specs.sae_catalogue import site_layer

KEYS = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
Shapes = Mapping[str, tuple[int, ...]]
Broken = Callable[..., CannotRun]


def check_scope(said: Mapping[str, Any], layer: int | None, broken: Broken) -> tuple[str, ...]:
    """Refuse what Gemma Scope 2's configuration says is not an SAE of the residual stream."""
    kind = said.get("architecture", "jump_relu")
    if kind not in ("jump_relu", "jumprelu"):
        raise broken(f"its architecture is {kind}, not jump_relu", "name a JumpReLU SAE")
    hook = str(said.get("hf_hook_point_in", ""))
    match = re.fullmatch(r"(?:.*\.)?layers\.(\d+)\.output", hook)
    if hook and (match is None or said.get("hf_hook_point_out", hook) != hook):
        raise broken(f"it reads {hook}, not the residual stream after a block", "name another SAE")
    if match:
        check_layer(int(match[1]), layer, broken)
    return KEYS


def check_lens(said: Mapping[str, Any], layer: int | None, broken: Broken) -> tuple[str, ...]:
    """Refuse what SAELens' configuration says cannot be read as a JumpReLU of the raw stream."""
    if "d_in" not in said or "d_sae" not in said:
        raise broken("cfg.json beside it describes no SAE", "put SAELens' configuration there")
    kind = said.get("architecture", "standard")
    if kind not in ("standard", "jumprelu"):
        raise broken(f"its architecture is {kind}", "only jumprelu and standard SAEs are read")
    for key, plain in {
        "normalize_activations": ("none", None, False),
        "reshape_activations": ("none", None),
        "activation_fn": ("relu", None),
        "activation_fn_str": ("relu", None),
        "finetuning_scaling_factor": (False, None),
        "hook_head_index": (None,),
    }.items():
        if said.get(key) not in plain:
            raise broken(
                f"its {key} is {said[key]}, which is not supported",
                "fold it into the weights with SAELens and save it again",
            )
    if not isinstance(said.get("apply_b_dec_to_input", True), bool):
        raise broken("its apply_b_dec_to_input is neither true nor false", "correct cfg.json")
    hook = said.get("hook_name", said.get("hook_point"))
    if said.get("hook_name_out", hook) != hook:
        raise broken(f"it writes {said['hook_name_out']}: a transcoder", "name an SAE")
    if hook is not None:
        own = site_layer(str(hook))
        if own is None:
            raise broken(
                f"it reads {hook}, not the residual stream after a block", "name another SAE"
            )
        check_layer(own, layer, broken)
    return KEYS if kind == "jumprelu" else KEYS[:-1]


def check_sizes(said: Mapping[str, Any], tensors: Mapping[str, Tensor], broken: Broken) -> None:
    """What a configuration says of sizes is what the weights have."""
    width, features = tensors["W_enc"].shape
    for key, size in {"d_in": width, "d_sae": features, "width": features}.items():
        if isinstance(said.get(key), int) and said[key] != size:
            raise broken(f"its configuration says {key} {said[key]}, the weights say {size}")


def check_layer(own: int, layer: int | None, broken: Broken) -> None:
    """The SAE says itself which layer it is of."""
    if layer is not None and own != layer:
        raise broken(f"it was trained on layer {own}, not on layer {layer}", "name another SAE")


def check_shapes(shapes: Shapes, keys: tuple[str, ...], width: int, broken: Broken) -> None:
    """All at their places, and of one size, before any of them is read."""
    missing = [key for key in keys if key not in shapes]
    if missing:
        known = f"it has {', '.join(sorted(shapes)) or 'nothing'}"
        raise broken(f"it has no {', '.join(missing)}", f"{known}; name an SAE's weights")
    encoder = shapes["W_enc"]
    # Where the two matrices are swapped, the other length is still the number of features.
    if len(encoder) != 2:
        raise broken(f"W_enc has shape {encoder}, not two dimensions", "name an SAE's weights")
    turned = encoder[0] != width and encoder[1] == width
    features = encoder[0] if turned else encoder[1]
    wanted = {
        "W_enc": (width, features),
        "b_enc": (features,),
        "W_dec": (features, width),
        "b_dec": (width,),
        "threshold": (features,),
    }
    for key in keys:
        if shapes[key] == wanted[key] and 0 not in shapes[key]:
            continue
        swapped = next(
            (other for other in keys if other != key and shapes[key] == wanted[other]), ""
        )
        raise broken(
            f"{key} has shape {shapes[key]}, not {wanted[key]} for a model of width {width}"
            + (f"; it looks like {swapped}" if swapped else ""),
            "name an SAE of this model's residual stream",
        )


def check_values(tensors: Mapping[str, Tensor], broken: Broken) -> None:
    """Every number is finite."""
    for key, tensor in tensors.items():
        # The extremes are NaN where anything is: no second array of this size is needed.
        low, high = tensor.aminmax()
        if not (torch.isfinite(low) and torch.isfinite(high)):
            raise broken(f"{key} holds NaN or infinity")
    if "threshold" in tensors and float(tensors["threshold"].min()) < 0:
        raise broken("threshold holds negative values", "are threshold and b_enc swapped?")
