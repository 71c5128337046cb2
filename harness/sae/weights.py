"""SAE weights from the published layouts, checked before they are believed.

GemmaScope's `params.npz`; Gemma Scope 2's `params.safetensors`, with a `config.json` that may be
absent; SAELens' `sae_weights.safetensors` with its `cfg.json`, for JumpReLU, standard and gated SAEs;
Llama Scope's and dictionary_learning's. What they compute beside JumpReLU is folded into the weights. Of a
pickle only tensors are made.
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
from harness.sae import dictionary_learning, llama_scope
from harness.sae.encoding import Sae
from harness.sae.layout import Layout
from harness.sae.npz import BrokenArray, open_npz
from harness.sae.torch_file import open_pt
from harness.sae.weight_checks import (
    KEYS,
    Broken,
    check_gemma_scope,
    check_saelens,
    check_scalars,
    check_shapes,
    check_sizes,
    check_values,
    published_l0,
)
from harness.specs.json_file import read_mapping
from harness.specs.sae_configuration import configurations_beside

POINTER = b"version https://git-lfs"
SAELENS = "sae_weights.safetensors"
LAYOUTS = (
    "params.npz, params.safetensors, sae_weights.safetensors beside its cfg.json or config.json, "
    "checkpoints/final.safetensors below its hyperparams.json, or ae.pt beside its config.json"
)


def load_sae(path: Path, *, width: int, layer: int | None = None, checked: bool = False) -> Sae:
    """Read one SAE of a residual stream of `width`, in float32 on the CPU.

    `path` ends in `.npz`, `.safetensors` or `.pt`, in one of the layouts above. `layer` is held against
    what the file's configuration says. A file that was `checked` in this process is not searched for NaN
    again. Raises `CannotRun` naming the file and the array where it cannot be read, or is not such an
    SAE.
    """
    broken = _named(path)
    with _opened(path, width, layer, broken) as file:
        layout = file.layout
        # A copy, as a mapped file may change under what is read from it.
        tensors = {key: file.read(key).to(torch.float32, copy=True) for key in layout.arrays}
        tensors |= {key: file.read(key).float().reshape(()) for key in layout.scalars}
    if not checked:
        check_values(tensors, layout, broken)
    if layout.turned:
        tensors |= {key: tensors[key].T.contiguous() for key in ("W_enc", "W_dec")}
    for step in layout.steps:
        tensors = step(tensors)
    encoder, bias, decoder, offset, threshold = (tensors[key] for key in KEYS)
    return Sae(
        encoder, bias, decoder, offset, threshold, layout.relu, published_l0(path, layout.facts),
        top_k=layout.top_k, norm=layout.norm, skip=tensors.get("skip"), site=layout.site,
        without_gain=layout.without_gain,
    )  # fmt: skip


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

    layout: Layout
    read: Callable[[str], Tensor]  # by our names


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
            layout = _layout(path, layer, broken)
            with _opened_safetensors(path, layout, width, broken) as file:
                yield file
        elif path.suffix == ".pt":
            layout = _layout(path, layer, broken)
            yield _opened_pt(path, layout, width, broken)
        else:
            raise broken("it is in no known layout", f"use {LAYOUTS}")
    except OSError as error:
        raise broken(f"it cannot be read: {error.strerror or error}") from None


@contextmanager
def _opened_npz(path: Path, width: int | None, broken: Broken) -> Iterator[_Weights]:
    """The arrays under `KEYS`, as they are stored, in the byte order of this machine."""
    try:
        with open_npz(path) as file:
            layout = Layout({key: key for key in KEYS})
            shapes = {key: it.shape for key, it in file.headers.items()}
            check_shapes(shapes, layout, width, broken)
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

            yield _Weights(layout, read)
    except BrokenArray as error:
        raise broken(f"{error.key or 'it'} {error}") from None


@contextmanager
def _opened_safetensors(
    path: Path, layout: Layout, width: int | None, broken: Broken
) -> Iterator[_Weights]:
    """The arrays that such an SAE has, as they are stored."""
    try:
        with safe_open(path, "pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 no mapping
            names = _names(slices, layout, broken)
            shapes = {key: tuple(slices[name].get_shape()) for key, name in names.items()}
            check_shapes(shapes, layout, width, broken)
            for key, name in names.items():
                kind = slices[name].get_dtype()  # F32, BF16, F8_E4M3, I32, ...
                if not kind.startswith(("F", "BF")):
                    what = kind.lower().replace("i", "int")
                    raise broken(f"{layout.named(key)} holds {what}, not floats")
            yield _checked(
                _Weights(layout, lambda key: file.get_tensor(names[key])), shapes, broken
            )  # fmt: skip
    except SafetensorError as error:
        raise broken(f"it cannot be read: {error}") from None


def _opened_pt(path: Path, layout: Layout, width: int | None, broken: Broken) -> _Weights:
    """The tensors that such an SAE has, mapped and not read yet."""
    file = open_pt(path, broken)
    names = _names(file, layout, broken)
    shapes = {key: tuple(file[name].shape) for key, name in names.items()}
    check_shapes(shapes, layout, width, broken)
    for key, name in names.items():
        if not file[name].is_floating_point():
            what = str(file[name].dtype).removeprefix("torch.")
            raise broken(f"{layout.named(key)} holds {what}, not floats")
    return _checked(_Weights(layout, lambda key: file[names[key]]), shapes, broken)


def _names(found: Mapping[str, object], layout: Layout, broken: Broken) -> dict[str, str]:
    """The file's own names by ours; refuses what is not of such an SAE."""
    ours = {layout.named(key).lower(): key for key in (*layout.arrays, *layout.scalars)}
    # Gemma Scope 2 writes its keys in lower case.
    lower = {name.lower(): name for name in found}
    if skip := [name for low, name in lower.items() if "skip" in low]:
        raise broken(f"{skip[0]} makes it a transcoder", "name an SAE")
    if extra := sorted(set(lower) - set(ours) - set(layout.ignored)):
        known = ", ".join(map(layout.named, ours.values()))
        raise broken(f"{lower[extra[0]]} is not understood", f"such an SAE has {known}")
    return {ours[low]: name for low, name in lower.items() if low in ours}


def _checked(weights: _Weights, shapes: Mapping[str, tuple[int, ...]], broken: Broken) -> _Weights:
    """The same, once its sizes are those of the configuration and its numbers are set."""
    layout = weights.layout
    first, last = shapes["W_enc"]
    check_sizes(layout.facts, (last, first) if layout.turned else (first, last), broken)
    check_scalars({key: float(weights.read(key)) for key in layout.scalars}, layout, broken)
    return weights


def _layout(path: Path, layer: int | None, broken: Broken) -> Layout:
    """What the name of a file and the configuration beside it make of it."""
    beside = [Path(name) for name in configurations_beside(path.as_posix())]
    there = next((one for one in beside if one.exists()), None)
    if path.suffix == ".pt":
        config = _configuration(there, "config.json", broken)
        return dictionary_learning.layout_of(config, layer, broken)
    if beside[0].name == "hyperparams.json":
        config = _configuration(there, "hyperparams.json", broken)
        return llama_scope.layout_of(config, layer, broken)
    if path.name == SAELENS:
        config = _configuration(there, "cfg.json", broken)
        is_openmoss = there is not None and there.name == "config.json"
        return (llama_scope.layout_of if is_openmoss else check_saelens)(config, layer, broken)
    return check_gemma_scope(_configuration(there, "", broken), layer, broken)


def _configuration(path: Path | None, needed: str, broken: Broken) -> dict[str, Any]:
    """What the file beside the weights says of them, or nothing where none is `needed`."""
    if path is None:
        if needed:
            what = f"there is no {needed} beside it"
            raise broken(what, "put the configuration there that it was published with")
        return {}
    config = read_mapping(path)
    if config is None:
        raise broken(f"{path.name} beside it is no JSON object")
    # Since version 6 SAELens keeps what is not of the SAE itself under `metadata`.
    metadata = config.get("metadata")
    return (metadata if isinstance(metadata, dict) else {}) | config
