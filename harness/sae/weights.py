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
POINTER = b"version https://git-lfs"
LAYOUTS = "params.npz, params.safetensors, or sae_weights.safetensors beside its cfg.json"


def load_sae(path: Path, *, width: int, layer: int | None = None, checked: bool = False) -> Sae:
    """Read one SAE of a residual stream of `width`; raises `CannotRun` naming the file and key.

    `layer` is held against what the file's configuration says. A file that was `checked` in this
    process is not searched for NaN again.
    """

    def broken(what: str, remedy: str = "fetch the file again") -> CannotRun:
        # The names within a damaged file may hold anything.
        return CannotRun(Fault(str(path), " ".join(what.split()), remedy))

    said: dict[str, Any] = {}
    lens = path.name == "sae_weights.safetensors"
    try:
        with path.open("rb") as stream:
            if stream.read(len(POINTER)) == POINTER:
                raise broken("it is a pointer of Git LFS, not the file", "fetch it: git lfs pull")
        if path.suffix == ".npz":
            tensors = _from_npz(path, width, broken)
        elif path.suffix == ".safetensors":
            said = _configuration(
                path.with_name("cfg.json" if lens else "config.json"), lens, broken
            )
            keys = (_check_lens if lens else _check_scope)(said, layer, broken)
            tensors = _from_safetensors(path, keys, width, broken)
            _check_sizes(said, tensors, broken)
        else:
            raise broken("it is in no known layout", f"use {LAYOUTS}")
    except OSError as error:
        raise broken(f"it cannot be read: {error.strerror or error}") from None
    tensors = {key: tensor.to(torch.float32) for key, tensor in tensors.items()}
    if not checked:
        _check_values(tensors, broken)
    relu = "threshold" not in tensors
    if relu:
        tensors["threshold"] = torch.zeros_like(tensors["b_enc"])
    if lens and said.get("apply_b_dec_to_input", True):
        # (x - b_dec) @ W + b = x @ W + (b - b_dec @ W)
        moved = tensors["b_dec"].double() @ tensors["W_enc"].double()
        tensors["b_enc"] = (tensors["b_enc"].double() - moved).float()
    encoder, bias, decoder, offset, threshold = (tensors[key] for key in KEYS)
    return Sae(encoder, bias, decoder, offset, threshold, relu)


def _from_npz(path: Path, width: int, broken: Broken) -> dict[str, Tensor]:
    try:
        with open_npz(path) as file:
            shapes = {key: header.shape for key, header in file.headers.items()}
            _check_shapes(shapes, KEYS, width, broken)
            for key in KEYS:
                dtype = file.headers[key].dtype
                if dtype.kind != "f" or dtype.itemsize > 8:
                    raise broken(f"{key} holds {dtype}, not floats of 16, 32 or 64 bits")
            arrays = {key: file.read(key) for key in KEYS}
            # Some published files carry a factor, which was always 1.
            if "scaling_factor" in file.headers and not (file.read("scaling_factor") == 1).all():
                raise broken("scaling_factor is not 1", "fold it into the weights")
    except BrokenArray as error:
        raise broken(f"{error.key or 'it'} {error}") from None
    return {
        key: torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
        for key, array in arrays.items()
    }


def _from_safetensors(
    path: Path, keys: tuple[str, ...], width: int, broken: Broken
) -> dict[str, Tensor]:
    try:
        with safe_open(path, "pt") as file:
            # Gemma Scope 2 writes its keys in lower case.
            names = {name.lower(): name for name in file.keys()}  # noqa: SIM118 no mapping
            if skip := [name for lower, name in names.items() if "skip" in lower]:
                raise broken(f"{skip[0]} makes it a transcoder", "name an SAE")
            if extra := sorted(set(names) - {key.lower() for key in keys}):
                known = ", ".join(keys)
                raise broken(f"{names[extra[0]]} is not understood", f"such an SAE has {known}")
            found = {key: names[key.lower()] for key in keys if key.lower() in names}
            shapes = {key: tuple(file.get_slice(name).get_shape()) for key, name in found.items()}
            _check_shapes(shapes, keys, width, broken)
            tensors = {key: file.get_tensor(found[key]) for key in keys}
    except SafetensorError as error:
        raise broken(f"it cannot be read: {error}") from None
    for key, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise broken(f"{key} holds {str(tensor.dtype).removeprefix('torch.')}, not floats")
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
    if hook and (match is None or said.get("hf_hook_point_out", hook) != hook):
        raise broken(f"it reads {hook}, not the residual stream after a block", "name another SAE")
    if match:
        _check_layer(int(match[1]), layer, broken)
    return KEYS


def _check_lens(said: Mapping[str, Any], layer: int | None, broken: Broken) -> tuple[str, ...]:
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
        _check_layer(own, layer, broken)
    return KEYS if kind == "jumprelu" else KEYS[:-1]


def _check_sizes(said: Mapping[str, Any], tensors: Mapping[str, Tensor], broken: Broken) -> None:
    """What a configuration says of sizes is what the weights have."""
    width, features = tensors["W_enc"].shape
    for key, size in {"d_in": width, "d_sae": features, "width": features}.items():
        if isinstance(said.get(key), int) and said[key] != size:
            raise broken(f"its configuration says {key} {said[key]}, the weights say {size}")


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
    if "threshold" in tensors and float(tensors["threshold"].min()) < 0:
        raise broken("threshold holds negative values", "are threshold and b_enc swapped?")
