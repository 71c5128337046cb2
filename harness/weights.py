"""SAE weights from the published layouts, checked before they are believed.

GemmaScope's `params.npz`; Gemma Scope 2's `params.safetensors`, with a `config.json` that may be
absent; SAELens' `sae_weights.safetensors` with its `cfg.json`, for JumpReLU and standard SAEs. Nothing
is unpickled.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from harness.catalogue import site_layer
from harness.faults import CannotRun, Fault
from harness.npz import BrokenArray, open_npz
from harness.sae.jumprelu import Sae

KEYS = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
Shapes = Mapping[str, tuple[int, ...]]
Broken = Callable[..., CannotRun]
LAYOUTS = "params.npz, params.safetensors, or sae_weights.safetensors beside its cfg.json"


def load_sae(path: Path, *, width: int, layer: int | None = None, checked: bool = False) -> Sae:
    """Read one SAE of a residual stream of `width`; raises `CannotRun` naming the file and key.

    `layer` is held against what the file's configuration says. A file that was `checked` in this
    process is not searched for NaN again.
    """

    def broken(what: str, remedy: str = "fetch the file again") -> CannotRun:
        return CannotRun(Fault(str(path), what, remedy))

    try:
        if path.suffix == ".npz":
            tensors = _from_npz(path, width, broken)
        elif path.suffix == ".safetensors":
            tensors = _from_safetensors(path, width, layer, broken)
        else:
            raise broken("it is in no known layout", f"use {LAYOUTS}")
    except OSError as error:
        raise broken(f"it cannot be read: {error.strerror or error}") from None
    tensors = {key: tensors[key].to(torch.float32) for key in KEYS}
    if not checked:
        _check_values(tensors, broken)
    return Sae(*tensors.values())


def _from_npz(path: Path, width: int, broken: Broken) -> dict[str, Tensor]:
    try:
        with open_npz(path) as file:
            shapes = {key: header.shape for key, header in file.headers.items()}
            _check_shapes(shapes, KEYS, width, broken)
            for key in KEYS:
                if (dtype := file.headers[key].dtype).kind != "f":
                    raise broken(f"{key} holds {dtype}, not numbers")
            arrays = {key: file.read(key) for key in KEYS}
    except BrokenArray as error:
        raise broken(f"{error.key or 'it'} {error}") from None
    return {
        key: torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
        for key, array in arrays.items()
    }


def _from_safetensors(
    path: Path, width: int, layer: int | None, broken: Broken
) -> dict[str, Tensor]:
    lens = path.name == "sae_weights.safetensors"
    said = _configuration(path.with_name("cfg.json" if lens else "config.json"), lens, broken)
    keys = _check_lens(said, layer, broken) if lens else _check_scope(said, layer, broken)
    try:
        with safe_open(path, "pt") as file:
            # Gemma Scope 2 writes its keys in lower case.
            names = {name.lower(): name for name in file.keys()}  # noqa: SIM118 no mapping
            extra = [name for name in names if "skip" in name]
            if extra:
                raise broken(f"{names[extra[0]]} makes it a transcoder", "name an SAE")
            found = {key: names[key.lower()] for key in KEYS if key.lower() in names}
            shapes = {key: tuple(file.get_slice(name).get_shape()) for key, name in found.items()}
            _check_shapes(shapes, keys, width, broken)
            tensors = {key: file.get_tensor(found[key]) for key in keys}
    except SafetensorError as error:
        raise broken(f"it cannot be read: {error}") from None
    for key, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise broken(f"{key} holds {str(tensor.dtype).removeprefix('torch.')}, not numbers")
    if lens:
        if "threshold" not in tensors:  # a standard SAE: ReLU is a threshold of 0
            tensors["threshold"] = torch.zeros(len(tensors["b_enc"]))
        if said.get("apply_b_dec_to_input", True):
            # (x - b_dec) @ W + b = x @ W + (b - b_dec @ W)
            moved = tensors["b_dec"].double() @ tensors["W_enc"].double()
            tensors["b_enc"] = (tensors["b_enc"].double() - moved).float()
    return tensors


def _configuration(path: Path, needed: bool, broken: Broken) -> dict[str, Any]:
    """What the file beside the weights says of them."""
    if not path.exists():
        if needed:
            raise broken(f"there is no {path.name} beside it", "put SAELens' configuration there")
        return {}
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise broken(f"{path.name} beside it is no JSON object")
    # Since version 6 SAELens keeps what is not of the SAE itself under `metadata`.
    metadata = said.get("metadata")
    return (metadata if isinstance(metadata, dict) else {}) | said


def _check_scope(said: Mapping[str, Any], layer: int | None, broken: Broken) -> tuple[str, ...]:
    """Refuse what Gemma Scope 2's configuration says is not an SAE of the residual stream."""
    kind = said.get("architecture", "jump_relu")
    if kind not in ("jump_relu", "jumprelu"):
        raise broken(f"its architecture is {kind}, not jump_relu", "name a JumpReLU SAE")
    hook = str(said.get("hf_hook_point_in", ""))
    match = re.fullmatch(r"(?:.*\.)?layers\.(\d+)\.output", hook)
    if hook and (match is None or said.get("hf_hook_point_out")):
        raise broken(f"it reads {hook}, not the residual stream after a block", "name another SAE")
    if match:
        _check_layer(int(match[1]), layer, broken)
    return KEYS


def _check_lens(said: Mapping[str, Any], layer: int | None, broken: Broken) -> tuple[str, ...]:
    """Refuse what SAELens' configuration says cannot be read as a JumpReLU of the raw stream."""
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
    hook = said.get("hook_name", said.get("hook_point"))
    if hook is not None:
        own = site_layer(str(hook))
        if own is None:
            raise broken(
                f"it reads {hook}, not the residual stream after a block", "name another SAE"
            )
        _check_layer(own, layer, broken)
    return KEYS if kind == "jumprelu" else KEYS[:-1]


def _check_layer(own: int, layer: int | None, broken: Broken) -> None:
    if layer is not None and own != layer:
        raise broken(f"it was trained on layer {own}, not on layer {layer}", "name another SAE")


def _check_shapes(shapes: Shapes, keys: tuple[str, ...], width: int, broken: Broken) -> None:
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


def _check_values(tensors: Mapping[str, Tensor], broken: Broken) -> None:
    for key, tensor in tensors.items():
        # The extremes are NaN where anything is: no second array of this size is needed.
        low, high = tensor.aminmax()
        if not (torch.isfinite(low) and torch.isfinite(high)):
            raise broken(f"{key} holds NaN or infinity")
    if float(tensors["threshold"].min()) < 0:
        raise broken("threshold holds negative values", "are threshold and b_enc swapped?")
