"""Targets: a model, its SAEs and its default layers, as data read from `targets.toml`."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from harness.places import PACKAGE, find
from harness.records import Origin


@dataclass(frozen=True)
class Target:
    """What a spec runs on. `width` is the residual stream's, `features` the SAEs'."""

    name: str
    summary: str
    model: str
    sae: str
    blocks: int
    width: int
    features: int
    dtype: str
    origin: Origin
    files: str | tuple[str, ...]
    layers: tuple[int, ...] = ()
    revision: str = "main"
    sae_revision: str = "main"
    truth: str | None = None
    neuronpedia: str | None = None

    @property
    def is_local(self) -> bool:
        """True where the weights lie on this machine and no hub is asked."""
        return find(self.model) is not None and find(self.sae) is not None

    def sae_file(self, layer: int) -> str:
        """The path of a layer's SAE within `sae`, perhaps with a * in it."""
        if isinstance(self.files, str):
            return self.files.format(layer=layer)
        return self.files[layer]


@dataclass(frozen=True)
class KnownFeature:
    """A feature that is known to tell the voices apart, and by how much (`auroc`, .5 to 1).

    `sign` is 1 where it is stronger for the confused voice, and -1 where it is weaker.
    """

    layer: int
    feature: int
    sign: int
    auroc: float


def load_truth(target: Target) -> tuple[KnownFeature, ...] | None:
    """The features that are known to carry the contrast; None where nothing is known."""
    if target.truth is None or (path := find(target.truth)) is None:
        return None
    known = json.loads(path.read_text(encoding="utf-8"))["known"]
    names = tuple(field.name for field in fields(KnownFeature))
    return tuple(KnownFeature(**{name: entry[name] for name in names}) for entry in known)


@cache
def load_targets() -> Mapping[str, Target]:
    """Every known target, by name."""
    with (PACKAGE / "targets.toml").open("rb") as file:
        rows: dict[str, dict[str, Any]] = tomllib.load(file)
    frozen: dict[str, dict[str, Any]] = {
        name: {key: tuple(v) if isinstance(v, list) else v for key, v in row.items()}
        for name, row in rows.items()
    }
    return {name: Target(name=name, **row) for name, row in frozen.items()}
