"""Dictionaries' weights from the published layouts, checked before they are believed.

`harness/sae/published.py` says which layouts there are. What they compute beside a JumpReLU or TopK of
their input is folded into the weights. Of a pickle only tensors are made.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from harness.errors import CannotRun, Fault
from harness.sae.encoding import Sae
from harness.sae.layout import Layout
from harness.sae.npz import BrokenArray, open_npz
from harness.sae.place import asked_for
from harness.sae.published import LAYOUTS, layout_of
from harness.sae.torch_file import open_pt
from harness.sae.weight_checks import (
    KEYS,
    Broken,
    check_scalars,
    check_shapes,
    check_sizes,
    check_top_k,
    check_values,
    published_l0,
)
from harness.specs.sites import Hook, Site

THREADS = 2  # that read arrays at once: a dictionary has two large ones
POINTER = b"version https://git-lfs"


def load_sae(
    path: Path,
    *,
    width: int,
    layer: int | None = None,
    hook: Hook = "resid_post",
    checked: bool = False,
) -> Sae:
    """Read one dictionary, in float32 on the CPU: one of a stream of `width`, at a spec's `hook`.

    `path` ends in `.npz`, `.safetensors` or `.pt`, in one of the published layouts. `layer` and `hook` are
    held against what the file's configuration and name say. A file of the stream before a block is one of
    the stream after the block below, and with `resid_pre` one of its own block. A file that was `checked`
    in this process is not searched for NaN again. Raises `CannotRun` naming the file and the array where
    it cannot be read, or is of another place.
    """
    broken = _named(path)
    with _opened(path, width, layer, hook, broken) as file:
        layout = file.layout

        def read(key: str) -> Tensor:
            tensor = file.read(key)
            if not checked:
                check_values(key, tensor, layout, broken)
            return tensor

        keys = (*layout.arrays, *layout.scalars)
        # Reading, checksums and copies leave Python to others.
        with ThreadPoolExecutor(THREADS) as pool:
            tensors = dict(zip(keys, pool.map(read, keys), strict=True))
    # A view of the other order costs nothing, and matrices multiply by it as fast.
    tensors |= {key: tensors[key].reshape(()) for key in layout.scalars}
    tensors |= {key: tensors[key].T for key in layout.turned if key in tensors}
    for step in layout.steps:
        tensors = step(tensors)
    encoder, bias, decoder, offset, threshold = (tensors[key] for key in KEYS)
    return Sae(
        encoder, bias, decoder, offset, threshold, layout.relu, _l0(path, layout),
        top_k=layout.top_k, norm=layout.norm, skip=tensors.get("skip"), site=layout.site or hook,
        without_gain=layout.without_gain,
    )  # fmt: skip


def check_sae(
    path: Path, *, width: int | None, layer: int | None = None, hook: Hook = "resid_post"
) -> Site:
    """Refuse by its headers and its configuration what `load_sae` would refuse for them.

    No weights are read, so a model that takes minutes to load can wait for it. Without a `width` the
    arrays are only held against each other. Returns what the file is of. Raises `CannotRun` like
    `load_sae`.
    """
    with _opened(path, width, layer, hook, _named(path)) as file:
        return file.layout.site or hook


@dataclass(frozen=True)
class _Weights:
    """An open file whose headers are those of an SAE: its arrays, each read when it is asked for."""

    layout: Layout
    read: Callable[[str], Tensor]  # by our names, in float32


def _named(path: Path) -> Broken:
    """What is wrong with a file as an error that names it."""

    def broken(what: str, remedy: str = "fetch the file again") -> CannotRun:
        # The names within a damaged file may hold anything.
        return CannotRun(Fault(str(path), " ".join(what.split()), remedy))

    return broken


@contextmanager
def _opened(
    path: Path, width: int | None, layer: int | None, hook: Hook, broken: Broken
) -> Iterator[_Weights]:
    """The weights of a file in a known layout, once its headers have passed."""
    try:
        with path.open("rb") as stream:
            if stream.read(len(POINTER)) == POINTER:
                raise broken("it is a pointer of Git LFS, not the file", "fetch it: git lfs pull")
        if path.suffix not in _OPEN:
            raise broken("it is in no known layout", f"use {LAYOUTS}")
        layout = asked_for(layout_of(path, broken), path, hook, layer, broken)
        with _OPEN[path.suffix](path, layout, width, broken) as file:
            yield file
    except OSError as error:
        raise broken(f"it cannot be read: {error.strerror or error}") from None


@contextmanager
def _opened_npz(
    path: Path, layout: Layout, width: int | None, broken: Broken
) -> Iterator[_Weights]:
    """The arrays of such an SAE, in the byte order of this machine."""
    try:
        with open_npz(path) as file:
            # Some published files have lower-case keys.
            names = {name.lower(): name for name in file.headers}
            names = {key: names[low] for key in layout.arrays if (low := key.lower()) in names}
            shapes = {key: file.headers[name].shape for key, name in names.items()}
            check_shapes(shapes, layout, _width(layout, width), broken)
            for key, name in names.items():
                dtype = file.headers[name].dtype
                if dtype.kind != "f" or dtype.itemsize > 8:
                    raise broken(f"{key} holds {dtype}, not floats of 16, 32 or 64 bits")
            # Some published files carry a factor, which was always 1.
            if "scaling_factor" in file.headers and not (file.read("scaling_factor") == 1).all():
                raise broken(
                    "scaling_factor is not 1",
                    "multiply each row of W_dec by its factor, and store factors of 1",
                )

            def read(key: str) -> Tensor:
                array = file.read(names[key])
                native = array.astype(array.dtype.newbyteorder("="), copy=False)
                return torch.from_numpy(native).float()

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
            layout, names = _names(slices, layout, broken)
            shapes = {key: tuple(slices[name].get_shape()) for key, name in names.items()}
            kinds = {key: slices[name].get_dtype() for key, name in names.items()}
            # F32, BF16, F8_E4M3, I32, ...
            floats = {key: kind.startswith(("F", "BF")) for key, kind in kinds.items()}
            _check_floats(layout, kinds, floats, broken)
            yield _checked(
                _Weights(layout, lambda key: _own(file.get_tensor(names[key]))),
                shapes,
                width,
                broken,
            )
    except SafetensorError as error:
        raise broken(f"it cannot be read: {error}") from None


@contextmanager
def _opened_pt(path: Path, layout: Layout, width: int | None, broken: Broken) -> Iterator[_Weights]:
    """The tensors that such an SAE has, mapped and not read yet."""
    file = open_pt(path, broken)
    layout, names = _names(file, layout, broken)
    shapes = {key: tuple(file[name].shape) for key, name in names.items()}
    kinds = {key: str(file[name].dtype).removeprefix("torch.") for key, name in names.items()}
    floats = {key: file[name].is_floating_point() for key, name in names.items()}
    _check_floats(layout, kinds, floats, broken)
    weights = _Weights(layout, lambda key: _own(file[names[key]]))
    yield _checked(weights, shapes, width, broken)


_OPEN = {".npz": _opened_npz, ".safetensors": _opened_safetensors, ".pt": _opened_pt}


def _names(
    found: Mapping[str, object], layout: Layout, broken: Broken
) -> tuple[Layout, dict[str, str]]:
    """The layout with what the file has of what it may have, and the file's own names by ours.

    Refuses what is not of such an SAE.
    """
    # Gemma Scope 2 writes its keys in lower case.
    lower = {name.lower(): name for name in found}
    more = {key: name for key, name in layout.optional.items() if name.lower() in lower}
    numbers = {key: name for key, name in more.items() if key == "k"}
    arrays = {key: name for key, name in more.items() if key not in numbers}
    if "skip" in more and layout.site != "transcoder":
        raise broken(
            f"{lower[more['skip'].lower()]} makes it a transcoder", "write hook: transcoder"
        )
    layout = replace(
        layout, arrays={**layout.arrays, **arrays}, scalars={**layout.scalars, **numbers}
    )
    ours = {layout.named(key).lower(): key for key in (*layout.arrays, *layout.scalars)}
    if extra := sorted(set(lower) - set(ours) - set(layout.ignored)):
        if skip := [lower[low] for low in extra if "skip" in low]:
            raise broken(f"{skip[0]} makes it a transcoder", "name an SAE, or its configuration")
        known = ", ".join(map(layout.named, ours.values()))
        raise broken(f"{lower[extra[0]]} is not understood", f"such a dictionary has {known}")
    return layout, {ours[low]: name for low, name in lower.items() if low in ours}


def _check_floats(
    layout: Layout, kinds: Mapping[str, str], floats: Mapping[str, bool], broken: Broken
) -> None:
    """Refuse whole numbers, of which only a k is one."""
    for key, kind in kinds.items():
        if not floats[key] and key != "k":
            what = kind.lower() if kind.islower() else kind.lower().replace("i", "int")
            raise broken(f"{layout.named(key)} holds {what}, not floats")


def _checked(
    weights: _Weights, shapes: Mapping[str, tuple[int, ...]], width: int | None, broken: Broken
) -> _Weights:
    """The same, once its sizes are those of the configuration and its numbers are set."""
    layout = weights.layout
    check_shapes(shapes, layout, _width(layout, width), broken)
    first, last = shapes["W_enc"]
    size = (last, first) if "W_enc" in layout.turned else (first, last)
    check_sizes(layout.facts, size, broken)
    scalars = {key: float(weights.read(key)) for key in layout.scalars}
    check_scalars(scalars, layout, broken)
    top_k = check_top_k(layout, scalars.get("k"), size[1], broken)
    return replace(weights, layout=replace(layout, top_k=top_k))


def _own(mapped: Tensor) -> Tensor:
    """A copy, as a mapped file may change under what is read from it."""
    return mapped.to(torch.float32, copy=True)


def _width(layout: Layout, width: int | None) -> int | None:
    """The width that its arrays must have: of the heads of attention any, as the stream's is another."""
    return None if layout.site == "attn_z" else width


def _l0(path: Path, layout: Layout) -> float | None:
    """The published L0, which of TopK is its k."""
    return published_l0(path, {"l0": layout.top_k} if layout.top_k else layout.facts)
