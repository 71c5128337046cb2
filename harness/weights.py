"""SAE weights from GemmaScope's `params.npz`, checked before they are believed."""

import zipfile
from pathlib import Path

import numpy as np
import torch

from harness.faults import CannotRun, Fault
from harness.sae.jumprelu import Sae

KEYS = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")


def load_sae(path: Path, *, width: int) -> Sae:
    """Read one SAE of a residual stream of `width`; raises `CannotRun` naming the file and key."""

    def broken(what: str, remedy: str = "fetch the file again") -> CannotRun:
        return CannotRun(Fault(str(path), what, remedy))

    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            missing = [key for key in KEYS if key not in file]
            if missing:
                raise broken(f"it has no {', '.join(missing)}", "name a GemmaScope params.npz")
            arrays = {key: file[key] for key in KEYS}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise broken(f"it cannot be read: {error}") from None
    features = arrays["W_enc"].shape[-1] if arrays["W_enc"].ndim == 2 else -1
    shapes = {
        "W_enc": (width, features),
        "b_enc": (features,),
        "W_dec": (features, width),
        "b_dec": (width,),
        "threshold": (features,),
    }
    for key, shape in shapes.items():
        if arrays[key].shape != shape:
            raise broken(
                f"{key} has shape {arrays[key].shape}, not {shape} for a model of width {width}",
                "name an SAE of this model's residual stream",
            )
        if arrays[key].dtype.kind != "f":
            raise broken(f"{key} holds {arrays[key].dtype}, not numbers")
        if not np.isfinite(arrays[key]).all():
            raise broken(f"{key} holds NaN or infinity")
    return Sae(*(torch.from_numpy(arrays[key].astype(np.float32, copy=False)) for key in KEYS))
