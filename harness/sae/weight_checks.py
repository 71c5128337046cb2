"""What a dictionary's file must hold before it is believed: sizes, shapes, finite values."""

import re
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.errors import CannotRun
from harness.sae.layout import Layout

KEYS = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
Shapes = Mapping[str, tuple[int, ...]]
Broken = Callable[..., CannotRun]  # what is wrong and what to do, as an error that names the file


# What can be done about a dictionary that is computed in another way.
OTHER = "name a JumpReLU, standard or TopK dictionary"


def shown(value: object) -> str:
    """A value of a configuration in a message, of a bounded length."""
    plain = isinstance(value, str) and re.fullmatch(r"[A-Za-z_][\w.\-/\[\]]*", value)
    text = str(value) if plain or not isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def count(config: Mapping[str, Any], key: str, broken: Broken, most: int = 10**9) -> int | None:
    """A whole number above 0 of a configuration, None where it has none; refuses all else."""
    said = config.get(key)
    if said is None:
        return None
    if not isinstance(said, int) or isinstance(said, bool) or not 0 < said <= most:
        raise broken(f"its {key} is {shown(said)}, not a whole number above 0", "correct it")
    return said


def flag(config: Mapping[str, Any], key: str, default: bool, broken: Broken) -> bool:
    """What a configuration says is so or not; refuses what is neither true nor false."""
    said = config.get(key, default)
    if not isinstance(said, bool):
        raise broken(f"its {key} is {shown(said)}, neither true nor false", "correct it")
    return said


def check_sizes(config: Mapping[str, Any], shape: tuple[int, ...], broken: Broken) -> None:
    """Refuse weights of other sizes than the configuration says; `shape` is W_enc's."""
    width, features = shape
    sizes = {"d_in": width, "d_out": width, "d_sae": features, "width": features}
    for key, size in sizes.items():
        if isinstance(config.get(key), int) and config[key] != size:
            said = shown(config[key])
            raise broken(f"its configuration says {key} {said}, the weights say {size}")


def published_l0(path: Path, config: Mapping[str, Any]) -> float | None:
    """How many features are active at a position, as the file's name or its configuration says."""
    for key in ("l0", "average_l0", "k"):
        said = config.get(key)
        if isinstance(said, int | float) and not isinstance(said, bool) and 0 < said < 1e9:
            return float(said)
    named = re.findall(r"(?:average_l0|-L0)_(\d{1,9})(?![\d.])", path.as_posix())
    return float(named[-1]) if named else None


def check_shapes(shapes: Shapes, layout: Layout, width: int | None, broken: Broken) -> None:
    """Refuse arrays that are missing, or not of one size, before any of them is read.

    Without a `width`, as where it reads the heads of attention, it is that of `b_dec`.

    `shapes` are the file's by our names, as they are stored: `W_enc` (width, n_features), `W_dec`
    (n_features, width), each the other way round where the layout turns it; `b_dec` (width,), `skip`
    (width, width), one number for a scalar, and (n_features,) for all else.
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
    decoder = shapes["W_dec"]
    if len(decoder) == 3:
        what = f"{layout.named('W_dec')} has shape {decoder}: it writes to several layers at once"
        raise broken(what, "name a transcoder of one layer: edits are of one")
    first, last = encoder[::-1] if "W_enc" in layout.turned else encoder
    features = first if first != width and last == width else last
    wanted: dict[str, tuple[int, ...]] = dict.fromkeys(keys, (features,)) | {
        "W_enc": (width, features), "W_dec": (features, width), "b_dec": (width,),
        "skip": (width, width),
    }  # fmt: skip
    wanted |= {key: wanted[key][::-1] for key in layout.turned}
    for key in keys:
        if shapes[key] == wanted[key] and 0 not in shapes[key]:
            continue
        swapped = next(
            (other for other in keys if other != key and shapes[key] == wanted[other]), ""
        )
        raise broken(
            f"{layout.named(key)} has shape {shapes[key]}, not {wanted[key]} for a model of width {width}"
            + (f"; it looks like {layout.named(swapped)}" if swapped else ""),
            "name a dictionary of this model",
        )
    for key in layout.scalars:
        if prod(shapes[key]) != 1:
            raise broken(f"{layout.named(key)} has shape {shapes[key]}, and should be one number")


def check_scalars(scalars: Mapping[str, float], layout: Layout, broken: Broken) -> None:
    """Refuse a threshold that was never set, which dictionary_learning stores as -1, and such norms."""
    for key, value in scalars.items():
        if key == "k":
            continue
        if not 0 <= value < float("inf") or (value == 0 and key.startswith("norm")):
            what = f"{layout.named(key)} is {value:g}, as where it was never set"
            raise broken(what, "name an SAE whose training was finished")


def check_top_k(layout: Layout, in_file: float | None, features: int, broken: Broken) -> int | None:
    """The k of TopK that the configuration and the file say; refuses two, and more than there are features.

    None of what is no TopK dictionary.
    """
    said = layout.top_k
    if "k" in layout.optional and said is None and in_file is None:
        raise broken(
            "neither its configuration nor the file says its k", "add it to the configuration"
        )
    if in_file is not None and not (in_file.is_integer() and in_file > 0):
        raise broken(f"its k is {in_file:g}, not a whole number above 0")
    if in_file is not None and said not in (None, in_file):
        raise broken(f"its configuration says k {said}, the file says {in_file:g}", "correct it")
    top_k = said if in_file is None else int(in_file)
    if top_k is not None and top_k > features:
        raise broken(f"its k is {top_k}, and it has {features} features", "correct it")
    return top_k


def check_values(key: str, tensor: Tensor, layout: Layout, broken: Broken) -> None:
    """Refuse numbers that are not finite, and thresholds below 0."""
    # The extremes are NaN where anything is: no second array of this size is needed.
    low, high = tensor.aminmax()
    if not (torch.isfinite(low) and torch.isfinite(high)):
        raise broken(f"{layout.named(key)} holds NaN or infinity")
    if key == "threshold" and low < 0:
        raise broken("threshold holds negative values", "are threshold and b_enc swapped?")
