"""Dictionaries made of the organism's: the same features under other numbers, and others."""

from pathlib import Path

import numpy as np

from tests.helpers import ROOT

SAES = ROOT / "fixtures" / "organism" / "sae"
MORE = 200  # features that are random


def write_shuffled(
    folder: Path, layers: tuple[int, ...] = (1, 3), *, known: float = 1.0
) -> dict[int, np.ndarray]:
    """SAEs as of another seed and width: the organism's features in another order and scale, and random ones.

    With a share `known` below 1 the decoder rows of the others are random. By layer the number of each of the
    organism's features in it.
    """
    places = {}
    for layer in layers:
        (file,) = (SAES / f"layer_{layer}").rglob("params.npz")
        with np.load(file) as found:
            arrays = {name: found[name] for name in found.files}
        random = np.random.default_rng(layer)
        width, features = arrays["W_enc"].shape
        new = {
            "W_enc": random.normal(size=(width, features + MORE)) / width**0.5,
            "b_enc": random.normal(size=features + MORE) / 4,
            "threshold": np.full(features + MORE, 0.5),
            "W_dec": random.normal(size=(features + MORE, width)),
            "b_dec": arrays["b_dec"],
        }
        place = random.permutation(features + MORE)[:features]
        scale = random.uniform(0.25, 4, features)
        new["W_enc"][:, place] = arrays["W_enc"] * scale
        new["b_enc"][place] = arrays["b_enc"] * scale
        new["threshold"][place] = arrays["threshold"] * scale
        same = random.random(features) < known
        new["W_dec"][place[same]] = arrays["W_dec"][same] / scale[same, None]
        path = folder / f"layer_{layer}" / "width_2k" / "average_l0_9" / "params.npz"
        path.parent.mkdir(parents=True)
        np.savez(path, **{name: one.astype(np.float32) for name, one in new.items()})
        places[layer] = place
    return places
