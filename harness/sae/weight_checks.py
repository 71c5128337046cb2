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
Broken = Callable[..., CannotRun]  # what is wrong and what to do, as an error that names the file


def check_gemma_scope(
    config: Mapping[str, Any], layer: int | None, broken: Broken
) -> tuple[str, ...]:
    """Refuse what Gemma Scope 2's configuration says is not an SAE of the residual stream.

    `layer` is the one that is asked for, if any. Returns the names of the arrays that such a file has,
    and raises what `broken` makes.
    """
    kind = config.get("architecture", "jump_relu")
    if kind not in ("jump_relu", "jumprelu"):
        raise broken(f"its architecture is {kind}, not jump_relu", "name a JumpReLU SAE")
    hook = str(config.get("hf_hook_point_in", ""))
    match = re.fullmatch(r"(?:.*\.)?layers\.(\d+)\.output", hook)
    if hook and (match is None or config.get("hf_hook_point_out", hook) != hook):
        raise broken(f"it reads {hook}, not the residual stream after a block", "name another SAE")
    if match:
        check_layer(int(match[1]), layer, broken)
    return KEYS


def check_saelens(config: Mapping[str, Any], layer: int | None, broken: Broken) -> tuple[str, ...]:
    """Refuse what SAELens' configuration says cannot be read as a JumpReLU of the raw stream.

    Arguments and result as in `check_gemma_scope`; a standard SAE has no thresholds.
    """
    if "d_in" not in config or "d_sae" not in config:
        raise broken("cfg.json beside it describes no SAE", "put SAELens' configuration there")
    kind = config.get("architecture", "standard")
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
        if config.get(key) not in plain:
            raise broken(
                f"its {key} is {config[key]}, which is not supported",
                "fold it into the weights with SAELens and save it again",
            )
    if not isinstance(config.get("apply_b_dec_to_input", True), bool):
        raise broken("its apply_b_dec_to_input is neither true nor false", "correct cfg.json")
    hook = config.get("hook_name", config.get("hook_point"))
    if config.get("hook_name_out", hook) != hook:
        raise broken(f"it writes {config['hook_name_out']}: a transcoder", "name an SAE")
    if hook is not None:
        hook_layer = site_layer(str(hook))
        if hook_layer is None:
            raise broken(
                f"it reads {hook}, not the residual stream after a block", "name another SAE"
            )
        check_layer(hook_layer, layer, broken)
    return KEYS if kind == "jumprelu" else KEYS[:-1]


def check_sizes(config: Mapping[str, Any], tensors: Mapping[str, Tensor], broken: Broken) -> None:
    """Refuse weights of other sizes than the configuration says; `W_enc` is (width, n_features)."""
    width, features = tensors["W_enc"].shape
    for key, size in {"d_in": width, "d_sae": features, "width": features}.items():
        if isinstance(config.get(key), int) and config[key] != size:
            raise broken(f"its configuration says {key} {config[key]}, the weights say {size}")


def check_layer(trained: int, layer: int | None, broken: Broken) -> None:
    """Refuse an SAE that says itself that it was `trained` on another layer than is asked for."""
    if layer is not None and trained != layer:
        raise broken(f"it was trained on layer {trained}, not on layer {layer}", "name another SAE")


def check_shapes(shapes: Shapes, keys: tuple[str, ...], width: int, broken: Broken) -> None:
    """Refuse arrays that are missing, or not of one size, before any of them is read.

    `shapes` are the file's by name, `keys` the names that it must have: `W_enc` (width, n_features),
    `b_enc` (n_features,), `W_dec` (n_features, width), `b_dec` (width,), `threshold` (n_features,).
    """
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
    """Refuse numbers that are not finite, and thresholds below 0."""
    for key, tensor in tensors.items():
        # The extremes are NaN where anything is: no second array of this size is needed.
        low, high = tensor.aminmax()
        if not (torch.isfinite(low) and torch.isfinite(high)):
            raise broken(f"{key} holds NaN or infinity")
    if "threshold" in tensors and float(tensors["threshold"].min()) < 0:
        raise broken("threshold holds negative values", "are threshold and b_enc swapped?")
