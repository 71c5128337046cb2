"""SAE weights from the published layouts, checked before they are believed.

GemmaScope's `params.npz`; Gemma Scope 2's `params.safetensors`, with a `config.json` that may be
absent; SAELens' `sae_weights.safetensors` with its `cfg.json`, for JumpReLU and standard SAEs. Nothing
is unpickled.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from harness.errors import CannotRun, Fault
from harness.sae.jumprelu import Sae
from harness.sae.npz import BrokenArray, open_npz
from harness.sae.weight_checks import (
    KEYS,
    Broken,
    check_gemma_scope,
    check_saelens,
    check_shapes,
    check_sizes,
    check_values,
    published_l0,
)
from harness.specs.json_file import read_mapping

POINTER = b"version https://git-lfs"
SAELENS = "sae_weights.safetensors"
LAYOUTS = "params.npz, params.safetensors, or sae_weights.safetensors beside its cfg.json"


def load_sae(path: Path, *, width: int, layer: int | None = None, checked: bool = False) -> Sae:
    """Read one SAE of a residual stream of `width`, in float32 on the CPU.

    `path` ends in `.npz` or `.safetensors`, in one of the layouts above. `layer` is held against what
    the file's configuration says. A file that was `checked` in this process is not searched for NaN
    again. Raises `CannotRun` naming the file and the array where it cannot be read, or is not such an
    SAE.
    """
    broken = _named(path)
    with _opened(path, width, layer, broken) as file:
        tensors = {key: file.read(key).to(torch.float32) for key in file.keys}
    if not checked:
        check_values(tensors, broken)
    relu = "threshold" not in tensors
    if relu:
        tensors["threshold"] = torch.zeros_like(tensors["b_enc"])
    if path.name == SAELENS and file.config.get("apply_b_dec_to_input", True):
        # Here nothing is subtracted from the input: it goes into the bias, once and in float64.
        # (x - b_dec) @ W + b = x @ W + (b - b_dec @ W)
        moved = tensors["b_dec"].double() @ tensors["W_enc"].double()
        tensors["b_enc"] = (tensors["b_enc"].double() - moved).float()
    encoder, bias, decoder, offset, threshold = (tensors[key] for key in KEYS)
    return Sae(encoder, bias, decoder, offset, threshold, relu, published_l0(path, file.config))


def check_sae(path: Path, *, width: int | None, layer: int | None = None) -> None:
    """Refuse by its headers and its configuration what `load_sae` would refuse for them.

    No weights are read, so a model that takes minutes to load can wait for it. Without a `width` the
    arrays are only held against each other. Raises `CannotRun` like `load_sae`.
    """
    with _opened(path, width, layer, _named(path)):
        pass


@dataclass(frozen=True)
class _Weights:
    """An open file whose headers are those of an SAE: its arrays, each read when it is asked for."""

    keys: tuple[str, ...]
    config: Mapping[str, Any]
    read: Callable[[str], Tensor]


def _named(path: Path) -> Broken:
    """What is wrong with a file as an error that names it."""

    def broken(what: str, remedy: str = "fetch the file again") -> CannotRun:
        # The names within a damaged file may hold anything.
        return CannotRun(Fault(str(path), " ".join(what.split()), remedy))

    return broken


@contextmanager
def _opened(path: Path, width: int | None, layer: int | None, broken: Broken) -> Iterator[_Weights]:
    """The weights of a file in a known layout, once its headers have passed."""
    try:
        with path.open("rb") as stream:
            if stream.read(len(POINTER)) == POINTER:
                raise broken("it is a pointer of Git LFS, not the file", "fetch it: git lfs pull")
        if path.suffix == ".npz":
            with _opened_npz(path, width, broken) as file:
                yield file
        elif path.suffix == ".safetensors":
            with _opened_safetensors(path, width, layer, broken) as file:
                yield file
        else:
            raise broken("it is in no known layout", f"use {LAYOUTS}")
    except OSError as error:
        raise broken(f"it cannot be read: {error.strerror or error}") from None


@contextmanager
def _opened_npz(path: Path, width: int | None, broken: Broken) -> Iterator[_Weights]:
    """The arrays under `KEYS`, as they are stored, in the byte order of this machine."""
    try:
        with open_npz(path) as file:
            check_shapes({key: it.shape for key, it in file.headers.items()}, KEYS, width, broken)
            for key in KEYS:
                dtype = file.headers[key].dtype
                if dtype.kind != "f" or dtype.itemsize > 8:
                    raise broken(f"{key} holds {dtype}, not floats of 16, 32 or 64 bits")
            # Some published files carry a factor, which was always 1.
            if "scaling_factor" in file.headers and not (file.read("scaling_factor") == 1).all():
                raise broken(
                    "scaling_factor is not 1",
                    "multiply each row of W_dec by its factor, and store factors of 1",
                )

            def read(key: str) -> Tensor:
                array = file.read(key)
                return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))

            yield _Weights(KEYS, {}, read)
    except BrokenArray as error:
        raise broken(f"{error.key or 'it'} {error}") from None


@contextmanager
def _opened_safetensors(
    path: Path, width: int | None, layer: int | None, broken: Broken
) -> Iterator[_Weights]:
    """The arrays that such an SAE has, as they are stored."""
    is_saelens = path.name == SAELENS
    beside = path.with_name("cfg.json" if is_saelens else "config.json")
    config = _configuration(beside, is_saelens, broken)
    keys = (check_saelens if is_saelens else check_gemma_scope)(config, layer, broken)
    try:
        with safe_open(path, "pt") as file:
            # Gemma Scope 2 writes its keys in lower case.
            names = {name.lower(): name for name in file.keys()}  # noqa: SIM118 no mapping
            if skip := [name for lower, name in names.items() if "skip" in lower]:
                raise broken(f"{skip[0]} makes it a transcoder", "name an SAE")
            if extra := sorted(set(names) - {key.lower() for key in keys}):
                known = ", ".join(keys)
                raise broken(f"{names[extra[0]]} is not understood", f"such an SAE has {known}")
            slices = {
                key: file.get_slice(names[key.lower()]) for key in keys if key.lower() in names
            }
            shapes = {key: tuple(it.get_shape()) for key, it in slices.items()}
            check_shapes(shapes, keys, width, broken)
            for key, it in slices.items():
                kind = it.get_dtype()  # F32, BF16, F8_E4M3, I32, ...
                if not kind.startswith(("F", "BF")):
                    raise broken(f"{key} holds {kind.lower().replace('i', 'int')}, not floats")
            check_sizes(config, shapes["W_enc"], broken)
            yield _Weights(keys, config, lambda key: file.get_tensor(names[key.lower()]))
    except SafetensorError as error:
        raise broken(f"it cannot be read: {error}") from None


def _configuration(path: Path, needed: bool, broken: Broken) -> dict[str, Any]:
    """What the file beside the weights says of them."""
    if not path.exists():
        if needed:
            raise broken(f"there is no {path.name} beside it", "put SAELens' configuration there")
        return {}
    config = read_mapping(path)
    if config is None:
        raise broken(f"{path.name} beside it is no JSON object")
    # Since version 6 SAELens keeps what is not of the SAE itself under `metadata`.
    metadata = config.get("metadata")
    return (metadata if isinstance(metadata, dict) else {}) | config
